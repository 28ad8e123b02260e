"""Files of images as they are read: depths, turns, damage; and which files are images."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from tflite import image_files
from tflite.image_files import UnreadableImage
from tflite.images import Preprocessing

RGB = Preprocessing(size=(4, 6), crop_fraction=1.0)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


# --- Depths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "seen"),
    [
        ((0, 51, 255), np.int32, (0, 51, 255)),
        ((0, 0x3333, 0xFFFF), np.int32, (0, 0x33, 0xFF)),
        ((0, 51, 255), np.float32, (0, 51, 255)),
        ((0, 0.2, 1), np.float32, (0, 51, 255)),
        ((0, 257, 65535), np.float32, (0, 1, 255)),
        ((0, 51, 255), np.uint16, (0, 0, 0)),  # 16 bits are told by the file, however dark it is
        ((0, 0x3333, 0xFFFF), np.uint16, (0, 0x33, 0xFF)),
    ],
)
def test_deep_greys_are_neither_black_nor_white(tmp_path, values, dtype, seen):
    picture = np.tile(np.repeat(np.array(values, dtype), 2), (4, 1))
    Image.fromarray(picture).save(tmp_path / "deep.tiff")
    for image in (tmp_path / "deep.tiff", Image.fromarray(picture)):
        assert RGB.pixels(image)[0, ::2, 1].tolist() == list(seen)


@pytest.mark.parametrize("most", [70_000, float("nan"), float("inf")])
def test_a_grey_without_a_known_white_is_not_guessed_at(tmp_path, most):
    Image.fromarray(np.full((4, 4), most, np.float32)).save(tmp_path / "strange.tiff")
    with pytest.raises(UnreadableImage, match=r"strange\.tiff.*8 or 16 bits"):
        RGB(tmp_path / "strange.tiff")


def shown(picture):
    """What a viewer shows on a white page, by Pillow's own conversions."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):
        return Image.fromarray(np.rint(np.asarray(upright) / 257).astype(np.uint8)).convert("RGB")
    whole = upright.convert("RGBA")
    page = Image.new("RGB", whole.size, "white")
    page.paste(whole, mask=whole.getchannel("A"))
    return page


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("I;16", "png", {}),
        ("CMYK", "jpg", {}),
        ("CMYK", "tiff", {}),
        ("YCbCr", "jpg", {}),
        ("P", "png", {}),
        ("P", "png", {"transparency": 3}),
        ("P", "gif", {}),
        ("L", "jpg", {}),
        ("L", "png", {"transparency": 100}),
        ("LA", "png", {}),
        ("RGB", "png", {"transparency": (200, 100, 50)}),
        ("RGBA", "png", {}),
        ("RGBA", "webp", {"lossless": True}),
        ("1", "png", {}),
        ("RGB", "jpg", {"exif": 6}),
        ("L", "jpg", {"exif": 5}),
        ("RGBA", "png", {"exif": 8}),
    ],
)
def test_pixels_are_those_that_a_viewer_shows(tmp_path, noise, mode, suffix, options):
    noise[:9] = 200, 100, 50
    picture = Image.fromarray(noise)
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112] = options["exif"]
        options = {"exif": exif.tobytes()}
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257 + 100)
    elif mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(noise[..., 1]))
        picture = picture.convert(mode)
    else:
        picture = picture.convert(mode)
    path = tmp_path / f"picture.{suffix}"
    picture.save(path, **options)
    expected = np.asarray(shown(Image.open(path)))
    whole = Preprocessing(size=expected.shape[:2], crop_fraction=1.0)
    # Pillow blends by paste and by alpha_composite, which round differently.
    np.testing.assert_allclose(whole.pixels(path).astype(int), expected, atol=1)
    assert image_files.look_at(path)[:2] == expected.shape[:2]


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("turn", [2, 3, 6, XMP])
def test_a_picture_that_was_read_is_not_turned_again(tmp_path, noise, turn):
    """As of a calibration's folder, whose files are read before they are prepared."""
    exif = Image.Exif()
    if turn != XMP:
        exif[0x0112] = turn
    block = {"xmp": XMP} if turn == XMP else {"exif": exif.tobytes()}
    Image.fromarray(noise).save(tmp_path / "turned.jpg", **block)
    (read,) = image_files.readable([tmp_path / "turned.jpg"])
    whole = Preprocessing(size=(50, 40) if turn in (6, XMP) else (40, 50), crop_fraction=1.0)
    np.testing.assert_array_equal(whole.pixels(read), whole.pixels(tmp_path / "turned.jpg"))
    np.testing.assert_array_equal(np.asarray(image_files.read_image(read)), np.asarray(read))


def test_only_a_jpeg_that_needs_nothing_but_decoding_is_plain(tmp_path, noise):
    exif = Image.Exif()
    exif[0x0112] = 3
    for name, mode, options, plain in (
        ("colour.jpg", "RGB", {}, True),
        ("grey.jpg", "L", {}, True),
        ("ink.jpg", "CMYK", {}, False),
        ("turned.jpg", "RGB", {"exif": exif.tobytes()}, False),
        ("colour.png", "RGB", {}, False),
    ):
        Image.fromarray(noise).convert(mode).save(tmp_path / name, **options)
        assert image_files.look_at(tmp_path / name) == (40, 50, plain), name


# --- Damage --------------------------------------------------------------------------------------


def jpeg(noise, exif=b"") -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the block
@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0" + b"this is no TIFF header",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        # One entry whose values would begin far behind the block.
        b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x010F, 2, 999, 1 << 30, 0),
    ],
)
def test_whole_pixels_behind_a_broken_exif_block_are_read(tmp_path, noise, block):
    (tmp_path / "camera.jfif").write_bytes(jpeg(noise, exif=block))
    plain = np.asarray(Image.open(io.BytesIO(jpeg(noise))))
    np.testing.assert_array_equal(
        np.asarray(image_files.read_image(tmp_path / "camera.jfif")), plain
    )


def test_an_orientation_beside_broken_entries_still_turns_the_picture(tmp_path, noise):
    # The camera's maker, as a number: Pillow fails to write that anew.
    entries = struct.pack(">HHIHHHHII", 0x0112, 3, 1, 6, 0, 0x010F, 12, 1, 0)
    block = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + b"\0\0\0\0"
    (tmp_path / "turned.jpg").write_bytes(jpeg(noise, exif=block))
    plain = np.asarray(Image.open(io.BytesIO(jpeg(noise))))
    upright = np.asarray(image_files.read_image(tmp_path / "turned.jpg"))
    np.testing.assert_array_equal(upright, np.rot90(plain, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(noise, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.open(io.BytesIO(jpeg(noise, exif.tobytes())))
    expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(np.asarray(image_files.read_image(picture)), expected)


def test_an_unreadable_file_is_an_error_to_whoever_opens_and_to_whoever_asks(tmp_path):
    (tmp_path / "note.jpg").write_text("no picture")
    for kind in (OSError, ValueError):
        with pytest.raises(kind, match=r"cannot read image .*note\.jpg"):
            image_files.read_image(tmp_path / "note.jpg")
    for kind in (FileNotFoundError, ValueError):
        with pytest.raises(kind, match=r"cannot read image .*none\.jpg"):
            image_files.read_image(tmp_path / "none.jpg")


# --- Which files ---------------------------------------------------------------------------------


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(path, "PNG")


def test_hidden_files_and_folders_hold_no_images(tmp_path):
    for name in (
        "cat/1.PNG",
        "cat/deeper/2.jfif",
        "cat/._1.png",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
        ".thumbnails/cat/1.png",
        "__MACOSX/cat/1.png",
    ):
        put(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in image_files.image_files(tmp_path)]
    assert found == ["cat/1.PNG", "cat/deeper/2.jfif"]


def test_a_folder_that_is_hidden_itself_is_what_the_user_named(tmp_path):
    put(tmp_path / ".data" / "1.png")
    assert len(image_files.image_files(tmp_path / ".data")) == 1


def test_classes_take_turns_until_they_are_empty():
    classes = ["a"] * 5 + ["b"] * 2 + ["c"]
    order = image_files.in_turns(classes, seed=3)
    assert sorted(order) == [*range(8)]
    assert [classes[i] for i in order] == ["a", "b", "c", "a", "b", "a", "a", "a"]
    assert image_files.in_turns(classes, seed=3) == order
    assert image_files.in_turns(["a"] * 50, seed=3) != image_files.in_turns(["a"] * 50, seed=4)
