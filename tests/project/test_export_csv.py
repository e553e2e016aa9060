"""Tables of objects, read back as an analyst would."""

import csv
import math
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from skimage.draw import disk

from napari_semimoe.core.errors import ProjectError, ProjectFormatError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.export import export_csv, export_png
from napari_semimoe.project.measure import MEASURES, measured
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, mask, pixels, save


def tables(folder):
    return pd.read_csv(folder / "objects.csv"), pd.read_csv(folder / "images.csv")


def test_a_ring_has_the_sizes_of_geometry():
    labels = np.zeros((200, 220), np.uint16)
    labels[disk((100.5, 90), 60)] = 5
    labels[disk((100.5, 90), 20)] = 0
    ((number, found),) = measured(labels, 0.5, corner=(1000, 2000))
    assert number == 5
    assert tuple(found) == MEASURES
    assert found["centroid_x_px"] == pytest.approx(1090.5, abs=0.1)
    assert found["centroid_y_px"] == pytest.approx(2101, abs=0.1)
    assert found["area_um2"] == pytest.approx(math.pi * (30**2 - 10**2), rel=0.01)
    assert found["filled_area_um2"] == pytest.approx(math.pi * 30**2, rel=0.01)
    assert found["perimeter_um"] == pytest.approx(2 * math.pi * (30 + 10), rel=0.02)
    assert found["circularity"] == pytest.approx(1, abs=0.03)
    assert found["solidity"] == pytest.approx(1 - 1 / 9, rel=0.02)
    assert found["eccentricity"] == pytest.approx(0, abs=0.1)
    assert found["at_edge"] == 0


def test_an_ellipse_s_axes_are_told():
    y, x = np.mgrid[:101, :161]
    labels = ((((x - 80) / 60) ** 2 + ((y - 50) / 30) ** 2) <= 1).astype(np.uint16)
    ((_, found),) = measured(labels, 2.0)
    assert found["major_axis_um"] == pytest.approx(240, rel=0.01)
    assert found["minor_axis_um"] == pytest.approx(120, rel=0.01)
    assert found["eccentricity"] == pytest.approx(math.sqrt(3) / 2, rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (9, 1)])
def test_pixels_and_lines_are_measured_without_a_warning(shape):
    labels = np.zeros((20, 20), np.uint16)
    labels[5 : 5 + shape[0], 5 : 5 + shape[1]] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, found),) = measured(labels, 1.0)
    assert found["area_um2"] == shape[0] * shape[1]
    assert found["solidity"] == 1
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("labels", [np.zeros((6, 9)), np.full((1, 1), IGNORE), np.zeros((1, 1))])
def test_what_has_no_object_has_no_row(labels):
    assert list(measured(labels.astype(np.uint16), 1.0)) == []


def test_objects_at_an_edge_or_beside_what_is_ignored_may_go_on_there():
    labels = np.zeros((30, 30), np.uint16)
    labels[0, 3:5], labels[10:13, 27:], labels[20:25, 5:9] = 1, 2, 3
    labels[10:13, 10:13], labels[13, 13] = 4, IGNORE
    found = dict(measured(labels, 1.0))
    assert {number: each["at_edge"] for number, each in found.items()} == {1: 1, 2: 1, 3: 0, 4: 1}


def test_a_row_for_each_object_says_its_class_its_size_and_who_made_it(tmp_path):
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile_id,) = add_images(project, tmp_path / "in", 1).added
        labels = np.zeros((40, 56), np.uint16)
        labels[2:12, 2:22], labels[20:30, 30:40], labels[35:] = 1, 2, IGNORE
        project.accept(tile_id, labels, classes={2: 2}, author="Grace", model="round 3", round=3)
        report = export_csv(project, tmp_path / "out")
    assert [path.name for path in report.written] == ["objects.csv", "images.csv"]
    assert report.sentence == f"1 curated mask exported to {tmp_path / 'out'}."
    objects, images = tables(tmp_path / "out")
    assert objects["class"].tolist() == ["benign", "malignant"]
    assert objects["object"].tolist() == [1, 2]
    assert objects["area_um2"].tolist() == [200 * UM**2, 100 * UM**2]
    assert set(objects["image"]) == {"image_0"}
    assert set(objects["author"]) == {"Grace"}
    assert set(objects["round"]) == {3}
    assert images["class"].tolist() == ["benign", "malignant"]
    assert images["objects"].tolist() == [1, 1]
    assert set(images["measured_um2"]) == {35 * 56 * UM**2}
    assert images["share"].tolist() == pytest.approx([200 / (35 * 56), 100 / (35 * 56)], abs=1e-6)
    assert images["objects_per_mm2"].tolist() == pytest.approx([1e6 / (35 * 56 * UM**2)] * 2)


@pytest.mark.parametrize(
    ("beyond", "at_edge"),
    [("ends", 0), ("goes on", 0), ("ignored", 1), ("goes on and ignored", 1), ("no mask", 1)],
)
def test_at_a_seam_an_object_is_at_an_edge_where_nothing_is_known_beyond(
    project, tmp_path, beyond, at_edge
):
    save(tmp_path / "slide.png", pixels(0, (70, 140)))
    first, second = project.add_files([tmp_path / "slide.png"], um_per_px=UM, tile_px=70).added
    left, right = np.zeros((2, 70, 70), np.uint16)
    left[20:40, 50:] = 1
    right[20:40, :10] = 2 if "goes on" in beyond else 0
    if "ignored" in beyond:
        right[30:40, 0] = right[60, 60] = IGNORE
    project.accept(first, left)
    if beyond != "no mask":
        project.accept(second, right)
    export_csv(project, tmp_path / "out")
    objects, _ = tables(tmp_path / "out")
    assert objects["at_edge"].tolist() == [at_edge]


def test_an_object_that_tiles_cut_is_one_row(project, tmp_path):
    labels = np.zeros((100, 140), np.uint16)
    labels[20:80, 40:110], labels[5:15, 5:15], labels[90:, 30:40] = 1, 2, 3
    save(tmp_path / "in" / "slide.png", pixels(0, labels.shape))
    save(tmp_path / "in" / "slide_mask.png", labels)
    project.add_folder(tmp_path / "in", um_per_px=UM, tile_px=70)
    export_csv(project, tmp_path / "out")
    objects, images = tables(tmp_path / "out")
    objects = objects.sort_values("area_um2").reset_index()
    assert objects["area_um2"].tolist() == [100 * UM**2, 100 * UM**2, 60 * 70 * UM**2]
    assert objects["at_edge"].tolist()[-1] == 0
    assert sorted(objects["at_edge"]) == [0, 0, 1]
    large = objects.iloc[-1]
    assert (large["centroid_x_px"], large["centroid_y_px"]) == (75, 50)
    assert images["objects"].tolist() == [3]
    assert images["area_um2"].tolist() == [objects["area_um2"].sum()]
    assert images["measured_um2"].tolist() == [100 * 140 * UM**2]


def test_only_images_that_are_asked_for_are_in_it_and_all_their_tiles(project, tmp_path):
    save(tmp_path / "in" / "a.png", pixels(0, (64, 128)))
    first, second = project.add_files([tmp_path / "in" / "a.png"], um_per_px=UM, tile_px=64).added
    (other,) = add_images(project, tmp_path / "more", 1).added
    for tile_id in (first, second, other):
        project.accept(tile_id, mask(1, project.tile(tile_id).box.shape))
    export_csv(project, tmp_path / "out", tiles=[first])
    assert set(tables(tmp_path / "out")[0]["tile"]) == {"a_r1c1", "a_r1c2"}
    export_csv(project, tmp_path / "out")
    assert set(tables(tmp_path / "out")[1]["image"]) == {"a", "image_0"}


def test_an_image_without_any_object_has_a_row_of_nothing(project, tile_id, tmp_path):
    project.accept(tile_id, np.zeros((40, 56), np.uint16))
    export_csv(project, tmp_path)
    objects, images = tables(tmp_path)
    assert objects.empty
    assert images[["objects", "area_um2", "share", "objects_per_mm2"]].values.tolist() == [[0] * 4]
    export_csv(project, tmp_path)  # one without rows is its own, too


def test_where_nothing_may_teach_there_is_no_share(project, tile_id, tmp_path):
    project.accept(tile_id, np.full((40, 56), IGNORE, np.uint16))
    export_csv(project, tmp_path)
    with (tmp_path / "images.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["share"], row["objects_per_mm2"], row["measured_um2"]) == ("", "", "0.0")


def test_excluded_tiles_and_those_without_a_mask_are_not_in_it(project, tmp_path):
    add_images(project, tmp_path / "in", 2, masks=True)
    add_images(project, tmp_path / "plain", 1, first=20)
    project.set_pool(2, Pool.EXCLUDED)
    export_csv(project, tmp_path / "out")
    assert set(tables(tmp_path / "out")[1]["image"]) == {"image_0"}


def test_nothing_to_export_is_told_in_words(project, tile_id, tmp_path):
    with pytest.raises(ProjectError, match="no curated mask to export yet"):
        export_csv(project, tmp_path / "out")
    with pytest.raises(ProjectError, match="image_0 has no mask to export"):
        export_csv(project, tmp_path / "out", tiles=[tile_id])
    assert not (tmp_path / "out").exists()


def test_one_that_is_cancelled_leaves_the_tables_as_they_were(project, tmp_path):
    add_images(project, tmp_path / "in", 2, masks=True)
    export_csv(project, tmp_path / "out", tiles=[1])
    before = (tmp_path / "out" / "objects.csv").read_bytes()
    asked = iter([False, True])
    report = export_csv(project, tmp_path / "out", should_stop=lambda: next(asked))
    assert (report.cancelled, report.written, report.tiles) == (True, (), 0)
    assert (tmp_path / "out" / "objects.csv").read_bytes() == before


def test_a_damaged_mask_does_not_keep_the_others_back(project, tmp_path):
    add_images(project, tmp_path / "in", 2, masks=True)
    first = project.tiles()[0]
    shutil.rmtree(project.path / project.annotation(first.annotation_id).path)
    report = export_csv(project, tmp_path / "out")
    assert [name for name, _ in report.refused] == ["image_0"]
    assert set(tables(tmp_path / "out")[0]["image"]) == {"image_1"}
    with pytest.raises(ProjectFormatError):
        export_csv(project, tmp_path / "other", tiles=[first.id])


@pytest.mark.parametrize("name", ["objects.csv", "images.csv"])
@pytest.mark.parametrize("content", [b"mine", b"", b"image,class\n1,2\n", b"\xff\xfe"])
def test_a_file_of_the_same_name_is_never_replaced(project, tile_id, tmp_path, name, content):
    project.accept(tile_id, mask(1))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProjectError, match=rf"{name} is in the way"):
        export_csv(project, tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_tables_of_another_project_are_never_replaced(tmp_path):
    for place in ("one", "two"):
        with Project.create(tmp_path / place) as project:
            (tile_id,) = add_images(project, tmp_path / "in", 1).added
            project.accept(tile_id, mask(1))
            if place == "one":
                export_csv(project, tmp_path / "out")
            else:
                with pytest.raises(ProjectError, match=r"objects\.csv is in the way"):
                    export_csv(project, tmp_path / "out")


def test_tables_and_masks_share_a_folder(project, tmp_path):
    add_images(project, tmp_path / "in", 1, masks=True)
    for _ in range(2):
        export_csv(project, tmp_path / "out")
        export_png(project, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["image_0.png", "images.csv", "masks.csv", "objects.csv"]
    again = project.add_folder(tmp_path / "in", masks=tmp_path / "out", um_per_px=UM)
    assert (again.added, again.refused) == ((), ())


def test_tables_from_before_they_had_a_column_of_files_are_replaced(project, tmp_path):
    add_images(project, tmp_path / "in", 1, masks=True)
    export_csv(project, tmp_path)
    images = pd.read_csv(tmp_path / "images.csv")
    assert images["source"].tolist() == [str(tmp_path / "in" / "image_0.png")]
    images.drop(columns="source").to_csv(tmp_path / "images.csv", index=False)
    export_csv(project, tmp_path)
    assert "source" in pd.read_csv(tmp_path / "images.csv")


def test_what_is_in_the_way_is_told_as_of_another_project(project, tmp_path):
    add_images(project, tmp_path / "in", 1, masks=True)
    (tmp_path / "objects.csv").write_text("mine")
    with pytest.raises(ProjectError, match="not an earlier result of the same project"):
        export_csv(project, tmp_path)
