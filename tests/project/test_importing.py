import csv
import os
import shutil
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from napari_semimoe.core.errors import ImageReadError, SettingsError, StorageError
from napari_semimoe.core.states import Pool
from napari_semimoe.core.values import IGNORE, Box
from napari_semimoe.project import import_masks
from napari_semimoe.project.export import export_csv, export_png
from napari_semimoe.project.importing import tile_boxes
from napari_semimoe.project.mask_png import CURATED, PREDICTED, save_png
from napari_semimoe.project.project import Project
from tests.project.making import (
    UM,
    add_images,
    add_prediction,
    image_folder,
    mask,
    pixels,
    save,
    snapshot,
)
from tests.project.test_discovery import glas_folder


def arrays_in(project):
    return sorted(path.name for path in project.path.glob("*/*.zarr"))


def test_images_are_copied_in(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2)
    report = project.add_folder(folder, um_per_px=UM)
    for file in folder.iterdir():
        file.unlink()
    assert len(report.added) == 2
    for seed, tile_id in enumerate(report.added):
        np.testing.assert_array_equal(project.read_image(tile_id), pixels(seed))
        tile = project.tile(tile_id)
        assert (tile.name, tile.pool, tile.um_per_px) == (f"image_{seed}", Pool.UNLABELLED, UM)
        assert tile.box == Box(0, 0, 40, 56)
        assert project.read_labels(tile_id) is None
    assert report.sentence == "2 tiles added."


def test_masks_come_as_first_versions(project, tmp_path):
    report = project.add_folder(image_folder(tmp_path / "in", 2, masks=True), um_per_px=UM)
    assert report.labelled == 2
    for seed, tile_id in enumerate(report.added):
        np.testing.assert_array_equal(project.read_labels(tile_id), mask(seed))
        (record,) = project.annotations(tile_id)
        assert (record.version, record.origin, record.author) == (1, "imported", "Ada")
        assert record.changed_px == 0
        assert project.tile(tile_id).pool is Pool.LABELLED


def test_the_glas_layout_is_added_with_patients_and_scale(project, tmp_path):
    report = project.add_folder(glas_folder(tmp_path / "glas"))
    assert [project.tile(tile_id).patient for tile_id in report.added] == ["0", "0", "1"]
    assert {project.tile(tile_id).um_per_px for tile_id in report.added} == {0.62}


def test_patients_can_be_told(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2)
    project.add_folder(folder, um_per_px=UM, patient_of={"image_0": "A"})
    more = image_folder(tmp_path / "more", 1, first=7)
    project.add_folder(more, um_per_px=UM, patient_of=lambda path: path.parent.name)
    assert [tile.patient for tile in project.tiles()] == ["A", None, "more"]


def test_a_scale_given_wins_over_the_file_s_with_a_note(project, tmp_path):
    Image.fromarray(pixels(0)).save(tmp_path / "a.png", dpi=(25400, 25400))
    report = project.add_files([tmp_path / "a.png"], um_per_px=0.25)
    assert project.tiles()[0].um_per_px == 0.25
    assert report.notes == ("a.png says 1 um per pixel; the given 0.25 was used.",)


def test_the_file_s_scale_is_used_where_none_is_given(project, tmp_path):
    Image.fromarray(pixels(0)).save(tmp_path / "a.png", dpi=(50800, 50800))
    project.add_files([tmp_path / "a.png"])
    assert project.tiles()[0].um_per_px == pytest.approx(0.5)


def test_an_unknown_scale_is_asked_for(project, tmp_path):
    report = project.add_files([save(tmp_path / "a.png", pixels(0))])
    ((name, sentence),) = report.refused
    assert name == "a.png"
    assert "does not say how many microns a pixel is" in sentence
    assert report.without_scale == ("a.png",)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), 1e6])
def test_an_impossible_scale_is_refused(project, tmp_path, wrong):
    with pytest.raises(SettingsError, match="um_per_px must be above 0"):
        project.add_files([save(tmp_path / "a.png", pixels(0))], um_per_px=wrong)


def test_the_same_pixels_are_added_once_whatever_the_file(project, tmp_path):
    files = [save(tmp_path / name, pixels(0)) for name in ("a.png", "b.bmp", "c.tif")]
    report = project.add_files(files, um_per_px=UM)
    assert len(report.added) == 1
    assert report.skipped_duplicates == ("b.bmp", "c.tif")
    again = project.add_files(files, um_per_px=UM)
    assert (again.added, len(again.skipped_duplicates)) == ((), 3)
    assert len(arrays_in(project)) == 1


def test_a_mask_that_comes_later_reaches_the_image_that_is_there(project, tmp_path):
    project.add_folder(image_folder(tmp_path / "in", 1), um_per_px=UM)
    image_folder(tmp_path / "in", 1, masks=True)
    report = project.add_folder(tmp_path / "in", um_per_px=UM)
    (tile,) = project.tiles()
    assert report.labelled == 1
    assert tile.pool is Pool.LABELLED
    np.testing.assert_array_equal(project.read_labels(tile.id), mask(0))


def test_a_mask_that_comes_later_never_covers_a_person_s(project, tmp_path):
    (tile_id,) = project.add_folder(image_folder(tmp_path / "in", 1), um_per_px=UM).added
    project.accept(tile_id, mask(5))
    image_folder(tmp_path / "in", 1, masks=True)
    project.add_folder(tmp_path / "in", um_per_px=UM)
    np.testing.assert_array_equal(project.read_labels(tile_id), mask(5))
    assert len(project.annotations(tile_id)) == 1


def test_equal_names_from_two_folders_are_told_apart(project, tmp_path):
    project.add_files([save(tmp_path / "1" / "a.png", pixels(1))], um_per_px=UM)
    project.add_files([save(tmp_path / "2" / "A.png", pixels(2))], um_per_px=UM)
    assert [tile.name for tile in project.tiles()] == ["a", "A (2)"]


def test_images_of_one_name_are_told_and_tables_say_which_file_is_which(project, tmp_path):
    files = [save(tmp_path / f"s{nr}" / "tile.png", pixels(nr)) for nr in (1, 2, 3)]
    for file in files:
        save(file.with_name("tile_mask.png"), mask(1))
    masks = [file.with_name("tile_mask.png") for file in files]
    report = project.add_files([*files, *masks], um_per_px=9)
    assert report.notes == (
        "Images whose file's name was taken have a number after it: 2 "
        f"(first: {files[1]} is 'tile (2)').",
    )
    names = {"tile": str(files[0]), "tile (2)": str(files[1]), "tile (3)": str(files[2])}
    for _ in range(2):
        export_png(project, tmp_path / "out")
        export_csv(project, tmp_path / "out")
    for table in ("masks.csv", "images.csv"):
        with (tmp_path / "out" / table).open(newline="", encoding="utf-8") as file:
            assert {row["image"]: row["source"] for row in csv.DictReader(file)} == names


def test_a_large_image_is_split_into_tiles_that_cover_it(project, tmp_path):
    big = pixels(0, (130, 301))
    file = save(tmp_path / "big.png", big)
    save(tmp_path / "big_mask.png", mask(0, (130, 301)))
    report = project.add_files([file, tmp_path / "big_mask.png"], um_per_px=UM, tile_px=100)
    tiles = [project.tile(tile_id) for tile_id in report.added]
    assert len(tiles) == 2 * 4
    assert tiles[0].name == "big_r1c1"
    whole, labels = np.zeros_like(big), np.zeros(big.shape[:2], np.uint16)
    covered = np.zeros(big.shape[:2], int)
    for tile in tiles:
        assert max(tile.box.shape) <= 100
        whole[tile.box.slices] = project.read_image(tile.id)
        labels[tile.box.slices] = project.read_labels(tile.id)
        covered[tile.box.slices] += 1
    assert (covered == 1).all()
    np.testing.assert_array_equal(whole, big)
    np.testing.assert_array_equal(labels, mask(0, (130, 301)))


def test_a_large_image_can_stay_whole(project, tmp_path):
    file = save(tmp_path / "big.png", pixels(0, (130, 301)))
    report = project.add_files([file], um_per_px=UM, tile_px=None)
    assert [project.tile(tile_id).name for tile_id in report.added] == ["big"]


def test_equal_tiles_of_a_large_image_are_kept_once(project, tmp_path):
    blank = np.full((100, 300, 3), 255, np.uint8)
    blank[0, 0] = 0
    report = project.add_files([save(tmp_path / "a.png", blank)], um_per_px=UM, tile_px=100)
    assert [project.tile(tile_id).name for tile_id in report.added] == ["a_r1c1", "a_r1c2"]
    assert report.skipped_duplicates == ("a.png_r1c3",)


@pytest.mark.parametrize(
    ("shape", "tile_px", "count"),
    [((1, 1), 64, 1), ((64, 64), 64, 1), ((65, 64), 64, 2), ((2049, 4097), 2048, 6)],
)
def test_tiles_are_as_few_and_as_equal_as_can_be(shape, tile_px, count):
    boxes = [box for _, box in tile_boxes(shape, tile_px)]
    assert len(boxes) == count
    assert max(max(box.shape) for box in boxes) <= tile_px
    heights = {box.shape[0] for box in boxes}
    assert max(heights) - min(heights) <= 1


def test_a_refused_file_leaves_the_project_as_it_was_and_the_others_are_added(project, tmp_path):
    folder = image_folder(tmp_path / "in", 2, masks=True)
    (folder / "text.png").write_text("not an image")
    whole = (folder / "image_0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(folder / "image_1_mask.png", mask(1)[:, :-1])
    report = project.add_folder(folder, um_per_px=UM)
    assert [project.tile(tile_id).name for tile_id in report.added] == ["image_0"]
    sentences = dict(report.refused)
    assert set(sentences) == {"text.png", "cut.png", "image_1.png"}
    assert "not an image" in sentences["text.png"]
    assert "cut off or damaged" in sentences["cut.png"]
    assert "must have its image's size" in sentences["image_1.png"]
    assert len(arrays_in(project)) == 2  # one image, one mask
    assert "3 refused" in report.sentence


def test_a_full_disk_while_adding_keeps_what_was_added(project, tmp_path, monkeypatch):
    project.add_folder(image_folder(tmp_path / "in", 1, masks=True), um_per_px=UM)
    before, files = snapshot(project), arrays_in(project)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_semimoe.core.disk.os.fsync", full)
    more = image_folder(tmp_path / "more", 1, masks=True, first=5)
    with pytest.raises(StorageError, match=r"image_5\.png could not be stored: the disk is full"):
        project.add_folder(more, um_per_px=UM)
    monkeypatch.undo()
    assert snapshot(project) == before
    assert arrays_in(project) == files
    assert len(project.add_folder(more, um_per_px=UM).added) == 1


def test_a_mask_that_cannot_be_stored_takes_its_image_with_it(project, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_semimoe.project.annotations.write_array", full)
    with pytest.raises(StorageError, match="the disk is full"):
        project.add_folder(image_folder(tmp_path / "in", 1, masks=True), um_per_px=UM)
    assert project.images() == []
    assert project.tiles() == []
    assert arrays_in(project) == []


def test_progress_is_told_for_every_file(project, tmp_path):
    heard = []
    folder = image_folder(tmp_path / "in", 3)
    project.add_folder(folder, um_per_px=UM, progress=lambda *step: heard.append(step))
    assert heard == [(n, 3, f"image_{n}.png") for n in range(3)] + [(3, 3, "")]


def test_an_empty_folder_adds_nothing(project, tmp_path):
    with pytest.raises(ImageReadError, match="holds no image"):
        project.add_folder(tmp_path / "study" / "images")
    assert project.tiles() == []


def test_class_masks_bring_their_classes(tmp_path):
    classes = np.zeros((40, 56), np.uint8)
    classes[2:8, 2:8], classes[20:30, 20:30] = 1, 2
    save(tmp_path / "a.png", pixels(0))
    save(tmp_path / "a_mask.png", classes)
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        project.add_files(
            [tmp_path / "a.png", tmp_path / "a_mask.png"], um_per_px=UM, mask_kind="classes"
        )
        (tile,) = project.tiles()
        labels = project.read_labels(tile.id)
        (record,) = project.annotations(tile.id)
    assert record.classes == {int(labels[3, 3]): 1, int(labels[25, 25]): 2}


def test_an_image_added_again_with_its_true_scale_gets_it_and_loses_its_prediction(
    project, tmp_path
):
    file = save(tmp_path / "a.png", pixels(0))
    (tile_id,) = project.add_files([file], um_per_px=0.25).added
    add_prediction(project, tile_id)
    report = project.add_files([file], um_per_px=0.5)
    assert (report.added, report.rescaled) == ((), 1)
    assert report.notes == ("a.png had 0.25 um per pixel and has 0.5 now.",)
    assert project.tile(tile_id).um_per_px == 0.5
    assert project.prediction(tile_id) is None
    assert not list((project.path / "predictions").iterdir())
    assert project._store.audit_trail()[-1]["detail"] == {"image": "a", "before": 0.25, "now": 0.5}
    assert project.add_files([file], um_per_px=0.5).rescaled == 0


def test_a_scale_for_files_that_say_none_changes_no_other(project, tmp_path):
    telling = tmp_path / "telling.png"
    Image.fromarray(pixels(0)).save(telling, dpi=(101600, 101600))  # 0.25 um per pixel
    there = save(tmp_path / "there.png", pixels(1))
    silent = save(tmp_path / "silent.png", pixels(2))
    project.add_files([there], um_per_px=0.4)
    assert project.add_files([telling, there, silent]).without_scale == ("silent.png",)
    report = project.add_files([telling, there, silent], um_per_px_if_silent=0.5)
    assert (len(report.added), report.rescaled) == (1, 0)
    scales = {image.name: image.um_per_px for image in project.images()}
    assert scales == pytest.approx({"there": 0.4, "telling": 0.25, "silent": 0.5})


def test_a_file_that_says_its_scale_keeps_it_when_the_folder_is_added_again(project, tmp_path):
    telling = tmp_path / "telling.png"
    Image.fromarray(pixels(0)).save(telling, dpi=(101600, 101600))
    project.add_files([telling])
    assert project.add_files([telling], um_per_px=0.5).rescaled == 0
    assert project.tiles()[0].um_per_px == pytest.approx(0.25)


def test_an_image_that_is_there_is_not_asked_for_its_scale_again(project, tmp_path):
    file = save(tmp_path / "a.png", pixels(0))
    project.add_files([file], um_per_px=0.25)
    report = project.add_files([file])
    assert (report.refused, report.skipped_duplicates) == ((), ("a.png",))
    assert project.tiles()[0].um_per_px == 0.25


def test_the_scale_of_chosen_tiles_can_be_corrected(project, tmp_path):
    first, second = project.add_folder(image_folder(tmp_path / "in", 2), um_per_px=UM).added
    assert project.set_um_per_px([first], 0.25) == 1
    assert (project.tile(first).um_per_px, project.tile(second).um_per_px) == (0.25, UM)
    with pytest.raises(SettingsError, match="um_per_px must be above 0"):
        project.set_um_per_px([first], 0)


def test_a_mask_file_that_changed_becomes_the_next_version_where_nobody_corrected_it(
    project, tmp_path
):
    folder = image_folder(tmp_path / "in", 2, masks=True)
    first, second = project.add_folder(folder, um_per_px=UM).added
    pools = [project.tile(first).pool, project.tile(second).pool]
    corrected = mask(5)
    project.accept(second, corrected)
    for seed in (0, 1):
        save(folder / f"image_{seed}_mask.png", mask(7))
    report = project.add_folder(folder, um_per_px=UM)
    np.testing.assert_array_equal(project.read_labels(first), mask(7))
    np.testing.assert_array_equal(project.read_labels(second), corrected)
    assert [record.version for record in project.annotations(first)] == [1, 2]
    assert project.tile(first).pool is pools[0]
    assert report.notes == (
        "image_0.png was there already; its mask is the new one now.",
        "image_1.png was there already, with a mask corrected here, which was kept.",
    )
    assert project.add_folder(folder, um_per_px=UM).notes == report.notes[1:]


def test_a_mask_accepted_while_its_file_is_read_again_stays_the_latest(
    project, tmp_path, monkeypatch
):
    save(tmp_path / "in" / "a.png", pixels(0))
    save(tmp_path / "in" / "a_mask.png", mask(0).astype(np.uint8))
    (tile_id,) = project.add_folder(tmp_path / "in", um_per_px=UM).added
    save(tmp_path / "in" / "a_mask.png", mask(1).astype(np.uint8))
    mine = mask(2)
    accepting = threading.Thread(target=project.accept, args=(tile_id, mine))
    compare = import_masks._differs

    def slowly(*args):
        accepting.start()
        accepting.join(0.3)  # it has to wait
        return compare(*args)

    monkeypatch.setattr(import_masks, "_differs", slowly)
    project.add_folder(tmp_path / "in")
    accepting.join()
    assert np.array_equal(project.read_labels(tile_id), mine)


def test_a_name_that_begins_as_another_is_kept(project, tmp_path):
    files = [save(tmp_path / f"{name}.png", pixels(i)) for i, name in enumerate(("S1_right", "S1"))]
    project.add_files(files, um_per_px=UM)
    assert [tile.name for tile in project.tiles()] == ["S1_right", "S1"]


@pytest.mark.parametrize("kind", ["instances", "classes"])
@pytest.mark.parametrize(
    ("ending", "labelled", "told"),
    [
        ("mask", 1, "covers the whole image: if 1 is its background, subtract 1 and add it again."),
        (
            "Simple Segmentation",  # in which any number may be the background
            0,
            "has no 0, for ilastik numbers classes from 1, and does not say which of them is the "
            "background. Set that one to 0.",
        ),
    ],
)
def test_a_mask_without_background_is_noted(tmp_path, kind, ending, labelled, told):
    save(tmp_path / "in" / "a.png", pixels(0))
    numbers = np.where(np.arange(56) < 9, 2, 1).astype(np.uint8) * np.ones((40, 1), np.uint8)
    save(tmp_path / "in" / f"a_{ending}.png", numbers)
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as project:
        report = project.add_folder(tmp_path / "in", um_per_px=UM, mask_kind=kind)
        assert (len(report.added), report.labelled) == (1, labelled)
    left_out = "" if labelled else "A mask was left out. "
    assert f"{left_out}a_{ending}.png {told}" in report.notes


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_network_marked_here_is_no_mask_of_a_person(project, tmp_path, beside):
    folder = image_folder(tmp_path / "in", 1, masks=True)
    project.add_folder(folder, um_per_px=UM)
    about = {"kind": PREDICTED, "of_image": "0"}
    where = folder / ("image_0_labels.png" if beside else "masks/image_0.png")
    where.parent.mkdir(exist_ok=True)
    save_png(where, mask(5), UM, about)
    report = project.add_folder(folder, um_per_px=UM)
    assert [record.version for record in project.annotations(1)] == [1]
    assert "they would teach it what it says already: 1" in report.notes[0]
    with Project.create(tmp_path / "other") as other:
        (folder / "image_0_mask.png").unlink()
        assert other.add_folder(folder, um_per_px=UM).labelled == 0
        save_png(where, mask(5), UM, about | {"kind": CURATED})
        assert other.add_folder(folder, um_per_px=UM).labelled == 1


def test_pictures_that_cellpose_makes_are_no_tissue(project, tmp_path):
    folder = image_folder(tmp_path / "in", 1, masks=True)
    for number, ending in enumerate(("_cp_output", "_flows", "_flows_2", "_cellprob")):
        save(folder / f"image_0{ending}.png", pixels(40 + number))
    save(folder / "river_flows.png", pixels(50))
    report = project.add_folder(folder, um_per_px=UM)
    assert [tile.name for tile in project.tiles()] == ["image_0", "river_flows"]
    assert "no tissue and were left out: 4 (first: image_0_cellprob.png)" in report.notes[0]


def test_own_masks_keep_their_classes_also_where_masks_are_of_classes(tmp_path):
    kinds = ("background", "benign", "malignant")
    folder = image_folder(tmp_path / "in", 1)
    labels = np.zeros((40, 56), np.uint16)
    for number in range(1, 5):
        labels[8 * number : 8 * number + 4, 3:9] = number
    with Project.create(tmp_path / "p", classes=kinds) as first:
        first.add_folder(folder, um_per_px=UM)
        first.accept(1, labels, classes={2: 2, 4: 2})
        export_png(first, folder / "masks")
    with Project.create(tmp_path / "q", classes=kinds) as again:
        again.add_folder(folder, um_per_px=UM, mask_kind="classes")
        (record,) = again.annotations(1)
        assert {number: record.classes.get(number, 1) for number in (1, 2, 3, 4)} == {
            1: 1,
            2: 2,
            3: 1,
            4: 2,
        }
        np.testing.assert_array_equal(again.read_labels(1), labels)


@pytest.mark.parametrize("gone", [True, False])
def test_images_and_masks_that_are_gone_or_damaged_come_back_from_their_files(
    project, tmp_path, gone
):
    folder = image_folder(tmp_path / "in", 2, masks=True)
    project.add_folder(folder, um_per_px=UM)
    before = {
        tile.id: (project.read_image(tile.id), project.read_labels(tile.id))
        for tile in project.tiles()
    }
    for part in ("images", "annotations"):
        array = sorted((project.path / part).iterdir())[0]
        if gone:
            shutil.rmtree(array)
        else:
            for chunk in (each for each in array.rglob("*") if each.is_file()):
                chunk.write_bytes(chunk.read_bytes()[:5])
    report = project.add_folder(folder, um_per_px=UM)
    assert report.added == ()
    assert sum("gone or damaged" in note for note in report.notes) == 2
    for tile_id, (image, labels) in before.items():
        np.testing.assert_array_equal(project.read_image(tile_id), image)
        np.testing.assert_array_equal(project.read_labels(tile_id), labels)
    assert project.add_folder(folder, um_per_px=UM).notes == ()


@pytest.mark.parametrize(("small", "is_told"), [(9, False), (10, True)])
def test_objects_below_the_size_that_predictions_mark_are_noted_with_a_better_one(
    project, tmp_path, small, is_told
):
    mask = np.zeros((120, 120), np.uint16)
    for number in range(small):
        mask[10 * number : 10 * number + 8, :10] = number + 1  # 80 square microns
    mask[:40, 60:90] = 60001
    mask[50:, 60:] = IGNORE
    folder = tmp_path / "nuclei"
    folder.mkdir()
    save(folder / "a.png", np.random.default_rng(3).integers(0, 255, (120, 120, 3), np.uint8))
    save(folder / "a_mask.png", mask)
    report = project.add_folder(folder, um_per_px=1.0)
    told = [note for note in report.notes if "smaller than 400 square microns" in note]
    assert len(told) == is_told
    if is_told:
        assert told[0].startswith("10 of 11 objects")
        assert "--min-object" in told[0]
        assert "about 40 " in told[0]


def test_masks_that_say_no_class_are_noted_once_where_there_are_several(project, tmp_path):
    image_folder(tmp_path / "in", 3, masks=True)
    assert project.add_folder(tmp_path / "in", um_per_px=40 * UM).notes == ()
    with Project.create(tmp_path / "p", classes=("background", "benign", "malignant")) as two:
        (note,) = two.add_folder(tmp_path / "in", um_per_px=40 * UM).notes
    assert "all their objects are of the first, benign." in note


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only names that are text")
def test_a_file_whose_name_is_no_text_is_added_like_any_other(project, tmp_path):
    folder = tmp_path / os.fsdecode(b"in\xff")
    files = [
        save(folder / os.fsdecode(name), pixels(i))
        for i, name in enumerate((b"b\xff.png", b"ok.png"))
    ]
    report = project.add_files(files, um_per_px=UM)
    assert (len(report.added), report.refused) == (2, ())
    assert [tile.name for tile in project.tiles()] == ["b\\udcff", "ok"]


def test_an_image_named_as_a_tile_of_a_later_one_hinders_it_not(project, tmp_path):
    save(tmp_path / "big_r1c1.png", pixels(1))
    project.add_files([tmp_path / "big_r1c1.png"], um_per_px=UM)
    save(tmp_path / "big.png", pixels(0, (64, 128)))
    report = project.add_files([tmp_path / "big.png"], um_per_px=UM, tile_px=64)
    names = [project.tile(tile_id).name for tile_id in report.added]
    assert names == ["big (2)_r1c1", "big (2)_r1c2"]


def test_images_that_are_added_as_excluded_teach_nothing(project, tmp_path):
    project.add_folder(image_folder(tmp_path / "in", 2), um_per_px=UM, pool=Pool.EXCLUDED)
    assert [tile.pool for tile in project.tiles()] == [Pool.EXCLUDED] * 2


def test_an_image_that_was_excluded_stays_so_when_its_mask_comes_later(project, tmp_path):
    (tile_id,) = add_images(project, tmp_path / "in", 1).added
    project.set_pool(tile_id, Pool.EXCLUDED)
    report = add_images(project, tmp_path / "in", 1, masks=True)
    assert project.tile(tile_id).pool is Pool.EXCLUDED
    assert report.labelled == 0


def parted_mask(numbers):
    """Six squares, numbered in turn, and a speck of the first number."""
    labels = np.zeros((40, 56), np.uint8)
    for place in range(6):
        y, x = 4 + 18 * (place // 3), 4 + 18 * (place % 3)
        labels[y : y + 12, x : x + 12] = numbers[place % len(numbers)]
    labels[0, 0] = numbers[0]
    return labels


@pytest.mark.parametrize(
    ("numbers", "told"), [([1, 2], True), ([1, 2, 3], False), ([1], False), ([1, 2, 255], False)]
)
def test_few_numbers_of_many_parts_are_told_once_as_they_may_be_classes(
    project, tmp_path, numbers, told
):
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png", pixels(ord(name)))
        save(tmp_path / "in" / f"{name}_mask.png", parted_mask(numbers))
    notes = project.add_folder(tmp_path / "in", um_per_px=9).notes
    begun = ["a_mask.png: 2 numbers have 6"] if told else []
    assert [note.split(" separate")[0] for note in notes] == begun
    again = project.add_folder(tmp_path / "in", um_per_px=9, mask_kind="classes")
    assert not any("separate parts" in note for note in again.notes)


def test_an_image_without_a_scale_is_told_what_is_odd_about_it(project, tmp_path):
    sides = {"x_resolution": 20_000, "y_resolution": 10_000, "resolution_unit": 3}
    Image.fromarray(pixels(0)).save(tmp_path / "a.tif", **sides)
    report = project.add_files([tmp_path / "a.tif"])
    assert report.without_scale == ("a.tif",)
    assert "pixels are not square" in report.notes[0]
