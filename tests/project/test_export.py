import csv
import errno
import json
import os
import shutil

import napari_ome_zarr
import numpy as np
import ome_zarr_models
import pytest
import zarr
from PIL import Image
from skimage.measure import grid_points_in_poly
from zarr.storage import _local

from napari_semimoe.core import disk
from napari_semimoe.core.errors import ProjectError, ProjectFormatError, StorageError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.export import export_csv, export_geojson, export_ome_zarr, export_png
from napari_semimoe.project.exporting import file_names
from napari_semimoe.project.polygons import instance_polygons
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, mask, pixels, save

EXPORTS = [export_ome_zarr, export_png, export_geojson]


@pytest.fixture
def curated(project, tmp_path):
    """Two tiles with a mask, one without, one excluded."""
    add_images(project, tmp_path / "in", 2, masks=True)
    add_images(project, tmp_path / "plain", 2, first=20)
    project.accept(4, mask(9))
    project.set_pool(4, Pool.EXCLUDED)
    return project


@pytest.mark.parametrize("export", EXPORTS)
def test_a_mask_that_is_damaged_does_not_keep_the_others_back(curated, tmp_path, export):
    first = curated.tiles()[0]
    array = curated.path / curated.annotation(first.annotation_id).path
    shutil.rmtree(array)
    report = export(curated, tmp_path / "out")
    assert [path.stem for path in report.written] == ["image_1"]
    assert not report.cancelled
    ((name, why),) = report.refused
    assert name == first.name == "image_0"
    assert f"1 file could not be written: image_0: {why}" in report.sentence
    with pytest.raises(ProjectFormatError):
        export(curated, tmp_path / "other", tiles=[first.id])


def test_what_a_killed_export_left_goes_when_it_is_surely_old(curated, tmp_path):
    old, young = tmp_path / "out/.tmp-1", tmp_path / "out/.tmp-2"
    for left in (old, young):
        left.mkdir(parents=True)
    os.utime(old, (1, 1))
    export_png(curated, tmp_path / "out")
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_goes_to_disks_without_hard_links(curated, tmp_path, version, monkeypatch):
    def link(source, target, **options):
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, "exists")
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    report = export_ome_zarr(curated, tmp_path / "out", version=version)
    assert len(report.written) == 2
    levels = dict(zarr.open_group(report.written[0], mode="r")["labels/curated"].arrays())
    assert (40, 56) in [level.shape for level in levels.values()]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 517), (522, 775), (600, 2100)])
def test_ome_zarr_is_valid_and_opens_in_napari(project, tmp_path, version, shape):
    labels = mask(1, shape)
    labels[0, 0] = IGNORE
    file = save(tmp_path / "a.png", pixels(0, shape))
    (tile_id,) = project.add_files([file], um_per_px=0.62, tile_px=None).added
    project.accept(tile_id, labels)
    report = export_ome_zarr(project, tmp_path / "out", version=version)
    (path,) = report.written
    assert path == tmp_path / "out" / "a.zarr"

    group = zarr.open_group(path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    assert type(image).__name__ == "Image"
    assert image.ome_zarr_version == version
    assert type(ome_zarr_models.open_ome_zarr(group["labels"])).__name__ == "Labels"
    label = ome_zarr_models.open_ome_zarr(group["labels/curated"])
    assert type(label).__name__ == "ImageLabel"

    (image_data, image_about, _), (label_data, label_about, kind) = (
        napari_ome_zarr.napari_get_reader(str(path))(str(path))
    )
    assert kind == "labels"
    np.testing.assert_array_equal(np.moveaxis(np.asarray(image_data[0]), 0, -1), pixels(0, shape))
    np.testing.assert_array_equal(np.asarray(label_data[0]), labels)
    assert label_data[0].dtype == np.uint16
    assert len(image_data) == len(label_data)
    assert list(label_about["scale"]) == list(image_about["scale"]) == [0.62, 0.62]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_tiles_of_one_image_lie_beside_each_other(project, tmp_path, version):
    file = save(tmp_path / "large.png", pixels(0, (600, 1400)))
    parts = project.add_files([file], um_per_px=UM, tile_px=700).added
    for tile_id in parts:
        project.accept(tile_id, mask(tile_id, (600, 700)))
    report = export_ome_zarr(project, tmp_path / "out", version=version)
    for path, x in zip(report.written, (0, 700 * UM), strict=True):
        group = zarr.open_group(path, mode="r")
        assert type(ome_zarr_models.open_ome_zarr(group)).__name__ == "Image"
        label = group["labels/curated"]
        assert type(ome_zarr_models.open_ome_zarr(label)).__name__ == "ImageLabel"
        for pyramid in (group, label):
            (about,) = pyramid.attrs.get("ome", pyramid.attrs)["multiscales"]
            told = [level["coordinateTransformations"] for level in about["datasets"]]
            assert told[0][1]["translation"][-2:] == [0, x]
            assert told[1][1]["translation"][-2:] == [UM / 2, x + UM / 2]


def test_every_object_has_a_colour_a_class_and_a_size(tmp_path):
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile_id,) = add_images(project, tmp_path / "in", 1).added
        labels = np.zeros((40, 56), np.uint16)
        labels[:4, :5], labels[10:12, 10:12], labels[-1] = 1, 2, IGNORE
        project.accept(tile_id, labels, classes={2: 2})
        (path,) = export_ome_zarr(project, tmp_path / "out").written
    about = zarr.open_group(path, mode="r")["labels/curated"].attrs["ome"]["image-label"]
    numbers = [entry["label-value"] for entry in about["properties"]]
    assert numbers == [entry["label-value"] for entry in about["colors"]] == [0, 1, 2, IGNORE]
    assert [entry["class"] for entry in about["properties"]] == [
        "background",
        "benign",
        "malignant",
        "not to be learned from",
    ]
    assert about["properties"][1]["area_um2"] == 20 * UM**2
    colours = {tuple(entry["rgba"]) for entry in about["colors"]}
    assert len(colours) == 4
    assert (0, 0, 0, 0) in colours


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_says_who_made_the_mask_when_and_from_what(project, tile_id, tmp_path, version):
    record = project.accept(
        tile_id, mask(1), baseline=mask(0), author="Grace", model="round 3", round=3
    )
    (path,) = export_ome_zarr(project, tmp_path / "out", version=version).written
    about = zarr.open_group(path, mode="r")["labels/curated"].attrs["semimoe"]
    assert about["author"] == "Grace"
    assert about["created"] == record.created
    assert (about["model"], about["round"], about["version"]) == ("round 3", 3, 1)
    assert about["changed_px"] == record.changed_px > 0
    assert about["origin"] == "corrected"


def test_an_ome_zarr_is_replaced_by_the_next_export(project, tile_id, tmp_path):
    project.accept(tile_id, mask(1))
    export_ome_zarr(project, tmp_path / "out", version="0.4")
    project.accept(tile_id, mask(2))
    (path,) = export_ome_zarr(project, tmp_path / "out").written
    labels = zarr.open_group(path, mode="r")["labels/curated/s0"]
    np.testing.assert_array_equal(labels[...], mask(2))
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["image_0.zarr"]


def test_what_another_program_wrote_is_never_replaced(project, tile_id, tmp_path):
    project.accept(tile_id, mask(1))
    foreign = tmp_path / "out" / "image_0.zarr"
    zarr.open_group(foreign, mode="w").attrs["mine"] = True
    with pytest.raises(ProjectError, match=r"is in the way: it is not an earlier result"):
        export_ome_zarr(project, tmp_path / "out")
    assert zarr.open_group(foreign, mode="r").attrs["mine"]


@pytest.mark.parametrize(
    ("export", "name"),
    [
        (export_png, "image_0.png"),
        (export_png, "masks.csv"),
        (export_geojson, "image_0.geojson"),
    ],
)
@pytest.mark.parametrize("content", [b"mine", b'{"features": [{"properties": {}}]}', b""])
def test_a_file_of_the_same_name_is_never_replaced(
    project, tile_id, tmp_path, export, name, content
):
    project.accept(tile_id, mask(1))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProjectError, match=rf"{name} is in the way"):
        export(project, tmp_path)
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("export", [export_png, export_geojson])
def test_files_of_an_earlier_export_are_replaced(project, tile_id, tmp_path, export):
    project.accept(tile_id, mask(1))
    (first,) = export(project, tmp_path).written
    before = first.read_bytes()
    project.accept(tile_id, mask(2))
    export(project, tmp_path)
    assert first.read_bytes() != before


def test_an_export_that_the_disk_refuses_leaves_the_one_before(
    project, tile_id, tmp_path, monkeypatch
):
    project.accept(tile_id, mask(1))
    (path,) = export_ome_zarr(project, tmp_path / "out").written
    project.accept(tile_id, mask(2))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_semimoe.core.disk.os.fsync", full)
    with pytest.raises(StorageError, match=r"export image_0\.zarr could not be stored: the disk"):
        export_ome_zarr(project, tmp_path / "out")
    monkeypatch.undo()
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["image_0.zarr"]
    labels = zarr.open_group(path, mode="r")["labels/curated/s0"]
    np.testing.assert_array_equal(labels[...], mask(1))


def test_an_export_in_which_a_library_s_file_is_in_use_for_a_moment_is_whole(
    project, tile_id, tmp_path, monkeypatch
):
    project.accept(tile_id, mask(1))
    put, refused = _local._put, []

    def busy(path, *rest, **options):  # as Windows says it of files that are replaced
        if path.exists() and len(refused) < 2:
            refused.append(path)
            raise PermissionError(errno.EACCES, "in use")
        return put(path, *rest, **options)

    monkeypatch.setattr(disk, "_PAUSES", (0.001, 0.001, 0.001))
    monkeypatch.setattr(_local, "_put", busy)
    (path,) = export_ome_zarr(project, tmp_path / "out").written
    assert len(refused) == 2
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["labels/curated/s0"][...], mask(1))
    assert group["labels/curated"].attrs["ome"]["image-label"]["properties"]


@pytest.mark.parametrize("export", EXPORTS)
def test_all_curated_tiles_are_exported_and_no_other(curated, tmp_path, export):
    report = export(curated, tmp_path / "out")
    assert [path.stem for path in report.written] == ["image_0", "image_1"]
    assert (report.tiles, report.cancelled) == (2, False)
    assert report.sentence == f"2 curated masks exported to {tmp_path / 'out'}."


@pytest.mark.parametrize("export", EXPORTS)
def test_named_tiles_are_exported(curated, tmp_path, export):
    report = export(curated, tmp_path / "out", tiles=[2, 4])
    assert [path.stem for path in report.written] == ["image_1", "image_21"]


def test_an_export_of_one_tile_keeps_the_others_of_the_folder(project, tmp_path):
    file = save(tmp_path / "large.png", pixels(0, (100, 200)))
    parts = project.add_files([file], um_per_px=UM, tile_px=100).added
    for tile_id in parts:
        project.accept(tile_id, mask(tile_id, (100, 100)))
    whole = {}
    for export in (export_png, export_geojson):
        export(project, tmp_path / "out")
        whole[export] = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
        export(project, tmp_path / "out", tiles=[parts[0]])
        again = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
        assert sorted(again) == sorted(whole[export])
    features = json.loads(again["large.geojson"])["features"]
    assert {each["properties"]["name"].split()[0] for each in features} == {
        "large_r1c1",
        "large_r1c2",
    }
    with (tmp_path / "out" / "masks.csv").open(newline="") as table:
        assert {row["file"] for row in csv.DictReader(table)} == {
            "large_r1c1.png",
            "large_r1c2.png",
        }


@pytest.mark.parametrize("export", EXPORTS)
def test_nothing_to_export_is_told_in_words(project, tile_id, tmp_path, export):
    with pytest.raises(ProjectError, match="no curated mask to export yet"):
        export(project, tmp_path / "out")
    with pytest.raises(ProjectError, match="image_0 has no mask to export"):
        export(project, tmp_path / "out", tiles=[tile_id])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_can_be_cancelled_between_tiles(curated, tmp_path, export):
    heard = []
    report = export(
        curated,
        tmp_path / "out",
        progress=lambda *step: heard.append(step),
        should_stop=lambda: len(heard) == 1,
    )
    assert report.cancelled
    assert [path.stem for path in report.written] == ["image_0"]
    assert heard == [(0, 2, "image_0")]
    assert "cancelled" in report.sentence


@pytest.mark.parametrize("export", EXPORTS)
def test_a_project_open_for_reading_can_be_exported(curated, tmp_path, export):
    with Project.open(curated.path, read_only=True) as reader:
        assert export(reader, tmp_path / "out").tiles == 2


def test_png_holds_16_bit_ids_the_scale_and_a_table_of_who(project, tile_id, tmp_path):
    labels = mask(1) * np.uint16(7001)
    labels[0, 0] = IGNORE
    project.accept(tile_id, labels, author="Grace")
    (path,) = export_png(project, tmp_path / "out").written
    with Image.open(path) as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert 25400 / image.info["dpi"][0] == pytest.approx(UM, rel=1e-4)
    with (tmp_path / "out" / "masks.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["author"], row["version"]) == ("image_0.png", "Grace", "1")


def test_exported_png_masks_can_be_added_to_another_project(curated, tmp_path):
    export_png(curated, tmp_path / "masks")
    with Project.create(tmp_path / "other") as other:
        for seed in range(2):
            save(tmp_path / "images" / f"image_{seed}.png", pixels(seed))
        other.add_folder(tmp_path / "images", masks=tmp_path / "masks", um_per_px=UM)
        for seed, tile in enumerate(other.tiles()):
            np.testing.assert_array_equal(other.read_labels(tile.id), mask(seed))


def holes():
    """A ring with an island, two parts that touch by a corner, and a single pixel."""
    labels = np.zeros((40, 56), np.uint16)
    labels[2:20, 2:20] = 1
    labels[5:17, 5:17] = 0
    labels[8:12, 8:12] = 1
    labels[25:30, 25:30] = 2
    labels[30:35, 30:35] = 2
    labels[39, 55] = 5
    return labels


def drawn(polygons, shape):
    """Fill polygons by the rule of their holes: a pixel is in where its centre is."""
    filled = np.zeros(shape, int)
    for rings in polygons:
        for ring in rings:
            corners = np.asarray(ring)[:, ::-1] - 0.5
            filled += grid_points_in_poly(shape, corners)
    return filled % 2 == 1


@pytest.mark.parametrize("labels", [holes(), mask(1), mask(2)])
def test_polygons_cover_exactly_the_pixels_of_their_object(labels):
    found = dict(instance_polygons(labels))
    assert sorted(found) == [number for number in np.unique(labels) if number]
    for number, polygons in found.items():
        np.testing.assert_array_equal(drawn(polygons, labels.shape), labels == number)


def test_holes_are_inner_rings_of_the_part_around_them():
    found = dict(instance_polygons(holes()))
    assert sorted(len(rings) for rings in found[1]) == [1, 2]
    assert [len(rings) for rings in found[2]] == [1, 1]


def test_geojson_is_what_qupath_reads(tmp_path):
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        (tile_id,) = add_images(project, tmp_path / "in", 1).added
        labels = holes()
        labels[36:, :4] = IGNORE
        project.accept(tile_id, labels, classes={2: 2})
        (path,) = export_geojson(project, tmp_path / "out").written
    read = json.loads(path.read_text())
    assert read["type"] == "FeatureCollection"
    by_name = {feature["properties"]["name"]: feature for feature in read["features"]}
    assert len({feature["id"] for feature in read["features"]}) == 4
    one, two = by_name["image_0 1"], by_name["image_0 2"]
    assert one["properties"]["objectType"] == "annotation"
    assert one["properties"]["classification"]["name"] == "benign"
    assert two["properties"]["classification"]["name"] == "malignant"
    ignored = by_name[f"image_0 {IGNORE}"]["properties"]["classification"]["name"]
    assert ignored == "Ignore*"
    assert two["geometry"]["type"] == "MultiPolygon"
    for feature in read["features"]:
        coordinates = feature["geometry"]["coordinates"]
        if feature["geometry"]["type"] == "Polygon":
            coordinates = [coordinates]
        for polygon in coordinates:
            for ring in polygon:
                assert ring[0] == ring[-1]
                assert len(ring) >= 4
        number = int(feature["properties"]["name"].split()[-1])
        np.testing.assert_array_equal(drawn(coordinates, labels.shape), labels == number)


def test_geojson_of_a_split_image_lies_where_the_image_has_it(project, tmp_path):
    whole = np.zeros((100, 130), np.uint16)
    whole[80:90, 100:120] = 3
    save(tmp_path / "a.png", pixels(0, whole.shape))
    save(tmp_path / "a_mask.png", whole)
    files = [tmp_path / "a.png", tmp_path / "a_mask.png"]
    project.add_files(files, um_per_px=UM, tile_px=64)
    report = export_geojson(project, tmp_path / "out")
    assert (len(report.written), report.tiles) == (1, 6)
    features = json.loads(report.written[0].read_text())["features"]
    covered = sum(
        drawn([feature["geometry"]["coordinates"]], whole.shape).astype(int) for feature in features
    )
    np.testing.assert_array_equal(covered, whole > 0)


def test_an_object_that_tiles_cut_goes_out_as_one(project, tmp_path):
    labels = np.zeros((100, 140), np.uint16)
    labels[20:80, 40:110] = 1
    labels[5:15, 5:15] = 2
    save(tmp_path / "in" / "slide.png", pixels(0, labels.shape))
    save(tmp_path / "in" / "slide_mask.png", labels)
    project.add_folder(tmp_path / "in", um_per_px=UM, tile_px=70)
    (path,) = export_geojson(project, tmp_path / "out").written
    features = json.loads(path.read_text())["features"]
    assert [feature["geometry"]["type"] for feature in features] == ["Polygon", "Polygon"]
    rings = [feature["geometry"]["coordinates"] for feature in features]
    corners = {tuple(np.array(ring[0]).max(axis=0).round()) for ring in rings}
    assert corners == {(110, 80), (15, 15)}


def test_file_names_are_allowed_on_every_system_and_none_comes_twice():
    names = ["a/b:c", "a_b_c", "CON", "con.zarr", "tile.", "", "Tile", "tile"]
    result = file_names(names)
    assert len({name.lower() for name in result}) == len(names)
    assert result[:3] == ["a_b_c", "a_b_c-2", "_CON"]
    assert not any(set(name) & set('<>:"/\\|?*') for name in result)
    assert all(name and not name.endswith((".", " ")) for name in result)


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_of_another_project_is_never_replaced(export, tmp_path):
    for name in ("one", "two"):
        with Project.create(tmp_path / name) as project:
            file = save(tmp_path / f"in {name}" / "a.png", pixels(ord(name[0])))
            (tile_id,) = project.add_files([file], um_per_px=UM).added
            project.accept(tile_id, mask(1))
            if name == "one":
                export(project, tmp_path / "out")
                export(project, tmp_path / "out")  # its own is
            else:
                with pytest.raises(ProjectError, match="not an earlier result of the same image"):
                    export(project, tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="no file has these names on Windows")
@pytest.mark.parametrize("export", EXPORTS)
def test_an_image_s_file_has_the_same_name_whichever_are_exported(project, export, tmp_path):
    for seed, name in enumerate(("b:1", "b?1")):
        file = save(tmp_path / "in" / f"{seed}" / f"{name}.png", pixels(seed))
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        project.accept(tile_id, mask(1))
    every = [path.stem for path in export(project, tmp_path / "out").written]
    (one,) = export(project, tmp_path / "out", tiles=[tile_id]).written
    assert (every, one.stem) == (["b_1", "b_1-2"], "b_1-2")


@pytest.mark.parametrize("export", EXPORTS)
def test_a_name_of_as_many_bytes_as_a_file_may_have_is_shortened(project, export, tmp_path):
    letter = "\u817a"  # three bytes
    file = save(tmp_path / "in" / f"{79 * letter}.png", pixels(0))
    (tile_id,) = project.add_files([file], um_per_px=UM).added
    project.accept(tile_id, mask(1))
    (path,) = export(project, tmp_path / "out").written
    assert len(path.stem.encode()) <= 200
    assert path.name.startswith(60 * letter)


def test_nothing_is_exported_among_the_project_s_own_files(curated):
    with pytest.raises(ProjectError, match=r"project's own files.*Choose a folder beside it"):
        export_png(curated, curated.path / "predictions" / "out")
    with pytest.raises(ProjectError, match="project's own files"):  # one folder on Windows, macOS
        export_png(curated, curated.path / "Annotations")


def test_an_image_without_any_object_goes_out_as_geojson_and_comes_back(project, tmp_path):
    file = save(tmp_path / "in" / "a.png", pixels(0))
    (tile_id,) = project.add_files([file], um_per_px=UM).added
    project.accept(tile_id, np.zeros((40, 56), np.uint16))
    (written,) = export_geojson(project, tmp_path / "in" / "masks").written
    with Project.create(tmp_path / "again") as again:
        report = again.add_folder(tmp_path / "in", um_per_px=UM)
        assert report.labelled == 1
        assert not again.read_labels(report.added[0]).any()
    written.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(ProjectError, match="is in the way"):
        export_geojson(project, tmp_path / "in" / "masks")


@pytest.mark.parametrize("export", EXPORTS)
def test_a_project_of_the_same_name_and_image_is_another_project(export, tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        with Project.create(tmp_path / place / "study") as project:
            file = save(tmp_path / "in" / "a.png", pixels(0))
            (tile_id,) = project.add_files([file], um_per_px=UM).added
            project.accept(tile_id, mask(1))
            if place == "one":
                export(project, tmp_path / "out")
            else:
                with pytest.raises(ProjectError, match="is in the way"):
                    export(project, tmp_path / "out")


def test_a_neighbour_that_is_excluded_does_not_come_along(project, tmp_path):
    file = save(tmp_path / "big.png", pixels(0, (64, 128)))
    first, second = project.add_files([file], um_per_px=UM, tile_px=64).added
    for tile_id in (first, second):
        project.accept(tile_id, project.read_image(tile_id)[..., 0] // 200)
    project.set_pool(second, Pool.EXCLUDED)
    export_geojson(project, tmp_path / "out", tiles=[first])
    read = json.loads((tmp_path / "out" / "big.geojson").read_text())
    assert read["semimoe_tiles"] == [[0, 0, 64, 64]]


@pytest.mark.parametrize("export", [*EXPORTS, export_csv])
def test_a_file_is_no_place_for_an_export_and_stays(curated, tmp_path, export):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ProjectError, match=r"out is a file, and a folder is wanted"):
        export(curated, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
