"""The one definition of how an image becomes a network's input.

Training, evaluation, calibration, the command line and the files that prepare images by themselves
all take it from here, so they cannot disagree: which files are images, how they are read, cut,
resized and normalized, and in which order they are chosen. Nothing here needs TensorFlow.
"""

import contextlib
import io
import logging
import math
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import ExifTags, Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
INTERPOLATIONS = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)
# Pillow's modes of a network's channels: grey, colour, colour with opacity.
_MODES = MappingProxyType({1: "L", 3: "RGB", 4: "RGBA"})
# A picture this many times longer than what is cut out of it loses its ends before it is scaled.
# Shorter ones are scaled whole, as torchvision does: the cut then has its very bytes.
_MANY_TIMES = 16


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


@dataclass(frozen=True)
class Preprocessing:
    """Decode, crop the centre, resize, normalise.

    A pixel p in 0..255 becomes `(lo + p * (hi - lo) / 255 - mean) / std` with
    `(lo, hi) = value_range`.

    Attributes:
        size: (height, width) of the network's input, in pixels.
        crop_fraction: the share of height and width that is kept, around the centre, in (0, 1].
        mean, std: one number per channel, in the units of `value_range`. Three channels are red,
            green and blue, one is grey, four are red, green, blue and opacity.
        value_range: what pixel 0 and pixel 255 become before mean and std.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; antialiased when shrinking.
        keep_aspect_ratio: False squeezes the crop into `size` (TF-Slim's evaluation); True
            scales the shorter side to size / crop_fraction and cuts `size` out of the middle
            (torchvision's).
    """

    size: tuple[int, int] = (224, 224)
    crop_fraction: float = 0.875
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    value_range: tuple[float, float] = (-1.0, 1.0)
    interpolation: str = "bilinear"
    keep_aspect_ratio: bool = False

    def __post_init__(self) -> None:
        size = _values(self.size)
        if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
            raise ValueError(
                f"size must be two positive integers (height, width), got {self.size!r}."
            )
        if not (_is_number(self.crop_fraction) and 0 < self.crop_fraction <= 1):
            raise ValueError(
                f"crop_fraction must be above 0 and at most 1, got {self.crop_fraction!r}."
            )
        mean, std = _values(self.mean), _values(self.std)
        if (
            len(mean) != len(std)
            or not self._takes(len(mean))
            or not all(map(_is_number, (*mean, *std)))
            or not all(s > 0 for s in std)
        ):
            raise ValueError(
                "mean and std must have a number for each channel (three for red, green and blue, "
                "one for grey, four with opacity) and std must be positive, got "
                f"mean={self.mean!r}, std={self.std!r}."
            )
        ends = _values(self.value_range)
        if len(ends) != 2 or not all(map(_is_number, ends)) or ends[0] == ends[1]:
            raise ValueError(
                f"value_range must be two different numbers (low, high), got {self.value_range!r}."
            )
        if not isinstance(self.interpolation, str) or self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, "
                f"got {self.interpolation!r}."
            )

    @staticmethod
    def _takes(channels: int) -> bool:
        return channels in _MODES

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return len(self.mean)

    @property
    def same_for_all_channels(self) -> bool:
        return len(set(self.mean)) == 1 and len(set(self.std)) == 1

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that the network's input can have."""
        ends = [
            (end - mean) / std
            for end in self.value_range
            for mean, std in zip(self.mean, self.std, strict=True)
        ]
        return min(ends), max(ends)

    def __call__(self, images: Any) -> np.ndarray:
        """Turns images into what the network takes.

        Args:
            images: one image or a list or batch of them. An image is a path, an `EncodedImage`, a
                PIL image or a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a batch may
                also be one array (N, H, W, C). Sizes may differ within a list.

        Returns:
            float32, (h, w, channels) for one image, (N, h, w, channels) for a list or batch.

        Raises:
            ValueError: an unreadable file or an impossible shape, named; an empty list.
            TypeError: an array that is not uint8, or something that is no image at all.
        """
        return self.normalize(self.pixels(images))

    def pixels(self, images: Any) -> np.ndarray:
        """Like calling it, without the normalisation: uint8, cropped and resized."""
        if isinstance(images, (str, os.PathLike, EncodedImage, Image.Image)):
            return self._one(images)
        if hasattr(images, "__array__") and np.ndim(images) < 4:
            return self._one(images)
        if not isinstance(images, Iterable):
            raise TypeError(_not_an_image(images))
        batch = [self._one(image) for image in images]
        if not batch:
            raise ValueError("images is empty; pass at least one image.")
        return np.stack(batch)

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """The affine map alone: uint8 (…, channels) → float32 (…, channels)."""
        scale, offset = self.affine()
        return (np.asarray(pixels, np.float32) * scale + offset).astype(np.float32)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, offset), float64 (channels,): a network input is `pixel * scale + offset`."""
        low, high = self.value_range
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (high - low) / 255.0 / std, (low - mean) / std

    def whole(self) -> "Preprocessing":
        """The same with nothing cut away: all of a picture, which boxes and masks are of, squeezed
        into `size`."""
        return replace(self, crop_fraction=1.0, keep_aspect_ratio=False)

    def for_channels(self, channels: int) -> "Preprocessing":
        """The same for a network of another number of channels.

        Grey takes the average of a mean and a std that differ by colour.

        Raises:
            ValueError: images do not come in so many channels, or nothing says what to do with
                opacity.
        """
        if channels == self.channels:
            return self
        if channels == 1:
            mean, std = float(np.mean(self.mean)), float(np.mean(self.std))
        elif self.same_for_all_channels:
            mean, std = self.mean[0], self.std[0]
        else:
            raise ValueError(
                f"mean and std are given for {self.channels} channels and differ, so they cannot "
                f"be those of {channels}: say them with dataclasses.replace(preprocessing, mean=…, "
                "std=…)."
            )
        return replace(self, mean=(mean,) * channels, std=(std,) * channels)

    def _one(self, image: Any) -> np.ndarray:
        if self.channels not in _MODES:
            raise ValueError(
                "images become inputs of 1, 3 or 4 channels, but this network takes "
                f"{self.channels}: prepare them yourself and pass preprocessed=True."
            )
        picture = in_channels(read_image(image), self.channels)
        cut = self._scale_and_cut if self.keep_aspect_ratio else self._cut_and_squeeze
        kernel = INTERPOLATIONS[self.interpolation]
        return np.asarray(cut(picture, kernel)).reshape(*self.size, self.channels)

    def _scale_and_cut(self, picture: Image.Image, kernel: Image.Resampling) -> Image.Image:
        # As torchvision: an integer resize first, then a cut at whole pixels.
        height, width = self.size
        tall, wide = int(height / self.crop_fraction), int(width / self.crop_fraction)
        picture = _without_ends(picture, tall, wide)
        if picture.width * tall <= picture.height * wide:
            scaled = picture.resize((wide, wide * picture.height // picture.width), kernel)
        else:
            scaled = picture.resize((tall * picture.width // picture.height, tall), kernel)
        left, top = round((scaled.width - width) / 2), round((scaled.height - height) / 2)
        return scaled.crop((left, top, left + width, top + height))

    def _cut_and_squeeze(self, picture: Image.Image, kernel: Image.Resampling) -> Image.Image:
        height, width = self.size
        sides = picture.height, picture.width
        tall, wide = (max(1, round(side * self.crop_fraction)) for side in sides)
        left, top = (picture.width - wide) // 2, (picture.height - tall) // 2
        # Not resize(box=...), whose kernel reaches over the box's edge.
        cut = picture.crop((left, top, left + wide, top + tall))
        if wide < width and tall > _MANY_TIMES * height:
            # Pillow widens first, which makes something huge of a thread of a picture.
            cut = cut.resize((wide, height), kernel)
        return cut.resize((width, height), kernel)


@dataclass(frozen=True)
class ImageInput(Preprocessing):
    """A `Preprocessing` as a file tells it: x = (pixel - mean) / std, with mean and std in pixels.

    (127.5, ...) both for a network that expects [-1, 1].

    Attributes:
        in_graph: the file subtracts and divides by itself and takes plain pixels.
    """

    crop_fraction: float = 1.0
    value_range: tuple[float, float] = field(default=(0.0, 255.0), init=False)
    in_graph: bool = False

    @staticmethod
    def _takes(channels: int) -> bool:
        # Any network has an input to tell of; only pictures cannot be made for every one.
        return channels > 0

    @property
    def of_file(self) -> "ImageInput":
        """What is left to do before the file's input: no arithmetic where it normalizes."""
        if not self.in_graph:
            return self
        zeros, ones = (0.0,) * self.channels, (1.0,) * self.channels
        return replace(self, mean=zeros, std=ones, in_graph=False)

    def to_file(self, images: np.ndarray) -> np.ndarray:
        """float32 images of the network's input space in that of the file's input."""
        if not self.in_graph:
            return images
        return images * np.float32(self.std) + np.float32(self.mean)


def image_input(preprocessing: Any, shape: tuple[int, int, int]) -> ImageInput:
    """An `ImageInput` from a preprocessing object, in units of pixels.

    Args:
        preprocessing: has `value_range`, `mean` and `std` (one number or one a channel) and may
            have `size`, `crop_fraction`, `interpolation` and `keep_aspect_ratio`: pixels are first
            scaled from 0..255 to `value_range`, then (x - mean) / std.
        shape: the network's (height, width, channels).

    Raises:
        TypeError: it lacks an attribute.
        ValueError: the number of channels or the size disagrees with the network; an impossible
            range, std or interpolation.
    """
    missing = [name for name in ("mean", "std", "value_range") if not hasattr(preprocessing, name)]
    if missing:
        raise TypeError(
            f"preprocessing must have the attributes mean, std and value_range; "
            f"{type(preprocessing).__name__} lacks {', '.join(missing)}."
        )
    height, width, channels = shape
    size = tuple(getattr(preprocessing, "size", (height, width)))
    if size != (height, width):
        raise ValueError(
            f"preprocessing makes images of {size[0]}x{size[1]}, but the model takes "
            f"{height}x{width}."
        )
    low, high = preprocessing.value_range
    mean = per_channel(preprocessing.mean, channels, "mean")
    std = per_channel(preprocessing.std, channels, "std")
    if not high > low or min(std) <= 0:
        raise ValueError(
            f"preprocessing needs value_range[0] < value_range[1] and std > 0, got "
            f"{(low, high)} and {std}."
        )
    interpolation = str(getattr(preprocessing, "interpolation", "bilinear"))
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"preprocessing.interpolation must be one of {', '.join(INTERPOLATIONS)}, got "
            f"{interpolation!r}."
        )
    unit = 255 / (high - low)
    return ImageInput(
        size=(height, width),
        mean=tuple((m - low) * unit for m in mean),
        std=tuple(s * unit for s in std),
        crop_fraction=float(getattr(preprocessing, "crop_fraction", 1.0)),
        interpolation=interpolation,
        keep_aspect_ratio=bool(getattr(preprocessing, "keep_aspect_ratio", False)),
    )


def per_channel(value: Any, channels: int, name: str) -> tuple[float, ...]:
    """One number, or one for each of `channels`, as one for each.

    Raises:
        ValueError: another number of them; `name` says of what.
    """
    values = tuple(float(v) for v in np.atleast_1d(value))
    if len(values) == 1:
        return values * channels
    if len(values) != channels:
        raise ValueError(
            f"preprocessing.{name} has {len(values)} values, but the model takes {channels} "
            "channels."
        )
    return values


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
        raise TypeError(_not_an_image(image))
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


def _not_an_image(value: Any) -> str:
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
    mode = _MODES[channels]
    transparent = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    if mode == "RGBA":
        return image.convert("RGBA") if transparent else image.convert("RGB").convert("RGBA")
    if transparent:
        # What a viewer shows on a white page, not the hidden colours under transparent pixels.
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == mode else image.convert(mode)


def _without_ends(picture: Image.Image, tall: int, wide: int) -> Image.Image:
    """The middle of a picture that is many times longer than `tall` by `wide` cut out of it."""
    height = min(picture.height, -(-_MANY_TIMES * picture.width * tall // wide))
    width = min(picture.width, -(-_MANY_TIMES * picture.height * wide // tall))
    # As much on both sides, so that the middle stays where it is.
    top, left = (picture.height - height) // 2, (picture.width - width) // 2
    if not top and not left:
        return picture
    return picture.crop((left, top, picture.width - left, picture.height - top))


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


# --- Checks --------------------------------------------------------------------------------------


def _values(sequence: Any) -> tuple[Any, ...]:
    """Of any sequence; () of what is none."""
    try:
        return tuple(sequence)
    except TypeError:
        return ()


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and -math.inf < value < math.inf
