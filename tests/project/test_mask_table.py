import csv
import json

import numpy as np
import pytest

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.export import export_png
from napari_semimoe.project.project import Project
from tests.project.making import UM, add_images, mask, pixels, save

TWO = ("background", "benign", "malignant")


def exported(tmp_path, labels, classes, names=TWO):
    """Images, and a folder of masks exported from a project."""
    file = save(tmp_path / "images" / "a.png", pixels(0, labels.shape))
    with Project.create(tmp_path / "one", classes=names) as project:
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        project.accept(tile_id, labels, classes=classes)
        export_png(project, tmp_path / "masks")
        export_png(project, tmp_path / "masks")
    return tmp_path / "images", tmp_path / "masks"


def added(tmp_path, images, masks, names=TWO):
    """The report, and the classes of the first tile's objects."""
    with Project.create(tmp_path / "two", classes=names) as project:
        report = project.add_folder(images, masks=masks, um_per_px=UM)
        found = [project.annotations(tile.id)[-1].classes for tile in project.tiles()]
    return report, found[0] if found else None


def test_the_classes_of_exported_masks_come_back(tmp_path):
    labels = mask(1)
    labels[0, :3] = IGNORE
    report, classes = added(tmp_path, *exported(tmp_path, labels, {2: 2}))
    assert report.notes == report.refused == ()
    assert classes == {1: 1, 2: 2, 3: 1, 7: 1}
    with (tmp_path / "masks" / "masks.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    names = {"1": "benign", "2": "malignant", "3": "benign", "7": "benign"}
    assert json.loads(row["classes"]) == names


def test_more_objects_than_a_cell_of_a_table_usually_holds_keep_their_classes(tmp_path):
    labels = np.arange(1, 12_001, dtype=np.uint16).reshape(100, 120)
    _, classes = added(tmp_path, *exported(tmp_path, labels, dict.fromkeys(range(1, 12_001, 2), 2)))
    assert [classes[number] for number in (1, 2, 11_999, 12_000)] == [2, 1, 2, 1]


def test_a_class_that_the_project_lacks_is_refused_in_words(tmp_path):
    report, _ = added(tmp_path, *exported(tmp_path, mask(0), {2: 2}), ("background", "a", "b"))
    ((name, sentence),) = report.refused
    assert name == "a.png"
    assert "a.png must have a class of the project (a, b), got benign" in sentence


def test_one_class_by_another_name_is_that_of_the_project(tmp_path):
    images, masks = exported(tmp_path, mask(0), {}, ("background", "gland"))
    report, _ = added(tmp_path, images, masks, TWO)
    assert (report.labelled, report.refused) == (1, ())
    assert "all their objects are of the first, benign" in report.notes[0]


def test_all_classes_are_the_one_that_the_project_has_and_are_told(tmp_path):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    report, classes = added(tmp_path, images, masks, ("background", "Benign"))
    assert set(classes.values()) == {1}
    assert report.notes == (
        "Objects of the class malignant were added as Benign, the project's only class. If they "
        "are something else, remove them, or make a project with both classes.",
    )


@pytest.mark.parametrize("text", ["file,class\na.png,malignant\n", "", "file,classes\na.png,5\n"])
def test_a_table_of_another_program_says_nothing(tmp_path, text):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    (masks / "masks.csv").write_text(text)
    report, classes = added(tmp_path, images, masks)
    assert (report.labelled, report.refused, classes) == (1, (), {})


@pytest.mark.parametrize(
    "damaged", ['"[1, 2]"', "benign", '"{""one"": ""benign""}"', '"{""1"": 5}"']
)
def test_damaged_classes_are_refused_in_words(tmp_path, damaged):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    text = f"file,project,image,tile,classes\na.png,one,a,a,{damaged}\n"
    (masks / "masks.csv").write_text(text)
    report, _ = added(tmp_path, images, masks)
    assert "masks.csv must give the classes of a.png as" in report.refused[0][1]


def test_a_damaged_table_is_refused_in_words(tmp_path):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    (masks / "masks.csv").write_bytes(b"file,project,image,tile,classes\n\xff\xfe")
    report, _ = added(tmp_path, images, masks)
    assert "masks.csv cannot be read as a table" in report.refused[0][1]


def test_classes_that_changed_reach_the_image_that_is_there(tmp_path):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    with Project.create(tmp_path / "two", classes=TWO) as project:
        project.add_folder(images, masks=masks, um_per_px=UM)
        again = project.add_folder(images, masks=masks, um_per_px=UM)
        table = masks / "masks.csv"
        table.write_text(table.read_text().replace("malignant", "benign"))
        report = project.add_folder(images, masks=masks, um_per_px=UM)
        (tile,) = project.tiles()
        versions = [record.classes for record in project.annotations(tile.id)]
    assert again.notes == ()
    assert report.notes == ("a.png was there already; its mask is the new one now.",)
    assert versions == [{1: 1, 2: 2, 7: 1}, {1: 1, 2: 1, 7: 1}]


def test_masks_of_one_class_keep_their_cell_empty(project, tmp_path):
    (tile_id,) = add_images(project, tmp_path / "in", 1).added
    project.accept(tile_id, mask(0))
    export_png(project, tmp_path / "out")
    with (tmp_path / "out" / "masks.csv").open(newline="") as file:
        assert [row["classes"] for row in csv.DictReader(file)] == [""]


def test_classes_come_back_where_accents_are_stored_apart(tmp_path):
    file = save(tmp_path / "images" / "M\u00fcller.png", pixels(0))
    with Project.create(tmp_path / "one", classes=TWO) as project:
        (tile_id,) = project.add_files([file], um_per_px=UM).added
        project.accept(tile_id, mask(1), classes={2: 2})
        export_png(project, tmp_path / "masks")
    exported = tmp_path / "masks" / "M\u00fcller.png"
    exported.rename(exported.with_name("Mu\u0308ller.png"))  # as macOS names it
    report, classes = added(tmp_path, tmp_path / "images", tmp_path / "masks")
    assert report.notes == ()
    assert classes[2] == 2


def test_a_table_that_cannot_be_read_stops_an_export_before_any_mask_is_written(tmp_path):
    _, masks = exported(tmp_path, mask(1), {})
    table, before = masks / "masks.csv", (masks / "a.png").read_bytes()
    table.write_bytes(table.read_bytes() + "M\u00fcller.png,x\n".encode("cp1252"))
    with Project.open(tmp_path / "one") as project:
        project.accept(project.tiles()[0].id, mask(2))
        with pytest.raises(ImageReadError, match="cannot be read as a table"):
            export_png(project, masks)
    assert (masks / "a.png").read_bytes() == before


def test_classes_that_come_later_reach_an_image_whose_mask_said_none(tmp_path):
    images, masks = exported(tmp_path, mask(0), {2: 2})
    table = masks / "masks.csv"
    said = table.read_bytes()
    table.unlink()
    with Project.create(tmp_path / "two", classes=TWO) as project:
        (tile_id,) = project.add_folder(images, masks=masks, um_per_px=UM).added
        table.write_bytes(said)
        project.add_folder(images, masks=masks, um_per_px=UM)
        assert project.annotations(tile_id)[-1].classes.get(2) == 2
