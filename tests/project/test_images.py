import logging
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_semimoe.core.errors import ImageReadError
from napari_semimoe.project import images
from napari_semimoe.project import tiff as project_tiff
from napari_semimoe.project.images import read_image
from napari_semimoe.project.resolution import from_aperio, plausible, sides_of_ome
from tests.project.making import pixels, png_16_bit_colour, save

RGB = pixels(3, (37, 53))
GREY = RGB[..., 0]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tiff(path, values, **tags):
    tifffile.imwrite(path, values, **tags)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "PNG", "tiff"])
def test_rgb_is_read_as_it_is(here, ending):
    read = read_image(save(here / f"a.{ending}", RGB))
    assert read.pixels.dtype == np.uint8
    np.testing.assert_array_equal(read.pixels, RGB)
    assert read.note is None
    assert read.um_per_px is None


def test_jpeg_is_read_nearly_as_it_is(here):
    smooth = np.repeat(np.arange(60, dtype=np.uint8)[None, :, None] * 4, 3, axis=2).repeat(40, 0)
    Image.fromarray(smooth).save("a.jpg", quality=95)
    read = read_image(here / "a.jpg").pixels
    assert np.abs(read.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_the_smallest_images_are_read(here, shape, ending):
    small = pixels(1, shape)
    np.testing.assert_array_equal(read_image(save(here / f"a.{ending}", small)).pixels, small)
    plain = tiff(here / "plain.tif", small[..., 0])
    np.testing.assert_array_equal(read_image(plain).pixels[..., 2], small[..., 0])


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_grey_becomes_rgb(here, ending):
    read = read_image(save(here / f"a.{ending}", GREY)).pixels
    for channel in range(3):
        np.testing.assert_array_equal(read[..., channel], GREY)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_one_bit_becomes_black_and_white(here, ending):
    bits = GREY > 127
    Image.fromarray(bits).save(f"a.{ending}")
    read = read_image(here / f"a.{ending}").pixels
    np.testing.assert_array_equal(read[..., 1], bits * np.uint8(255))


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_a_palette_is_looked_up(here, ending):
    few = (RGB // 128) * 200
    Image.fromarray(few).quantize(8).save(f"a.{ending}")
    read = read_image(here / f"a.{ending}").pixels
    assert np.abs(read.astype(int) - few).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_over_white(here):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save("a.png", transparency=0)
    np.testing.assert_array_equal(read_image(here / "a.png").pixels, [[[255] * 3, [40, 50, 60]]])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_transparency_is_laid_over_white_with_a_note(here, ending):
    rgba = np.array([[[100, 0, 0, 255], [100, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    if ending == "tif":
        tiff(here / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    else:
        save(here / "a.png", rgba)
    read = read_image(here / f"a.{ending}")
    np.testing.assert_array_equal(read.pixels[0], [[100, 0, 0], [255] * 3, [204] * 3])
    assert "over white" in read.note


def test_colours_multiplied_by_their_transparency_are_not_multiplied_again(here):
    rgba = np.array([[[100, 0, 0, 255], [0, 0, 0, 0], [40, 20, 0, 51]]], np.uint8)
    file = tiff(here / "a.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    read = read_image(file).pixels[0]
    np.testing.assert_array_equal(read, [[100, 0, 0], [255] * 3, [244, 224, 204]])


@pytest.mark.parametrize(("top", "is_too_dark"), [(4095, True), (65535, False)])
def test_16_bit_colours_that_only_pillow_can_decode_are_read_or_refused(
    here, monkeypatch, top, is_too_dark
):
    monkeypatch.setattr("napari_semimoe.project.tiff._needs_pillow", lambda page: True)
    file = tiff(here / "a.tif", np.full((4, 5, 3), top, np.uint16), photometric="rgb")
    if is_too_dark:
        with pytest.raises(ImageReadError, match=r"darkest eighth.*8-bit RGB"):
            read_image(file)
    else:
        assert read_image(file).pixels.min() == 255
        assert "16-bit" in read_image(file).note


def test_grey_with_alpha_is_laid_over_white(here):
    save(here / "a.png", np.array([[[50, 255], [50, 0]]], np.uint8))
    np.testing.assert_array_equal(read_image(here / "a.png").pixels[0], [[50] * 3, [255] * 3])


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_scaled_by_its_bit_depth_with_a_note(here, bits, ending):
    top = 2**bits - 1
    save(here / f"a.{ending}", np.array([[0, top // 2, top]], np.uint16))
    read = read_image(here / f"a.{ending}")
    np.testing.assert_array_equal(read.pixels[0, :, 0], [0, 127, 255])
    assert f"{bits}-bit values were scaled" in read.note


@pytest.mark.parametrize(
    ("top", "note"),
    [
        (4095, "12-bit values were scaled to 8 bits, and the few above 4095 became white."),
        (255, "values were taken as 8 bits, and the few above 255 became white."),
    ],
)
def test_a_hot_pixel_does_not_darken_its_image(here, top, note):
    grey = np.full((40, 50), top // 2, np.uint16)
    grey[20:] = top
    grey[3, 3] = grey[9, 9] = 65535  # a thousandth
    save(here / "a.tif", grey)
    read = read_image(here / "a.tif")
    assert np.unique(read.pixels).tolist() == [127, 255]
    assert read.note == f"a.tif: {note}"
    grey[9, 10] = 65535
    save(here / "b.tif", grey)
    assert "16-bit values" in read_image(here / "b.tif").note


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_colour_tiff_is_scaled(here, compression):
    wide = RGB.astype(np.uint16) * 257
    file = tiff(here / "a.tif", wide, photometric="rgb", compression=compression)
    np.testing.assert_array_equal(read_image(file).pixels, RGB)
    assert "16-bit" in read_image(file).note


def test_16_bit_colour_png_is_scaled(here):
    read = read_image(png_16_bit_colour(here / "a.png", RGB.astype(np.uint16) * 257))
    np.testing.assert_array_equal(read.pixels, RGB)
    assert "16-bit" in read.note


def test_a_16_bit_colour_png_that_would_turn_black_is_refused(here):
    dark = png_16_bit_colour(here / "a.png", RGB.astype(np.uint16) * 16)
    with pytest.raises(ImageReadError, match=r"a\.png has 16-bit colours.*8-bit RGB"):
        read_image(dark)


def test_planes_of_a_planar_tiff_are_joined(here):
    file = tiff(here / "a.tif", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(file).pixels, RGB)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_are_read(here, compression):
    Image.fromarray(RGB).save("a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(here / "a.tif").pixels, RGB)


@pytest.mark.parametrize("by_pillow", [False, True])
@pytest.mark.parametrize("form", ["ome", "preview"])
def test_the_full_image_is_read_though_it_is_not_the_first_page(here, monkeypatch, form, by_pillow):
    size = f'SizeX="{RGB.shape[1]}" SizeY="{RGB.shape[0]}" SizeC="3" SizeZ="1" SizeT="1"'
    ome = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" {size}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="1" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )
    with tifffile.TiffWriter("a.ome.tif") as file:
        about = {"description": ome} if form == "ome" else {"subfiletype": 1}
        file.write(RGB[::2, ::2], photometric="rgb", compression="deflate", metadata=None, **about)
        file.write(RGB, photometric="rgb", compression="deflate", metadata=None)
    monkeypatch.setattr(project_tiff, "_needs_pillow", lambda page: by_pillow)
    np.testing.assert_array_equal(read_image(here / "a.ome.tif").pixels, RGB)


def test_zero_is_white_where_the_tiff_says_so(here):
    file = tiff(here / "a.tif", 255 - GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(file).pixels[..., 0], GREY)


def test_zero_is_white_in_compressed_16_bit_grey_too(here):
    deep = np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(40, 30)
    plain = read_image(tiff(here / "plain.tif", deep, photometric="miniswhite"))
    Image.fromarray(deep).save("lzw.tif", compression="tiff_lzw", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(here / "lzw.tif").pixels, plain.pixels)
    assert plain.pixels[0, 0, 0] == 255


def test_a_compression_that_is_not_known_is_named(here):
    file = tiff(here / "slide.svs", RGB, photometric="rgb")
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags["Compression"].overwrite(33005)
    with pytest.raises(ImageReadError, match=r"slide.svs is compressed as \w*JP2000\w*, which"):
        read_image(file)


def test_a_sound_file_of_an_unusual_compression_is_refused_for_its_own_reason(here, monkeypatch):
    Image.fromarray(np.eye(9, dtype=np.float32)).save("a.tif", compression="tiff_lzw")
    monkeypatch.setattr(project_tiff, "_USUAL", {1})  # as where another codec is read
    with pytest.raises(ImageReadError, match="must hold 8- or 16-bit whole numbers"):
        read_image(here / "a.tif")


def test_lab_tiff_has_no_transparency(here):
    Image.new("LAB", (4, 4), (255, 128, 128)).save("a.tif")
    read = read_image(here / "a.tif")
    assert read.note is None
    assert read.pixels.min() >= 250


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_the_camera_s_orientation_is_applied(here, ending):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, :8] = 255
    tags = Image.Exif()
    tags[274] = 6  # turn a quarter clockwise to view
    Image.fromarray(upright).rotate(90, expand=True).save(f"a.{ending}", exif=tags, quality=100)
    image = read_image(here / f"a.{ending}")
    assert image.note == f"a.{ending} was turned as its camera says."
    read = image.pixels
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= 8


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("compression", ["none", "lzw"])
def test_every_orientation_of_a_tiff_is_turned_upright(here, orientation, compression):
    stored = np.ascontiguousarray(ORIENTED[orientation](RGB))
    if compression == "none":
        tag = (274, "H", 1, orientation, True)
        tiff(here / "a.tif", stored, photometric="rgb", extratags=[tag])
    else:
        Image.fromarray(stored).save("a.tif", compression="tiff_lzw", tiffinfo={274: orientation})
    read = read_image(here / "a.tif")
    np.testing.assert_array_equal(read.pixels, RGB)
    assert (read.note == "a.tif was turned as its camera says.") == (orientation != 1)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_pixels_that_are_not_square_are_told(here, compression):
    Image.fromarray(RGB).save(
        "a.tif",
        compression=compression,
        x_resolution=20_000,
        y_resolution=10_000,
        resolution_unit=3,
    )
    read = read_image(here / "a.tif")
    assert read.um_per_px is None
    assert read.note.startswith("a.tif says that its pixels are not square but 0.5 x 1 um")


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_a_stack_is_refused_whatever_its_name(here, ending):
    tiff(here / "a.tif", np.zeros((3, 9, 8), np.uint8), photometric="minisblack")
    (here / "a.tif").rename(f"a.{ending}")
    with pytest.raises(ImageReadError, match=r"3 frames|got a stack"):
        read_image(here / f"a.{ending}")


def test_a_scale_that_is_no_number_is_none_and_the_image_is_read(here):
    ome = '<OME><Image><Pixels PhysicalSizeX="0,5" PhysicalSizeY="0,5"/></Image></OME>'
    assert plausible(*sides_of_ome(ome)) is None
    assert from_aperio("Aperio Image|MPP = 0.5.0") is None
    assert from_aperio("Aperio Image|MPP = 0.5") == 0.5


def test_odd_tags_are_not_told_on_the_terminal(here, capfd):
    code = (
        "from pathlib import Path; from napari_semimoe.project.images import read_image;"
        "read_image(Path('a.tif'))"
    )
    tiff(here / "a.tif", RGB, photometric="rgb", extratags=[(274, "H", 1, 9, True)])
    subprocess.run([sys.executable, "-c", code], check=True)
    assert capfd.readouterr().err == ""


def test_decimal_numbers_are_refused_in_words(here):
    with pytest.raises(ImageReadError, match=r"8- or 16-bit whole numbers, got float32.*8-bit RGB"):
        read_image(tiff(here / "a.tif", GREY.astype(np.float32)))


def test_a_stack_is_refused_in_words(here):
    stack = tiff(here / "a.tif", np.zeros((5, 9, 8), np.uint8), photometric="minisblack")
    with pytest.raises(ImageReadError, match=r"one flat grey or RGB image.*5.*Export the plane"):
        read_image(stack)


def test_fluorescence_channels_are_refused_in_words(here):
    file = tiff(here / "a.ome.tif", np.moveaxis(RGB, -1, 0), metadata={"axes": "CYX"})
    with pytest.raises(ImageReadError, match=r"channels \(C = 3"):
        read_image(file)


def test_an_animation_is_refused_in_words(here):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    (here / "a.gif").rename("a.png")
    with pytest.raises(ImageReadError, match="single image, got 2 frames"):
        read_image(here / "a.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "svs"])
def test_a_file_that_is_no_image_is_refused_in_words(here, ending):
    (here / f"a.{ending}").write_text("Dear diary")
    with pytest.raises(ImageReadError, match=rf"^a\.{ending} is not an image that can be read"):
        read_image(here / f"a.{ending}")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_an_empty_file_is_refused_in_words(here, ending):
    (here / f"a.{ending}").touch()
    with pytest.raises(ImageReadError, match="is empty"):
        read_image(here / f"a.{ending}")


def test_a_missing_file_is_refused_in_words(here):
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_image(here / "gone.png")


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")  # Pillow, before it raises
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("png", {}),
        ("bmp", {}),
        ("jpg", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("tif", {"compression": "tiff_adobe_deflate"}),
        ("tif", {"compression": "jpeg"}),
    ],
)
def test_a_truncated_image_is_refused_in_words(here, caplog, ending, options, part):
    caplog.set_level(logging.CRITICAL)
    Image.fromarray(RGB).save(f"whole.{ending}", **options)
    whole = (here / f"whole.{ending}").read_bytes()
    (here / f"a.{ending}").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ImageReadError, match=rf"^a\.{ending} is cut off or damaged.*again\.$"):
        read_image(here / f"a.{ending}")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_an_image_too_large_for_memory_is_refused_in_words(here, monkeypatch, ending):
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    monkeypatch.setattr("napari_semimoe.project.tiff.MAX_PIXELS", 1000)
    with pytest.raises(ImageReadError, match="Export the regions of interest"):
        read_image(save(here / f"a.{ending}", RGB))


@pytest.mark.parametrize("ending", ["png", "bmp", "jpg", "tif"])
def test_microns_per_pixel_are_read_from_dots_per_inch(here, ending):
    Image.fromarray(RGB).save(f"a.{ending}", dpi=(25400 / 0.62, 25400 / 0.62))
    assert read_image(here / f"a.{ending}").um_per_px == pytest.approx(0.62, rel=1e-4)


@pytest.mark.parametrize("dpi", [(72, 72), (300, 300), (1, 1), (40000, 20000), (1e9, 1e9)])
def test_a_screen_s_or_a_printer_s_resolution_is_not_believed(here, dpi):
    Image.fromarray(RGB).save("a.tif", dpi=dpi)
    assert read_image(here / "a.tif").um_per_px is None


@pytest.mark.parametrize(("size", "unit"), [(0.25, "µm"), (250, "nm"), (0.00025, "mm")])
def test_microns_per_pixel_are_read_from_ome_xml(here, size, unit):
    about = {"PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    about |= {"PhysicalSizeY": size, "PhysicalSizeYUnit": unit, "axes": "YXS"}
    file = tiff(here / "a.ome.tif", RGB, photometric="rgb", metadata=about)
    assert read_image(file).um_per_px == pytest.approx(0.25)


def test_the_unit_in_ome_xml_may_be_an_entity(here):
    about = 'PhysicalSizeX="0.25" PhysicalSizeXUnit="&#181;m" '
    assert plausible(*sides_of_ome(about + about.replace("X", "Y"))) == pytest.approx(0.25)


def test_damage_anywhere_in_a_tiff_s_header_is_told_in_words_or_does_no_harm(here):
    data = tiff(here / "a.tif", RGB).read_bytes()
    refused = 0
    for at in range(8, 200):
        (here / "b.tif").write_bytes(data[:at] + b"\0" + data[at + 1 :])
        try:
            read_image(here / "b.tif")
        except ImageReadError:  # by some of them a decoder divides
            refused += 1
    assert refused > 10


def test_microns_per_pixel_are_read_from_imagej(here):
    file = tiff(here / "a.tif", RGB, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert read_image(file).um_per_px == pytest.approx(0.25)


def test_microns_per_pixel_are_read_from_aperio(here):
    file = tiff(
        here / "a.svs",
        RGB,
        photometric="rgb",
        description="Aperio Image Library v10\r\n53x37 |AppMag = 20|MPP = 0.4990",
        metadata=None,
    )
    assert read_image(file).um_per_px == pytest.approx(0.499)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.png", pixels())
    monkeypatch.setattr("PIL.Image.open", refuse)
    with pytest.raises(ImageReadError, match=r"a\.png cannot be read \(Permission denied\)"):
        read_image(path)


def test_8_bit_values_that_are_stored_in_16_bits_stay_as_they_are(tmp_path):
    values = np.array([[0, 3, 100]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    read = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.pixels[..., 0], values)
    assert read.note is None


def test_the_least_value_that_needs_more_bits_is_not_black(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255, 256]], np.uint16))
    assert read_image(tmp_path / "a.tif").pixels[0, :, 0].tolist() == [0, 64, 64]


def test_numbers_above_16_bits_are_refused_in_words(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 70000]], np.uint32))
    with pytest.raises(ImageReadError, match="8- or 16-bit whole numbers, got"):
        read_image(tmp_path / "a.tif")
