"""Fine-tuning: a new classifier on features computed once, numbers that suit the data."""

import keras
import numpy as np
import pytest

import slimnets
from slimnets.cli.command_flags import load_recipe
from slimnets.data import Source, Split
from slimnets.training import recipe
from slimnets.training.config import check_config
from slimnets.training.default_recipe import resolve
from slimnets.training.transfer import train_head
from tests.helpers.lively import lively


def test_freezing_the_statistics_of_no_weights_is_refused():
    with pytest.raises(ValueError, match=r"config\.model\.weights, such as imagenet"):
        check_config({"model": {"freeze_batch_norm": True}})


@pytest.mark.parametrize("images", [40, 400, 4_000, 400_000])
@pytest.mark.parametrize("network", ["mobilenet_v2", "efficientnet_lite4", "mobilenet_v1_cifar"])
def test_what_the_finetuning_recipe_leaves_open_suits_the_data(images, network):
    config = load_recipe("finetune")
    config.model.name = network
    config = resolve(check_config(config), images)
    steps = images // config.batch_size
    assert config.model.input_size == ((32, 32) if network.endswith("cifar") else (224, 224))
    assert 3 <= config.epochs <= 15
    assert 50 <= config.epochs * steps <= max(200, 3 * steps)
    assert config.head.epochs * steps >= 500


def test_what_a_recipe_says_stays(tmp_path):
    config = load_recipe("finetune")
    config.epochs, config.batch_size, config.model.input_size = 2, 5, (96, 64)
    resolved = resolve(check_config(config), 100)
    assert (resolved.epochs, resolved.batch_size) == (2, 5)
    assert resolved.model.input_size == (96, 64)


@pytest.mark.parametrize(
    ("steps", "before", "after"),
    # A quarter of the training leaves a hundredth of the start: momentum ** (steps / 4) = 0.01.
    [(4, 0.99, 0.01), (8, 0.99, 0.1), (100_000, 0.99, 0.99), (8, 0.05, 0.05)],
)
def test_batch_norm_follows_within_the_training(steps, before, after):
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.BatchNormalization(momentum=before)(inputs))
    recipe.settle_batch_norm(model, check_config({}), steps)
    assert model.layers[-1].momentum == pytest.approx(after)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mobilenet_v1_025", "squeezenet1_1"])
def test_the_head_learns_what_the_body_sees_and_the_body_stays(network):
    """Bright and dark pictures: random features tell them apart."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(32) % 2
    images = rng.integers(0, 90, (32, 64, 64, 3), np.uint8)
    images[labels == 1] += 150
    config = check_config(
        {
            "model": {"name": network, "input_size": (64, 64)},
            "data": {"flip": True},
            "head": {"epochs": 40, "learning_rate": 0.02},
            "learning_rate": {"warmup_epochs": 0.5},
            "batch_size": 8,
        }
    )
    model = lively(recipe.build_model(config, 2))
    # As the loop does before: what it is compiled with is no hindrance.
    model.compile(recipe.build_optimizer(config, 4), recipe.build_loss(config, model))
    before = [w.copy() for w in model.get_weights()]
    prepare = slimnets.preprocessing(model)
    pictures = Source("pictures", ("dark", "bright"), {"train": Split(images, labels)})
    train_head(model, config, pictures, prepare)
    changed = [
        i
        for i, (a, b) in enumerate(zip(before, model.get_weights(), strict=True))
        if (a != b).any()
    ]
    assert changed == [len(before) - 2, len(before) - 1]  # kernel and bias of the classifier
    answers = np.asarray(model(prepare(images))).argmax(-1)
    assert (answers == labels).mean() >= 0.9
