"""Sources that are arrays: scikit-learn's digits, and the sets that Keras downloads."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from slimnets.data.splits import Source, Split, stratified_order

# Where Debian's package dataset-fashion-mnist puts its IDX files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

# In label order, as their authors print them.
_CLASS_NAMES = {
    "mnist": "0 1 2 3 4 5 6 7 8 9",
    "fashion_mnist": "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": (
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
        "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach "
        "couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster "
        "house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree "
        "motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear "
        "pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket "
        "rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar "
        "sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip "
        "turtle wardrobe whale willow_tree wolf woman worm"
    ),
}

# Of the 1,797 digits: 400 to test, 200 to choose the best epoch, 1,197 to train.
_DIGITS_TEST, _DIGITS_VAL = 400, 200
# Held out of the training images of sets that come with a test set only.
_VAL_FRACTION = 0.1


def digits() -> Source:
    """The 1,797 handwritten digits (8×8, 16 greys) that come with scikit-learn.

    Stratified and fixed: 1,197 train, 200 val, 400 test. The writers are mixed over the splits.
    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    whole = Split(images, bunch.target.astype(np.int64))
    order = stratified_order(whole.labels)
    val_end = _DIGITS_TEST + _DIGITS_VAL
    return Source(
        "builtin:digits",
        tuple(_CLASS_NAMES["mnist"].split()),
        {
            "train": whole.select(order[val_end:]),
            "val": whole.select(order[_DIGITS_TEST:val_end]),
            "test": whole.select(order[:_DIGITS_TEST]),
        },
    )


def keras_dataset(name: str, path: str = "") -> Source:
    """MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; 10 % of their training images become "val".

    Args:
        name: "mnist", "fashion_mnist", "cifar10" or "cifar100".
        path: a folder with the four IDX files (MNIST and Fashion-MNIST only), plain or gzipped.
            Empty: Debian's folder for Fashion-MNIST if it is there, else Keras's download.

    Raises:
        FileNotFoundError: an IDX file is missing.
        ValueError: a damaged IDX file, or a path for a set that has no such files.
        ConnectionError: the download failed.
    """
    if path and name not in ("mnist", "fashion_mnist"):
        raise ValueError(f"{name} takes no folder, got {path!r}; write just {name!r}.")
    if not path and name == "fashion_mnist" and DEBIAN_FASHION_MNIST.is_dir():
        path = str(DEBIAN_FASHION_MNIST)
    (images, labels), (test_images, test_labels) = (
        _read_idx_folder(Path(path)) if path else _download(name)
    )
    train = Split(images, labels.reshape(-1).astype(np.int64))
    order = stratified_order(train.labels)
    held_out = round(len(train) * _VAL_FRACTION)
    return Source(
        f"{name}:{path}" if path else name,
        tuple(_CLASS_NAMES[name].split()),
        {
            "train": train.select(order[held_out:]),
            "val": train.select(order[:held_out]),
            "test": Split(test_images, test_labels.reshape(-1).astype(np.int64)),
        },
    )


def _download(name: str):
    import keras

    try:
        return getattr(keras.datasets, name).load_data()
    # Keras raises a bare Exception when a download fails.
    except Exception as error:
        raise ConnectionError(
            f"Keras could not download {name}: {error}. Offline, builtin:digits always works, "
            "and Fashion-MNIST can be installed with `apt install dataset-fashion-mnist`."
        ) from error


def _read_idx_folder(folder: Path):
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} with IDX files.")
    pairs = []
    for part in ("train", "t10k"):
        images = _read_idx(_find(folder, f"{part}-images-idx3-ubyte"), dimensions=3)
        labels = _read_idx(_find(folder, f"{part}-labels-idx1-ubyte"), dimensions=1)
        if len(images) != len(labels):
            raise ValueError(f"{folder}: {len(images)} {part} images but {len(labels)} labels.")
        pairs.append((images, labels))
    return tuple(pairs)


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{folder} has neither {name}.gz nor {name}.")


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads unsigned bytes in the format of http://yann.lecun.com/exdb/mnist: two zero bytes,
    type 8, the number of dimensions, each size as a big-endian int32, then the values."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise ValueError(f"{path} is not an IDX file of {dimensions}-dimensional bytes.")
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    if len(content) - header != math.prod(map(int, shape)):
        raise ValueError(f"{path} should hold {tuple(map(int, shape))} bytes but is cut short.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
