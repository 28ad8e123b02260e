"""slimnets: mobile networks in Keras 3, from their table to a device file.

Names load on first use: importing this package imports neither TensorFlow nor Keras.
"""

import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_NAMES = {
    "slimnets.arg_scope": ("arg_scope",),
    "slimnets.catalog": ("ModelInfo", "create_model", "list_models", "model_info"),
    "slimnets.complexity": ("Complexity", "complexity"),
    "slimnets.conv_defs": (
        "Conv",
        "DepthSepConv",
        "Factor",
        "Fire",
        "FusedInvertedResidual",
        "InvertedResidual",
        "MaxPool",
        "ShuffleStage",
        "ShuffleUnit",
        "make_divisible",
    ),
    "slimnets.network": ("end_points",),
    "slimnets.nets.mobilenet_v1": (
        "MOBILENET_V1_CIFAR_DEFS",
        "MOBILENET_V1_DEFS",
        "MOBILENET_V1_FULL_CONV_DEFS",
        "MOBILENET_V1_SHALLOW_DEFS",
        "mobilenet_v1",
        "mobilenet_v1_025",
        "mobilenet_v1_050",
        "mobilenet_v1_075",
        "mobilenet_v1_arg_scope",
        "mobilenet_v1_base",
        "mobilenet_v1_cifar",
    ),
    "slimnets.nets.mobilenet_v2": (
        "MOBILENET_V2_CIFAR100_DEFS",
        "MOBILENET_V2_CIFAR10_DEFS",
        "MOBILENET_V2_DEFS",
        "mobilenet_v2",
        "mobilenet_v2_035",
        "mobilenet_v2_050",
        "mobilenet_v2_140",
        "mobilenet_v2_base",
        "mobilenet_v2_cifar10",
        "mobilenet_v2_cifar100",
        "training_scope",
    ),
    "slimnets.nets.mobilenet_v3": (
        "MOBILENET_EDGETPU_DEFS",
        "MOBILENET_V3_LARGE_DEFS",
        "MOBILENET_V3_LARGE_DETECTION_DEFS",
        "MOBILENET_V3_SMALL_DEFS",
        "MOBILENET_V3_SMALL_DETECTION_DEFS",
        "minimalistic",
        "mobilenet_edgetpu",
        "mobilenet_edgetpu_base",
        "mobilenet_v3_large",
        "mobilenet_v3_large_base",
        "mobilenet_v3_small",
        "mobilenet_v3_small_base",
        "reduced_tail",
    ),
    "slimnets.nets.shufflenet_v1": (
        "shufflenet_v1",
        "shufflenet_v1_cifar",
        "shufflenet_v1_cifar_defs",
        "shufflenet_v1_defs",
    ),
    "slimnets.nets.shufflenet_v2": (
        "channel_orders",
        "shufflenet_v2",
        "shufflenet_v2_cifar",
        "shufflenet_v2_cifar_defs",
        "shufflenet_v2_defs",
    ),
    "slimnets.nets.squeezenet": (
        "SQUEEZENET1_0_DEFS",
        "SQUEEZENET1_1_DEFS",
        "SQUEEZENET_CIFAR_DEFS",
        "squeezenet1_0",
        "squeezenet1_1",
        "squeezenet_cifar",
    ),
    "slimnets.weights": ("export_torch", "load_weights"),
    "slimnets.preprocessing": ("Preprocessing", "preprocessing"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'slimnets' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


class _Package(ModuleType):
    """Keeps `slimnets.arg_scope` the function when Python binds the submodule of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
