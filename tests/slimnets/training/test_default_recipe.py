"""A training without a recipe gets one that is complete and suits network and data."""

import pytest

from slimnets.catalog import list_models
from slimnets.training.config import check_config
from slimnets.training.default_recipe import recipe_for, resolve


@pytest.mark.parametrize("epochs", [None, 1])
@pytest.mark.parametrize("source", ["folder:photos", "builtin:digits", "cifar10", "unheard_of"])
def test_every_network_gets_a_recipe_that_is_valid(source, epochs):
    for name in list_models():
        config = check_config(recipe_for(name, source, epochs))
        assert (config.model.name, config.data.source) == (name, source)
        # A warm-up as long as the training is refused when the schedule is built.
        assert config.learning_rate.warmup_epochs < config.epochs


@pytest.mark.parametrize(
    ("network", "source", "size"),
    [
        ("mobilenet_v2", "folder:photos", 224),
        ("efficientnet_lite4", "folder:photos", 224),  # its own: 300
        ("mobilenet_v1_cifar", "folder:photos", 32),
        ("mobilenet_v2", "builtin:digits", 48),
        ("mobilenet_v2", "cifar10", 64),
        ("mobilenet_v1_cifar", "cifar10", 32),
        ("mobilenet_v2", "fashion_mnist:/some/where", 64),
    ],
)
def test_the_input_is_the_networks_own_at_most_224_and_small_for_small_images(
    network, source, size
):
    assert recipe_for(network, source).model.input_size == (size, size)


@pytest.mark.parametrize("source", ["builtin:digits", "mnist"])
def test_digits_are_never_mirrored(source):
    assert not recipe_for("mobilenet_v1", source).data.flip


@pytest.mark.parametrize(("images", "batch"), [(60, 8), (400, 16), (700, 32)])
def test_a_small_folder_gets_small_batches_rather_than_few_steps(images, batch):
    config = recipe_for("mobilenet_v2", "folder:photos")
    assert resolve(check_config(config), images).batch_size == batch


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="mobilenet_v2"):
        recipe_for("mobilenet_v22", "folder:photos")
