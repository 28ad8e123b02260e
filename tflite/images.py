"""How an image becomes a network's input, as a file's metadata describe it.

The order of steps and the rounding are those of `slimnets.preprocessing`, which this package does
not import: a file must prepare its images by itself.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageOps

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
_CHANNEL_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageInput:
    """Crop, resize, then x = (pixel - mean) / std.

    Attributes:
        size: (height, width) of the input.
        mean, std: per channel, in units of pixels 0..255. (127.5, ...) both for a network that
            expects [-1, 1].
        crop_fraction: side of the central crop over the image's side, in (0, 1].
        interpolation: of the resize: "nearest", "bilinear", "bicubic" or "lanczos".
        keep_aspect_ratio: scale the shorter side to size / crop_fraction and cut `size` out of
            the middle, instead of squeezing the central crop into `size`.
        in_graph: the file subtracts and divides by itself and takes plain pixels.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_fraction: float = 1.0
    interpolation: str = "bilinear"
    keep_aspect_ratio: bool = False
    in_graph: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value of the network's input."""
        low = [(0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        high = [(255 - mean) / std for mean, std in zip(self.mean, self.std, strict=True)]
        return min(low), max(high)

    @property
    def same_for_all_channels(self) -> bool:
        return len(set(self.mean)) == 1 and len(set(self.std)) == 1

    @property
    def of_file(self) -> "ImageInput":
        """What is left to do before the file's input: no arithmetic where it normalizes."""
        if not self.in_graph:
            return self
        channels = len(self.mean)
        return replace(self, mean=(0.0,) * channels, std=(1.0,) * channels, in_graph=False)

    def to_file(self, images: np.ndarray) -> np.ndarray:
        """float32 images of the network's input space in that of the file's input."""
        if not self.in_graph:
            return images
        return images * np.float32(self.std) + np.float32(self.mean)


def read_image(image: Any) -> Image.Image:
    """A path, a PIL image or a uint8 array as a decoded, upright PIL image.

    Raises:
        OSError: the file cannot be read or decoded.
        TypeError: no image at all, or an array that is not uint8.
        ValueError: an array of another shape than (H, W) or (H, W, 1, 3 or 4).
    """
    if isinstance(image, (str, os.PathLike)):
        try:
            with Image.open(image) as opened:
                opened.load()
                return ImageOps.exif_transpose(opened)
        except FileNotFoundError:
            raise
        # Pillow's decoders raise whatever they stumble on: SyntaxError, struct.error, ...
        except Exception as error:
            raise OSError(f"cannot read the image {os.fspath(image)}: {error}") from error
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image)
    if not hasattr(image, "__array__"):
        raise TypeError(
            f"an image must be a path, a PIL image or a uint8 array, got {type(image).__name__}."
        )
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise TypeError(f"image arrays must be uint8 pixels 0..255, got {pixels.dtype}.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            "an image array must have the shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got "
            f"{pixels.shape}."
        )
    return Image.fromarray(pixels)


def prepare(image: Any, how: ImageInput) -> np.ndarray:
    """One image (see `read_image`) as float32 (height, width, channels), by `how`'s steps.

    Raises:
        ValueError: an input with neither one channel nor three; what `read_image` raises.
    """
    channels = len(how.mean)
    if channels not in _CHANNEL_MODES:
        raise ValueError(
            f"images become inputs of 1 or 3 channels, but this network takes {channels}: "
            "prepare them yourself and pass preprocessed=True."
        )
    picture = _flatten(read_image(image)).convert(_CHANNEL_MODES[channels])
    pixels = np.asarray(_fit(picture, how), np.float32).reshape(*how.size, channels)
    return (pixels - np.float32(how.mean)) / np.float32(how.std)


def _flatten(image: Image.Image) -> Image.Image:
    """Without transparency (on white, as viewers show it) and with 8 bits a channel."""
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit greys clips everything above 255 to white.
        grey = np.clip(np.asarray(image, np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image


def _fit(picture: Image.Image, how: ImageInput) -> Image.Image:
    """The centre of the picture, at the input's size."""
    height, width = how.size
    kernel = Image.Resampling[how.interpolation.upper()]
    if how.keep_aspect_ratio:
        tall, wide = int(height / how.crop_fraction), int(width / how.crop_fraction)
        if picture.width * tall <= picture.height * wide:
            scaled = picture.resize((wide, wide * picture.height // picture.width), kernel)
        else:
            scaled = picture.resize((tall * picture.width // picture.height, tall), kernel)
        left, top = round((scaled.width - width) / 2), round((scaled.height - height) / 2)
        return scaled.crop((left, top, left + width, top + height))
    tall, wide = (round(side * how.crop_fraction) for side in (picture.height, picture.width))
    left, top = (picture.width - wide) // 2, (picture.height - tall) // 2
    # Not resize(box=...), whose kernel reaches over the box's edge.
    return picture.crop((left, top, left + wide, top + tall)).resize((width, height), kernel)
