"""Random networks keep their function, whatever the target, after every pass."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.helpers.small_networks import (
    FORMS,
    assert_edges_are_right,
    assert_same_function,
    enliven,
    guilty_pass,
    keras_swish,
    shuffle,
    squeeze_excite,
)
from tflite.rewriting import PASSES, model_of, simplify_for_deployment
from tflite.rewriting.graph import Graph
from tflite.rewriting.linear import add_bias
from tflite.rewriting.passes import Form, PassReport


def times(x, factor=1.0):
    return x * factor


class Gain(layers.Layer):
    """What it does is set on the object, after it is made."""

    factor = 1.0

    def call(self, x):
        return x * self.factor


class Shift(layers.Layer):
    """Takes an array and has no get_config."""

    def __init__(self, offset):
        super().__init__()
        self.offset = offset

    def call(self, x):
        return x - self.offset


class Wrap(layers.Layer):
    """Holds another layer, and has no get_config."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return ops.relu(self.layer(x))


class Subclassed(keras.Model):
    """A model whose graph is not known."""

    def __init__(self, width):
        super().__init__()
        self.convolution = layers.Conv2D(width, 1, activation="hard_silu")
        self.normalization = layers.BatchNormalization()

    def call(self, x):
        return self.normalization(self.convolution(x))


class RandomNetwork:
    """Draws a small functional model out of the layers that the rewrites know, and some others."""

    def __init__(self, seed: int, strange: bool = False):
        self.strange = strange
        self.rng = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)  # the layers' own initializers

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def build(self) -> keras.Model:
        size = self.pick(8, 9, 12, 16)
        x = images = keras.Input((size, size, 3))
        if self.chance(0.4):
            x = self.pick(
                layers.Rescaling(1 / 2.5),
                layers.Rescaling(0.5, -1.0),
                layers.Normalization(mean=(0.1, 0.2, 0.3), variance=(0.5, 1.0, 1.5)),
                layers.RandomFlip(),
            )(x)
        for _ in range(self.rng.integers(3, 9)):
            x = self.pick(
                self.convolution,
                self.convolution,
                self.block,
                self.activation,
                self.pooling,
                self.residual,
                self.joint,
                self.gated,
                self.other,
                self.shared,
                self.shuffled,
                self.tangled,
                *([self.strangers] * 6 if self.strange else []),
            )(x)
        x = layers.Conv2D(6, 1)(x) if self.chance(0.5) else x
        heads = [self.pooled_head, self.flat_head, self.activation, lambda x: x]
        x = self.pick(*heads, *([self.strange_head] * 4 if self.strange else []))(x)
        model = keras.Model(images, x)
        return enliven(model, seed=int(self.rng.integers(1000)))

    def activation(self, x):
        return self.pick(
            layers.ReLU(),
            layers.ReLU(6.0),
            layers.ReLU(max_value=2.0),
            layers.LeakyReLU(0.1),
            layers.Activation("hard_silu"),
            layers.Activation("hard_silu"),
            layers.Activation("hard_sigmoid"),
            layers.Activation("tanh"),
            keras_swish,
            ops.hard_silu,
            lambda x: x * ops.clip(x + 3.0, 0, 6) / 6.0,
            lambda x: x * ops.hard_sigmoid(x),
        )(x)

    def convolution(self, x):
        activation = self.pick(None, None, "relu", "relu6", "hard_silu", "hard_sigmoid", "silu")
        small = x.shape[1] < 4
        options = {
            "padding": "same" if small else self.pick("same", "valid"),
            "activation": activation,
            "use_bias": self.chance(0.5),
        }
        strides = 1 if small else self.pick(1, 1, 2)
        if strides == 2 and self.chance(0.5):
            x = layers.ZeroPadding2D(self.pick(1, ((0, 1), (0, 1))))(x)
            options["padding"] = "valid"
        groups = 2 if x.shape[-1] % 2 == 0 and self.chance(0.3) else 1
        x = self.pick(
            layers.Conv2D(self.pick(4, 6, 8), 3, strides, groups=groups, **options),
            layers.Conv2D(self.pick(4, 6, 8), 1, groups=groups, **options),
            layers.DepthwiseConv2D(3, strides, depth_multiplier=self.pick(1, 2), **options),
            layers.SeparableConv2D(self.pick(4, 6), 3, strides, **options),
            layers.Dense(self.pick(4, 6), activation=activation),
        )(x)
        return self.normalized(x) if self.chance(0.6) else x

    def normalized(self, x):
        return layers.BatchNormalization(center=self.chance(0.8), scale=self.chance(0.8))(x)

    def block(self, x):
        x = self.normalized(layers.Conv2D(8, 1, use_bias=False)(x))
        x = self.activation(x)
        x = self.normalized(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
        x = self.activation(x)
        if self.chance(0.5):
            x = squeeze_excite(x, self.pick("hard_sigmoid", "sigmoid"))
        return self.normalized(layers.Conv2D(self.pick(4, 6), 1, use_bias=False)(x))

    def pooling(self, x):
        if x.shape[1] < 4:
            return x
        padding = self.pick("same", "valid")
        pool = self.pick(layers.AveragePooling2D, layers.MaxPooling2D)
        return pool(self.pick(2, 3), self.pick(1, 2), padding=padding)(x)

    def residual(self, x):
        branch = self.activation(x) if self.chance(0.5) else x
        branch = layers.Conv2D(x.shape[-1], 3, padding="same")(branch)
        branch = self.normalized(branch) if self.chance(0.5) else branch
        branch = self.activation(branch) if self.chance(0.3) else branch
        pair = [x, branch] if self.chance(0.5) else [branch, x]
        return self.pick(layers.Add, layers.Average, layers.Maximum, layers.Subtract)()(pair)

    def joint(self, x):
        branches = [self.activation(x)]
        branches.append(layers.Conv2D(4, 3, padding="same")(x) if self.chance(0.7) else x)
        x = layers.Concatenate()(branches)
        return self.activation(x) if self.chance(0.6) else x

    def gated(self, x):
        return squeeze_excite(self.activation(x), self.pick("hard_sigmoid", "sigmoid"))

    def shared(self, x):
        layer = layers.Conv2D(x.shape[-1], 1, activation=self.pick(None, "relu", "hard_silu"))
        return layer(self.activation(layer(x)))

    def shuffled(self, x):
        if x.shape[-1] % 2:
            return layers.Conv2D(4, 1)(x)
        x = layers.Conv2D(8, 1, groups=self.pick(1, 2))(x)
        x = self.activation(self.normalized(x))
        x = shuffle(x, self.pick(2, 4))
        return layers.Conv2D(8, 1, groups=2)(layers.DepthwiseConv2D(3, padding="same")(x))

    def tangled(self, x):
        """Tensors of one shape that are read several times, with and without a factor."""
        tensors = [layers.Conv2D(4, 1)(x) for _ in range(2)]
        for _ in range(6):
            one, other = (tensors[i] for i in self.rng.integers(len(tensors), size=2))
            step = self.pick(
                layers.Activation("hard_silu"),
                layers.Activation("hard_silu"),
                layers.Activation("hard_sigmoid"),
                layers.Activation("sigmoid"),
                layers.ReLU(),
                layers.Conv2D(4, 1),
                layers.Add(),
                layers.Add(),
                layers.Maximum(),
                layers.Multiply(),
            )
            merges = isinstance(step, layers.Add | layers.Maximum | layers.Multiply)
            tensors.append(step([one, other]) if merges else step(one))
        return layers.Concatenate()(tensors[-3:])

    def other(self, x):
        return self.pick(
            layers.Dropout(0.3),
            layers.GaussianNoise(0.3),
            layers.SpatialDropout2D(0.3),
            layers.UpSampling2D(2) if x.shape[1] < 8 else layers.Permute((2, 1, 3)),
            layers.LayerNormalization(),
            layers.ZeroPadding2D(1),
            layers.PReLU(shared_axes=[1, 2]),
            lambda x: x * 0.3,
            lambda x: -1.5 * x + 0.2,
            lambda x: ops.sin(x),
            lambda x: x[:, ::-1],
            lambda x: ops.maximum(x, ops.flip(x, axis=1)),
        )(x)

    def strangers(self, x):
        """What a layer's config does not hold, and what lies along another axis than channels."""
        return self.pick(
            self.with_state,
            self.with_state,
            self.adapted,
            self.along_an_axis,
            self.unnamed_activation,
            self.shared_statistics,
        )(x)

    def with_state(self, x):
        factor = float(self.rng.uniform(0.3, 2.0))
        gain = Gain()
        gain.factor = factor
        rescaling = layers.Rescaling(1.0)
        rescaling.scale = factor
        leaky = layers.LeakyReLU(0.1)
        leaky.negative_slope = factor
        return self.pick(
            layers.Lambda(times, arguments={"factor": factor}),
            layers.Lambda(lambda x: x * factor),
            gain,
            rescaling,
            leaky,
            Shift(self.rng.normal(0, 0.5, x.shape[-1]).astype(np.float32)),
            Wrap(layers.Conv2D(4, 1)),
            Subclassed(4),
        )(x)

    def adapted(self, x):
        axes = [-1, 1, 2, 3, (1, 2), (2, 3), (1, 2, 3), None]
        layer = layers.Normalization(axis=self.pick(*axes), invert=self.chance(0.4))
        spread = self.rng.uniform(0.5, 1.5, (1, *x.shape[1:]))
        layer.adapt(self.rng.normal(0.3, 1.0, (20, *x.shape[1:])) * spread)
        return layer(x)

    def along_an_axis(self, x):
        axis = self.pick(0, 1, 2)
        shape = tuple(size if i == axis else 1 for i, size in enumerate(x.shape[1:]))
        constant = self.rng.uniform(0.5, 1.5, shape).astype(np.float32)
        return self.pick(
            lambda x: x * constant,
            lambda x: ops.add(constant, x),
            lambda x: x / constant,
            lambda x: x - constant,
            layers.Rescaling(constant.tolist()),
            layers.Rescaling(0.5, constant.tolist()),
        )(x)

    def unnamed_activation(self, x):
        activation = self.pick(
            lambda x: x * ops.tanh(x), layers.LeakyReLU(0.3), layers.ReLU(6.0), ops.relu6
        )
        return self.pick(
            layers.Conv2D(4, 3, padding="same", activation=activation),
            layers.DepthwiseConv2D(3, padding="same", activation=activation),
            layers.Dense(4, activation=activation),
            layers.Activation(activation),
        )(x)

    def shared_statistics(self, x):
        """One layer at two places, before whose second something happens."""
        width = x.shape[-1]
        layer = self.pick(layers.BatchNormalization(), layers.PReLU(shared_axes=[1, 2]))
        return layers.Add()([layer(layers.Conv2D(width, 1)(x)), layer(self.activation(x))])

    def strange_head(self, x):
        x = layers.Dense(8)(layers.GlobalAveragePooling2D(keepdims=self.chance(0.5))(x))
        return self.pick(
            layers.Activation("sigmoid"),
            lambda x: ops.reshape(layers.Softmax()(x), (-1, 4)),
            lambda x: ops.reshape(layers.Activation("softmax")(x), (-1, 4)),
            lambda x: layers.Reshape((8,))(layers.Activation("softmax")(x)),
            lambda x: layers.Softmax(axis=1)(layers.Reshape((2, 4))(x)),
            lambda x: ops.softmax(layers.Reshape((4, 2))(x), axis=1),
            lambda x: layers.Flatten()(layers.Softmax()(layers.Reshape((2, 2, 2))(x))),
        )(x)

    def pooled_head(self, x):
        keepdims = self.chance(0.5)
        x = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
        if keepdims:
            x = layers.Conv2D(8, 1, activation="hard_silu")(x)
            x = layers.Activation("softmax")(x) if self.chance(0.3) else x
            return layers.Flatten()(x)
        return layers.Dense(5, activation=self.pick(None, "softmax"))(x)

    def flat_head(self, x):
        return layers.Dense(5, activation=self.pick(None, "softmax"))(layers.Flatten()(x))


def network(seed: int) -> keras.Model:
    """The network of this number; of those that Keras itself cannot build, the next draw."""
    for draw in range(10):
        try:
            return RandomNetwork(seed + 10_000 * draw, strange=seed >= 200).build()
        except TypeError:  # a size or a sparseness that Keras lost on the way
            pass
    raise AssertionError(f"ten networks of seed {seed} could not be built")


def check_network(seed: int, target: str, precision: str) -> None:
    model = network(seed)

    def after_pass(report: PassReport, graph: Graph) -> None:
        assert_edges_are_right(graph)
        # After a pass that changed nothing it is what it was.
        if report.changed and seed % 10 == 0:
            try:
                assert_same_function(model, model_of(graph), seed)
            except Exception as error:
                error.add_note(f"after the pass {report.name}")
                raise

    try:
        simplified = simplify_for_deployment(model, target, precision, after_pass=after_pass)
        assert_same_function(model, simplified, seed)
    except Exception as error:
        error.add_note(f"seed {seed}, {target} {precision}")
        if found := guilty_pass(model, target, precision, seed):
            error.add_note(f"the first pass after which it is another function: {found}")
        raise


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 100))
def test_random_networks_are_the_same_function_after_every_pass(first):
    # Each of the 500 passed; one in five is drawn here (all forms come up), for the sake of time.
    for seed in range(first, first + 100, 5):
        check_network(seed, *FORMS[seed % len(FORMS)])


@pytest.mark.slow
def test_every_pass_by_itself_keeps_the_function():
    for seed in range(len(FORMS)):
        model = network(seed)
        assert guilty_pass(model, *FORMS[seed], seed) is None


def shift_a_bias(graph: Graph, form: Form) -> PassReport:
    """A pass that is wrong."""
    node = next(node for node in graph.nodes() if node.is_linear)
    add_bias(node, 0.1)
    return PassReport("shift_a_bias")


def lose_a_node(graph: Graph, form: Form) -> PassReport:
    """A pass that leaves a graph of which no model can be built."""
    node = next(node for node in graph.nodes() if node.traits.linear)
    node.inputs = []
    return PassReport("lose_a_node")


@pytest.mark.parametrize("fault", [shift_a_bias, lose_a_node])
@pytest.mark.parametrize("place", [1, 5, len(PASSES)])
def test_a_faulty_pass_is_named(fault, place):
    passes = [*PASSES[:place], fault, *PASSES[place:]]
    images = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 3, activation="hard_silu")(images)
    model = enliven(keras.Model(images, layers.Conv2D(2, 1)(x)))
    assert guilty_pass(model, "coral", "int8", passes=passes) == fault.__name__
