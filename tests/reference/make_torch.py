"""Make the golden files whose references run in PyTorch.

    python -m tests.reference.make_torch [NAME ...]

Needs torch and torchvision. Without names all files are made.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision import models
from torchvision.models import mobilenetv3

from . import torch_nets
from .golden import Answer, Golden, Tensor, make, save, table_row

V1 = ("model.0", "model.1.2", "model.1", "model.2.2", "model.6", "model.13")
V2 = ("features.0", "features.2.conv.0", "features.2", "features.3", "features.7", "features.18")
V3_LARGE = ("features.0", "features.2", "features.4", "features.7", "features.13", "features.16")
V3_SMALL = ("features.0", "features.1", "features.4", "features.9", "features.12")
SQUEEZENET = ("features.2", "features.3", "features.7", "features.12")
SHUFFLENET_V1 = ("conv1", "stage2.0", "stage2", "stage3", "stage4")
SHUFFLENET_V2 = ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")
V1_CIFAR = ("stem", "conv1", "conv2", "conv3", "conv4")
V2_CIFAR10 = ("bn1", "layers.0", "layers.1", "layers.3", "layers.16")
V2_CIFAR100 = ("pre", "stage1", "stage2", "stage4", "stage7", "conv1")
SQUEEZENET_CIFAR = ("stem", "fire2", "fire4", "fire5", "fire9")
SHUFFLENET_V2_CIFAR = ("pre", "stage2.0", "stage2", "stage3", "stage4", "conv5")

Case = tuple[Callable[[], nn.Module], int, Sequence[str]]


def mobilenet_v3(arch: str, **options: object) -> nn.Module:
    """torchvision's MobileNetV3 with the options its public functions do not pass on."""
    setting, last = mobilenetv3._mobilenet_v3_conf(arch, **options)
    return mobilenetv3.MobileNetV3(setting, last)


def cases() -> dict[str, Case]:
    """File name to (network, image size, modules to sample)."""
    large = partial(mobilenet_v3, "mobilenet_v3_large")
    small = partial(mobilenet_v3, "mobilenet_v3_small")
    table: dict[str, Case] = {
        "mobilenet_v1_port": (torch_nets.MobileNetV1Port, 96, V1),
        "mobilenet_v1_port_97px": (torch_nets.MobileNetV1Port, 97, V1),
        "mobilenet_v2": (models.mobilenet_v2, 96, V2),
        "mobilenet_v2_97px": (models.mobilenet_v2, 97, V2),
        "mobilenet_v2_x0.5": (partial(models.mobilenet_v2, width_mult=0.5), 96, V2),
        "mobilenet_v2_x1.4": (partial(models.mobilenet_v2, width_mult=1.4), 96, V2),
        "mobilenet_v3_large": (large, 96, V3_LARGE),
        "mobilenet_v3_large_100px": (large, 100, V3_LARGE),
        "mobilenet_v3_large_reduced_tail": (partial(large, reduced_tail=True), 96, V3_LARGE),
        "mobilenet_v3_small": (small, 96, V3_SMALL),
        "mobilenet_v3_small_97px": (small, 97, V3_SMALL),
        "mobilenet_v3_small_reduced_tail": (partial(small, reduced_tail=True), 96, V3_SMALL),
        "squeezenet1_0": (models.squeezenet1_0, 96, SQUEEZENET),
        "squeezenet1_0_100px": (models.squeezenet1_0, 100, SQUEEZENET),
        "squeezenet1_1": (models.squeezenet1_1, 96, SQUEEZENET),
        "squeezenet1_1_97px": (models.squeezenet1_1, 97, SQUEEZENET),
        "shufflenet_v2_x1.0_97px": (models.shufflenet_v2_x1_0, 97, SHUFFLENET_V2),
        "shufflenet_v1_g3_x0.5": (partial(torch_nets.ShuffleNetV1, 3, 0.5), 96, SHUFFLENET_V1),
        "shufflenet_v1_g3_97px": (torch_nets.ShuffleNetV1, 97, SHUFFLENET_V1),
        "mobilenet_v2_cifar10": (torch_nets.MobileNetV2Cifar10, 32, V2_CIFAR10),
        "mobilenet_v2_cifar100": (torch_nets.MobileNetV2Cifar100, 32, V2_CIFAR100),
        "squeezenet_cifar100": (torch_nets.SqueezeNetCifar100, 32, SQUEEZENET_CIFAR),
    }  # fmt: skip
    for ratio in (0.5, 1.0, 1.5, 2.0):
        builder = getattr(models, f"shufflenet_v2_x{ratio}".replace(".", "_"))
        table[f"shufflenet_v2_x{ratio}"] = (builder, 96, SHUFFLENET_V2)
        cifar = partial(torch_nets.ShuffleNetV2Cifar100, ratio)
        table[f"shufflenet_v2_x{ratio}_cifar100"] = (cifar, 32, SHUFFLENET_V2_CIFAR)
    for alpha in (0.25, 0.5, 0.75, 1.0):
        cifar = partial(torch_nets.MobileNetV1Cifar100, alpha)
        table[f"mobilenet_v1_x{alpha}_cifar100"] = (cifar, 32, V1_CIFAR)
    for groups in torch_nets.SHUFFLE_V1_WIDTHS:
        net = partial(torch_nets.ShuffleNetV1, groups)
        cifar = partial(torch_nets.ShuffleNetV1Cifar100, groups)
        table[f"shufflenet_v1_g{groups}"] = (net, 96, SHUFFLENET_V1)
        table[f"shufflenet_v1_g{groups}_cifar100"] = (cifar, 32, SHUFFLENET_V1)
    return table


def slim_end_point(name: str, module: str) -> str | None:
    """TF-Slim's name of what `module` computes in the network of golden file `name`."""
    if name.startswith("mobilenet_v1_port"):
        _, index, *part = module.split(".")
        return f"Conv2d_{index}" + ("" if index == "0" else "_depthwise" if part else "_pointwise")
    if re.match(r"mobilenet_v[23]", name) and module.startswith("features."):
        _, index, *part = module.split(".")
        layer = f"layer_{int(index) + 1}"
        if part:
            return f"{layer}/expansion_output"
        ends = {"0", "18" if "v2" in name else "16" if "large" in name else "12"}
        return layer if index in ends else f"{layer}/output"
    return None


class Network:
    """A PyTorch network in one precision that can be asked about NHWC numpy images."""

    def __init__(self, net: nn.Module, dtype: torch.dtype, modules: Sequence[str]) -> None:
        self.net = net.to(dtype).eval()
        self.dtype = dtype
        self.modules = modules

    def __call__(self, weights: dict[str, np.ndarray], images: np.ndarray) -> Answer:
        self.net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        activations: dict[str, np.ndarray] = {}

        def keep(module: str, _net: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            activations[module] = output.permute(0, 2, 3, 1).numpy().copy()

        handles = [
            self.net.get_submodule(module).register_forward_hook(partial(keep, module))
            for module in self.modules
        ]
        nchw = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.dtype)
        with torch.inference_mode():
            logits = self.net(nchw).numpy().copy()
        for handle in handles:
            handle.remove()
        return Answer(logits, activations)


def tensors_of(net: nn.Module) -> tuple[Tensor, ...]:
    """The state dict's names and shapes, in its order."""
    return tuple(Tensor(k, tuple(v.shape), "OIHW") for k, v in net.state_dict().items())


def make_case(name: str, case: Case) -> Golden:
    """Build the networks of a case and ask them."""
    builder, size, modules = case
    net = builder()
    official = not type(net).__module__.endswith("torch_nets")
    source = f"torchvision {torchvision.__version__}" if official else "torch_nets.py"
    return make(
        f"{source}, torch {torch.__version__}",
        tensors_of(net),
        size,
        Network(net, torch.float32, modules),
        Network(builder(), torch.float64, modules),
        {module: slim_end_point(name, module) for module in modules},
    )


def main(names: Sequence[str]) -> None:
    """Make the named files, or all."""
    table = cases()
    for name in names or table:
        golden = make_case(name, table[name])
        save(name, golden)
        print(table_row(name, golden), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
