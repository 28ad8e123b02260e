"""Make the golden files whose references are `keras.applications`.

    TF_CPP_MIN_LOG_LEVEL=3 python -m tests.reference.make_keras [NAME ...]

Needs keras and tensorflow. Without names all files are made.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np
from keras import applications

from .golden import Answer, Golden, Tensor, make, save, table_row

SIZE = 96
V1 = {
    "conv1_relu": "Conv2d_0",
    "conv_dw_1_relu": "Conv2d_1_depthwise",
    "conv_pw_1_relu": "Conv2d_1_pointwise",
    "conv_dw_2_relu": "Conv2d_2_depthwise",
    "conv_pw_6_relu": "Conv2d_6_pointwise",
    "conv_pw_13_relu": "Conv2d_13_pointwise",
}
V2 = {
    "Conv1_relu": "layer_1",
    "expanded_conv_project_BN": "layer_2/output",
    "block_1_expand_relu": "layer_3/expansion_output",
    "block_1_depthwise_relu": "layer_3/depthwise_output",
    "block_2_add": "layer_4/output",
    "block_6_project_BN": "layer_8/output",
    "out_relu": "layer_19",
}
V3_LARGE = {
    "expanded_conv_add": "layer_2/output",
    "expanded_conv_2_add": "layer_4/output",
    "expanded_conv_3_project_bn": "layer_5/output",
    "expanded_conv_6_project_bn": "layer_8/output",
    "expanded_conv_12_project_bn": "layer_14/output",
    "expanded_conv_14_add": "layer_16/output",
}
V3_SMALL = {
    "expanded_conv_project_bn": "layer_2/output",
    "expanded_conv_2_add": "layer_4/output",
    "expanded_conv_3_project_bn": "layer_5/output",
    "expanded_conv_8_project_bn": "layer_10/output",
    "expanded_conv_10_add": "layer_12/output",
}

Case = tuple[Callable[..., keras.Model], dict[str, str]]


def cases() -> dict[str, Case]:
    """File name to (model function, layers to sample with TF-Slim's names of them)."""
    table: dict[str, Case] = {}
    for alpha in (0.25, 0.5, 0.75, 1.0):
        table[f"keras_mobilenet_x{alpha}"] = (partial(applications.MobileNet, alpha=alpha), V1)
    for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        builder = partial(applications.MobileNetV2, alpha=alpha)
        table[f"keras_mobilenet_v2_x{alpha}"] = (builder, V2)
    for size, function, layers in (
        ("large", applications.MobileNetV3Large, V3_LARGE),
        ("small", applications.MobileNetV3Small, V3_SMALL),
    ):
        for alpha in (0.75, 1.0):
            for minimalistic in (False, True):
                builder = partial(
                    function, alpha=alpha, minimalistic=minimalistic, include_preprocessing=False
                )
                suffix = "_minimalistic" if minimalistic else ""
                table[f"keras_mobilenet_v3_{size}_x{alpha}{suffix}"] = (builder, layers)
    return table


class Network:
    """A keras.applications model in one precision."""

    def __init__(
        self, builder: Callable[..., keras.Model], dtype: str, layers: Sequence[str]
    ) -> None:
        keras.config.set_dtype_policy(dtype)
        self.dtype = dtype
        self.layers = layers
        self.model = builder(input_shape=(SIZE, SIZE, 3), weights=None, classifier_activation=None)
        outputs = [self.model.get_layer(name).output for name in layers]
        self.probe = keras.Model(self.model.input, [self.model.output, *outputs])

    def __call__(self, weights: dict[str, np.ndarray], images: np.ndarray) -> Answer:
        for variable in self.model.weights:
            variable.assign(weights[variable.path])
        logits, *values = self.probe.predict_on_batch(images.astype(self.dtype))
        return Answer(logits, dict(zip(self.layers, values, strict=True)))


def tensors_of(model: keras.Model) -> tuple[Tensor, ...]:
    """Paths and shapes of the weights in the model's order."""
    return tuple(
        Tensor(
            weight.path,
            tuple(weight.shape),
            "HWCM" if isinstance(layer, keras.layers.DepthwiseConv2D) else "HWIO",
        )
        for layer in model.layers
        for weight in layer.weights
    )


def make_case(case: Case) -> Golden:
    """Build the models of a case and ask them."""
    builder, layers = case
    single = Network(builder, "float32", tuple(layers))
    double = Network(builder, "float64", tuple(layers))
    reference = f"keras.applications {keras.__version__}"
    return make(reference, tensors_of(single.model), SIZE, single, double, layers)


def main(names: Sequence[str]) -> None:
    """Make the named files, or all."""
    table = cases()
    for name in names or table:
        keras.utils.clear_session()
        golden = make_case(table[name])
        save(name, golden)
        print(table_row(name, golden), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
