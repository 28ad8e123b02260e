"""Every network gives its reference's logits for its reference's weights.

The golden files hold what torchvision, keras.applications and plain PyTorch modules answered
(`tests/reference`); weights and images are made by rule, imported, and the answers compared.
"""

import keras
import numpy as np
import pytest
import safetensors.numpy

import slimnets
from slimnets.weights import load_weights
from tests.reference import golden

pytestmark = pytest.mark.slow  # every network of the zoo, built and asked

FIXED = {"use_explicit_padding": True}
PORT = {
    **FIXED,
    "global_pool": True,
    "arg_scope": {"conv": {"activation": "relu"}, "depthwise": {"activation": "relu"}},
}
V1_CIFAR, V2, SHUFFLE_1, SHUFFLE_2 = (
    "mobilenet_v1_cifar",
    "mobilenet_v2",
    "shufflenet_v1",
    "shufflenet_v2",
)

TORCH = {  # golden file: builder, arguments
    "mobilenet_v1_port": ("mobilenet_v1", PORT),
    "mobilenet_v1_port_97px": ("mobilenet_v1", PORT),
    **{
        f"mobilenet_v1_x{a}_cifar100": (V1_CIFAR, {"depth_multiplier": a})
        for a in (0.25, 0.5, 0.75, 1.0)
    },
    "mobilenet_v2": (V2, FIXED),
    "mobilenet_v2_97px": (V2, FIXED),
    "mobilenet_v2_x0.5": (V2, {**FIXED, "depth_multiplier": 0.5}),
    "mobilenet_v2_x1.4": (V2, {**FIXED, "depth_multiplier": 1.4}),
    "mobilenet_v2_cifar10": ("mobilenet_v2_cifar10", {}),
    "mobilenet_v2_cifar100": ("mobilenet_v2_cifar100", {}),
    "mobilenet_v3_large": ("mobilenet_v3_large", FIXED),
    "mobilenet_v3_large_100px": ("mobilenet_v3_large", FIXED),
    "mobilenet_v3_large_reduced_tail": ("mobilenet_v3_large", {**FIXED, "reduced_tail": True}),
    "mobilenet_v3_small": ("mobilenet_v3_small", FIXED),
    "mobilenet_v3_small_97px": ("mobilenet_v3_small", FIXED),
    "mobilenet_v3_small_reduced_tail": ("mobilenet_v3_small", {**FIXED, "reduced_tail": True}),
    "squeezenet1_0": ("squeezenet1_0", {}),
    "squeezenet1_0_100px": ("squeezenet1_0", {}),
    "squeezenet1_1": ("squeezenet1_1", {}),
    "squeezenet1_1_97px": ("squeezenet1_1", {}),
    "squeezenet_cifar100": ("squeezenet_cifar", {}),
    "shufflenet_v1_g3_97px": (SHUFFLE_1, {}),
    "shufflenet_v1_g3_x0.5": (SHUFFLE_1, {"scale": 0.5}),
    **{f"shufflenet_v1_g{g}": (SHUFFLE_1, {"groups": g}) for g in (1, 2, 3, 4, 8)},
    **{
        f"shufflenet_v1_g{g}_cifar100": ("shufflenet_v1_cifar", {"groups": g})
        for g in (1, 2, 3, 4, 8)
    },
    "shufflenet_v2_x1.0_97px": (SHUFFLE_2, {}),
    **{f"shufflenet_v2_x{r}": (SHUFFLE_2, {"ratio": r}) for r in (0.5, 1.0, 1.5, 2.0)},
    **{
        f"shufflenet_v2_x{r}_cifar100": ("shufflenet_v2_cifar", {"ratio": r})
        for r in (0.5, 1.0, 1.5, 2.0)
    },
}

_V4 = "mobilenet_v4_conv"
TIMM = {  # golden file: builder, arguments; the files' names begin with timm's of the network
    "timm_mobilenetv1_100": ("mobilenet_v1", FIXED),
    "timm_mobilenetv1_125_97px": ("mobilenet_v1", {**FIXED, "depth_multiplier": 1.25}),
    "timm_mobilenetv2_050": (V2, {**FIXED, "depth_multiplier": 0.5}),
    "timm_mobilenetv2_140_97px": (V2, {**FIXED, "depth_multiplier": 1.4}),
    "timm_mobilenetv3_large_100": ("mobilenet_v3_large", FIXED),
    "timm_mobilenetv3_small_050_97px": (
        "mobilenet_v3_small",
        {**FIXED, "depth_multiplier": 0.5, "fixed_stem": True},
    ),
    "timm_tf_mobilenetv3_small_075": ("mobilenet_v3_small", {"depth_multiplier": 0.75}),
    "timm_tf_mobilenetv3_large_minimal_100": ("mobilenet_v3_large", {"minimalistic": True}),
    **{
        f"timm_mobilenetv4_conv_small{px}": (f"{_V4}_small", FIXED)
        for px in ("", "_97px", "_224px")
    },
    "timm_mobilenetv4_conv_small_050": (f"{_V4}_small", {**FIXED, "depth_multiplier": 0.5}),
    "timm_mobilenetv4_conv_small_035": (f"{_V4}_small", {**FIXED, "depth_multiplier": 0.35}),
    **{
        f"timm_mobilenetv4_conv_{size}{px}": (f"{_V4}_{size}", FIXED)
        for size in ("medium", "large")
        for px in ("", "_224px")
    },
    "timm_mobilenet_edgetpu_v2_xs": ("mobilenet_edgetpu_v2_xs", FIXED),
    "timm_mobilenet_edgetpu_v2_xs_224px": ("mobilenet_edgetpu_v2_xs", FIXED),
    "timm_mobilenet_edgetpu_v2_s_97px": ("mobilenet_edgetpu_v2_s", FIXED),
    "timm_mobilenet_edgetpu_v2_m": ("mobilenet_edgetpu_v2_m", FIXED),
    "timm_mobilenet_edgetpu_v2_l": ("mobilenet_edgetpu_v2_l", FIXED),
    "timm_efficientnet_lite0": ("efficientnet_lite0", FIXED),
    "timm_tf_efficientnet_lite0": ("efficientnet_lite0", {}),
    "timm_tf_efficientnet_lite0_224px": ("efficientnet_lite0", {}),
    **{f"timm_tf_efficientnet_lite{n}": (f"efficientnet_lite{n}", {}) for n in (1, 3)},
    "timm_tf_efficientnet_lite2_97px": ("efficientnet_lite2", {}),
}

_LARGE, _SMALL = (
    ("MobileNetV3Large", "mobilenet_v3_large"),
    ("MobileNetV3Small", "mobilenet_v3_small"),
)
KERAS = {  # golden file: keras.applications' name, builder, arguments of both
    **{
        f"keras_mobilenet_x{a}": ("MobileNet", "mobilenet_v1", {"depth_multiplier": a})
        for a in (0.25, 0.5, 0.75, 1.0)
    },
    **{
        f"keras_mobilenet_v2_x{a}": ("MobileNetV2", V2, {"depth_multiplier": a})
        for a in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
    },
    **{
        f"keras_{ours}_x{a}{'_minimalistic' if m else ''}": (
            theirs,
            ours,
            {"depth_multiplier": a, **({"minimalistic": True} if m else {})},
        )
        for theirs, ours in (_LARGE, _SMALL)
        for a in (0.75, 1.0)
        for m in (False, True)
    },
}


def test_every_golden_file_is_used():
    names = (path.stem for path in golden.FOLDER.glob("*.npz"))
    files = {
        name for name in names if not name.startswith("dense_")
    }  # test_dense_networks has those
    assert files == {*TORCH, *TIMM, *KERAS, "photos"}


def assert_same_logits(model, wanted):
    got = np.asarray(model(wanted.images()))
    assert got.shape == wanted.logits.shape
    error = np.abs(got - wanted.logits).max() / wanted.logits.std()
    # Golden files are kept only where float32's own noise is below 2e-5 of this (golden.py).
    assert error <= 1e-4, f"{error:.1e} of a standard deviation"


@pytest.mark.parametrize("name", TORCH)
def test_pytorchs_weights_give_pytorchs_logits(name):
    wanted = golden.load(name)
    builder, kwargs = TORCH[name]
    size, classes = wanted.image_size, wanted.logits.shape[1]
    model = getattr(slimnets, builder)(
        (size, size, 3), num_classes=classes, prediction_fn=None, **kwargs
    )
    weights = wanted.weights()
    load_weights(model, weights)
    assert_same_logits(model, wanted)
    exported = slimnets.export_torch(model)
    assert set(weights) <= set(exported)
    assert all(np.array_equal(exported[key], value) for key, value in weights.items())


@pytest.mark.parametrize("name", TIMM)
def test_timms_weights_in_a_file_of_its_name_give_timms_logits(name, tmp_path):
    wanted = golden.load(name)
    builder, kwargs = TIMM[name]
    model = getattr(slimnets, builder)(
        (wanted.image_size, wanted.image_size, 3), prediction_fn=None, **kwargs
    )
    weights = wanted.weights()
    # Only its name tells a port of TensorFlow's weights, which pads and normalizes as they do.
    path = tmp_path / f"{name.removeprefix('timm_')}.safetensors"
    safetensors.numpy.save_file(weights, path)
    load_weights(model, path)
    assert_same_logits(model, wanted)
    if not path.name.startswith("tf_"):
        exported = slimnets.export_torch(model, names="timm")
        assert set(weights) <= set(exported)
        assert all(np.array_equal(exported[key], value) for key, value in weights.items())


@pytest.mark.parametrize("name", KERAS)
def test_keras_applications_weights_give_its_logits(name):
    wanted = golden.load(name)
    theirs, ours, kwargs = KERAS[name]
    shape = (wanted.image_size, wanted.image_size, 3)
    options = {key.replace("depth_multiplier", "alpha"): value for key, value in kwargs.items()}
    if theirs.startswith("MobileNetV3"):
        options["include_preprocessing"] = False
    source = getattr(keras.applications, theirs)(
        input_shape=shape, weights=None, classifier_activation=None, **options
    )
    weights = wanted.weights()
    for variable in source.weights:
        variable.assign(weights[variable.path])
    model = getattr(slimnets, ours)(shape, prediction_fn=None, **kwargs)
    load_weights(model, source)
    assert_same_logits(model, wanted)
