import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.core.values import IGNORE
from napari_semimoe.project.images import read_image
from napari_semimoe.project.mask_png import save_png
from napari_semimoe.project.masks import read_class_mask, read_mask
from tests.project.making import mask, pixels, png_16_bit_colour, save

SHAPE = (40, 56)


def two_squares(value=255, dtype=np.uint8):
    binary = np.zeros(SHAPE, dtype)
    binary[2:8, 2:8] = value
    binary[20:30, 30:50] = value
    return binary


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_numbered_masks_keep_their_ids(tmp_path, ending):
    labels = mask(1).astype(np.uint8)
    read = read_mask(save(tmp_path / f"m.{ending}", labels), SHAPE)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)


def test_16_bit_ids_are_kept_and_65535_still_means_ignore(tmp_path):
    labels = mask(1) * np.uint16(900)
    labels[0, :5] = IGNORE
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", labels), SHAPE), labels)


@pytest.mark.parametrize("value", [1, 255])
def test_a_binary_mask_becomes_its_connected_parts(tmp_path, value):
    read = read_mask(save(tmp_path / "m.png", two_squares(value)), SHAPE)
    assert sorted(np.unique(read)) == [0, 1, 2]
    assert read[2, 2] != read[20, 30]


def test_a_16_bit_binary_mask_becomes_its_connected_parts(tmp_path):
    read = read_mask(save(tmp_path / "m.png", two_squares(65535, np.uint16)), SHAPE)
    assert sorted(np.unique(read)) == [0, 1, 2]


def test_a_mask_that_was_exported_from_here_is_never_taken_for_a_binary_one(tmp_path):
    for value in (IGNORE, 7):
        save_png(tmp_path / "m.png", two_squares(value, np.uint16), 0.5, {"kind": "curated"})
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), two_squares(value, np.uint16))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_a_one_bit_mask_becomes_its_connected_parts(tmp_path, ending):
    Image.fromarray(two_squares() > 0).save(tmp_path / f"m.{ending}")
    read = read_mask(tmp_path / f"m.{ending}", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)
    assert read.max() == 2


def test_an_empty_and_a_full_mask_are_ordinary(tmp_path):
    empty = save(tmp_path / "empty.png", np.zeros(SHAPE, np.uint8))
    full = save(tmp_path / "full.png", np.full(SHAPE, 255, np.uint8))
    assert (read_mask(empty, SHAPE) == 0).all()
    assert (read_mask(full, SHAPE) == 1).all()


def test_a_one_pixel_mask_is_ordinary(tmp_path):
    assert read_mask(save(tmp_path / "m.png", np.array([[3]], np.uint8)), (1, 1)) == [[1]]


def test_a_palette_mask_is_read_by_its_indices(tmp_path):
    image = Image.fromarray(mask(2).astype(np.uint8)).convert("P")
    image.putpalette([value for index in range(256) for value in (index * 7 % 256, 0, 255 - index)])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", SHAPE), mask(2))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_black_is_background_wherever_the_palette_has_it(tmp_path, ending):
    image = Image.fromarray(np.where(two_squares() > 0, 0, 1).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / f"m.{ending}")
    read = read_mask(tmp_path / f"m.{ending}", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)


def test_255_is_what_imagej_marked_where_its_table_is_inverted(tmp_path):
    image = Image.fromarray(two_squares()).convert("P")
    image.putpalette([255 - index for index in range(256) for _ in "rgb"])
    image.save(tmp_path / "m.png")
    read = read_mask(tmp_path / "m.png", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)


def test_a_one_bit_tiff_in_which_zero_is_white_is_turned_round(tmp_path):
    tifffile.imwrite(
        tmp_path / "m.tif", two_squares() == 0, photometric="miniswhite", software=False
    )
    read = read_mask(tmp_path / "m.tif", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"metadata": None}])
def test_booleans_that_python_wrote_as_tiff_are_marked_where_they_are_true(tmp_path, options):
    tifffile.imwrite(tmp_path / "m.tif", two_squares() > 0, **options)
    read = read_mask(tmp_path / "m.tif", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)


def test_a_mask_is_turned_upright_as_its_image_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, turned in (("image.png", 6), ("mask.png", 6), ("upright.png", 1)):
        exif[0x0112] = turned
        Image.fromarray(two_squares().astype(np.uint8)).save(tmp_path / name, exif=exif)
    found = read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(found, np.rot90(read_mask(tmp_path / "upright.png"), -1))
    image = read_image(tmp_path / "image.png").pixels[..., 0]
    np.testing.assert_array_equal(image > 0, found > 0)


def test_numbers_of_a_compressed_tiff_in_which_zero_is_white_are_those_of_the_file(tmp_path):
    numbers = two_squares().astype(np.uint8)
    stored = {"compression": "tiff_lzw", "tiffinfo": {262: 0}}
    Image.fromarray(255 - numbers).save(tmp_path / "m.tif", **stored)  # Pillow inverts them
    read = read_mask(tmp_path / "m.tif", SHAPE)
    np.testing.assert_array_equal(read > 0, numbers > 0)


@pytest.mark.parametrize("read", [read_mask, lambda path: read_class_mask(path, SHAPE, 3)])
def test_16_bit_colours_are_no_mask(tmp_path, monkeypatch, read):
    path = png_16_bit_colour(tmp_path / "m.png", np.repeat(mask(1)[..., None], 3, axis=2))
    with pytest.raises(ImageReadError, match="16-bit colours"):
        read(path)
    monkeypatch.setattr("napari_semimoe.project.tiff._needs_pillow", lambda page: True)
    tifffile.imwrite(tmp_path / "m.tif", mask(1)[..., None].repeat(3, 2), photometric="rgb")
    with pytest.raises(ImageReadError, match="16-bit colours"):
        read(tmp_path / "m.tif")


def test_each_colour_is_an_object_and_black_is_background(tmp_path):
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[2:8, 2:8] = (255, 0, 0)
    colours[2:8, 8:14] = (0, 255, 0)  # touches the red one
    read = read_mask(save(tmp_path / "m.png", colours), SHAPE)
    assert read[0, 0] == 0
    assert len({int(read[3, 3]), int(read[3, 9]), 0}) == 3
    assert (read > 0).sum() == 72


def test_white_is_background_where_there_is_no_black(tmp_path):
    colours = np.full((*SHAPE, 3), 255, np.uint8)
    colours[2:8, 2:8] = (255, 0, 0)
    colours[2:8, 8:14] = (0, 255, 0)
    read = read_mask(save(tmp_path / "m.png", colours), SHAPE)
    assert read[0, 0] == 0
    assert (read > 0).sum() == 72


def test_what_is_transparent_is_background(tmp_path):
    colours = np.zeros((*SHAPE, 4), np.uint8)
    colours[..., :3] = (9, 9, 200)
    colours[2:8, 2:8, 3] = 255
    read = read_mask(save(tmp_path / "m.png", colours), SHAPE)
    np.testing.assert_array_equal(read > 0, colours[..., 3] > 0)


def test_a_grey_mask_saved_as_rgb_keeps_its_ids(tmp_path):
    grey = np.repeat(mask(1).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", grey), SHAPE), mask(1))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32, np.uint8])
def test_tiff_masks_of_any_whole_numbers_are_read(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "m.tif", mask(1).astype(dtype))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", SHAPE), mask(1))


def test_ids_beyond_16_bits_are_renumbered(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", mask(1).astype(np.uint32) * 100_000)
    read = read_mask(tmp_path / "m.tif", SHAPE)
    assert read.max() == len(np.unique(mask(1))) - 1
    for number in np.unique(mask(1)):
        assert len(np.unique(read[mask(1) == number])) == 1


def test_more_objects_than_ids_are_refused_in_words(tmp_path):
    many = np.arange(1, 300 * 300 + 1, dtype=np.uint32).reshape(300, 300)
    tifffile.imwrite(tmp_path / "m.tif", many)
    with pytest.raises(ImageReadError, match="at most 65534 objects, got 90000"):
        read_mask(tmp_path / "m.tif", (300, 300))


def test_more_parts_than_ids_are_refused_in_words(tmp_path):
    specks = np.zeros((600, 600), np.uint8)
    specks[::2, ::2] = 255
    with pytest.raises(ImageReadError, match="at most 65534 objects, got 90000"):
        read_mask(save(tmp_path / "m.png", specks), (600, 600))


def test_a_mask_of_another_size_is_refused_in_words(tmp_path):
    file = save(tmp_path / "m.png", mask(1)[:-1])
    with pytest.raises(ImageReadError, match=r"its image's size 56 x 40 px, got 56 x 39.*Export"):
        read_mask(file, SHAPE)


def test_a_photograph_is_no_mask(tmp_path):
    with pytest.raises(ImageReadError, match="looks like a photograph"):
        read_mask(save(tmp_path / "m.png", pixels(0, (90, 90))), (90, 90))


def test_a_jpeg_is_no_mask(tmp_path):
    with pytest.raises(ImageReadError, match="lossless"):
        read_mask(save(tmp_path / "m.jpg", two_squares()), SHAPE)


def test_fractions_and_negative_ids_are_no_mask(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", np.full(SHAPE, 0.5, np.float32))
    with pytest.raises(ImageReadError, match="whole numbers, got fractions"):
        read_mask(tmp_path / "f.tif", SHAPE)
    tifffile.imwrite(tmp_path / "n.tif", np.full(SHAPE, -1, np.int16))
    with pytest.raises(ImageReadError, match="ids of 0 or more, got -1"):
        read_mask(tmp_path / "n.tif", SHAPE)


def test_a_truncated_mask_is_refused_in_words(tmp_path):
    whole = save(tmp_path / "whole.png", pixels(0)[..., 0]).read_bytes()
    (tmp_path / "m.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageReadError, match="cut off or damaged"):
        read_mask(tmp_path / "m.png", SHAPE)


def test_a_class_mask_becomes_objects_with_classes(tmp_path):
    classes = np.zeros(SHAPE, np.uint8)
    classes[2:8, 2:8] = 1
    classes[2:8, 8:14] = 2  # touches the one before
    classes[20:30, 30:50] = 1
    classes[-1] = 255
    labels, of = read_class_mask(save(tmp_path / "m.png", classes), SHAPE, 3)
    assert {of[int(labels[3, 3])], of[int(labels[25, 40])]} == {1}
    assert of[int(labels[3, 9])] == 2
    assert len(of) == 3
    assert (labels[-1] == IGNORE).all()


def test_a_binary_class_mask_is_class_one(tmp_path):
    labels, of = read_class_mask(save(tmp_path / "m.png", two_squares()), SHAPE, 2)
    assert of == {1: 1, 2: 1}
    np.testing.assert_array_equal(labels > 0, two_squares() > 0)


def test_a_class_mask_in_colours_is_refused_for_no_file_says_which_class_a_colour_is(tmp_path):
    coloured = np.zeros((*SHAPE, 3), np.uint8)
    coloured[2:8, 2:8] = (0, 255, 0)
    with pytest.raises(ImageReadError, match="one number per class"):
        read_class_mask(save(tmp_path / "m.png", coloured), SHAPE, 5)


def test_a_class_mask_with_a_palette_is_read_by_its_indices(tmp_path):
    image = Image.fromarray((two_squares() > 0).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "m.png")
    labels, classes = read_class_mask(tmp_path / "m.png", SHAPE, 2)
    np.testing.assert_array_equal(labels > 0, two_squares() > 0)
    assert classes == {1: 1, 2: 1}


def test_a_class_that_the_project_lacks_is_refused_in_words(tmp_path):
    with pytest.raises(ImageReadError, match=r"from 0 to 1, got 2\. Give the project more classes"):
        read_class_mask(save(tmp_path / "m.png", mask(0)), SHAPE, 2)


def _shapes(mode):
    """Two squares, drawn as a program may save them in a mode of Pillow."""
    shapes = two_squares() > 0
    if mode == "black on nothing":
        values = np.zeros((*SHAPE, 4), np.uint8)
        values[shapes, 3] = 255
        return Image.fromarray(values)
    if mode == "white hidden under alpha":
        return Image.fromarray(np.stack([np.full(SHAPE, 255), 255 * shapes], 2).astype(np.uint8))
    colours = np.full((*SHAPE, 3), 255, np.uint8)
    colours[shapes] = (200, 0, 0)
    return Image.fromarray(colours).convert("P", palette=Image.Palette.WEB)


@pytest.mark.parametrize("mode", ["black on nothing", "white hidden under alpha", "palette"])
def test_what_is_seen_is_the_mask_in_whatever_mode_it_was_saved(tmp_path, mode):
    _shapes(mode).save(tmp_path / "m.png")
    read = read_mask(tmp_path / "m.png", SHAPE)
    np.testing.assert_array_equal(read > 0, two_squares() > 0)


def test_a_smoothed_mask_is_refused(tmp_path):
    sharp = Image.fromarray(np.uint8(255) * (two_squares() > 0)).resize((400, 400))
    save(tmp_path / "m.png", np.asarray(sharp.resize((800, 800), Image.Resampling.BICUBIC)))
    with pytest.raises(ImageReadError, match=r"greys at their rims.*without smoothing"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("quality", [75, 90, 95, 100])
def test_a_mask_that_was_a_jpeg_once_is_refused(tmp_path, quality):
    rows, columns = np.indices((300, 400))
    discs = np.hypot(rows % 60 - 30, columns % 60 - 30) < 22  # a third, as glands are
    Image.fromarray(np.uint8(255) * discs).save(tmp_path / "m.jpg", quality=quality)
    Image.open(tmp_path / "m.jpg").save(tmp_path / "m.png")
    with pytest.raises(ImageReadError, match=r"greys at their rims.*JPEG.*from the program"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("others", [(1, 2, 3), (1, 254)])
def test_a_few_objects_are_not_taken_for_blurred_rims(tmp_path, others):
    numbers = two_squares()
    for place, number in enumerate(others):
        numbers[10:13, 10 + 4 * place : 13 + 4 * place] = number
    numbers[15, 15] = others[0]
    numbers[35, 35:40] = numbers[36, 35:40] = numbers[37, 35:40] = others[-1]
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", numbers), SHAPE), numbers)


@pytest.mark.parametrize("read", [read_mask, lambda path: read_class_mask(path, SHAPE, 3)])
def test_a_jpeg_in_a_tiff_is_no_mask(tmp_path, read):
    Image.fromarray(two_squares()).save(tmp_path / "m.tif", compression="jpeg")
    with pytest.raises(ImageReadError, match=r"lossless file.*converting it does not help"):
        read(tmp_path / "m.tif")


def test_a_jpeg_by_another_name_is_no_mask(tmp_path):
    Image.fromarray(mask(1).astype(np.uint8)).save(tmp_path / "m.png", format="JPEG")
    with pytest.raises(ImageReadError, match="lossless file"):
        read_mask(tmp_path / "m.png", SHAPE)


@pytest.mark.parametrize("ids", [range(1, 256), np.linspace(12, 255, 30, dtype=int)])
def test_small_objects_numbered_up_to_255_are_not_taken_for_smoothed_rims(tmp_path, ids):
    numbers = np.zeros((400, 400), np.uint8)
    for place, number in enumerate(ids):
        y, x = 10 + 22 * (place // 17), 10 + 22 * (place % 17)
        numbers[y : y + 5, x : x + 5] = number
    read = read_mask(save(tmp_path / "m.png", numbers))
    np.testing.assert_array_equal(read, numbers)


def test_a_tiff_of_one_channel_per_object_is_refused_in_words(tmp_path):
    for channels in (2, 4, 5):
        one_hot = np.zeros((*SHAPE, channels), np.uint8)
        one_hot[2:8, 2:8, 0] = one_hot[20:30, 30:50, 1] = 255
        tifffile.imwrite(
            tmp_path / "m.tif", one_hot, photometric="minisblack", extrasamples=[0] * (channels - 1)
        )
        with pytest.raises(ImageReadError, match=f"one colour at each pixel, got {channels} chan"):
            read_mask(tmp_path / "m.tif", SHAPE)


@pytest.mark.parametrize("extra", ["unspecified", "unassalpha"])
def test_a_coloured_tiff_may_have_transparency_that_it_does_not_declare(tmp_path, extra):
    rgba = np.zeros((*SHAPE, 4), np.uint8)
    rgba[2:8, 2:8], rgba[20:30, 30:50] = (255, 0, 0, 255), (0, 255, 0, 255)
    tifffile.imwrite(tmp_path / "m.tif", rgba, photometric="rgb", extrasamples=[extra])
    assert len(np.unique(read_mask(tmp_path / "m.tif", SHAPE))) == 3


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.float32])
def test_65535_is_an_object_where_ids_have_more_than_16_bits(tmp_path, dtype):
    labels = two_squares(65535, dtype)
    labels[2:8, 2:8] = 3
    tifffile.imwrite(tmp_path / "m.tif", labels)
    read = read_mask(tmp_path / "m.tif", SHAPE)
    assert sorted(np.unique(read)) == [0, 1, 2]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 0.5, 1j])
def test_a_mask_of_what_is_no_whole_number_is_refused_in_words(tmp_path, value):
    values = two_squares(1, np.complex64 if value == 1j else np.float32)
    values[0, 0] = value
    tifffile.imwrite(tmp_path / "m.tif", values)
    with pytest.raises(ImageReadError, match="must hold whole numbers"):
        read_mask(tmp_path / "m.tif", SHAPE)


def test_more_objects_of_all_classes_together_than_ids_are_refused_in_words(tmp_path):
    specks = np.zeros((800, 400), np.uint8)
    specks[:400:2, ::2], specks[400::2, ::2] = 1, 2
    with pytest.raises(ImageReadError, match="at most 65534 objects, got 80000"):
        read_class_mask(save(tmp_path / "m.png", specks), specks.shape, 3)


def test_parts_that_touch_at_a_corner_are_one_object(tmp_path):
    binary = np.zeros(SHAPE, np.uint8)
    binary[2:8, 2:8] = binary[8:12, 8:12] = 255
    assert read_mask(save(tmp_path / "m.png", binary)).max() == 1


def test_a_mask_with_height_and_width_swapped_is_refused(tmp_path):
    file = save(tmp_path / "m.png", mask(0).astype(np.uint8).T.copy())
    with pytest.raises(ImageReadError, match="its image's size 56 x 40 px, got 40 x 56"):
        read_mask(file, SHAPE)


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_a_class_mask_of_white_alone_is_class_one(tmp_path, value, dtype):
    shapes = np.zeros((40, 56), dtype)
    shapes[2:8, 2:8] = value
    labels, of = read_class_mask(save(tmp_path / "m.png", shapes), (40, 56), 2)
    assert of == {1: 1}
    assert ((labels == 1) == (shapes > 0)).all()


def test_a_mark_that_is_no_mark_is_none(tmp_path):
    words = PngInfo()
    words.add_text("napari-semimoe", "[" * 100_000)
    Image.fromarray(two_squares()).save(tmp_path / "m.png", pnginfo=words)
    assert read_mask(tmp_path / "m.png", SHAPE).max() == 2
