"""Published ImageNet weights: where they are, for which network, and how well they do.

A source is called as its file is. torchvision's files carry the start of their SHA-256 in their
name. TF-Slim's archives were published without hashes: a download is checked by its length, and
its variables by name and shape.
Accuracies: torchvision 0.29 (`_metrics`), TF-Slim's `mobilenet_v1.md` and `mobilenet/README.md`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slimnets.preprocessing import STYLES, Preprocessing
from slimnets.weights.download import extract_tgz, fetch
from slimnets.weights.variants import Variant
from tflite import hints

_INCEPTION, _TORCHVISION = STYLES["mobilenet"], STYLES["shufflenet"]
# torchvision's second generation of weights resizes to 232 before it cuts out 224.
_TORCHVISION_232 = dataclasses.replace(_TORCHVISION, crop_fraction=224 / 232)


@dataclass(frozen=True)
class WeightSource:
    """One file of published weights.

    Attributes:
        name: what `weights=` takes.
        network: the catalogue's name of the network's function, and
        options: its keywords, where they are not the defaults.
        url: the file.
        sha256: of the file, or its first digits; None: not published.
        format: "torchvision" or "tf_slim".
        classes: 1000, or 1001 with the background as class 0.
        preprocessing: what the images went through; `size` is the training resolution.
        top1, top5: published accuracy on ImageNet's validation set, in percent; None: not
            published.
        requires: keywords that the network's function needs for the weights to fit its function.
    """

    name: str
    network: str
    url: str
    sha256: str | None
    format: str
    classes: int
    preprocessing: Preprocessing
    top1: float
    top5: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, Any] = field(default_factory=dict)


def _torchvision(
    network: str,
    stem: str,
    top1: float,
    top5: float,
    preprocessing: Preprocessing = _TORCHVISION,
    **options: Any,
) -> WeightSource:
    pads = network.startswith("mobilenet")
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
        requires=MappingProxyType({"use_explicit_padding": True} if pads else {}),
    )


def _tf_slim(
    network: str,
    archive: str,
    url: str,
    top1: float,
    top5: float | None = None,
    size: int = 224,
    **options: Any,
) -> WeightSource:
    return WeightSource(
        name=archive,
        network=network,
        url=f"{url}/{archive}.tgz",
        sha256=None,
        format="tf_slim",
        classes=1001,
        preprocessing=dataclasses.replace(_INCEPTION, size=(size, size)),
        top1=top1,
        top5=top5,
        options=MappingProxyType(options),
    )


_V1_URL = "http://download.tensorflow.org/models/mobilenet_v1_2018_02_22"
_V2_URL = "https://storage.googleapis.com/mobilenet_v2/checkpoints"
_V3_URL = "https://storage.googleapis.com/mobilenet_v3/checkpoints"
_EDGETPU_URL = "https://storage.googleapis.com/mobilenet_edgetpu/checkpoints"

# Depth multiplier: (top-1, top-5) at each resolution.
_V1_SIZES = (224, 192, 160, 128)
_V1_ACCURACY = {
    1.0: ((70.9, 89.9), (70.0, 89.2), (68.0, 87.7), (65.2, 85.8)),
    0.75: ((68.4, 88.2), (67.2, 87.3), (65.3, 86.0), (62.1, 83.9)),
    0.5: ((63.3, 84.9), (61.7, 83.6), (59.1, 81.9), (56.3, 79.4)),
    0.25: ((49.8, 74.2), (47.7, 72.3), (45.5, 70.3), (41.5, 66.3)),
}
_V2_SIZES = (224, 192, 160, 128, 96)
_V2_ACCURACY = {
    1.4: ((75.0, 92.5),),
    1.3: ((74.4, 92.1),),
    1.0: ((71.8, 91.0), (70.7, 90.1), (68.8, 89.0), (65.3, 86.9), (60.3, 83.2)),
    0.75: ((69.8, 89.6), (68.7, 88.9), (66.4, 87.3), (63.2, 85.3), (58.8, 81.6)),
    0.5: ((65.4, 86.4), (63.9, 85.4), (61.0, 83.2), (57.7, 80.8), (51.2, 75.8)),
    0.35: ((60.3, 82.9), (58.2, 81.2), (55.7, 79.1), (50.8, 75.0), (45.5, 70.4)),
}


def _by_size(
    network: str,
    url: str,
    sizes: Sequence[int],
    accuracy: Mapping[float, Sequence[tuple[float, float]]],
) -> Iterator[WeightSource]:
    for alpha, row in accuracy.items():
        options = {} if alpha == 1 else {"depth_multiplier": alpha}
        for size, (top1, top5) in zip(sizes, row, strict=False):
            yield _tf_slim(network, f"{network}_{alpha}_{size}", url, top1, top5, size, **options)


_LARGE, _SMALL, _EDGETPU = "mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_edgetpu"
_SHUFFLE = "shufflenet_v2"

# The first that fits a network is what "imagenet" means for it.
SOURCES: tuple[WeightSource, ...] = (
    _torchvision("mobilenet_v2", "mobilenet_v2-b0353104", 71.878, 90.286),
    _torchvision("mobilenet_v2", "mobilenet_v2-7ebf99e0", 72.154, 90.822, _TORCHVISION_232),
    _torchvision(_LARGE, "mobilenet_v3_large-5c1a4163", 75.274, 92.566, _TORCHVISION_232),
    _torchvision(_LARGE, "mobilenet_v3_large-8738ca79", 74.042, 91.340),
    _torchvision(_SMALL, "mobilenet_v3_small-047dcff4", 67.668, 87.402),
    _torchvision("squeezenet1_0", "squeezenet1_0-b66bff10", 58.092, 80.420),
    _torchvision("squeezenet1_1", "squeezenet1_1-b8a52dc0", 58.178, 80.624),
    _torchvision(_SHUFFLE, "shufflenetv2_x0.5-f707e7126e", 60.552, 81.746, ratio=0.5),
    _torchvision(_SHUFFLE, "shufflenetv2_x1-5666bf0f80", 69.362, 88.316),
    _torchvision(
        _SHUFFLE, "shufflenetv2_x1_5-3c479a10", 72.996, 91.086, _TORCHVISION_232, ratio=1.5
    ),
    _torchvision(
        _SHUFFLE, "shufflenetv2_x2_0-8be3c8ee", 76.230, 93.006, _TORCHVISION_232, ratio=2.0
    ),
    *_by_size("mobilenet_v1", _V1_URL, _V1_SIZES, _V1_ACCURACY),
    *_by_size("mobilenet_v2", _V2_URL, _V2_SIZES, _V2_ACCURACY),
    _tf_slim(_LARGE, "v3-large_224_1.0_float", _V3_URL, 75.2),
    _tf_slim(_LARGE, "v3-large_224_0.75_float", _V3_URL, 73.3, depth_multiplier=0.75),
    _tf_slim(_LARGE, "v3-large-minimalistic_224_1.0_float", _V3_URL, 72.3, minimalistic=True),
    _tf_slim(_SMALL, "v3-small_224_1.0_float", _V3_URL, 67.5),
    _tf_slim(_SMALL, "v3-small_224_0.75_float", _V3_URL, 65.4, depth_multiplier=0.75),
    _tf_slim(_SMALL, "v3-small-minimalistic_224_1.0_float", _V3_URL, 61.9, minimalistic=True),
    _tf_slim(_EDGETPU, "mobilenet_edgetpu_224_1.0", _EDGETPU_URL, 75.6),
    _tf_slim(_EDGETPU, "mobilenet_edgetpu_224_0.75", _EDGETPU_URL, 73.5, depth_multiplier=0.75),
)

_BY_NAME = {source.name: source for source in SOURCES}


def sources_for(network: str, options: Mapping[str, Any] | None = None) -> list[WeightSource]:
    """The sources for a network of the catalogue, the default one first.

    Args:
        network: its name.
        options: keywords of its function; those that leave the weights' shapes alone are ignored.
          None: the sources of all its variants.
    """
    keys = {key for source in SOURCES for key in source.options} | {
        "reduced_tail",
        "shrink_last",
        "bypass",
    }
    return [
        source
        for source in SOURCES
        if source.network == network
        and (options is None or _shape_options(options, keys) == dict(source.options))
    ]


def _shape_options(options: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    # The defaults of everything that decides shapes (depth_multiplier, ratio, bypass, …).
    defaults = (None, False, 1.0)
    return {k: v for k, v in options.items() if k in keys and (v is True or v not in defaults)}


def find(
    name: str, variant: Callable[[], Variant | None], size: int | None = None
) -> WeightSource | None:
    """The source of this name; None if the catalogue has none (it may be a path).

    Args:
        name: of a source, or "imagenet".
        variant: tells, for "imagenet", the network.
        size: for "imagenet", the preferred training resolution.

    Raises:
        ValueError: "imagenet", and there are no ImageNet weights of the network.
    """
    if name != "imagenet":
        return _BY_NAME.get(name)
    network = variant()
    found = sources_for(network.network, network.options) if network else []
    if not found:
        others = [source.name for source in sources_for(network.network)] if network else []
        raise ValueError(
            f"no ImageNet weights are known for {network or 'a table of your own'}"
            + (f"; there are {', '.join(others)}." if others else ".")
        )
    return next((s for s in found if s.preprocessing.size[0] == size), found[0])


def nearest(name: str) -> str | None:
    """The source whose name is most like `name`, for an error message."""
    return hints.nearest(name, [*_BY_NAME, "imagenet"])


def fetch_source(source: WeightSource) -> Path:
    """The source's file, or the folder of its unpacked archive; downloaded if need be.

    Raises:
        ConnectionError, ValueError: as `slimnets.weights.download.fetch`.
    """
    path = fetch(source.url, source.sha256)
    return extract_tgz(path) if source.format == "tf_slim" else path


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC 2012 in the order of all these weights, a short name each."""
    text = Path(__file__).with_name("imagenet_labels.txt").read_text("utf-8")
    return tuple(text.splitlines())
