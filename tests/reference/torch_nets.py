"""The networks without an official PyTorch implementation, as plain PyTorch modules.

The CIFAR forms, the PyTorch port of MobileNetV1 and ShuffleNetV1 exist only in people's
checkpoints. They are written here from the papers and the project's network specification, with the
state-dict names those checkpoints use, so that golden files can be made from them. Inputs are NCHW.
Needs torch; only `make_torch.py` imports this module.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

# stride, output channels; arXiv 1704.04861 Table 1 without its stem.
V1_BODY = (
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512),
    (1, 512), (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024),
)  # fmt: skip
V1_CIFAR_STAGES = (
    ((2, 128), (1, 128)),
    ((2, 256), (1, 256)),
    ((2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512)),
    ((2, 1024), (1, 1024)),
)
# expansion, output channels, repeats, stride of the first; arXiv 1801.04381 Table 2 for CIFAR.
V2_CIFAR10 = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
V2_CIFAR100 = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 1))
SHUFFLE_V1_WIDTHS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
SHUFFLE_V2_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
SHUFFLE_UNITS = (4, 8, 4)


def conv_bn(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    bias: bool = True,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution (`.0`), batch norm (`.1`) and, unless None, an activation (`.2`)."""
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=bias
    )
    tail = [] if activation is None else [activation()]
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), *tail)


class ConvBN(nn.Module):
    """Convolution, batch norm and ReLU under the names `conv` and `bn`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int, padding: int, bias: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


def global_mean(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C)."""
    return x.mean((2, 3))


# MobileNetV1


class MobileNetV1Port(nn.Module):
    """The PyTorch port: ReLU, padding 1, batch-norm epsilon 1e-5, dense classifier."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        blocks = [conv_bn(3, 32, 3, stride=2, padding=1, bias=False)]
        width = 32
        for stride, depth in V1_BODY:
            depthwise = conv_bn(width, width, 3, stride=stride, padding=1, groups=width, bias=False)
            blocks.append(nn.Sequential(*depthwise, *conv_bn(width, depth, bias=False)))
            width = depth
        self.model = nn.Sequential(*blocks)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        # The port pools a fixed 7x7 window, which at its 224 pixels is the global mean.
        return self.fc(global_mean(self.model(x)))


class DepthSeparable(nn.Module):
    """`depthwise` without and `pointwise` with biases before the batch norms."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = conv_bn(
            inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False
        )
        self.pointwise = conv_bn(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class MobileNetV1Cifar100(nn.Module):
    """MobileNetV1 for 32x32 images: stride-1 stem, biases in the pointwise convolutions."""

    def __init__(self, alpha: float = 1.0, num_classes: int = 100) -> None:
        super().__init__()
        width = int(64 * alpha)
        stem = int(32 * alpha)
        self.stem = nn.Sequential(
            ConvBN(3, stem, 3, stride=1, padding=1, bias=False), DepthSeparable(stem, width, 1)
        )
        for number, rows in enumerate(V1_CIFAR_STAGES, start=1):
            blocks = []
            for stride, depth in rows:
                blocks.append(DepthSeparable(width, int(depth * alpha), stride))
                width = int(depth * alpha)
            setattr(self, f"conv{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv4(self.conv3(self.conv2(self.conv1(self.stem(x)))))
        return self.fc(global_mean(x))


# MobileNetV2


class BlockV2Cifar10(nn.Module):
    """Inverted residual with plain ReLU, an expansion always, and a projected shortcut."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = expansion * inputs
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        if stride == 1:
            self.shortcut = (
                nn.Identity()
                if inputs == outputs
                else conv_bn(inputs, outputs, bias=False, activation=None)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return y + self.shortcut(x) if self.stride == 1 else y


class MobileNetV2Cifar10(nn.Module):
    """MobileNetV2 for 32x32 images and 10 classes: ReLU, stride-1 stem, 4x4 average pool."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        blocks, width = [], 32
        for expansion, depth, repeats, stride in V2_CIFAR10:
            for index in range(repeats):
                blocks.append(BlockV2Cifar10(width, depth, expansion, 1 if index else stride))
                width = depth
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(width, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(self.layers(x))))
        return self.linear(functional.avg_pool2d(x, 4).flatten(1))


class BlockV2Cifar100(nn.Module):
    """Inverted residual with ReLU6 and biases; the input is added where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = expansion * inputs
        self.residual = nn.Sequential(
            *conv_bn(inputs, width, activation=nn.ReLU6),
            *conv_bn(width, width, 3, stride=stride, padding=1, groups=width, activation=nn.ReLU6),
            *conv_bn(width, outputs, activation=None),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x) + x if self.adds else self.residual(x)


class MobileNetV2Cifar100(nn.Module):
    """MobileNetV2 for 32x32 images and 100 classes; its padded 1x1 stem gives 34x34 maps."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__()
        self.pre = conv_bn(3, 32, padding=1, activation=nn.ReLU6)
        self.stage1 = BlockV2Cifar100(32, 16, 1, 1)
        width = 16
        for number, (depth, repeats, stride) in enumerate(V2_CIFAR100, start=2):
            blocks = []
            for index in range(repeats):
                blocks.append(BlockV2Cifar100(width, depth, 6, 1 if index else stride))
                width = depth
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self.stage7 = BlockV2Cifar100(width, 320, 6, 1)
        self.conv1 = conv_bn(320, 1280, activation=nn.ReLU6)
        self.conv2 = nn.Conv2d(1280, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.pre(x))))
        x = self.conv1(self.stage7(self.stage6(self.stage5(self.stage4(x)))))
        return self.conv2(x.mean((2, 3), keepdim=True)).flatten(1)


# SqueezeNet


class FireBN(nn.Module):
    """Fire module with batch norm; both expansions give half of the output channels."""

    def __init__(self, inputs: int, outputs: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze = conv_bn(inputs, squeeze)
        self.expand_1x1 = conv_bn(squeeze, outputs // 2)
        self.expand_3x3 = conv_bn(squeeze, outputs // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand_1x1(x), self.expand_3x3(x)], 1)


class SqueezeNetCifar100(nn.Module):
    """SqueezeNet with batch norm and simple bypass for 32x32 images."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, 96, 3, padding=1), nn.MaxPool2d(2, 2))
        self.fire2 = FireBN(96, 128, 16)
        self.fire3 = FireBN(128, 128, 16)
        self.fire4 = FireBN(128, 256, 32)
        self.fire5 = FireBN(256, 256, 32)
        self.fire6 = FireBN(256, 384, 48)
        self.fire7 = FireBN(384, 384, 48)
        self.fire8 = FireBN(384, 512, 64)
        self.fire9 = FireBN(512, 512, 64)
        self.conv10 = nn.Conv2d(512, num_classes, 1)
        self.maxpool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        f2 = self.fire2(self.stem(x))
        f3 = self.fire3(f2) + f2
        f4 = self.maxpool(self.fire4(f3))
        f5 = self.fire5(f4) + f4
        f6 = self.fire6(f5)
        f7 = self.fire7(f6) + f6
        f8 = self.maxpool(self.fire8(f7))
        return global_mean(self.conv10(self.fire9(f8)))


# ShuffleNet


class ChannelShuffle(nn.Module):
    """Output channel i*g + k takes input channel k*n + i (g groups of n)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.view(batch, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(batch, channels, height, width)


class PointwiseUnit(nn.Module):
    """Grouped 1x1 convolution and batch norm, under the name `pointwise`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        groups: int,
        bias: bool,
        activation: Callable[[], nn.Module] | None,
    ) -> None:
        super().__init__()
        self.pointwise = conv_bn(inputs, outputs, groups=groups, bias=bias, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(x)


class DepthwiseUnit(nn.Module):
    """Depthwise 3x3 convolution and batch norm, under the name `depthwise`."""

    def __init__(self, channels: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.depthwise = conv_bn(
            channels, channels, 3,
            stride=stride, padding=1, groups=channels, bias=bias, activation=None,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.depthwise(x)


class UnitV1(nn.Module):
    """ShuffleNetV1 unit; the attribute `bottlneck` is spelt as in the checkpoints."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, groups: int, first_groups: int, bias: bool
    ) -> None:
        super().__init__()
        width = outputs // 4
        main = outputs if stride == 1 else outputs - inputs
        self.bottlneck = nn.Sequential(
            PointwiseUnit(inputs, width, first_groups, bias, nn.ReLU), ChannelShuffle(groups)
        )
        self.depthwise = DepthwiseUnit(width, stride, bias)
        self.expand = PointwiseUnit(width, main, groups, bias, None)
        # The average counts the padding zeros (PyTorch's default).
        self.shortcut = None if stride == 1 else nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.depthwise(self.bottlneck(x)))
        if self.shortcut is None:
            return functional.relu(x + y)
        return functional.relu(torch.cat([self.shortcut(x), y], 1))


def _shuffle_v1_stages(
    net: nn.Module, stem: int, widths: tuple[int, ...], groups: int, *, cifar: bool
) -> None:
    """Give `net` its stage2, stage3 and stage4."""
    width = stem
    for number, (units, depth) in enumerate(zip(SHUFFLE_UNITS, widths, strict=True), start=2):
        blocks = []
        for index in range(units):
            ungrouped = not cifar and number == 2 and index == 0
            blocks.append(
                UnitV1(width, depth, 1 if index else 2, groups, 1 if ungrouped else groups, cifar)
            )
            width = depth
        setattr(net, f"stage{number}", nn.Sequential(*blocks))


class ShuffleNetV1(nn.Module):
    """ShuffleNetV1, ImageNet form (arXiv 1707.01083 Table 1); `scale` multiplies stage widths."""

    def __init__(self, groups: int = 3, scale: float = 1.0, num_classes: int = 1000) -> None:
        super().__init__()
        widths = tuple(int(width * scale) for width in SHUFFLE_V1_WIDTHS[groups])
        self.conv1 = ConvBN(3, 24, 3, stride=2, padding=1, bias=False)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        _shuffle_v1_stages(self, 24, widths, groups, cifar=False)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.maxpool(self.conv1(x)))
        return self.fc(global_mean(self.stage4(self.stage3(x))))


class ShuffleNetV1Cifar100(nn.Module):
    """ShuffleNetV1 for 32x32 images: biases everywhere, grouped first unit, no max pool."""

    def __init__(self, groups: int = 3, num_classes: int = 100) -> None:
        super().__init__()
        # The checkpoints' ungrouped net ends in 567 channels where the paper has 576.
        widths = (144, 288, 567) if groups == 1 else SHUFFLE_V1_WIDTHS[groups]
        self.conv1 = ConvBN(3, 24, 3, stride=1, padding=1, bias=True)
        _shuffle_v1_stages(self, 24, widths, groups, cifar=True)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(global_mean(self.stage4(self.stage3(self.stage2(self.conv1(x))))))


class UnitV2(nn.Module):
    """ShuffleNetV2 unit with biases; concatenation is (left or shortcut, residual)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        branch = inputs if stride == 2 else inputs // 2
        self.residual = nn.Sequential(
            *conv_bn(branch, branch),
            *conv_bn(branch, branch, 3, stride=stride, padding=1, groups=branch, activation=None),
            *conv_bn(branch, outputs // 2),
        )
        self.shortcut = nn.Sequential()
        if stride == 2:
            depthwise = conv_bn(
                inputs, inputs, 3, stride=2, padding=1, groups=inputs, activation=None
            )
            self.shortcut = nn.Sequential(*depthwise, *conv_bn(inputs, outputs // 2))
        self.downsamples = stride == 2
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = (x, x) if self.downsamples else x.chunk(2, 1)
        return self.shuffle(torch.cat([self.shortcut(left), self.residual(right)], 1))


class ShuffleNetV2Cifar100(nn.Module):
    """ShuffleNetV2 for 32x32 images: stem without ReLU or pool, biases everywhere."""

    def __init__(self, ratio: float = 1.0, num_classes: int = 100) -> None:
        super().__init__()
        *widths, last = SHUFFLE_V2_WIDTHS[ratio]
        self.pre = conv_bn(3, 24, 3, padding=1, activation=None)
        width = 24
        for number, (units, depth) in enumerate(zip(SHUFFLE_UNITS, widths, strict=True), start=2):
            blocks = []
            for index in range(units):
                blocks.append(UnitV2(width, depth, 1 if index else 2))
                width = depth
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self.conv5 = conv_bn(width, last)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage4(self.stage3(self.stage2(self.pre(x))))
        return self.fc(global_mean(self.conv5(x)))
