"""Zeros that a file leaves out: the same function in fewer bytes, or a word why not."""

import keras
import numpy as np
import pytest
from keras import layers

import tflite
from tflite.files import flatbuffer
from tflite.runtime import Session

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)


def network(zeros: float, excite: bool = False) -> keras.Model:
    """Of zero weights that share, in its 1×1 convolutions."""
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1)(images)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(64, 1, activation="relu", name="wide")(x)
    if excite:
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Multiply()([x, layers.Conv2D(64, 1, activation="sigmoid")(pooled)])
    x = layers.Conv2D(96, 1, name="wider")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Activation("hard_silu")(layers.Conv2D(320, 1, name="features")(x))
    x = layers.Flatten()(layers.Conv2D(5, 1, name="head")(x))
    model = keras.Model(images, layers.Softmax()(x))
    for name in ("wide", "wider", "features"):
        kernel = model.get_layer(name).kernel.numpy()
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), zeros)] = 0
        model.get_layer(name).kernel.assign(kernel)
    return model


@pytest.mark.slow
def test_a_sparse_file_computes_the_same_from_fewer_bytes():
    model = network(0.8)
    dense = tflite.convert(model, precision="float32").bytes
    made = tflite.convert(model, precision="float32", sparse=True)
    np.testing.assert_allclose(Session(made.bytes).run(IMAGES), Session(dense).run(IMAGES), 1e-6)
    assert len(made.bytes) < 0.5 * len(dense)
    assert made.report.partitions == 1
    assert made.report.operators["DENSIFY"] == 3
    # XNNPACK's sparse kernels need a pooling that drops its dimensions, then dense layers.
    assert made.report.operators["FULLY_CONNECTED"] == 2
    kinds = [t.sparsity is not None for t in flatbuffer.unpack(made.bytes).subgraphs[0].tensors]
    assert sum(kinds) == 3


@pytest.mark.slow
def test_what_cannot_be_sparse_is_told():
    with pytest.raises(ValueError, match="no layer has float32 weights of which two thirds"):
        tflite.convert(network(0.5), precision="float32", sparse=True)
    with pytest.raises(ValueError, match=r"keeps its dimensions .* squeeze-excite"):
        tflite.convert(network(0.8, excite=True), precision="float32", sparse=True)


def test_sparse_files_are_for_floats_and_devices_that_read_them():
    for options in ({"precision": "float16"}, {"precision": "float32", "target": "micro"}):
        with pytest.raises(ValueError, match="sparse weights are for float32 files for android"):
            tflite.convert(network(0.8), sparse=True, **options)
