"""Names → networks, with their published figures and the weights that exist for them.

Adding a network takes its file in `slimnets/nets/` and its line here. Parameters count batch
norm's moving statistics; multiply-adds are for one image of the default size. Both, and the
accuracies on ImageNet (top-1 and 8-bit top-1, %), are the papers' and the reference
implementations' figures; the tests hold the builders to them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tflite.hints import did_you_mean


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a network without building it.

    Attributes:
        name: what `create_model` takes.
        builder: name of the function in `slimnets` that it calls, with `options`.
        size: default input height and width in pixels.
        classes: default number of classes.
        params, macs: total parameters, and multiply-adds for one image at `size`.
        top1, top1_int8: published accuracy in %, or None.
        paper: arXiv number.
        licence: of the code and of the references' published weights.
    """

    name: str
    builder: str
    options: Mapping[str, Any] = field(hash=False)
    size: int
    classes: int
    params: int
    macs: int
    top1: float | None
    top1_int8: float | None
    paper: str
    licence: str = "Apache-2.0"

    @property
    def weight_sources(self) -> tuple[str, ...]:
        """Names of published weights for it, as `weights=` takes them; the default one first."""
        from slimnets.weights.sources import sources_for

        return tuple(source.name for source in sources_for(self.builder, self.options))


_PAPERS = {
    "mobilenet_v1": "1704.04861",
    "mobilenet_v2": "1801.04381",
    "mobilenet_v3": "1905.02244",
    "mobilenet_edgetpu": "1905.02244",
    "squeezenet": "1602.07360",
    "shufflenet_v1": "1707.01083",
    "shufflenet_v2": "1807.11164",
}
# torchvision's weights and code are under BSD-3-Clause; so are the ones of these families here.
_BSD = ("squeezenet", "shufflenet_v2")

_IMAGENET, _CIFAR10, _CIFAR100 = (224, 1000), (32, 10), (32, 100)
_A = "depth_multiplier"

_TABLE = (
    # name                       builder                 options                 input      params     multiply-adds  top-1  int8
    ("mobilenet_v1",             "mobilenet_v1",         {},                     _IMAGENET, 4_253_864, 568_740_352,   70.9,  69.7),
    ("mobilenet_v1_075",         "mobilenet_v1",         {_A: 0.75},             _IMAGENET, 2_601_976, 325_400_448,   68.4,  67.9),
    ("mobilenet_v1_050",         "mobilenet_v1",         {_A: 0.5},              _IMAGENET, 1_342_536, 149_497_088,   63.3,  62.2),
    ("mobilenet_v1_025",         "mobilenet_v1",         {_A: 0.25},             _IMAGENET, 475_544,   41_030_272,    49.8,  48.2),
    ("mobilenet_v1_cifar",       "mobilenet_v1_cifar",   {},                     _CIFAR100, 3_337_316, 46_446_592,    None,  None),
    ("mobilenet_v2_140",         "mobilenet_v2",         {_A: 1.4},              _IMAGENET, 6_156_712, 582_195_824,   75.0,  None),
    ("mobilenet_v2_130",         "mobilenet_v2",         {_A: 1.3},              _IMAGENET, 5_431_048, 509_374_560,   74.4,  None),
    ("mobilenet_v2",             "mobilenet_v2",         {},                     _IMAGENET, 3_538_984, 300_774_272,   71.8,  None),
    ("mobilenet_v2_075",         "mobilenet_v2",         {_A: 0.75},             _IMAGENET, 2_663_064, 209_069_792,   69.8,  None),
    ("mobilenet_v2_050",         "mobilenet_v2",         {_A: 0.5},              _IMAGENET, 1_987_224, 97_131_840,    65.4,  None),
    ("mobilenet_v2_035",         "mobilenet_v2",         {_A: 0.35},             _IMAGENET, 1_691_208, 59_285_808,    60.3,  None),
    ("mobilenet_v2_cifar10",     "mobilenet_v2_cifar10", {},                     _CIFAR10,  2_332_010, 91_154_944,    None,  None),
    ("mobilenet_v2_cifar100",    "mobilenet_v2_cifar100", {},                    _CIFAR100, 2_403_556, 64_947_264,    None,  None),
    ("mobilenet_v3_large",       "mobilenet_v3_large",   {},                     _IMAGENET, 5_507_432, 216_589_760,   75.2,  73.9),
    ("mobilenet_v3_large_075",   "mobilenet_v3_large",   {_A: 0.75},             _IMAGENET, 4_012_616, 154_560_624,   73.3,  None),
    ("mobilenet_v3_large_minimalistic", "mobilenet_v3_large", {"minimalistic": True}, _IMAGENET, 3_948_688, 209_136_704, 72.3, 71.3),
    ("mobilenet_v3_large_reduced_tail", "mobilenet_v3_large", {"reduced_tail": True}, _IMAGENET, 2_588_472, 182_302_720, None, None),
    ("mobilenet_v3_small",       "mobilenet_v3_small",   {},                     _IMAGENET, 2_554_968, 56_510_400,    67.5,  64.9),
    ("mobilenet_v3_small_075",   "mobilenet_v3_small",   {_A: 0.75},             _IMAGENET, 2_051_552, 43_399_344,    65.4,  None),
    ("mobilenet_v3_small_minimalistic", "mobilenet_v3_small", {"minimalistic": True}, _IMAGENET, 2_056_848, 52_288_448, 61.9, None),
    ("mobilenet_v3_small_reduced_tail", "mobilenet_v3_small", {"reduced_tail": True}, _IMAGENET, 1_108_616, 43_763_584, None, None),
    ("mobilenet_edgetpu",        "mobilenet_edgetpu",    {},                     _IMAGENET, 4_130_312, 990_669_184,   75.6,  None),
    ("squeezenet1_0",            "squeezenet1_0",        {},                     _IMAGENET, 1_248_424, 818_924_576,   58.1,  None),
    ("squeezenet1_1",            "squeezenet1_1",        {},                     _IMAGENET, 1_235_496, 349_151_936,   58.2,  None),
    ("squeezenet_cifar",         "squeezenet_cifar",     {},                     _CIFAR100, 787_108,   53_280_768,    None,  None),
    ("shufflenet_v1_g1",         "shufflenet_v1",        {"groups": 1},          _IMAGENET, 1_546_624, 143_078_976,   66.4,  None),
    ("shufflenet_v1_g2",         "shufflenet_v1",        {"groups": 2},          _IMAGENET, 1_754_248, 140_836_512,   67.3,  None),
    ("shufflenet_v1",            "shufflenet_v1",        {},                     _IMAGENET, 1_890_208, 137_460_672,   67.4,  None),
    ("shufflenet_v1_g4",         "shufflenet_v1",        {"groups": 4},          _IMAGENET, 1_996_088, 134_339_776,   67.2,  None),
    ("shufflenet_v1_g8",         "shufflenet_v1",        {"groups": 8},          _IMAGENET, 2_473_936, 138_365_952,   67.6,  None),
    ("shufflenet_v1_cifar",      "shufflenet_v1_cifar",  {},                     _CIFAR100, 1_036_588, 41_693_952,    None,  None),
    ("shufflenet_v2_x0_5",       "shufflenet_v2",        {"ratio": 0.5},         _IMAGENET, 1_374_744, 40_476_448,    60.6,  None),
    ("shufflenet_v2",            "shufflenet_v2",        {},                     _IMAGENET, 2_294_784, 144_907_992,   69.4,  None),
    ("shufflenet_v2_x1_5",       "shufflenet_v2",        {"ratio": 1.5},         _IMAGENET, 3_527_064, 295_759_392,   73.0,  None),
    ("shufflenet_v2_x2_0",       "shufflenet_v2",        {"ratio": 2.0},         _IMAGENET, 7_427_712, 583_253_464,   76.2,  None),
    ("shufflenet_v2_cifar",      "shufflenet_v2_cifar",  {},                     _CIFAR100, 1_376_940, 43_675_520,    None,  None),
)  # fmt: skip


def _info(name, builder, options, default, params, macs, top1, top1_int8) -> ModelInfo:
    return ModelInfo(
        name,
        builder,
        MappingProxyType(options),
        *default,
        params,
        macs,
        top1,
        top1_int8,
        paper=next(arxiv for family, arxiv in _PAPERS.items() if builder.startswith(family)),
        licence="BSD-3-Clause" if builder.startswith(_BSD) else "Apache-2.0",
    )


CATALOG: Mapping[str, ModelInfo] = MappingProxyType({row[0]: _info(*row) for row in _TABLE})


def list_models(pattern: str = "*", pretrained: bool | None = None) -> list[str]:
    """Names of the catalogue that match a shell pattern, in its order.

    `pretrained` True: only those with published weights; False: only those without.
    """
    return [
        name
        for name, info in CATALOG.items()
        if fnmatch.fnmatchcase(name, pattern) and pretrained in (None, bool(info.weight_sources))
    ]


def model_info(name: str) -> ModelInfo:
    """What is known of a network of the catalogue; ValueError for an unknown name."""
    if name not in CATALOG:
        raise ValueError(
            f"Unknown network {name!r}.{did_you_mean(name, CATALOG)} list_models() lists all "
            f"{len(CATALOG)}."
        )
    return CATALOG[name]


def create_model(name: str, **kwargs: Any) -> Any:
    """Build a network of the catalogue; `kwargs` go to its builder, over the name's own options.

    Raises:
        ValueError: an unknown name, with the nearest one; whatever the builder raises.
        TypeError: an argument that the builder does not take.
    """
    import slimnets

    info = model_info(name)
    return getattr(slimnets, info.builder)(**{**info.options, **kwargs})
