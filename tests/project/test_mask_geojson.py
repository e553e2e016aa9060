import json
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import polygon2mask

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.discovery import find_files, pair_files
from napari_semimoe.project.export import export_geojson, export_png
from napari_semimoe.project.mask_geojson import read_geojson
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, mask, pixels, save

SHAPE = (40, 56)
TWO = ("background", "benign", "malignant")


def square(y, x, size, name=None, **properties):
    corners = [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    return feature("Polygon", [corners], **properties)


def feature(kind, coordinates, **properties):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **properties},
    }


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(tmp_path, content, classes=("background", "gland"), shape=SHAPE):
    return read_geojson(written(tmp_path / "a.geojson", content), shape, classes, "0" * 64)


def lace(seed=3, shape=SHAPE):
    """Parts with holes and parts in the holes, that touch by corners."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1)
    return noise > np.median(noise)


def touching():
    """Every pixel of its own, next to four others."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[:5, :5] = np.arange(1, 26).reshape(5, 5)
    labels[10:, 10:30], labels[10:, 30:] = 30, 40
    labels[20, 20] = IGNORE
    return labels


MASKS = {
    "holes": np.where(lace(), 1, 0).astype(np.uint16),
    "two that fill each other's holes": np.where(lace(), 1, 2).astype(np.uint16),
    "touching objects and single pixels": touching(),
    "the whole image": np.full(SHAPE, 3, np.uint16),
    "the first and the last pixel": np.pad(np.ones((1, 1), np.uint16), [(39, 0), (55, 0)]),
    "every number of four": np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint16),
}


@pytest.mark.parametrize("name", MASKS)
def test_exported_masks_come_back_pixel_for_pixel_with_their_classes(tmp_path, name):
    labels = MASKS[name]
    images = tmp_path / "images"
    with Project.create(tmp_path / "one", classes=TWO) as one:
        (tile_id,) = add_images(one, images, 1).added
        one.accept(tile_id, labels, classes={2: 2, 17: 2, 40: 2})
        export_geojson(one, tmp_path / "out")
        before = one.annotations(tile_id)[-1].classes
    with Project.create(tmp_path / "two", classes=TWO) as two:
        report = two.add_folder(images, masks=tmp_path / "out", um_per_px=40 * UM)
        assert (report.labelled, report.notes) == (1, ())
        (tile,) = two.tiles()
        back, after = two.read_labels(tile.id), two.annotations(tile.id)[-1].classes
    np.testing.assert_array_equal(back == IGNORE, labels == IGNORE)
    pairs = set(zip(labels.ravel().tolist(), back.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(back))
    assert (0, 0) in pairs or (labels != 0).all()
    for old, new in pairs - {(0, 0), (IGNORE, IGNORE)}:
        assert before.get(old, 1) == after.get(new, 1)


def test_the_export_of_a_split_image_lies_where_it_was_on_the_whole_image(project, tmp_path):
    labels = mask(2, (100, 130))
    save(tmp_path / "in" / "a.png", pixels(0, labels.shape))
    save(tmp_path / "in" / "a_mask.png", labels)
    project.add_folder(tmp_path / "in", um_per_px=UM, tile_px=64)
    export_geojson(project, tmp_path / "out")
    with Project.create(tmp_path / "whole") as other:
        other.add_folder(tmp_path / "in", masks=tmp_path / "out", um_per_px=UM)
        (tile,) = other.tiles()
        np.testing.assert_array_equal(other.read_labels(tile.id) > 0, labels > 0)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda each: {"type": "FeatureCollection", "features": [each]},
        lambda each: [each],
        lambda each: each,
    ],
)
def test_a_collection_a_list_and_a_single_feature_are_read(tmp_path, wrapped):
    labels, classes, notes = read(tmp_path, wrapped(square(3, 5, 4)))
    expected = np.zeros(SHAPE, np.uint16)
    expected[3:7, 5:9] = 1
    np.testing.assert_array_equal(labels, expected)
    assert (classes, notes) == ({1: 1}, [])


def test_a_pixel_is_in_where_its_centre_is(tmp_path):
    rng = np.random.default_rng(0)
    angle, radius = np.sort(rng.random(30)) * 2 * np.pi, rng.uniform(4, 15, 30)
    ring = np.stack([28 + radius * np.cos(angle), 20 + radius * np.sin(angle)], axis=1)
    labels, _, _ = read(tmp_path, feature("Polygon", [ring.tolist()]))
    np.testing.assert_array_equal(labels == 1, polygon2mask(SHAPE, ring[:, ::-1] - 0.5))


def test_parts_and_holes_are_one_object_and_holes_show_what_lies_below(tmp_path):
    outer, hole, far = (square(*each)["geometry"]["coordinates"][0] for each in
                        ((0, 0, 10), (2, 2, 4), (20, 20, 3)))  # fmt: skip
    below = square(3, 3, 2)
    labels, _, _ = read(tmp_path, [below, feature("MultiPolygon", [[outer, hole], [far]])])
    assert (labels == 2).sum() == 100 - 16 + 9
    assert (labels[3:5, 3:5] == 1).all()


def test_small_objects_lie_over_large_ones_and_what_is_outside_is_cut_off(tmp_path):
    labels, _, _ = read(tmp_path, [square(-5, -5, 10), square(3.5, 3.5, 1e8), square(-9, -9, 2)])
    expected = np.zeros(SHAPE, np.uint16)
    expected[3:, 3:] = 2
    expected[:5, :5] = 1
    np.testing.assert_array_equal(labels, expected)


def test_classes_are_known_by_name_in_capitals_or_not(tmp_path):
    objects = [
        square(0, 0, 2, "Malignant"),
        square(4, 4, 2),
        square(8, 8, 2, "BENIGN"),
        square(12, 12, 2, "ignore*"),
        square(16, 16, 2, classification=None),
        square(0, 0, 1, "Background"),
    ]
    labels, classes, _ = read(tmp_path, objects, TWO)
    assert classes == {1: 2, 2: 1, 3: 1, 4: 1}
    assert (labels[12:14, 12:14] == IGNORE).all()
    assert (labels[0, 0], labels[1, 1], labels[16, 16]) == (0, 1, 4)


def test_a_class_that_the_project_lacks_is_refused_in_words_and_with_it_the_image(tmp_path):
    save(tmp_path / "in" / "a.png", pixels(0))
    derived = square(0, 0, 2, classification={"names": ["Stroma", "Positive"]})
    written(tmp_path / "in" / "a.geojson", [derived])
    with Project.create(tmp_path / "p", classes=TWO) as project:
        report = project.add_folder(tmp_path / "in", um_per_px=UM)
        assert project.tiles() == []
    ((name, sentence),) = report.refused
    assert name == "a.png"
    assert "a.geojson must have a class of the project (benign, malignant), got Stroma: Pos" in (
        sentence
    )


def test_where_there_is_one_class_every_object_is_of_it_and_other_names_are_told(tmp_path):
    objects = [square(0, 0, 2, "Tumor"), square(4, 4, 2, "Stroma"), square(8, 8, 2, "Gland")]
    objects += [square(12, 12, 2), square(16, 16, 2, "Ignore*"), square(20, 20, 2, "Tumor")]
    _, classes, notes = read(tmp_path, objects)
    assert classes == dict.fromkeys(range(1, 6), 1)
    assert notes == [
        f"Objects of the class {name} were added as gland, the project's only class. If they are "
        "something else, remove them, or make a project with both classes."
        for name in ("Stroma", "Tumor")
    ]


def test_an_object_as_large_as_the_image_is_told(tmp_path):
    _, _, notes = read(tmp_path, [square(-9, -9, 99), square(3, 3, 9)])
    assert notes == [
        "a.geojson: objects cover the whole image. If one of them is only the area that was looked "
        "at, make its class Region* and add it again."
    ]
    assert read(tmp_path, [square(-9, -9, 99, "Ignore*"), square(3, 3, 9)])[2] == []


def test_another_class_is_told_once_for_all_images(tmp_path):
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png", pixels(ord(name)))
        written(tmp_path / "in" / f"{name}.geojson", [square(0, 0, 9, "Tumor")])
    with Project.create(tmp_path / "p") as project:
        report = project.add_folder(tmp_path / "in", um_per_px=UM)
    assert report.labelled == 2
    assert sum("Tumor" in note for note in report.notes) == 1


def test_detections_count_and_what_is_no_object_is_left_out_with_a_note(tmp_path):
    objects = [
        square(0, 0, 30, "Region*"),
        feature("Point", [3, 3]),
        feature("LineString", [[3, 3], [4, 4]]),
        square(4, 4, 2, objectType="detection"),
        square(8, 8, 2, "Gland", objectType="cell"),
        square(100, 100, 2),
    ]
    labels, _, notes = read(tmp_path, objects)
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert notes == [
        "a.geojson: points and lines were left out: 2.",
        "a.geojson: regions (Region*) were left out: 1.",
        "a.geojson: objects that cover no pixel of the image were left out: 1.",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ('{"features": [', "is cut off or damaged: it is no JSON"),
        ("[" * 100_000, "is cut off or damaged"),
        ('"hello"', "must be GeoJSON features, got other JSON"),
        ({"type": "FeatureCollection"}, "must be GeoJSON features, got other JSON"),
        ({"type": "FeatureCollection", "features": []}, "got none among 0 features"),
        ([feature("Point", [1, 1])], "got none among 1 features"),
        ([square(0, 900, 5)], "must lie on their image of 56 x 40 px, got 1 that cover no pixel"),
        ([square(0, 0, 3), {"type": "Feature"}], r"Feature 2 of a\.geojson must be"),
        ([square(0, 0, 3), 5], "Feature 2"),
        (feature("Polygon", [[["a", 1], [2, 3], [4, 5]]]), "Feature 1"),
        (feature("Polygon", [[1, 2, 3]]), "Feature 1"),
        (feature("Polygon", [[[1, 2, 3], [1]]]), "Feature 1"),
        (feature("Polygon", [[[1, None], [2, 2], [3, 1]]]), "Feature 1"),
        (feature("Polygon", [[[1, float("nan")], [2, 2], [3, 1]]]), "Feature 1"),
        (feature("Polygon", [[[1, 10**400], [2, 2], [3, 1]]]), "Feature 1"),
        (feature("Polygon", 7), "Feature 1"),
        (square(0, 0, 3, 5), "Feature 1"),
        (square(0, 0, 3, classification="Tumor"), "Feature 1"),
    ],
)
def test_what_is_no_annotation_is_refused_in_words(tmp_path, content, words):
    with pytest.raises(ImageReadError, match=words):
        read(tmp_path, content)


def test_more_objects_than_ids_are_refused_in_words(tmp_path):
    with pytest.raises(ImageReadError, match="at most 65534 objects, got 65535"):
        read(tmp_path, [square(0, 0, 1)] * 65535)


def test_ten_thousand_objects_are_read_in_seconds(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = np.stack([6 * np.cos(angle), 6 * np.sin(angle)], axis=1)
    objects = [
        feature("Polygon", [np.add(circle, (16 * x + 8, 16 * y + 8)).tolist()])
        for y in range(100)
        for x in range(100)
    ]
    began = time.process_time()
    labels, _, _ = read(tmp_path, objects, shape=(1600, 1600))
    assert time.process_time() - began < 20
    assert len(np.unique(labels)) == 10_001


def test_a_large_outline_is_read_in_seconds(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 12_000)
    ring = np.stack([1000 + 900 * np.cos(angle), 1000 + 900 * np.sin(angle)], axis=1)
    began = time.process_time()
    labels, _, _ = read(tmp_path, feature("Polygon", [ring.tolist()]), shape=(2000, 2000))
    assert time.process_time() - began < 10
    assert (labels == 1).sum() == pytest.approx(np.pi * 900**2, rel=1e-3)


@pytest.mark.parametrize("name", ["a.geojson", "A.GeoJSON", "a_mask.geojson"])
def test_annotations_beside_an_image_or_in_a_folder_of_masks_are_its_mask(tmp_path, name):
    image = save(tmp_path / "beside" / "a.png", pixels(0))
    outlines = written(tmp_path / "beside" / name, square(0, 0, 3))
    assert find_files(tmp_path / "beside").masks == {image: outlines}
    assert pair_files([image, outlines]).masks == {image: outlines}
    image = save(tmp_path / "apart" / "images" / "a.tif", pixels(0))
    outlines = written(tmp_path / "apart" / "masks" / name, square(0, 0, 3))
    assert find_files(tmp_path / "apart").masks == {image: outlines}


def test_annotations_may_be_named_by_the_whole_name_of_their_image(tmp_path):
    images = [save(tmp_path / name, pixels(0)) for name in ("a.png", "a.b.tif", "c.png")]
    outlines = [written(Path(f"{path}.GeoJSON"), square(0, 0, 3)) for path in images]
    assert find_files(tmp_path).masks == dict(zip(images, outlines, strict=True))
    plain = written(tmp_path / "a.geojson", square(0, 0, 3))
    found = find_files(tmp_path)
    assert found.masks == dict(zip(images, [plain, *outlines[1:]], strict=True))
    assert found.notes == (
        "Masks of images that have another one were left out: 1 (first: a.png.GeoJSON; "
        "a.geojson was taken).",
    )


def test_annotations_named_by_an_image_on_macos_are_found(tmp_path):
    name = "Pr\u0075\u0308f.png"  # a letter and its dots apart
    image = save(tmp_path / name, pixels(0))
    outlines = written(tmp_path / f"{name}.geojson", square(0, 0, 3))
    assert find_files(tmp_path).masks == {image: outlines}
    outlines = outlines.rename(tmp_path / "Pr\u00fcf.png.geojson")
    assert find_files(tmp_path).masks == {image: outlines}


def test_annotations_beside_a_mask_or_without_an_image_are_left_out_with_a_note(tmp_path):
    image, pixel_mask = save(tmp_path / "a.png", pixels(0)), save(tmp_path / "a_mask.png", mask())
    for name in ("a", "b"):
        written(tmp_path / f"{name}.geojson", square(0, 0, 3))
    found = find_files(tmp_path)
    assert found.masks == {image: pixel_mask}
    assert found.notes == (
        "Masks that match no image by name were left out: 1 (first: b.geojson).",
        "Masks of images that have another one were left out: 1 (first: a.geojson; "
        "a_mask.png was taken).",
    )


@pytest.mark.parametrize("kind", ["root", "tile", "tmaCore"])
def test_places_of_qupath_are_no_objects(tmp_path, kind):
    place, gland = square(0, 0, 30, objectType=kind), square(4, 4, 2, "Gland")
    labels, _, notes = read(tmp_path, [place, gland])
    assert (labels > 0).sum() == 4
    assert notes == ["a.geojson: tiles, cores and whole images of QuPath were left out: 1."]
    with pytest.raises(ImageReadError, match="at least one object with an area, got none among 1"):
        read(tmp_path, [place])


@pytest.mark.parametrize("classes", [("background", "gland"), ("background", "gland", "tumour")])
def test_an_area_without_a_class_around_classified_objects_is_no_object(tmp_path, classes):
    gland, beside = square(10, 10, 5, "Gland"), square(32, 2, 5)
    labels, _, notes = read(tmp_path, [square(2, 2, 20), gland, beside], classes)
    assert np.bincount(labels.ravel())[1:].tolist() == [25, 25]
    assert notes[0] == (
        "a.geojson: areas without a class around classified objects were left out: 1."
    )


def test_an_object_without_a_class_stays_unless_it_lies_around_a_classified_one(tmp_path):
    ring = square(2, 2, 20)
    ring["geometry"]["coordinates"] += square(8, 8, 10)["geometry"]["coordinates"]
    bent = [[24, 0], [50, 0], [50, 4], [28, 4], [28, 30], [24, 30], [24, 0]]  # round a corner
    objects = [ring, square(10, 10, 5, "Gland"), feature("Polygon", [bent])]
    objects += [square(10, 35, 5, "Gland"), square(20, 50, 4), square(21, 51, 2, "Ignore*")]
    labels, _, notes = read(tmp_path, objects)
    assert np.unique(labels).tolist() == [*range(6), IGNORE]
    assert notes == []
    assert read(tmp_path, [square(2, 2, 20), square(5, 5, 3)])[0].max() == 2


def test_polygons_of_a_collection_of_shapes_are_one_object(tmp_path):
    shapes = [square(2, 2, 3)["geometry"], feature("LineString", [[3, 3], [40, 9]])["geometry"]]
    shapes += [{"type": "GeometryCollection", "geometries": [square(10, 10, 4)["geometry"]]}]
    both = square(0, 0, 1, "Gland")
    both["geometry"] = {"type": "GeometryCollection", "geometries": shapes}
    labels, _, notes = read(tmp_path, [both])
    assert (int((labels == 1).sum()), notes) == (9 + 16, [])


def test_annotations_are_added_also_among_class_masks(project, tmp_path):
    save(tmp_path / "in" / "a.png", pixels(0))
    written(tmp_path / "in" / "a.geojson", [square(0, 0, 3), feature("Point", [1, 1])])
    report = project.add_folder(tmp_path / "in", um_per_px=UM, mask_kind="classes")
    assert (report.labelled, report.notes) == (
        1,
        ("a.geojson: points and lines were left out: 1.",),
    )


def half_exported(tmp_path):
    """An image of two tiles, of which one has a mask, exported beside it from the project a."""
    file = save(tmp_path / "in" / "slide.png", pixels(0, (70, 140)))
    with Project.create(tmp_path / "a") as project:
        first, _ = project.add_files([file], um_per_px=UM, tile_px=70).added
        project.accept(first, mask(0, (70, 70)))
        export_geojson(project, file.parent)
    return file


def test_tiles_without_a_mask_stay_without_one_when_an_export_is_added_again(tmp_path):
    file = half_exported(tmp_path)
    with Project.open(tmp_path / "a") as project:
        second = project.tiles()[1].id
        again = project.add_folder(file.parent, tile_px=70)
        assert again.labelled == 0
        assert project.tile(second).annotation_id is None
    with Project.create(tmp_path / "b") as other:
        report = other.add_folder(file.parent, um_per_px=UM, tile_px=70)
        assert (len(report.added), report.labelled) == (2, 1)
        assert [tile.annotation_id is None for tile in other.tiles()] == [False, True]
        assert np.array_equal(other.read_labels(report.added[0]) > 0, mask(0, (70, 70)) > 0)


def test_pixels_without_a_mask_do_not_teach_where_tiles_are_cut_otherwise(tmp_path):
    file = half_exported(tmp_path)
    with Project.create(tmp_path / "b") as other:
        (tile_id,) = other.add_folder(file.parent, um_per_px=UM).added
        labels = other.read_labels(tile_id)
        assert np.array_equal(labels[:, :70] > 0, mask(0, (70, 70)) > 0)
        assert (labels[:, 70:] == IGNORE).all()


@pytest.mark.parametrize("export", [export_geojson, export_png])
def test_a_mask_that_was_exported_for_another_image_of_that_name_is_left_out(tmp_path, export):
    for nr in (1, 2):
        save(tmp_path / f"s{nr}" / "tile_1.png", pixels(nr))
    with Project.create(tmp_path / "a") as project:
        (tile_id,) = project.add_folder(tmp_path / "s1", um_per_px=UM).added
        project.accept(tile_id, mask(1))
        export(project, tmp_path / "masks")
    for nr, labelled in ((1, 1), (2, 0)):
        with Project.create(tmp_path / f"b{nr}") as other:
            folder, masks = tmp_path / f"s{nr}", tmp_path / "masks"
            report = other.add_folder(folder, masks=masks, um_per_px=UM)
            assert (len(report.added), report.labelled) == (1, labelled)
            told = [note for note in report.notes if "an image with other pixels" in note]
            assert len(told) == 1 - labelled


def test_tiles_of_an_export_that_are_no_boxes_are_refused_in_words(tmp_path):
    with pytest.raises(ImageReadError, match="must list y0, x0, y1, x1 of each tile"):
        read(tmp_path, {"features": [square(0, 0, 3)], "semimoe_tiles": [[0, 1]]})


def test_an_area_around_objects_hides_none_whenever_it_was_drawn(tmp_path):
    gland, lumen = square(10, 10, 12, "benign"), square(13, 13, 4, "malignant")
    around = square(2, 2, 30, "benign")
    around["geometry"]["coordinates"].append([[4, 4], [8, 4], [8, 8], [4, 8], [4, 4]])
    for objects in ([gland, lumen, around], [around, lumen, gland]):
        labels, _, notes = read(tmp_path, objects, TWO)
        assert notes == []
        areas = sorted(np.bincount(labels.ravel())[1:].tolist())
        assert areas == [16, 144 - 16, 900 - 16 - 144]


def test_an_ignored_area_in_an_object_and_an_object_in_an_ignored_area_both_count(tmp_path):
    for small, large in (("Ignore*", "gland"), ("gland", "Ignore*")):
        objects = [square(10, 10, 4, small), square(8, 8, 20, large)]
        for order in (objects, objects[::-1]):
            labels, _, notes = read(tmp_path, order)
            assert notes == []
            inside, outside = labels[11, 11] == IGNORE, labels[20, 20] == IGNORE
            assert (inside, outside) == (small == "Ignore*", large == "Ignore*")


def test_objects_wholly_under_others_are_told(tmp_path):
    labels, _, notes = read(tmp_path, [square(10, 10, 4), square(10, 10, 4)])
    assert np.unique(labels).tolist() == [0, 2]
    assert notes == ["a.geojson: objects that lie wholly under others were left out: 1."]


def test_objects_without_a_class_are_told_where_there_are_several(tmp_path):
    objects = [square(2, 2, 5), square(10, 10, 5, "malignant")]
    labels, classes, notes = read(tmp_path, objects, TWO)
    assert (classes[labels[3, 3]], classes[labels[12, 12]]) == (1, 2)
    assert len(notes) == 1
    assert notes[0].startswith("Objects without a class were added as benign, the project's first")
    assert read(tmp_path, objects[:1])[2] == []


def test_names_that_are_no_list_are_refused(tmp_path):
    odd = square(8, 8, 20, classification={"names": "Tumor"})
    with pytest.raises(ImageReadError, match="'names' is no list"):
        read(tmp_path, [odd])
