"""Changes of single training images that Pillow makes: colours, and RandAugment.

On one core here, 224×224: RandAugment takes 1.6 ms an image, colours 0.8. Keras's layers of these
names take 55 and 4.4, since they compute every operation for every image, and draw one for a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# What comes in from outside a picture: a middle grey.
_GREY = 128
MOST_MAGNITUDE = 30


def jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation, in any order, each times 1 - strength … 1 + strength.

    As torchvision's `ColorJitter(strength, strength, strength)`.
    """
    kinds = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    for kind in rng.permutation(len(kinds)):
        factor = rng.uniform(max(0.0, 1 - strength), 1 + strength)
        image = kinds[kind](image).enhance(factor)
    return image


def rand_augment(
    image: Image.Image, count: int, magnitude: float, rng: np.random.Generator
) -> Image.Image:
    """RandAugment (Cubuk et al., arXiv:1909.13719): `count` operations drawn with replacement.

    The fourteen operations of the paper, in torchvision's scale of magnitudes: 0..30, where 9 is
    usual and each operation's strength is proportional.

    Args:
        image: grey or colour.
        count: operations an image.
        magnitude: 0..30.
        rng: draws operations and signs.
    """
    share = magnitude / MOST_MAGNITUDE
    for name in rng.choice(list(OPERATIONS), count):
        image = OPERATIONS[name](image, share * (1 if rng.random() < 0.5 else -1))
    return image


def _moved(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill
    )


def _shear(image: Image.Image, across: float, down: float) -> Image.Image:
    # About the middle, so that what is there stays there.
    x, y = image.width / 2, image.height / 2
    return _moved(image, (1, across, -across * y, down, 1, -down * x))


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    fill = _GREY if image.mode == "L" else (_GREY,) * 3
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill)


def _enhance(kind: Callable) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, s: kind(image).enhance(1 + 0.9 * s)


# Name → what it does with an image at a signed strength, -1..1.
OPERATIONS = MappingProxyType(
    {
        "identity": lambda image, _: image,
        "shear_x": lambda image, s: _shear(image, 0.3 * s, 0),
        "shear_y": lambda image, s: _shear(image, 0, 0.3 * s),
        # At most 150 of AutoAugment's 331 pixels.
        "translate_x": lambda i, s: _moved(i, (1, 0, 150 / 331 * i.width * s, 0, 1, 0)),
        "translate_y": lambda i, s: _moved(i, (1, 0, 0, 0, 1, 150 / 331 * i.height * s)),
        "rotate": lambda image, s: _rotate(image, 30 * s),
        "brightness": _enhance(ImageEnhance.Brightness),
        "color": _enhance(ImageEnhance.Color),
        "contrast": _enhance(ImageEnhance.Contrast),
        "sharpness": _enhance(ImageEnhance.Sharpness),
        "posterize": lambda image, s: ImageOps.posterize(image, 8 - round(4 * abs(s))),
        "solarize": lambda image, s: ImageOps.solarize(image, math.ceil(256 * (1 - abs(s)))),
        "autocontrast": lambda image, _: ImageOps.autocontrast(image),
        "equalize": lambda image, _: ImageOps.equalize(image),
    }
)


def changed(
    pixels: np.ndarray, seed: np.ndarray, color: float, operations: tuple[int, float] | tuple[()]
) -> np.ndarray:
    """Both of the above, as far as asked for, on uint8 pixels (h, w, 1 or 3); same shape."""
    rng = np.random.default_rng(seed.astype(np.uint64))
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if operations:
        image = rand_augment(image, *operations, rng)
    if color:
        image = jitter(image, color, rng)
    return np.asarray(image).reshape(pixels.shape)
