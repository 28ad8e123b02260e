"""The arg scope is real: defaults arrive in layers and losses, nest, and stay in their thread."""

import threading

import keras
import numpy as np
import pytest

import slimnets


def build(**kwargs):
    return slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=4, **kwargs)


def half_squares(model, kind):
    kernels = [
        layer.kernel
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and isinstance(layer, keras.layers.DepthwiseConv2D) == (kind == "depthwise")
    ]
    return 0.5 * sum(float(np.sum(np.square(kernel))) for kernel in kernels)


def total_loss(model):
    return float(sum(model.losses))


def test_default_decay_is_on_standard_convolutions_only():
    model = build()
    assert total_loss(model) == pytest.approx(4e-5 * half_squares(model, "standard"), rel=1e-5)


def test_regularize_depthwise_adds_the_depthwise_ones():
    scope = slimnets.mobilenet_v1_arg_scope(regularize_depthwise=True, weight_decay=1e-3)
    model = build(arg_scope=scope)
    squares = half_squares(model, "standard") + half_squares(model, "depthwise")
    assert total_loss(model) == pytest.approx(1e-3 * squares, rel=1e-5)


def test_no_decay_means_no_losses():
    assert build(arg_scope=slimnets.mobilenet_v1_arg_scope(weight_decay=0)).losses == []


@pytest.mark.parametrize("decay", [-1, float("nan"), float("inf"), "much"])
@pytest.mark.parametrize("scope", [slimnets.mobilenet_v1_arg_scope, slimnets.training_scope])
def test_a_decay_is_a_finite_number_of_at_least_0(scope, decay):
    with pytest.raises(ValueError, match=r"weight_decay must be a finite number.*got"):
        scope(weight_decay=decay)


def test_batch_norm_decay_and_epsilon_arrive():
    scope = slimnets.mobilenet_v1_arg_scope(batch_norm_decay=0.9, batch_norm_epsilon=1e-5)
    for model, momentum, epsilon in ((build(), 0.99, 1e-3), (build(arg_scope=scope), 0.9, 1e-5)):
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert len(norms) == 27
        assert {(n.momentum, n.epsilon, n.center, n.scale) for n in norms} == {
            (momentum, epsilon, True, True)
        }


def test_scopes_nest_and_inner_ones_override_argument_by_argument():
    outer = {"batch_norm": {"momentum": 0.8, "epsilon": 1e-4}}
    with slimnets.arg_scope(outer), slimnets.arg_scope({"batch_norm": {"momentum": 0.7}}):
        nested = build().get_layer("Conv2d_0.bn")
        called = build(arg_scope={"batch_norm": {"epsilon": 1e-6}}).get_layer("Conv2d_0.bn")
    after = build().get_layer("Conv2d_0.bn")
    assert (nested.momentum, nested.epsilon) == (0.7, 1e-4)
    assert (called.momentum, called.epsilon) == (0.7, 1e-6)
    assert (after.momentum, after.epsilon) == (0.99, 1e-3)


def test_an_explicit_argument_overrides_the_scope():
    with slimnets.arg_scope({"conv": {"activation": "relu", "normalizer": False}}):
        model = build()
    logits = model.get_layer("Logits.Conv2d_1c_1x1.conv")
    assert logits.activation is keras.activations.linear
    assert model.get_layer("Conv2d_0").activation is keras.activations.relu
    assert model.get_layer("Conv2d_0.conv").use_bias  # no batch norm: a bias in its place
    assert model.get_layer("Conv2d_1_depthwise").activation is keras.activations.relu6


def test_weights_start_from_the_scopes_truncated_normal_and_differ_between_layers():
    model = build(arg_scope=slimnets.mobilenet_v1_arg_scope(stddev=0.5))
    first, second = (
        np.asarray(model.get_layer(f"Conv2d_{i}_pointwise.conv").kernel) for i in (8, 9)
    )
    assert first.shape == second.shape
    assert not np.array_equal(first, second)
    assert first.std() == pytest.approx(0.5 * 0.8796, rel=0.05)  # std of N(0,1) cut at ±2
    assert np.abs(first).max() <= 1.0


def test_frozen_scope_stops_batch_norm_and_dropout():
    model = build(arg_scope=slimnets.mobilenet_v1_arg_scope(is_training=False))
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(images, training=True), model(images, training=False))
    before = np.asarray(model.get_layer("Conv2d_0.bn").moving_mean)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(images, np.arange(4))
    np.testing.assert_array_equal(before, model.get_layer("Conv2d_0.bn").moving_mean)


def test_is_training_none_leaves_behaviour_to_keras():
    model = build(arg_scope=slimnets.mobilenet_v1_arg_scope(is_training=None))
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    assert not np.allclose(model(images, training=True), model(images, training=False))


def test_two_threads_do_not_see_each_others_scope():
    built, barrier = {}, threading.Barrier(2)

    def work(momentum):
        with slimnets.arg_scope({"batch_norm": {"momentum": momentum}}):
            barrier.wait(timeout=60)
            layer = build().get_layer("Conv2d_0.bn")
            barrier.wait(timeout=60)
        built[momentum] = layer.momentum

    threads = [threading.Thread(target=work, args=(m,)) for m in (0.5, 0.6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == {0.5: 0.5, 0.6: 0.6}


@pytest.mark.parametrize(
    ("scope", "error", "message"),
    [
        ({"convolution": {}}, ValueError, "Unknown operation 'convolution'.*Did you mean 'conv'"),
        ({"batch_norm": {"decay": 0.9}}, ValueError, "takes no argument 'decay'; known: momentum"),
        ({"conv": "relu"}, TypeError, "must be a mapping of argument to value, got str"),
        ("relu", TypeError, "mapping of operation to default arguments"),
        ({"conv": {"padding": "explicit"}}, ValueError, "'same', 'valid' or 'fixed'"),
    ],
)
def test_bad_scopes_are_refused_with_what_is_known(scope, error, message):
    with pytest.raises(error, match=message):
        build(arg_scope=scope)


def test_a_seed_makes_the_same_weights_and_the_saved_initializer_is_kerass():
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        models.append(build(arg_scope={"batch_norm": {"momentum": 0.9}}))
    for first, second in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_array_equal(first, second)
    config = models[0].get_layer("Conv2d_3_pointwise.conv").get_config()["kernel_initializer"]
    assert (config["class_name"], config["config"]["stddev"]) == ("TruncatedNormal", 0.09)


FAMILIES = {
    "mobilenet_v1": 27,
    "mobilenet_v1_cifar": 27,
    "mobilenet_v2": 52,
    "mobilenet_v3_small": 34,
    "mobilenet_edgetpu": None,
    "squeezenet_cifar": None,
    "shufflenet_v1": None,
    "shufflenet_v2": None,
    "efficientnet_lite0": None,
}


@pytest.mark.parametrize("network", FAMILIES)
def test_without_a_scope_batch_norm_forgets_as_kerass_own_does(network):
    model = getattr(slimnets, network)((32, 32, 3), num_classes=2)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == (FAMILIES[network] or len(norms)) > 0
    assert {norm.momentum for norm in norms} == {0.99}


def test_with_tf_slims_scope_batch_norm_forgets_as_in_tf_slim():
    v1 = build(arg_scope=slimnets.mobilenet_v1_arg_scope())
    v2 = slimnets.mobilenet_v2((32, 32, 3), arg_scope=slimnets.training_scope(), num_classes=2)
    assert v1.get_layer("Conv2d_0.bn").momentum == 0.9997
    assert v2.get_layer("layer_1.bn").momentum == 0.997
