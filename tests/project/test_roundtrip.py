import shutil

import numpy as np
import zarr

from napari_semimoe.core.states import Pool, RoundState
from napari_semimoe.project.export import export_ome_zarr
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, add_prediction, image_folder, mask, snapshot


def test_a_project_that_is_moved_or_copied_is_as_it_was(tmp_path):
    with Project.create(tmp_path / "study", name="Colon", author="Ada") as project:
        add_images(project, tmp_path / "in", 6, masks=True)
        plain = image_folder(tmp_path / "plain", 3, first=30)
        new = project.add_folder(plain, um_per_px=UM, patient_of=lambda _: "P").added
        for tile_id in new:
            add_prediction(project, tile_id, seed=tile_id)
        project.accept(new[0], mask(5), baseline=mask(4), seconds=3, model="starter")
        project.accept(new[0], mask(6), baseline=mask(5), seconds=4, round=1)
        project.set_pool(new[1], Pool.EXCLUDED)
        weights = project.round_folder(project.start_round({"seed": 3}, None).number) / "w"
        weights.write_bytes(b"weights")
        project.finish_round(1, RoundState.PROMOTED, weights=weights, report={"dice": 0.9})
        project.set_setting("active tile", new[2])
        export_ome_zarr(project, tmp_path / "export")
        before = snapshot(project)
        predicted = project.read_prediction(new[2]).instances

    shutil.rmtree(tmp_path / "in")
    shutil.rmtree(tmp_path / "plain")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "study")
    (tmp_path / "study").rename(tmp_path / "moved to another place")
    shutil.unpack_archive(archive, tmp_path / "unzipped")

    for place in ("moved to another place", "unzipped"):
        with Project.open(tmp_path / place) as project:
            assert project.swept == []
            assert snapshot(project) == before
            assert project.setting("active tile") == new[2]
            assert project.setting("unknown", 5) == 5
            assert project.models.weights() == tmp_path / place / "rounds/1/w"
            np.testing.assert_array_equal(project.read_prediction(new[2]).instances, predicted)
            export_ome_zarr(project, tmp_path / f"export of {place}")
        for path in sorted((tmp_path / "export").iterdir()):
            first = zarr.open_group(path, mode="r")["labels/curated/s0"][...]
            again = zarr.open_group(tmp_path / f"export of {place}" / path.name, mode="r")
            np.testing.assert_array_equal(again["labels/curated/s0"][...], first)
