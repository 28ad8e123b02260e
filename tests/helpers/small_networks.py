"""Small networks with every form that the rewrites change, and what "the same function" means."""

from collections import Counter
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from tflite.rewriting import PASSES, Pass, model_of, rewrite, simplify_for_deployment
from tflite.rewriting.from_keras import read_model
from tflite.rewriting.graph import Graph, Node, Value
from tflite.rewriting.passes import Form, PassReport
from tflite.targets import TARGETS

# A target and a precision it takes, so that every form of every rewrite is met.
FORMS = (
    ("android", "int8"),
    ("coral", "int8"),
    ("android", "float32"),
    ("micro", "int8"),
    ("cpu", "int16x8"),
    ("micro", "float32"),
)


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(model(images, training=False))


def assert_same_function(model: keras.Model, simplified: keras.Model, seed: int = 0) -> None:
    shape = (1, *model.inputs[0].shape[1:])
    images = np.random.default_rng(seed).normal(0.2, 1.0, shape).astype(np.float32)
    expected = outputs(model, images)
    found = outputs(simplified, images)
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert 0 < scale < np.inf, "a network that is constant or infinite proves nothing"
    assert np.abs(found - expected).max() <= 1e-5 * scale


def assert_edges_are_right(graph: Graph) -> None:
    """Readers are what a walk from the output finds, in some order, and nobody else."""
    found: dict[Value, Counter[Node]] = {}
    nodes = [*graph.nodes(), graph.exit]
    for node in nodes:
        for value in node.inputs:
            found.setdefault(value, Counter())[node] += 1
    for node in [graph.input, *nodes]:
        for value in node.outputs:
            assert Counter(value.readers) == found.get(value, Counter())


def kinds(model: keras.Model) -> list[str]:
    return [type(operation).__name__ for operation in model.operations]


def activations(model: keras.Model) -> set[str]:
    found = (layer.get_config().get("activation") for layer in model.layers)
    return {name for name in found if name is not None}


def reports(
    model: keras.Model, target: str = "android", precision: str = "int8"
) -> dict[str, PassReport]:
    """What each pass says of its work on the model."""
    found: list[PassReport] = []
    simplify_for_deployment(
        model, target, precision, after_pass=lambda report, _: found.append(report)
    )
    return {report.name: report for report in found}


def guilty_pass(
    model: keras.Model,
    target: str,
    precision: str,
    seed: int = 0,
    passes: Sequence[Pass] = PASSES,
) -> str | None:
    """The first pass after which the network is another function; None if all keep it."""
    found: list[str] = []

    def check(report: PassReport, graph: Graph) -> None:
        if found:
            return
        try:
            assert_same_function(model, model_of(graph), seed)
        except Exception:  # a graph of which no model can be built is a wrong one as well
            found.append(report.name)

    try:
        rewrite(read_model(model), Form(TARGETS[target], precision), check, passes)
    except Exception:  # the traceback of a pass that fails names it, if none before it is to blame
        if not found:
            raise
    return found[0] if found else None


def enliven(model: keras.Model, seed: int = 0) -> keras.Model:
    """Random biases and statistics, which a new model has not, and which rewrites can lose."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        for weight in layer.weights if not hasattr(layer, "layers") else ():
            name, size = weight.path.rsplit("/")[-1], tuple(weight.shape)
            if name in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, size))
            elif name in ("beta", "moving_mean", "bias"):
                weight.assign(rng.normal(0, 0.3, size))
    return model


def keras_swish(x):
    """h-swish as keras.applications writes it: layers for the ReLU, operators for the rest."""
    return layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def squeeze_excite(x, activation="hard_sigmoid"):
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, channels))(gate)
    gate = layers.Conv2D(8, 1, activation="relu")(gate)
    gate = layers.Conv2D(channels, 1)(gate)
    return layers.Multiply()([x, layers.Activation(activation)(gate)])


def v3_block():
    """MobileNetV3's first block: its residual sum takes the h-swished stem."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(images)
    x = layers.BatchNormalization()(x)
    x = stem = layers.Activation("hard_silu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization()(x)
    x = squeeze_excite(layers.ReLU()(x))
    x = layers.Conv2D(8, 1, use_bias=False, name="project")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([stem, x])
    x = layers.Conv2D(24, 1, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = keras_swish(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(32, 1, activation="hard_swish")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(layers.Conv2D(10, 1, name="logits")(x))
    return enliven(keras.Model(images, layers.Activation("softmax")(x), name="v3_block"))


def shuffle(x, groups):
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height, width, groups, channels // groups))(x)
    return layers.Reshape((height, width, channels))(layers.Permute((1, 2, 4, 3))(x))


def shufflenet_unit():
    images = keras.Input((8, 8, 24))
    x = layers.BatchNormalization()(layers.Conv2D(12, 1, groups=3, use_bias=False)(images))
    x = shuffle(layers.ReLU()(x), 3)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.BatchNormalization()(layers.Conv2D(24, 1, groups=3)(x))
    x = layers.ReLU()(layers.Add()([images, x]))
    return enliven(keras.Model(images, x))
