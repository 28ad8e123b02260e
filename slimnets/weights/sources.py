"""Published ImageNet weights: what a family says of them, and how they are fetched.

A source is called as its file is. torchvision's files carry the start of their SHA-256 in their
name. TF-Slim's archives were published without hashes: a download is checked by its length, and
its variables by name and shape.
timm's are repositories of the Hugging Face Hub, which tells the hash of what it sends.
Accuracies are the publishers': torchvision 0.29 (`_metrics`), TF-Slim's tables, and timm's
`results/results-imagenet.csv` at the training resolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slimnets.weights import hub
from slimnets.weights.download import extract_tgz, fetch
from slimnets.weights.timm_names import PADS
from tflite.images import Preprocessing

# TF-Slim's inception preprocessing at evaluation: central_crop(0.875), resize, [-1, 1].
INCEPTION = Preprocessing()
# torchvision's ImageClassification preset: resize 256, crop 224, per-channel mean and std.
TORCHVISION = Preprocessing(
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    value_range=(0.0, 1.0),
    keep_aspect_ratio=True,
)
# torchvision's second generation of weights resizes to 232 before it cuts out 224.
TORCHVISION_232 = dataclasses.replace(TORCHVISION, crop_fraction=224 / 232)
# timm's: the shorter side to size / crop, then the middle. Most have ImageNet's mean and deviation,
# TensorFlow's ports and the longest trained ones a half.
TIMM = dataclasses.replace(TORCHVISION, interpolation="bicubic")
TIMM_HALF = dataclasses.replace(TIMM, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
# Those that came to timm from elsewhere, without a normalization.
TIMM_PLAIN = dataclasses.replace(
    TIMM, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bilinear"
)
# The whole little picture: there is nothing around the object to cut away.
SMALL_PICTURES = dataclasses.replace(INCEPTION, size=(32, 32), crop_fraction=1.0)
# Segmentation: the whole picture in torchvision's range, squeezed to the input's size.
WHOLE_PICTURES = dataclasses.replace(
    TORCHVISION, size=(512, 512), crop_fraction=1.0, keep_aspect_ratio=False
)


@dataclass(frozen=True)
class WeightSource:
    """One file of published weights.

    Attributes:
        name: what `weights=` takes.
        network: the catalogue's name of the network's function, and
        options: its keywords, where they are not the defaults.
        url: the file.
        sha256: of the file, or its first digits; None: not published.
        format: "torchvision", "tf_slim", "timm" or "keras".
        classes: of ImageNet 1000, or 1001 with the background as class 0.
        preprocessing: what the images went through; `size` is the training resolution.
        top1, top5: published accuracy on ImageNet's validation set, in percent; None: not
            published, or of a detector or segmenter.
        requires: keywords that the network's function needs for the weights to fit its function.
        epsilon: of the batch norms that the weights were trained with.
    """

    name: str
    network: str
    url: str
    sha256: str | None
    format: str
    classes: int
    preprocessing: Preprocessing
    top1: float | None
    top5: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, Any] = field(default_factory=dict)
    epsilon: float = 1e-3

    @property
    def pads_same(self) -> bool:
        """Whether the weights need TensorFlow's SAME padding, and not both sides alike."""
        return not self.requires.get("use_explicit_padding", False)

    @property
    def of_imagenet(self) -> bool:
        """Whether they are a classifier's of ImageNet."""
        return self.classes in (1000, 1001)


def torchvision(
    network: str,
    stem: str,
    top1: float | None,
    top5: float | None,
    preprocessing: Preprocessing = TORCHVISION,
    requires: Mapping[str, Any] = MappingProxyType({}),
    epsilon: float = 1e-5,
    **options: Any,
) -> WeightSource:
    """torchvision's file `stem`.pth for the network's function with these options."""
    return WeightSource(
        name=stem,
        network=network,
        url=f"https://download.pytorch.org/models/{stem}.pth",
        sha256=stem.rpartition("-")[2],
        format="torchvision",
        classes=1000,
        preprocessing=preprocessing,
        top1=top1,
        top5=top5,
        options=MappingProxyType(options),
        requires=requires,
        epsilon=epsilon,
    )


def torchvision_segmenter(network: str, stem: str, requires: Mapping[str, Any]) -> WeightSource:
    """torchvision's file `stem`.pth of a segmenter of Pascal VOC's classes."""
    source = torchvision(network, stem, None, None, WHOLE_PICTURES, requires)
    return dataclasses.replace(source, classes=21)


def timm(
    network: str,
    name: str,
    top1: float,
    top5: float,
    preprocessing: Preprocessing = TIMM,
    *,
    size: int = 224,
    crop: float = 0.875,
    requires: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> WeightSource:
    """timm's weights `name` (NAME.TAG) for the network's function with these options.

    Those whose name begins with `tf_` come from TensorFlow, and pad and normalize as it does.
    """
    port = name.startswith("tf_")
    return WeightSource(
        name=f"timm/{name}",
        network=network,
        url=f"https://huggingface.co/timm/{name}",
        sha256=None,
        format="timm",
        classes=1000,
        preprocessing=dataclasses.replace(preprocessing, size=(size, size), crop_fraction=crop),
        top1=top1,
        top5=top5,
        options=MappingProxyType(options),
        requires=MappingProxyType({**requires, **({} if port else PADS)}),
        epsilon=1e-3 if port else 1e-5,
    )


def tf_slim(
    network: str,
    archive: str,
    url: str,
    top1: float,
    top5: float | None = None,
    size: int = 224,
    **options: Any,
) -> WeightSource:
    """TF-Slim's archive at `url` for the network's function with these options."""
    return WeightSource(
        name=archive,
        network=network,
        url=f"{url}/{archive}.tgz",
        sha256=None,
        format="tf_slim",
        classes=1001,
        preprocessing=dataclasses.replace(INCEPTION, size=(size, size)),
        top1=top1,
        top5=top5,
        options=MappingProxyType(options),
    )


def tf_slim_by_size(
    network: str,
    url: str,
    sizes: Sequence[int],
    accuracy: Mapping[float, Sequence[tuple[float, float]]],
) -> Iterator[WeightSource]:
    """TF-Slim's archives of a family: depth multiplier → (top-1, top-5) at each of `sizes`."""
    for alpha, row in accuracy.items():
        options = {} if alpha == 1 else {"depth_multiplier": alpha}
        for size, (top1, top5) in zip(sizes, row, strict=False):
            yield tf_slim(network, f"{network}_{alpha}_{size}", url, top1, top5, size, **options)


def fetch_source(source: WeightSource) -> Path:
    """The source's file, or the folder of its unpacked archive; downloaded if need be.

    Raises:
        ConnectionError, ValueError: as `slimnets.weights.download.fetch`.
    """
    if source.format == "timm":
        name = source.name.partition("/")[2]
        return hub.fetch(source.name, "model.safetensors", f"{name}.safetensors")
    path = fetch(source.url, source.sha256)
    return extract_tgz(path) if source.format == "tf_slim" else path


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC 2012 in the order of all these weights, a short name each."""
    text = Path(__file__).with_name("imagenet_labels.txt").read_text("utf-8")
    return tuple(text.splitlines())
