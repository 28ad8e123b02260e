"""Files of images: which they are, how they are read, and in which order they are chosen.

The one reader of images: a picture is decoded, upright, and 8 bits a channel, whoever asks. What it
becomes for a network, `tflite.images` says. Nothing here needs TensorFlow.
"""

import contextlib
import io
import logging
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import ExifTags, Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Pillow's modes of a network's channels: grey, colour, colour with opacity.
MODES = MappingProxyType({1: "L", 3: "RGB", 4: "RGBA"})


class UnreadableImage(OSError, ValueError):
    """A file that is no image, or a damaged one.

    An OSError to whoever goes through files, a ValueError to whoever passes an image on.
    """


class MissingImage(UnreadableImage, FileNotFoundError):
    """An `UnreadableImage` that is not there at all."""


@dataclass(frozen=True)
class EncodedImage:
    """A picture as it was encoded (JPEG, PNG, …), inside a file of many.

    Attributes:
        path: of the file.
        offset, length: where in it, in bytes.
        name: what to call the picture.
    """

    path: str
    offset: int
    length: int
    name: str

    def read(self) -> bytes:
        """The encoded bytes."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def __str__(self) -> str:
        return self.name


# --- Reading -------------------------------------------------------------------------------------


def read_image(image: Any) -> Image.Image:
    """A path, an `EncodedImage`, a PIL image or a uint8 array, decoded, upright, 8 bits a channel.

    Deeper greys are scaled: 16 bits from 0..65535; 32 bits from 0..255 where they stay within, else
    from 0..65535; floating numbers from 0..1 where they stay within, else likewise.

    Raises:
        UnreadableImage: the file cannot be read or decoded (`MissingImage`: it is not there).
        ValueError: an array of no image's shape, or deep greys beyond 65535.
        TypeError: the array is not uint8, or `image` is no image at all.
    """
    if isinstance(image, (str, os.PathLike, EncodedImage)):
        with _opened(image) as opened:
            opened.load()
            return _eight_bits(_upright(opened))
    if isinstance(image, Image.Image):
        return _eight_bits(_upright(image))
    if not hasattr(image, "__array__"):
        raise TypeError(not_an_image(image))
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise TypeError(
            f"image arrays must be uint8 pixels in 0..255, got {array.dtype}; an image already "
            "normalised goes to the model directly."
        )
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if (array.ndim != 2 and not (array.ndim == 3 and array.shape[-1] in (3, 4))) or not array.size:
        raise ValueError(
            "an image array must have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {array.shape}."
        )
    return Image.fromarray(array)


@contextlib.contextmanager
def _opened(image: str | os.PathLike | EncodedImage) -> Iterator[Image.Image]:
    """Whatever goes wrong inside is an `UnreadableImage` that names the file."""
    try:
        encoded = io.BytesIO(image.read()) if isinstance(image, EncodedImage) else image
        with Image.open(encoded) as opened:
            yield opened
    # Pillow's decoders raise whatever they stumble on (SyntaxError, struct.error, …).
    except Exception as error:
        kind = MissingImage if isinstance(error, FileNotFoundError) else UnreadableImage
        raise kind(f"cannot read image {image!s}: {error}") from error


def look_at(image: str | os.PathLike | EncodedImage) -> tuple[int, int, bool]:
    """(height, width, plain) of a picture that `read_image` can read.

    `plain`: a JPEG whose stored pixels are those that are shown, in grey or colour: no turn, no
    inks.

    Raises:
        UnreadableImage: as `read_image`.
    """
    with _opened(image) as opened:
        plain = opened.format in ("JPEG", "MPO") and opened.mode in ("L", "RGB")
        if plain:
            size = opened.size
            # An eighth of the size is enough to find damage, in half the time.
            opened.draft(None, (1, 1))
            opened.load()
            turned = _turn(opened)
            sides = size[::-1] if turned in _ON_THE_SIDE else size
            return sides[1], sides[0], turned is None
        opened.load()
        upright = _eight_bits(_upright(opened))
        return upright.height, upright.width, False


def shown_size(path: str | os.PathLike) -> tuple[int, int, Image.Transpose | None]:
    """(height, width) of a picture as it is shown, and the turn that shows it so; None: as stored.

    Only the file's beginning is read.

    Raises:
        UnreadableImage: as `read_image`.
    """
    with _opened(path) as opened:
        turn = _turn(opened)
        width, height = opened.size[::-1] if turn in _ON_THE_SIDE else opened.size
        return height, width, turn


def not_an_image(value: Any) -> str:
    """What to say of what is none."""
    return (
        "an image must be a path, a PIL image or a uint8 array (H, W, C), "
        f"got {type(value).__name__}."
    )


_TURNS = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


# Where Pillow looks for the turn.
_SAY_HOW_TO_TURN = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
_ON_THE_SIDE = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


def _upright(image: Image.Image) -> Image.Image:
    """A copy, turned as its EXIF block says, which it then leaves behind: what is read stays so
    when it is read again.

    Not ImageOps.exif_transpose, which also writes the block anew and fails where it is broken.
    """
    turn = _turn(image)
    if turn is None:
        return image.copy()
    upright = image.transpose(turn)
    for block in _SAY_HOW_TO_TURN:
        upright.info.pop(block, None)
    return upright


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    # A damaged block says nothing; the pixels may be whole nevertheless.
    except Exception:
        orientation = None
    return _TURNS.get(orientation) if isinstance(orientation, Hashable) else None


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image)
    most = values.max()
    # Pillow's own conversion clips everything above 255 to white.
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    white = next((w for w in whites if most <= w), None)
    if white is None or not np.isfinite(values).all():
        raise ValueError(
            f"pixels of {values.min():g}..{most:g} have no known white (255 or 65535; 1 of "
            "floating numbers): save the image with 8 or 16 bits"
        )
    values = np.clip(values, 0, white)
    grey = np.rint(values * (255 / white)) if image.mode == "F" else values // (white // 255)
    return Image.fromarray(grey.astype(np.uint8))


def in_channels(image: Image.Image, channels: int) -> Image.Image:
    """What `read_image` gave in grey (1 channel), in colour (3) or with opacity (4).

    Raises:
        KeyError: another number of channels.
    """
    mode = MODES[channels]
    transparent = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    if mode == "RGBA":
        return image.convert("RGBA") if transparent else image.convert("RGB").convert("RGBA")
    if transparent:
        # What a viewer shows on a white page, not the hidden colours under transparent pixels.
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == mode else image.convert(mode)


# --- Which files are images, and which are chosen ------------------------------------------------


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a program's own, such as .ipynb_checkpoints."""
    return name.startswith(".") or name == "__MACOSX"


def image_files(folder: Path) -> list[Path]:
    """All image files below a folder, sorted; hidden ones and those in hidden folders are none."""
    return sorted(each_image_file(folder))


def each_image_file(folder: Path) -> Iterator[Path]:
    """The same one by one, as the disk gives them: to ask whether there is any.

    Links to folders are followed where they stand directly in `folder`, as links to classes do.
    """
    above = folder.resolve()
    for place in folder.iterdir():
        if is_hidden(place.name):
            continue
        if not place.is_dir():
            yield from _if_image(place)
        elif not (place.is_symlink() and above.is_relative_to(place.resolve())):
            for path in place.rglob("*"):
                if not any(map(is_hidden, path.relative_to(place).parts)):
                    yield from _if_image(path)


def _if_image(path: Path) -> Iterator[Path]:
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        yield path


def in_turns(classes: Iterable[Hashable], seed: int = 0) -> list[int]:
    """A shuffled order of the samples in which the classes take turns as long as they last.

    Any beginning of it holds as many of each class as possible.

    Args:
        classes: of each sample.
        seed: of the shuffle within each class.
    """
    rng = np.random.default_rng(seed)
    members: dict[Hashable, list[int]] = {}
    for index, name in enumerate(classes):
        members.setdefault(name, []).append(index)
    queues = [[group[i] for i in rng.permutation(len(group))] for group in members.values()]
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def choose_files(folder: str | os.PathLike, seed: int = 0) -> list[Path]:
    """All images below a folder, in the order in which calibration takes them: see `in_turns`.

    Args:
        folder: flat, or with one sub-folder a class.
        seed: of the choice.

    Raises:
        FileNotFoundError: it is not a folder.
        ValueError: there are no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder of calibration images {folder} does not exist.")
    files = image_files(folder)
    if not files:
        raise ValueError(
            f"{folder} holds no images (looked for {', '.join(IMAGE_SUFFIXES)}, also in "
            "sub-folders)."
        )
    places = [path.relative_to(folder).parts for path in files]
    order = in_turns((parts[0] if len(parts) > 1 else "" for parts in places), seed)
    return [files[i] for i in order]


def readable(candidates: Iterable[Any], skipped: list[str] | None = None) -> Iterator[Any]:
    """The candidates without those that cannot be read; of files, the images that they hold.

    Args:
        candidates: paths and encoded images, or images of any other kind.
        skipped: receives a line for each file that is passed over; those are logged once.
    """
    skipped = [] if skipped is None else skipped
    for candidate in candidates:
        if isinstance(candidate, (Path, EncodedImage)):
            try:
                candidate = read_image(candidate)
            except UnreadableImage as error:
                line = f"cannot read the image {candidate}: {error.__cause__}"
                if line not in skipped:
                    skipped.append(line)
                    logger.warning("calibration skips a file: %s", line)
                continue
        yield candidate
