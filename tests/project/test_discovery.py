import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from napari_semimoe.core.errors import ImageReadError, StorageError
from napari_semimoe.project.discovery import find_files, pair_files
from napari_semimoe.project.mask_png import save_png
from tests.project.making import image_folder, mask, pixels, save


def glas_folder(folder, ending="bmp", count=3):
    rows = ["name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"]
    for seed in range(count):
        save(folder / f"train_{seed}.{ending}", pixels(seed))
        save(folder / f"train_{seed}_anno.{ending}", mask(seed).astype(np.uint8))
        rows.append(f"train_{seed},{seed // 2}, benign, adenomatous")
    (folder / "Grade.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("ending", ["bmp", "png"])
def test_the_glas_layout_brings_masks_and_scale(tmp_path, ending):
    found = find_files(glas_folder(tmp_path / "glas", ending))
    assert found.um_per_px == 0.62
    assert [path.stem for path in found.images] == ["train_0", "train_1", "train_2"]
    assert [found.masks[path].stem for path in found.images] == [
        f"train_{seed}_anno" for seed in range(3)
    ]


def test_images_are_listed_as_people_count(tmp_path):
    image_folder(tmp_path, 11)
    names = [path.stem for path in find_files(tmp_path).images]
    assert names == [f"image_{number}" for number in range(11)]


@pytest.mark.parametrize(
    "ending",
    [
        *("_mask", "_label", "_anno", "_labels", "-mask"),
        *("_cp_masks", "_Simple Segmentation", "_Object Identities", "-labelled"),
    ],
)
def test_masks_beside_images_are_known_by_their_names(tmp_path, ending):
    save(tmp_path / "a.png", pixels(0))
    save(tmp_path / f"a{ending}.png", mask(0))
    found = find_files(tmp_path)
    assert [path.name for path in found.images] == ["a.png"]
    assert found.masks[tmp_path / "a.png"].name == f"a{ending}.png"


def test_an_image_that_is_only_named_like_a_mask_stays_an_image(tmp_path):
    save(tmp_path / "face_mask.png", pixels(0))
    assert [path.name for path in find_files(tmp_path).images] == ["face_mask.png"]


@pytest.mark.parametrize("name", ["masks", "labels", "annotations"])
@pytest.mark.parametrize("ending", ["", "_mask"])
def test_a_folder_of_masks_is_found(tmp_path, name, ending):
    save(tmp_path / "a.jpg", pixels(0))
    save(tmp_path / name / f"a{ending}.png", mask(0))
    assert find_files(tmp_path).masks == {tmp_path / "a.jpg": tmp_path / name / f"a{ending}.png"}


def test_images_in_a_folder_of_that_name_are_found_with_their_masks(tmp_path):
    save(tmp_path / "images" / "a.png", pixels(0))
    save(tmp_path / "masks" / "a.png", mask(0))
    found = find_files(tmp_path)
    assert found.masks == {tmp_path / "images" / "a.png": tmp_path / "masks" / "a.png"}


def test_a_given_folder_of_masks_wins_and_left_over_masks_are_told(tmp_path):
    image_folder(tmp_path / "in", 1, masks=True)
    save(tmp_path / "better" / "image_0.png", mask(4))
    save(tmp_path / "better" / "unknown.png", mask(4))
    found = find_files(tmp_path / "in", tmp_path / "better")
    assert [path.name for path in found.images] == ["image_0.png"]
    assert list(found.masks.values()) == [tmp_path / "better" / "image_0.png"]
    assert found.notes == (
        "Masks that match no image by name were left out: 1 (first: unknown.png).",
        "Masks of images that have another one were left out: 1 (first: image_0_mask.png; "
        "image_0.png was taken).",
    )


@pytest.mark.parametrize("folder", ["", "masks"])
@pytest.mark.parametrize(
    ("best", "other"),
    [
        ("_anno", "_cp_masks"),
        ("_mask", "_cp_masks"),
        ("_mask", "_Simple Segmentation"),
        ("_Object Identities", "_Simple Segmentation"),
        ("_cp_masks", "_Object Identities"),
    ],
)
def test_of_two_masks_what_a_person_drew_wins_and_the_other_is_told(tmp_path, folder, best, other):
    image = save(tmp_path / "a.png", pixels(0))
    for ending in (other, best):
        save(tmp_path / folder / f"a{ending}.png", mask(0))
    found = find_files(tmp_path)
    assert found.masks == {image: tmp_path / folder / f"a{best}.png"}
    assert found.notes == (
        f"Masks of images that have another one were left out: 1 (first: a{other}.png; "
        f"a{best}.png was taken).",
    )


@pytest.mark.parametrize(
    ("best", "other"),
    [
        ("a.geojson", "a_cp_masks.png"),
        ("a.png.geojson", "a_cp_masks.png"),
        ("a_anno.png", "masks/a_cp_masks.png"),
        ("a.geojson", "masks/a_cp_masks.png"),
        ("masks/a.png.geojson", "masks/a_cp_masks.png"),
        ("masks/a.geojson", "a_anno.png"),
        ("masks/a_cp_masks.png", "a_Simple Segmentation.png"),
        ("a_anno.png", "a.geojson"),
    ],
)
def test_what_a_person_drew_wins_wherever_it_lies(tmp_path, best, other):
    image = save(tmp_path / "a.png", pixels(0))
    (tmp_path / "masks").mkdir()
    for name in (best, other):
        if name.endswith("png"):
            save(tmp_path / name, mask(0))
        else:
            (tmp_path / name).write_text("{}")
    found = find_files(tmp_path)
    assert found.masks == {image: tmp_path / best}
    assert found.notes == (
        "Masks of images that have another one were left out: 1 "
        f"(first: {Path(other).name}; {Path(best).name} was taken).",
    )


def test_single_files_find_their_masks_among_each_other(tmp_path):
    image_folder(tmp_path, 2, masks=True)
    found = pair_files([tmp_path / "image_1.png", tmp_path / "image_1_mask.png"])
    assert found.masks == {tmp_path / "image_1.png": tmp_path / "image_1_mask.png"}


def test_files_of_the_same_name_in_two_folders_keep_their_own_masks(tmp_path):
    files = [tmp_path / folder / f"x{ending}.png" for folder in "AB" for ending in ("", "_mask")]
    assert pair_files(files).masks == {files[0]: files[1], files[2]: files[3]}


def test_a_mask_that_fits_two_images_goes_to_neither(tmp_path):
    files = [tmp_path / name for name in ("x.png", "x.tif", "x_mask.png")]
    found = pair_files(files)
    assert found.images == tuple(files[:2])
    assert found.masks == {}
    assert found.notes == (
        "x_mask.png matches several images by name and was left out. Rename one of them.",
    )


def test_a_name_with_a_digit_of_another_script_is_listed(tmp_path):
    save(tmp_path / "\u24601.png", pixels(0))
    assert len(find_files(tmp_path).images) == 1


def test_the_names_of_ome_tiffs_end_in_two(tmp_path):
    image = save(tmp_path / "a.ome.tif", pixels())
    beside = save(tmp_path / "a_mask.ome.tif", mask().astype(np.uint8))
    assert find_files(tmp_path).masks == {image: beside}
    plain = save(tmp_path / "masks" / "a.png", mask())
    assert find_files(tmp_path).masks == {image: plain}


def test_a_folder_of_masks_that_is_the_folder_of_images_pairs_nothing_with_itself(tmp_path):
    image_folder(tmp_path, 2, masks=True)
    found = find_files(tmp_path, tmp_path)
    assert [found.masks[image].stem for image in found.images] == ["image_0_mask", "image_1_mask"]


def test_masks_that_were_written_here_are_no_tissue(tmp_path):
    image = save(tmp_path / "a.tif", pixels())
    save_png(tmp_path / "a.png", mask(), 0.5, {"kind": "curated"})
    found = find_files(tmp_path)
    assert (found.images, found.masks) == ((image,), {})
    assert "left out: 1 (first: a.png)" in found.notes[0]


def test_hidden_and_other_files_are_left_out(tmp_path):
    image_folder(tmp_path, 1)
    (tmp_path / "._image_0.png").write_bytes(b"left by a Mac")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_files(tmp_path).images] == ["image_0.png"]


def test_an_empty_folder_is_refused_in_words(tmp_path):
    with pytest.raises(ImageReadError, match=r"holds no image \(png, jpg, bmp, tif or svs\)"):
        find_files(tmp_path)


def test_a_folder_of_folders_says_where_it_did_not_look(tmp_path):
    image_folder(tmp_path / "case 1", 1)
    image_folder(tmp_path / "case 2", 1)
    with pytest.raises(ImageReadError, match="2 sub-folders are not searched; choose one"):
        find_files(tmp_path)


def test_a_folder_of_exported_masks_says_that_it_holds_no_other(tmp_path):
    save_png(tmp_path / "a.png", mask(), 0.5, {"kind": "curated"})
    (tmp_path / "masks.csv").write_text("file,project,image,tile,\n")
    with pytest.raises(ImageReadError, match="holds only masks that this plugin wrote, no image"):
        find_files(tmp_path)


@pytest.mark.parametrize("chosen", ["", "a.zarr"])
def test_a_folder_of_ome_zarr_exports_says_that_they_cannot_be_added(tmp_path, chosen):
    (tmp_path / "a.zarr" / "labels").mkdir(parents=True)
    with pytest.raises(ImageReadError, match=r"holds no image.*OME-Zarr cannot be added"):
        find_files(tmp_path / chosen)


def test_a_missing_folder_is_refused_in_words(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        find_files(tmp_path / "gone")


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(StorageError, match="is a file, not a folder"):
        find_files(save(tmp_path / "a.png", pixels(0)))


@pytest.mark.skipif(os.name == "nt", reason="rights of folders are another matter on Windows")
def test_an_unreadable_folder_is_refused_in_words(public_folder, unprivileged):
    folder = image_folder(public_folder / "secret", 1)
    folder.chmod(0)
    try:
        with unprivileged(), pytest.raises(StorageError, match=r"cannot be read.*your rights"):
            find_files(folder)
    finally:
        folder.chmod(0o755)


def test_a_table_that_is_no_table_is_refused_in_words(tmp_path):
    image_folder(tmp_path, 1)
    (tmp_path / "Grade.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ImageReadError, match=r"Grade\.csv cannot be read as a table"):
        find_files(tmp_path)


def test_another_table_of_that_name_changes_nothing(tmp_path):
    image_folder(tmp_path, 1)
    (tmp_path / "Grade.csv").write_text("student,grade\nAda,1\n")
    found = find_files(tmp_path)
    assert found.um_per_px is None


def test_a_slide_larger_than_any_image_does_not_hide_the_others(tmp_path):
    small = save(tmp_path / "a.png", pixels())
    head = struct.pack(">IIBBBBB", 20000, 10000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head
    large = tmp_path / "b.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + head)))
    assert find_files(tmp_path).images == (small, large)


def test_a_name_is_the_same_however_its_accents_are_stored(tmp_path):
    image = save(tmp_path / "caf\u00e9.png", pixels())
    beside = save(tmp_path / "cafe\u0301_mask.png", mask())
    assert find_files(tmp_path).masks == {image: beside}


def test_an_image_whose_name_ends_as_a_program_s_masks_keeps_its_mask(tmp_path):
    image = save(tmp_path / "x_cp.png", pixels(0))
    beside = save(tmp_path / "x_cp_masks.png", mask())
    assert find_files(tmp_path).masks == {image: beside}


def test_a_folder_of_outlines_says_where_they_belong(tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(ImageReadError, match="GeoJSON files are masks: put them beside"):
        find_files(tmp_path)


def test_of_two_masks_of_one_name_the_note_tells_the_folders(tmp_path):
    image = save(tmp_path / "a.png", pixels(0))
    for folder in ("", "masks"):
        save(tmp_path / folder / "a_mask.png", mask(0))
    found = find_files(tmp_path)
    assert found.masks == {image: tmp_path / "masks" / "a_mask.png"}
    told = f"{tmp_path.name}/a_mask.png; masks/a_mask.png was taken"
    assert found.notes == (
        f"Masks of images that have another one were left out: 1 (first: {told}).",
    )


@pytest.mark.parametrize("name", ["a_seg.npy", "a.roi", "RoiSet.zip", "masks/a_RoiSet.zip"])
def test_masks_that_cannot_be_read_are_told_unless_all_images_have_one(tmp_path, name):
    save(tmp_path / "a.png", pixels(0))
    for file in (tmp_path / name, tmp_path / "other.zip", tmp_path / "features.npy"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (note,) = find_files(tmp_path).notes
    assert note.startswith("Masks of Cellpose (_seg.npy) and ImageJ (.roi, RoiSet.zip) cannot be")
    assert f": 1 (first: {name.removeprefix('masks/')}). Save them as PNG" in note
    save(tmp_path / "masks" / "a.png", mask(0))
    assert find_files(tmp_path).notes == ()
