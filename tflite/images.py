"""The one definition of how an image becomes a network's input.

Training, evaluation, calibration, the command line and the files that prepare images by themselves
all take it from here, so they cannot disagree: how images are cut, resized and normalized. They are
read by `tflite.image_files`. Nothing here needs TensorFlow.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from tflite.image_files import MODES, EncodedImage, in_channels, not_an_image, read_image

INTERPOLATIONS = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)
# A picture this many times longer than what is cut out of it loses its ends before it is scaled.
# Shorter ones are scaled whole, as torchvision does: the cut then has its very bytes.
_MANY_TIMES = 16


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
        return channels in MODES

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
            raise TypeError(not_an_image(images))
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
        if self.channels not in MODES:
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

    def exact_zero_point(self, scale: float, zero_point: int, kind: Any) -> float:
        """The zero point of a file's 8-bit input whose steps are pixels as it would be without
        rounding: 127.5 where the file had to take 127 or 128. That of another input, as it is.

        Args:
            scale, zero_point: of the file's input.
            kind: its NumPy type.
        """
        limits = np.iinfo(kind)
        steps_are_pixels = limits.bits == 8 and abs(scale * self.std[0] - 1) < 1e-4
        return float(limits.min + self.mean[0] if steps_are_pixels else zero_point)

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


def _without_ends(picture: Image.Image, tall: int, wide: int) -> Image.Image:
    """The middle of a picture that is many times longer than `tall` by `wide` cut out of it."""
    height = min(picture.height, -(-_MANY_TIMES * picture.width * tall // wide))
    width = min(picture.width, -(-_MANY_TIMES * picture.height * wide // tall))
    # As much on both sides, so that the middle stays where it is.
    top, left = (picture.height - height) // 2, (picture.width - width) // 2
    if not top and not left:
        return picture
    return picture.crop((left, top, picture.width - left, picture.height - top))


# --- Checks --------------------------------------------------------------------------------------


def _values(sequence: Any) -> tuple[Any, ...]:
    """Of any sequence; () of what is none."""
    try:
        return tuple(sequence)
    except TypeError:
        return ()


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and -math.inf < value < math.inf
