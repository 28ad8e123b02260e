"""The published trainings: each recipe's optimizer and rates are the papers', reckoned by hand."""

import keras
import numpy as np
import pytest

from slimnets.cli.command_flags import load_recipe
from slimnets.training.config import check_config
from slimnets.training.recipe import build_model, build_optimizer

# Of 1,000 steps an epoch: step → learning rate.
MOBILENET_V1 = {0: 0.045, 2_499: 0.045, 2_500: 0.0423, 5_000: 0.039762}  # ×0.94 every 2.5 epochs
MOBILENET_V2 = {999: 0.045, 1_000: 0.0441, 2_000: 0.043218}  # ×0.98 an epoch
# Up to 0.1 in 5 epochs, then ×0.99 every 3.
MOBILENET_V3 = {0: 0.0, 2_500: 0.05, 5_000: 0.1, 7_999: 0.1, 8_000: 0.099}
SQUEEZENET = {0: 0.04, 17_000: 0.03, 34_000: 0.02, 68_000: 0.0}  # a line over 68 epochs
SHUFFLENET = {0: 0.5, 60_000: 0.375, 120_000: 0.25, 240_000: 0.0}  # a line over 240 epochs
CIFAR10 = {500: 0.05, 1_000: 0.1, 100_500: 0.05, 200_000: 0.0}  # half a cosine after 1 epoch
CIFAR100 = {59_999: 0.1, 60_000: 0.02, 119_999: 0.02, 120_000: 0.004, 160_000: 0.0008}
RMSPROP = {"rho": 0.9, "momentum": 0.9}
SGD = {"momentum": 0.9, "nesterov": False}
NESTEROV = {"momentum": 0.9, "nesterov": True}

PUBLISHED = {
    # recipe                  batch optimizer                    rates         others
    "imagenet_mobilenet_v1": (96, RMSPROP | {"epsilon": 1.0}, MOBILENET_V1, {"ema": 0.9999}),
    "imagenet_mobilenet_v2": (96, RMSPROP, MOBILENET_V2, {"label_smoothing": 0.1}),
    "imagenet_mobilenet_v3": (4096, RMSPROP, MOBILENET_V3, {"ema": 0.9999}),
    "imagenet_squeezenet": (512, SGD, SQUEEZENET, {}),
    "imagenet_shufflenet_v1": (1024, SGD, SHUFFLENET, {}),
    "imagenet_shufflenet_v2": (1024, SGD, SHUFFLENET, {}),
    "cifar10": (128, NESTEROV, CIFAR10, {}),
    "cifar100": (128, NESTEROV, CIFAR100, {}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_has_the_papers_optimizer_and_rates(name):
    batch, settings, rates, others = PUBLISHED[name]
    config = check_config(load_recipe(name))
    assert config.batch_size == batch
    assert {field: config[field] for field in others} == others
    optimizer = build_optimizer(config, steps_per_epoch=1_000)
    assert isinstance(
        optimizer, keras.optimizers.RMSprop if "rho" in settings else keras.optimizers.SGD
    )
    assert {key: getattr(optimizer, key) for key in settings} == settings
    for step, rate in rates.items():
        optimizer.iterations.assign(step)
        np.testing.assert_allclose(float(optimizer.learning_rate), rate, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "decay", "momentum", "dropped"),
    [
        ("imagenet_mobilenet_v1", 4e-5, 0.9997, 0.001),
        ("imagenet_mobilenet_v2", 4e-5, 0.997, 0.2),
        ("imagenet_mobilenet_v3", 1e-5, 0.99, 0.2),
        ("cifar100", 5e-4, 0.9, 0.0),
    ],
)
def test_its_network_has_the_papers_weight_decay_batch_norm_and_dropout(
    name, decay, momentum, dropped
):
    config = load_recipe(name)
    config.model.input_size = (32, 32)
    model = build_model(check_config(config), 10)
    kinds = {kind: [v for v in model.layers if type(v) is kind] for kind in _KINDS}
    norms, convolutions, depthwise, dropouts = kinds.values()
    assert {norm.momentum for norm in norms} == {momentum}
    # λ·Σw²/2 is Keras's L2(λ/2); depthwise layers have none.
    regularizers = [float(v.kernel_regularizer.l2) for v in convolutions]
    np.testing.assert_allclose(regularizers, decay / 2, rtol=1e-5)
    assert not any(v.depthwise_regularizer for v in depthwise)
    np.testing.assert_allclose(sum(v.rate for v in dropouts), dropped, rtol=1e-5, atol=1e-9)


_KINDS = (
    keras.layers.BatchNormalization,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dropout,
)
