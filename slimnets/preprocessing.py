"""The one definition of how an image becomes a network's input.

Training, evaluation, calibration and the metadata of a .tflite file all take it from here, so
they cannot disagree. Nothing in this module needs TensorFlow.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

INTERPOLATIONS = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Decode, crop the centre, resize, normalise.

    A pixel p in 0..255 becomes `(lo + p * (hi - lo) / 255 - mean) / std` with
    `(lo, hi) = value_range`.

    Attributes:
        size: (height, width) of the network's input, in pixels.
        crop_fraction: the share of height and width that is kept, around the centre, in (0, 1].
        mean, std: one number per channel, in the units of `value_range`.
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
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(
                f"size must be two positive integers (height, width), got {self.size!r}."
            )
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"crop_fraction must be above 0 and at most 1, got {self.crop_fraction!r}."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(s > 0 for s in self.std):
            raise ValueError(
                "mean and std must have three numbers each (red, green, blue) and std must be "
                f"positive, got mean={self.mean!r}, std={self.std!r}."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, "
                f"got {self.interpolation!r}."
            )

    def __call__(self, images: Any) -> np.ndarray:
        """Turns images into what the network takes.

        Args:
            images: one image or a list or batch of them. An image is a path, a PIL image or a
                uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a batch may also be one array
                (N, H, W, C). Sizes may differ within a list.

        Returns:
            float32, (h, w, 3) for one image, (N, h, w, 3) for a list or batch.

        Raises:
            ValueError: an unreadable file or an impossible shape, named; an empty list.
            TypeError: an array that is not uint8, or something that is no image at all.
        """
        return self.normalize(self.pixels(images))

    def pixels(self, images: Any) -> np.ndarray:
        """Like calling it, without the normalisation: uint8, cropped and resized, RGB."""
        if isinstance(images, (str, os.PathLike, Image.Image)):
            return self._one(images)
        if isinstance(images, np.ndarray) and images.ndim < 4:
            return self._one(images)
        if not isinstance(images, Iterable):
            raise TypeError(_not_an_image(images))
        batch = [self._one(image) for image in images]
        if not batch:
            raise ValueError("images is empty; pass at least one image.")
        return np.stack(batch)

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """The affine map alone: uint8 (…, 3) → float32 (…, 3)."""
        scale, offset = self.affine()
        return (np.asarray(pixels, np.float32) * scale + offset).astype(np.float32)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, offset), float64 (3,): a network input is `pixel * scale + offset`."""
        low, high = self.value_range
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (high - low) / 255.0 / std, (low - mean) / std

    def _one(self, image: Any) -> np.ndarray:
        rgb = read_rgb(image)
        resample = INTERPOLATIONS[self.interpolation]
        height, width = self.size
        if self.keep_aspect_ratio:
            # As torchvision: an integer resize first, then a cut at whole pixels.
            tall, wide = int(height / self.crop_fraction), int(width / self.crop_fraction)
            if rgb.width * tall <= rgb.height * wide:
                scaled = rgb.resize((wide, wide * rgb.height // rgb.width), resample)
            else:
                scaled = rgb.resize((tall * rgb.width // rgb.height, tall), resample)
            left, top = round((scaled.width - width) / 2), round((scaled.height - height) / 2)
            return np.asarray(scaled.crop((left, top, left + width, top + height)))
        tall, wide = round(rgb.height * self.crop_fraction), round(rgb.width * self.crop_fraction)
        left, top = (rgb.width - wide) // 2, (rgb.height - tall) // 2
        # Not resize(box=...), whose kernel reaches over the box's edge.
        cropped = rgb.crop((left, top, left + wide, top + tall))
        return np.asarray(cropped.resize((width, height), resample))


def read_image(image: Any) -> Image.Image:
    """A path, a PIL image or a uint8 array as a fully decoded, upright PIL image.

    Raises:
        ValueError: the file cannot be read or decoded, or the array has no image's shape.
        TypeError: the array is not uint8, or `image` is no image at all.
    """
    if isinstance(image, (str, os.PathLike)):
        try:
            with Image.open(image) as opened:
                opened.load()
                return ImageOps.exif_transpose(opened)
        # PIL's decoders raise whatever they stumble on (SyntaxError, struct.error, …).
        except Exception as error:
            raise ValueError(f"cannot read image {os.fspath(image)}: {error}") from error
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(_not_an_image(image))
    if image.dtype != np.uint8:
        raise TypeError(
            f"image arrays must be uint8 pixels in 0..255, got {image.dtype}; an image already "
            "normalised goes to the model directly."
        )
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if (image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] in (3, 4))) or not image.size:
        raise ValueError(
            "an image array must have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {image.shape}."
        )
    return Image.fromarray(image)


def read_rgb(image: Any) -> Image.Image:
    """Like `read_image`, then as 8-bit RGB: transparency on white, 16-bit greys scaled."""
    return _to_rgb(read_image(image))


def _not_an_image(value: Any) -> str:
    return (
        "an image must be a path, a PIL image or a uint8 array (H, W, C), "
        f"got {type(value).__name__}."
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit greys: PIL's own conversion would clip everything above 255 to white.
        grey = np.clip(np.asarray(image, np.int64), 0, 65535) // 257
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        # What a viewer shows on a white page, not the hidden colours under transparent pixels.
        rgba = image.convert("RGBA")
        page = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(page, rgba).convert("RGB")
    return image.convert("RGB")
