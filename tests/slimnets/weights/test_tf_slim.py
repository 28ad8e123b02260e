"""TF-Slim checkpoints: each variable by its name, averages first, training's leftovers left out."""

import tarfile

import numpy as np
import pytest

import slimnets
from slimnets.weights import load_weights
from slimnets.weights.tf_slim import checkpoint_prefix
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.lively import lively

STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def random(rng, *shape):
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)


def normed(rng, name, shape, depthwise=False):
    """A convolution without bias and its batch norm, as slim.conv2d names them."""
    width = shape[2] if depthwise else shape[3]
    made = {f"{name}/{'depthwise_weights' if depthwise else 'weights'}": random(rng, *shape)}
    return made | {f"{name}/BatchNorm/{s}": random(rng, width) for s in STATISTICS}


def biased(rng, name, shape):
    return {f"{name}/weights": random(rng, *shape), f"{name}/biases": random(rng, shape[3])}


def mobilenet_v1(alpha, classes):
    """The variables of TF-Slim's mobilenet_v1, from networks.md's table."""
    rng = np.random.default_rng(0)
    depths = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    width = int(32 * alpha)
    made = normed(rng, "MobilenetV1/Conv2d_0", (3, 3, 3, width))
    for i, depth in enumerate(depths, start=1):
        made |= normed(rng, f"MobilenetV1/Conv2d_{i}_depthwise", (3, 3, width, 1), True)
        made |= normed(rng, f"MobilenetV1/Conv2d_{i}_pointwise", (1, 1, width, int(depth * alpha)))
        width = int(depth * alpha)
    return made | biased(rng, "MobilenetV1/Logits/Conv2d_1c_1x1", (1, 1, width, classes))


def inverted(scope, stem, rows, last, head, classes):
    """Variables of V2's and V3's naming; a row is (kernel, expanded, squeezed, out)."""
    rng = np.random.default_rng(0)
    made = normed(rng, f"{scope}/Conv", (3, 3, 3, stem))
    width = stem
    for i, (kernel, expanded, squeezed, out) in enumerate(rows):
        block = f"{scope}/expanded_conv{f'_{i}' if i else ''}"
        if expanded != width:
            made |= normed(rng, f"{block}/expand", (1, 1, width, expanded))
        made |= normed(rng, f"{block}/depthwise", (kernel, kernel, expanded, 1), True)
        if squeezed:
            made |= biased(rng, f"{block}/squeeze_excite/Conv", (1, 1, expanded, squeezed))
            made |= biased(rng, f"{block}/squeeze_excite/Conv_1", (1, 1, squeezed, expanded))
        made |= normed(rng, f"{block}/project", (1, 1, expanded, out))
        width = out
    made |= normed(rng, f"{scope}/Conv_1", (1, 1, width, last))
    if head:
        made |= biased(rng, f"{scope}/Conv_2", (1, 1, last, head))
    return made | biased(rng, f"{scope}/Logits/Conv2d_1c_1x1", (1, 1, head or last, classes))


# MobileNetV2 at 0.35 and V3-Small, written out from the papers' tables.
V2_ROWS = [(3, 16, 0, 8), (3, 48, 0, 8), (3, 48, 0, 8), (3, 48, 0, 16), (3, 96, 0, 16)]
V2_ROWS += [(3, 96, 0, 16), (3, 96, 0, 24), *[(3, 144, 0, 24)] * 3, (3, 144, 0, 32)]
V2_ROWS += [*[(3, 192, 0, 32)] * 2, (3, 192, 0, 56), *[(3, 336, 0, 56)] * 2, (3, 336, 0, 112)]
V3_ROWS = [(3, 16, 8, 16), (3, 72, 0, 24), (3, 88, 0, 24), (5, 96, 24, 40), (5, 240, 64, 40)]
V3_ROWS += [(5, 240, 64, 40), (5, 120, 32, 48), (5, 144, 40, 48), (5, 288, 72, 96)]
V3_ROWS += [(5, 576, 144, 96), (5, 576, 144, 96)]


@pytest.fixture(scope="module")
def variables():
    return mobilenet_v1(0.25, 1001)


@pytest.fixture(scope="module")
def checkpoint(variables, tmp_path_factory):
    """As training leaves it: averages beside poorer raw weights, optimizer slots, counters."""
    raw = {name: value + 7 for name, value in variables.items()}
    averages = {f"{name}/ExponentialMovingAverage": v for name, v in variables.items()}
    slots = {f"{name}/RMSProp{n}": v for name, v in variables.items() for n in ("", "_1")}
    extra = {"global_step": np.int64(7), "MobilenetV1/Conv2d_0/act_quant/min": np.float32(0)}
    folder = tmp_path_factory.mktemp("mobilenet_v1_0.25_128")
    return write_checkpoint(folder / "mobilenet_v1_0.25_128.ckpt", raw | averages | slots | extra)


def v1(num_classes=1001, **kwargs):
    return lively(
        slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=num_classes, **kwargs)
    )


def check_unit(model, unit, variables, scope, depthwise=False):
    kernel = variables[f"{scope}/{'depthwise_weights' if depthwise else 'weights'}"]
    np.testing.assert_array_equal(model.get_layer(f"{unit}.conv").kernel.numpy(), kernel)
    for statistic in STATISTICS if f"{scope}/BatchNorm/gamma" in variables else ():
        ours = getattr(model.get_layer(f"{unit}.bn"), statistic).numpy()
        np.testing.assert_array_equal(ours, variables[f"{scope}/BatchNorm/{statistic}"])
    if f"{scope}/biases" in variables:
        biases = model.get_layer(f"{unit}.conv").bias.numpy()
        np.testing.assert_array_equal(biases, variables[f"{scope}/biases"])


@pytest.mark.parametrize("how", ["prefix", "index file", "folder"])
def test_a_v1_checkpoint_gives_its_averages(checkpoint, variables, how):
    source = {
        "prefix": checkpoint,
        "index file": checkpoint.with_name(f"{checkpoint.name}.index"),
        "folder": checkpoint.parent,
    }[how]
    model = v1()
    load_weights(model, source)
    check_unit(model, "Conv2d_0", variables, "MobilenetV1/Conv2d_0")
    for i in (1, 6, 13):
        unit = f"Conv2d_{i}_depthwise"
        check_unit(model, unit, variables, f"MobilenetV1/{unit}", depthwise=True)
        check_unit(model, f"Conv2d_{i}_pointwise", variables, f"MobilenetV1/Conv2d_{i}_pointwise")
    logits = "MobilenetV1/Logits/Conv2d_1c_1x1"
    check_unit(model, "Logits.Conv2d_1c_1x1", variables, logits)


def test_v2_names_land_in_v2s_layers():
    variables = inverted("MobilenetV2", 16, V2_ROWS, 1280, 0, 10)
    model = slimnets.mobilenet_v2((32, 32, 3), depth_multiplier=0.35, num_classes=10)
    load_weights(model, variables)
    check_unit(model, "layer_1", variables, "MobilenetV2/Conv")
    check_unit(model, "layer_2.project", variables, "MobilenetV2/expanded_conv/project")
    check_unit(model, "layer_9.expand", variables, "MobilenetV2/expanded_conv_7/expand")
    check_unit(
        model, "layer_18.depthwise", variables, "MobilenetV2/expanded_conv_16/depthwise", True
    )
    check_unit(model, "layer_19", variables, "MobilenetV2/Conv_1")
    assert model.get_layer("layer_19.bn").epsilon == 1e-3


def test_v3_names_land_in_v3s_layers():
    variables = inverted("MobilenetV3", 16, V3_ROWS, 576, 1024, 10)
    model = slimnets.mobilenet_v3_small((32, 32, 3), num_classes=10)
    load_weights(model, variables)
    block, scope = "layer_5", "MobilenetV3/expanded_conv_3"
    check_unit(model, f"{block}.depthwise", variables, f"{scope}/depthwise", depthwise=True)
    excite = f"{scope}/squeeze_excite"
    check_unit(model, f"{block}.squeeze_excite.reduce", variables, f"{excite}/Conv")
    check_unit(model, f"{block}.squeeze_excite.expand", variables, f"{excite}/Conv_1")
    check_unit(model, "layer_13", variables, "MobilenetV3/Conv_1")
    check_unit(model, "Conv_2", variables, "MobilenetV3/Conv_2")
    headless = lively(slimnets.mobilenet_v3_small((32, 32, 3), num_classes=0))
    load_weights(headless, variables, strict=False)
    check_unit(headless, "layer_13", variables, "MobilenetV3/Conv_1")


def test_edgetpu_names_land_in_its_fused_blocks():
    model = slimnets.mobilenet_edgetpu((32, 32, 3), depth_multiplier=0.25, num_classes=3)
    rng = np.random.default_rng(0)
    shapes = {
        layer.name: [tuple(w.shape) for w in layer.weights]
        for layer in model.layers
        if layer.weights
    }
    made = normed(rng, "MobilenetEdgeTPU/Conv", shapes["layer_1.conv"][0])
    for number in range(2, 24):
        block = f"MobilenetEdgeTPU/expanded_conv{f'_{number - 2}' if number > 2 else ''}"
        for part in ("expand", "depthwise", "project"):
            if (layer := f"layer_{number}.{part}.conv") in shapes:
                made |= normed(rng, f"{block}/{part}", shapes[layer][0], part == "depthwise")
    made |= normed(rng, "MobilenetEdgeTPU/Conv_1", shapes["layer_24.conv"][0])
    head = shapes["Logits.Conv2d_1c_1x1.conv"][0]
    made |= biased(rng, "MobilenetEdgeTPU/Logits/Conv2d_1c_1x1", head)
    load_weights(model, made)
    check_unit(model, "layer_3.expand", made, "MobilenetEdgeTPU/expanded_conv_1/expand")
    check_unit(model, "layer_2.project", made, "MobilenetEdgeTPU/expanded_conv/project")


def test_the_1001_classes_go_into_1000_on_request(checkpoint, variables):
    model = v1(num_classes=1000)
    with pytest.raises(ValueError, match=r"num_classes=1001, drop_background=True to leave out"):
        load_weights(model, checkpoint)
    load_weights(model, checkpoint, drop_background=True)
    kernel = variables["MobilenetV1/Logits/Conv2d_1c_1x1/weights"]
    logits = model.get_layer("Logits.Conv2d_1c_1x1.conv")
    np.testing.assert_array_equal(logits.kernel.numpy(), kernel[..., 1:])


def test_weights_drop_the_background_of_imagenets_1001_classes(checkpoint, variables, caplog):
    options = {"input_shape": (32, 32, 3), "depth_multiplier": 0.25}
    kernel = variables["MobilenetV1/Logits/Conv2d_1c_1x1/weights"]
    for source in (str(checkpoint), variables):
        caplog.clear()
        logits = slimnets.mobilenet_v1(weights=source, **options).get_layer(
            "Logits.Conv2d_1c_1x1.conv"
        )
        np.testing.assert_array_equal(logits.kernel.numpy(), kernel[..., 1:])
        assert len(caplog.messages) == 1
        assert "without class 0, the background: the source has 1001 classes" in caplog.text
    model = slimnets.mobilenet_v1(weights=checkpoint, num_classes=5, **options)
    check_unit(model, "Conv2d_13_pointwise", variables, "MobilenetV1/Conv2d_13_pointwise")
    assert "the source has 1001 classes, the model 5 classes" in caplog.text


def train_dir(folder, steps, latest):
    """A folder as tf.train.Saver leaves it, moved here from another machine."""
    for step in steps:
        for suffix in ("index", "data-00000-of-00001"):
            (folder / f"model.ckpt-{step}.{suffix}").touch()
    lines = [f'model_checkpoint_path: "/home/me/train/model.ckpt-{latest}"']
    lines += [f'all_model_checkpoint_paths: "/home/me/train/model.ckpt-{step}"' for step in steps]
    (folder / "checkpoint").write_text("\n".join(lines))
    return folder


def test_of_a_trainings_folder_the_latest_is_taken_and_the_others_listed(tmp_path, caplog):
    folder = train_dir(tmp_path, [9, 10, 11], latest=10)
    with caplog.at_level("INFO", "absl"):
        assert checkpoint_prefix(folder) == folder / "model.ckpt-10"
    assert (
        "took model.ckpt-10, the latest; there are also model.ckpt-11, model.ckpt-9" in caplog.text
    )
    for path in (folder / "model.ckpt-9", folder / "model.ckpt-9.index"):
        assert checkpoint_prefix(path) == folder / "model.ckpt-9"


def test_of_several_checkpoints_one_must_be_named(tmp_path):
    folder = train_dir(tmp_path, [1, 2], latest=3)
    with pytest.raises(ValueError, match=r"2 checkpoints(.|\n)*model\.ckpt-1, .*model\.ckpt-2"):
        checkpoint_prefix(folder)
    (folder / "checkpoint").unlink()
    with pytest.raises(ValueError, match=r"2 checkpoints(.|\n)*model\.ckpt-1, .*model\.ckpt-2"):
        checkpoint_prefix(folder)
    assert checkpoint_prefix(tmp_path / "empty") is None


def detector(variables, averages=False):
    """What the Object Detection API makes of a network's variables, with its own beside them."""
    rng = np.random.default_rng(1)
    made = {f"FeatureExtractor/{n}": v for n, v in variables.items() if "/Logits/" not in n}
    extra = "Conv2d_13_pointwise_2_Conv2d_2_3x3_s2_512"
    scope = next(iter(variables)).partition("/")[0]
    if scope != "MobilenetV1":
        extra = "layer_19_2_Conv2d_2_3x3_s2_512"
    made |= normed(rng, f"FeatureExtractor/{scope}/{extra}", (3, 3, 4, 8))
    made |= biased(rng, "BoxPredictor_0/BoxEncodingPredictor", (1, 1, 8, 12))
    made |= {"global_step": np.int64(7)}
    if averages:
        raw = {name: value + 1 for name, value in made.items()}
        made = raw | {f"{name}/ExponentialMovingAverage": v for name, v in made.items()}
    return made


@pytest.mark.parametrize("averages", [False, True])
def test_the_network_inside_a_detector_is_found(variables, averages, caplog):
    found = detector(variables, averages)
    model = slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=5, weights=found)
    check_unit(model, "Conv2d_0", variables, "MobilenetV1/Conv2d_0")
    check_unit(model, "Conv2d_13_pointwise", variables, "MobilenetV1/Conv2d_13_pointwise")
    assert "BoxPredictor_0/BoxEncodingPredictor/weights" in caplog.text
    assert "the source has no classifier, the model 5 classes" in caplog.text
    with pytest.raises(ValueError, match="no classifier: pass strict=False"):
        load_weights(model, found)


def test_v2_and_v3_inside_a_detector_are_found():
    v2 = inverted("MobilenetV2", 16, V2_ROWS, 1280, 0, 10)
    model = slimnets.mobilenet_v2(
        (32, 32, 3), depth_multiplier=0.35, num_classes=0, weights=detector(v2)
    )
    check_unit(model, "layer_19", v2, "MobilenetV2/Conv_1")
    v3 = inverted("MobilenetV3", 16, V3_ROWS, 576, 0, 10)
    model = slimnets.mobilenet_v3_small((32, 32, 3), num_classes=0, weights=detector(v3))
    check_unit(model, "layer_13", v3, "MobilenetV3/Conv_1")


def test_a_checkpoint_of_objects_says_what_to_do(tmp_path):
    name = "model/layer-1/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    prefix = write_checkpoint(tmp_path / "ckpt-1", {name: np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=r"checkpoint of TensorFlow 2(.|\n)*save the model as"):
        load_weights(v1(), prefix)


def test_another_width_or_network_is_recognised(checkpoint):
    wide = slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.5, num_classes=1001)
    with pytest.raises(ValueError, match=r"like mobilenet_v1\(depth_multiplier=0\.25\) with 1001"):
        load_weights(wide, checkpoint)
    v2 = slimnets.mobilenet_v2((32, 32, 3), depth_multiplier=0.35)
    with pytest.raises(ValueError, match=r"of TF-Slim; model 'MobilenetV2' is mobilenet_v2\("):
        load_weights(v2, checkpoint)


def test_a_damaged_checkpoint_is_refused(tmp_path, variables):
    prefix = write_checkpoint(tmp_path / "model.ckpt", variables)
    index = prefix.with_name("model.ckpt.index")
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"model\.ckpt: not a readable TensorFlow checkpoint"):
        load_weights(v1(), prefix)
    write_checkpoint(prefix, variables)
    data = prefix.with_name("model.ckpt.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-2000])
    model = v1()
    before = [w.numpy() for w in model.weights]
    with pytest.raises(ValueError, match=r"damaged"):
        load_weights(model, prefix)
    assert all(map(np.array_equal, before, [w.numpy() for w in model.weights]))


def test_a_published_archive_is_unpacked_and_its_background_dropped(
    checkpoint, variables, tmp_path, monkeypatch
):
    monkeypatch.setenv("SLIMNETS_HOME", str(tmp_path))
    monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    with tarfile.open(tmp_path / "mobilenet_v1_0.25_128.tgz", "w:gz") as tar:
        for path in checkpoint.parent.iterdir():
            tar.add(path, f"./{path.name}")
    model = slimnets.mobilenet_v1((128, 128, 3), depth_multiplier=0.25)
    load_weights(model, "imagenet")  # of the four resolutions the one of the input
    kernel = variables["MobilenetV1/Logits/Conv2d_1c_1x1/weights"]
    logits = model.get_layer("Logits.Conv2d_1c_1x1.conv")
    np.testing.assert_array_equal(logits.kernel.numpy(), kernel[..., 1:])
