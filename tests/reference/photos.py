"""Real photographs that ship inside packages, as the tensors torchvision would make of them.

    python -m tests.reference.photos CROPS.npz

writes the uint8 crops for `make_photos.py`, which runs where torch is. Needs numpy and Pillow, and
the files of scikit-image, scikit-learn and matplotlib (none of them is imported).
"""

import hashlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

RESIZED = 256
CROP = 224
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Photo:
    """A file inside a package, and the ImageNet classes (0 .. 999) that a human accepts for it.

    `classes` is empty where there is no right class, or PyTorch does not have it in its top 5.
    """

    package: str
    path: str
    classes: tuple[int, ...]


PHOTOS = {
    # tabby, tiger cat, Egyptian cat
    "chelsea": Photo("skimage", "data/chelsea.png", (281, 282, 285)),
    # espresso, cup
    "coffee": Photo("skimage", "data/coffee.png", (967, 968)),
    # missile, projectile, space shuttle
    "rocket": Photo("skimage", "data/rocket.jpg", (657, 744, 812)),
    # tripod
    "camera": Photo("skimage", "data/camera.png", (872,)),
    # moped, motor scooter: ImageNet has no class nearer to a motorcycle
    "motorcycle": Photo("skimage", "data/motorcycle_left.png", (665, 670)),
    # palace: it is a tower of the Summer Palace
    "china": Photo("sklearn", "datasets/images/china.jpg", (698,)),
    # military uniform
    "hopper": Photo("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (652,)),
    # ImageNet has neither a spacesuit nor a dahlia; the logits are compared all the same.
    "astronaut": Photo("skimage", "data/astronaut.png", ()),
    "flower": Photo("sklearn", "datasets/images/flower.jpg", ()),
}


def picture(name: str) -> Image.Image:
    """The RGB photograph `name` of PHOTOS, whole."""
    photo = PHOTOS[name]
    package = find_spec(photo.package)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"the photograph {name!r} is in {photo.package}: install it.")
    with Image.open(Path(package.origin).parent / photo.path) as image:
        return image.convert("RGB")


def crop(name: str) -> np.ndarray:
    """uint8 (224, 224, 3): shorter side to 256 (bilinear, antialiased), then the centre."""
    image = picture(name)
    width, height = image.size
    short = min(width, height)
    size = (RESIZED * width // short, RESIZED * height // short)
    resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    # torchvision rounds the offset to even (Python's round), and so does this.
    top, left = (round((side - CROP) / 2) for side in resized.shape[:2])
    return resized[top : top + CROP, left : left + CROP]


def network_input(crops: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) to torchvision's float32 input: pixels in 0 .. 1, less MEAN, over STD."""
    return (crops.astype(np.float32) / np.float32(255) - MEAN) / STD


def digest(pixels: np.ndarray) -> str:
    """SHA-256 of the pixels: tells another decoder's or resizer's picture from a wrong network."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def main(target: str) -> None:
    """Write every crop under its name."""
    np.savez_compressed(target, **{name: crop(name) for name in PHOTOS})


if __name__ == "__main__":
    main(sys.argv[1])
