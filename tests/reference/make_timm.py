"""Make the golden files whose references are timm's.

    python -m tests.reference.make_timm [NAME ...]

Needs timm, torch and torchvision. Without names all files are made.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import timm
import torch

from .golden import Golden, make, save, table_row
from .make_torch import Network, tensors_of

# Golden file: timm's network, image size, modules to sample.
_V1 = ("bn1", "blocks.0.0", "blocks.1.1", "blocks.3.0", "blocks.4.1")
_V2 = ("bn1", "blocks.0.0", "blocks.2.2", "blocks.4.2", "blocks.6.0", "bn2")
_V3_LARGE = ("bn1", "blocks.0.0", "blocks.2.2", "blocks.4.1", "blocks.6.0")
_V3_SMALL = ("bn1", "blocks.0.0", "blocks.2.2", "blocks.3.1", "blocks.5.0")
_V4_SMALL = ("bn1", "blocks.0.1", "blocks.2.0", "blocks.2.5", "blocks.3.0", "blocks.4.0")
_V4 = ("bn1", "blocks.0.0", "blocks.1.1", "blocks.2.0", "blocks.3.0", "blocks.4.0")
_EDGETPU = ("bn1", "blocks.0.0", "blocks.1.1", "blocks.2.3", "blocks.4.0", "blocks.6.0", "bn2")
_LITE = ("bn1", "blocks.0.0", "blocks.2.1", "blocks.4.2", "blocks.6.0", "bn2")

CASES = {
    "timm_mobilenetv1_100": ("mobilenetv1_100", 96, _V1),
    "timm_mobilenetv1_125_97px": ("mobilenetv1_125", 97, _V1),
    "timm_mobilenetv2_050": ("mobilenetv2_050", 96, _V2),
    "timm_mobilenetv2_140_97px": ("mobilenetv2_140", 97, _V2),
    "timm_mobilenetv3_large_100": ("mobilenetv3_large_100", 96, _V3_LARGE),
    "timm_mobilenetv3_small_050_97px": ("mobilenetv3_small_050", 97, _V3_SMALL),
    "timm_tf_mobilenetv3_small_075": ("tf_mobilenetv3_small_075", 96, _V3_SMALL),
    "timm_tf_mobilenetv3_large_minimal_100": ("tf_mobilenetv3_large_minimal_100", 96, _V3_LARGE),
    "timm_mobilenetv4_conv_small": ("mobilenetv4_conv_small", 96, _V4_SMALL),
    "timm_mobilenetv4_conv_small_97px": ("mobilenetv4_conv_small", 97, _V4_SMALL),
    "timm_mobilenetv4_conv_small_224px": ("mobilenetv4_conv_small", 224, _V4_SMALL),
    "timm_mobilenetv4_conv_small_050": ("mobilenetv4_conv_small_050", 96, _V4_SMALL),
    "timm_mobilenetv4_conv_small_035": ("mobilenetv4_conv_small_035", 96, _V4_SMALL),
    "timm_mobilenetv4_conv_medium": ("mobilenetv4_conv_medium", 96, _V4),
    "timm_mobilenetv4_conv_medium_224px": ("mobilenetv4_conv_medium", 224, _V4),
    "timm_mobilenetv4_conv_large": ("mobilenetv4_conv_large", 96, _V4),
    "timm_mobilenetv4_conv_large_224px": ("mobilenetv4_conv_large", 224, _V4),
    "timm_mobilenet_edgetpu_v2_xs": ("mobilenet_edgetpu_v2_xs", 96, _EDGETPU),
    "timm_mobilenet_edgetpu_v2_xs_224px": ("mobilenet_edgetpu_v2_xs", 224, _EDGETPU),
    "timm_mobilenet_edgetpu_v2_s_97px": ("mobilenet_edgetpu_v2_s", 97, _EDGETPU),
    "timm_mobilenet_edgetpu_v2_m": ("mobilenet_edgetpu_v2_m", 96, _EDGETPU),
    "timm_mobilenet_edgetpu_v2_l": ("mobilenet_edgetpu_v2_l", 96, _EDGETPU),
    "timm_efficientnet_lite0": ("efficientnet_lite0", 96, _LITE),
    "timm_tf_efficientnet_lite0": ("tf_efficientnet_lite0", 96, _LITE),
    "timm_tf_efficientnet_lite0_224px": ("tf_efficientnet_lite0", 224, _LITE),
    "timm_tf_efficientnet_lite1": ("tf_efficientnet_lite1", 96, _LITE),
    "timm_tf_efficientnet_lite3": ("tf_efficientnet_lite3", 96, _LITE),
    "timm_tf_efficientnet_lite2_97px": ("tf_efficientnet_lite2", 97, _LITE),
}


def make_case(name: str, size: int, modules: Sequence[str]) -> Golden:
    """Build timm's network of this name in both precisions and ask it."""
    builder: Callable[[], torch.nn.Module] = partial(timm.create_model, name, pretrained=False)
    net = builder()
    return make(
        f"timm {timm.__version__}, torch {torch.__version__}",
        tensors_of(net),
        size,
        Network(net, torch.float32, modules),
        Network(builder(), torch.float64, modules),
        dict.fromkeys(modules),
    )


def main(names: Sequence[str]) -> None:
    """Make the named files, or all."""
    for file in names or CASES:
        golden = make_case(*CASES[file])
        save(file, golden)
        print(table_row(file, golden), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
