"""Every public function, called with something else than it takes. Needs TensorFlow."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import slimnets
import tflite
from tests.hostile.tflite_inputs import float_network, quantized_network

NAN, INF = float("nan"), float("inf")

# What may be given by mistake for an argument of any kind.
ANYTHING = (None, True, 0, -1, 3.7, NAN, "x", "", b"x", (), [], {}, object(), object, [None])

_NETWORK: dict[str, tuple[Any, ...]] = {
    "input_shape": (224, "224", (), (32, 32), (0, 32, 3), (32, 32, None), (32.0, 32.0, 3.0), None,
                    (32, 32, 3, 1), (True, 32, 3), (-32, 32, 3), {"height": 32}, ("a", "b", "c")),
    "inputs": (3, "x", np.zeros((1, 32, 32, 3)), object(), (32, 32, 3)),
    "num_classes": (True, -1, 2.5, "10", [], [10], NAN, np.ones(3)),
    "depth_multiplier": (True, 0, -1, NAN, INF, "1.0", None, [1], 1e9, 1 + 1j),
    "min_depth": (True, 0, -1, 2.5, "8", None),
    "dropout_keep_prob": (True, 0, -0.1, 1.1, NAN, "0.5", [0.5], 2),
    "conv_defs": (3, "x", (), [None], (slimnets.Conv,), {}, [[3, 2, 32]]),
    "output_stride": (True, 0, 7, 12, "16", 16.5, [16], NAN),
    "use_explicit_padding": ("yes", 2, None, [], "False"),
    "spatial_squeeze": ("yes", 2, None, []),
    "global_pool": ("yes", 2, []),
    "prediction_fn": (3, "softmaxx", [], object(), True),
    "weights": (3, "nothing_of_this_name", [], True, {}, {"a": 1}, {3: np.ones(2)}, b"x", object()),
    "arg_scope": (3, "x", [], {"conv": 3}, {"convolution": {}}, {"conv": {"paddings": 1}},
                  {"conv": {"padding": "full"}}, {"batch_norm": {"epsilon": "small"}},
                  {"batch_norm": {"momentum": NAN}}, {"conv": {"activation": 3}},
                  {"batch_norm": {"epsilon": -1}}, {"dropout": {"keep_prob": "x"}}),
    "name": (3, "", [], "a/b", True, b"x"),
}  # fmt: skip
_EXTRA: dict[str, dict[str, tuple[Any, ...]]] = {
    "mobilenet_v3_small": {"reduced_tail": ("yes", 2, None), "minimalistic": ("yes", 2, None)},
    "squeezenet1_1": {"bypass": (True, "both", 3, [], {})},
    "shufflenet_v1": {"groups": (0, 5, True, "3", None, 2.5, []), "scale": (0, -1, NAN, "1", [])},
    "shufflenet_v2": {"ratio": (0, -1, NAN, 0.7, "1.0", None, [], True)},
}
_NETWORKS = {
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.1},
    "mobilenet_v3_small": {"depth_multiplier": 0.1},
    "mobilenet_edgetpu": {"depth_multiplier": 0.1},
    "squeezenet1_1": {},
    "shufflenet_v1": {"scale": 0.25},
    "shufflenet_v2": {"ratio": 0.5},
    "mobilenet_v1_cifar": {"depth_multiplier": 0.25},
    "squeezenet_cifar": {},
}

_SHORT = {"input_shape": 2, "num_classes": 1, "depth_multiplier": 3, "use_explicit_padding": 1}

Attempt = tuple[str, Callable[[], Any]]


def _of(name: str, call: Callable[..., Any], argument: str, values: Any, **given: Any):
    """Attempts of `call(**given)` with every value in the place of one argument."""
    for value in values:
        shown = f"{name}({argument}={value!r:.40})"
        yield shown, functools.partial(call, **{**given, argument: value})


def _networks() -> Iterator[Attempt]:
    import inspect

    for name, given in _NETWORKS.items():
        build = getattr(slimnets, name)
        known = inspect.signature(build).parameters
        # Building takes its time: what all families share is tried on one of them.
        table = {k: v for k, v in _NETWORK.items() if k in known}
        if name != "mobilenet_v1":
            table = {k: v[: _SHORT[k]] for k, v in table.items() if k in _SHORT}
        for argument, values in (table | _EXTRA.get(name, {})).items():
            yield from _of(name, build, argument, values, **{"input_shape": (32, 32, 3), **given})
        yield f"{name}(224)", functools.partial(build, 224)
        yield f"{name}(colour=1)", functools.partial(build, colour=1)


def _bases() -> Iterator[Attempt]:
    import keras

    image = keras.Input((32, 32, 3))
    for name in ("mobilenet_v1_base", "mobilenet_v2_base", "mobilenet_v3_small_base"):
        base = getattr(slimnets, name)
        table = {
            "inputs": (3, "x", None, np.zeros((1, 32, 32, 3)), keras.Input((32, 3)), [image]),
            "final_endpoint": (3, "Conv2d_99", [], True, ""),
            **{k: _NETWORK[k] for k in ("depth_multiplier", "min_depth", "conv_defs")},
            **{k: _NETWORK[k] for k in ("output_stride", "use_explicit_padding")},
        }
        for argument, values in table.items():
            yield from _of(name, base, argument, values, **{"inputs": image})


def _others() -> Iterator[Attempt]:
    import keras

    from slimnets import data
    from slimnets.training.config import check_config, default_config
    from slimnets.training.loop import train

    model = slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25, num_classes=4)
    odd = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    models = (None, 3, "x", object(), keras.Model, [model], odd, unbuilt, np.ones(3))
    for name in ("end_points", "export_torch", "complexity"):
        yield from _of(name, getattr(slimnets, name), "model", models)
    yield from _of("preprocessing", slimnets.preprocessing, "name_or_model", models)
    yield from _of("load_weights", slimnets.load_weights, "model", models, source={})
    sources = (*_NETWORK["weights"], odd, "", {"a": None}, {"conv1/kernel": np.ones(())},
               {"MobilenetV1/Conv2d_0/weights": np.ones(())}, {"features.0.0.weight": np.ones(())},
               {"features.0.0.weight": np.ones((1, 1, 1, 1)), "classifier.1.weight": np.ones(0)},
               {"MobilenetV1/Logits/Conv2d_1c_1x1/biases": np.ones(())},
               {"MobilenetV3/Conv/weights": np.ones(2)}, {"stage2.0.branch1.0.weight": np.ones(1)},
               {"conv1.weight": np.ones(2), "fc.weight": np.ones(())},
               {"MobilenetV2/expanded_conv/project/weights": "text"})  # fmt: skip
    yield from _of("load_weights", slimnets.load_weights, "source", sources, model=model)
    yield from _of(
        "load_weights", slimnets.load_weights, "strict", ("no", 2), model=model, source={}
    )
    for name in ("create_model", "model_info"):
        yield from _of(name, getattr(slimnets, name), "name", ANYTHING)
    yield from _of("list_models", slimnets.list_models, "pattern", (3, None, [], b"x", object()))
    yield from _of("list_models", slimnets.list_models, "pretrained", ("yes", 3, []))
    yield from _of(
        "data.load", data.load, "source", (*ANYTHING, "folder:", "folder:\0", "mnist:/x")
    )
    images = (*ANYTHING, "folder:/nowhere", np.ones(3))
    how = slimnets.preprocessing("mobilenet_v1")
    yield from _of("calibration_images", data.calibration_images, "source", images,
                   preprocessing=how)  # fmt: skip
    yield from _of("arg_scope", _entered, "scope", _NETWORK["arg_scope"])
    record = functools.partial(slimnets.Conv, 3, 2)
    yield from _of("Conv", record, "depth", (None, "32", 0, -1, 2.5, True, [], NAN))
    yield from _of("make_divisible", slimnets.make_divisible, "value", ("8", None, [], NAN, INF))
    for scope in ("mobilenet_v1_arg_scope", "training_scope"):
        for argument, values in {
            "weight_decay": ("x", None, []),
            "stddev": ("x", [], -1, NAN),
            "batch_norm_decay": ("x", None, [], NAN, 7),
        }.items():
            call = getattr(slimnets, scope)
            if argument in call.__code__.co_varnames:
                yield from _of(scope, call, argument, values)
    for argument, values in {
        "size": (3, "x", (0, 0), (1, 2, 3), None, ("a", "b"), (32.0, 32.0)),
        "crop_fraction": (0, 7, NAN, "x", None, [1], -1),
        "mean": (3, "abc", (), None, (NAN, 0, 0), ("a", "b", "c")),
        "std": (3, "abc", (), None, (0, 0, 0), (NAN, 1, 1), ("a", "b", "c")),
        "value_range": (3, "ab", (), None, (1, 1), (1, -1), (NAN, 1), ("a", "b")),
        "interpolation": (3, None, "cubic", [], {}),
    }.items():
        yield from _of("Preprocessing", slimnets.Preprocessing, argument, values)
    yield from _of("Preprocessing()", how, "images", (*ANYTHING, np.zeros((0, 3, 3), np.uint8)))
    yield from _of("check_config", check_config, "config", _configs(default_config))
    yield from _of("train", train, "config", (None, 3, "x", [], object()), workdir="/dev/null/x")


def _entered(scope: Any) -> None:
    with slimnets.arg_scope(scope):
        slimnets.mobilenet_v1((32, 32, 3), depth_multiplier=0.25)


def _configs(default_config: Callable[[], Any]) -> Iterator[Any]:
    yield from (None, 3, "x", [], object())
    for field, value in (
        ("seed", -1), ("epochs", 0), ("epochs", "3"), ("batch_size", 2.5), ("batch_size", True),
        ("data.shift", 5000), ("data.shift", -1), ("data.flip", "yes"), ("data.source", 3),
        ("model.input_size", 224), ("model.input_size", (0, 0)), ("model.input_size", ("a", "b")),
        ("model.name", None), ("model.kwargs", 3), ("optimizer.kwargs", "x"), ("optimizer", 3),
        ("learning_rate.peak", float("nan")), ("learning_rate.peak", "fast"),
        ("learning_rate.warmup_epochs", float("inf")), ("label_smoothing", 1), ("xla", "no"),
        ("precision", []), ("optimizer.name", []), ("learning_rate.decay_rate", None),
    ):  # fmt: skip
        config = default_config().to_dict()
        *path, last = field.split(".")
        section = config
        for key in path:
            section = section[key]
        section[last] = value
        yield config


def _deployment() -> Iterator[Attempt]:
    import keras

    inside = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(6, 3), keras.layers.GlobalAveragePooling2D()]
    )
    odd = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    quantized, floating = quantized_network(), float_network()
    models = (None, 3, "", "x.h5", b"x", object(), [inside], keras.Model, odd, unbuilt)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    for argument, values in {
        "model_or_path": models,
        "out": (3, "/nowhere/x.tflite", "/", b"x", [], ""),
        "precision": ANYTHING,
        "target": ANYTHING,
        "calibration": (
            3,
            "x",
            [],
            [None],
            images[0],
            images[:0],
            np.full((1, 16, 16, 3), np.nan),
            [images[0, 0]],
            {"a": images},
            object(),
            np.asarray("x"),
            images > 0,
        ),
        "input_type": (3, "int4", [], True, object()),
        "output_type": (3, "int4", [], {}),
        "batch_size": (0, -1, True, 2.5, "1", [], NAN),
        "preprocessing": (3, "mobilenet_v1", [], object(), object),
        "labels": (3, [None], ["a"], "nowhere.txt", [3] * 6, {}, b"x", ["a\nb"] * 6, [""] * 6, ""),
        "optimize": ("yes", 2, None, []),
        "effort": ANYTHING,
        "metadata": (3, "x", [], {"nam": "x"}, {"name": None}, {3: "x"}, [("name", "x")]),
    }.items():
        precision = "float32" if argument != "calibration" else "int8"
        given = {"model_or_path": inside, "precision": precision}
        yield from _of("convert", tflite.convert, argument, values, **given)
    for argument, values in {
        "model": models,
        "path": (*ANYTHING, b"TFL3", floating),
        "images": (*ANYTHING, images[:0], images[0], np.asarray(["a"]), {"a": 1}),
        "per_layer": ("yes", 3),
    }.items():
        given = {"model": inside, "path": quantized, "images": images}
        yield from _of("compare", tflite.compare, argument, values, **given)
    for name in ("inspect", "check_edgetpu", "compile_edgetpu", "read_metadata", "measure_costs"):
        paths = (*ANYTHING, b"TFL3" * 4, "/", "nowhere.tflite", "a\0b", bytearray(8))
        argument = "source" if name == "read_metadata" else "path"
        yield from _of(name, getattr(tflite, name), argument, paths)
        yield from _of("Predictor", tflite.Predictor, "path", paths)
    yield from _of("Predictor", tflite.Predictor, "num_threads", (-5, "2", 2.5, [], True),
                   path=quantized)  # fmt: skip
    predict = tflite.Predictor(quantized).predict
    pixels = (*ANYTHING, "nowhere.png", np.zeros((0, 4, 3), np.uint8), np.zeros(3, np.uint8),
              np.zeros((2, 0, 0, 3), np.uint8), np.zeros((2, 2, 2), np.float32), [[1]])  # fmt: skip
    yield from _of("predict", predict, "images", pixels)
    yield from _of("predict", functools.partial(predict, preprocessed=True), "images",
                   (*ANYTHING, images[:0], images[0], images[:, 1:]))  # fmt: skip
    for argument, values in {
        "timeout": (0, -1, "x", None, NAN, [], True),
        "min_runtime": (9, 15, "14", None, [], True, 13.5),
        "out_dir": ("/nowhere", 3, b"x", []),
    }.items():
        given = {"path": "nowhere.tflite"}
        yield from _of("compile_edgetpu", tflite.compile_edgetpu, argument, values, **given)
    simplify = functools.partial(tflite.simplify_for_deployment, target="android")
    yield from _of("simplify_for_deployment", simplify, "model", models)
    yield from _of("simplify_for_deployment", tflite.simplify_for_deployment, "target", ANYTHING,
                   model=inside)  # fmt: skip
    for argument, values in {
        "source": (*ANYTHING, "builtin:x", "/nowhere", images[0], np.asarray(["a"])),
        "preprocessing": (3, "x", [], True),
        "count": (0, -1, 2.5, "3", None, True, []),
        "seed": ("x", -1, 2.5, [], NAN),
    }.items():
        given = {"source": (images + 3).astype(np.uint8), "preprocessing": None}
        given = given | {"preprocessing": lambda image: np.float32(image)}
        yield from _of("representative_dataset", _iterated, argument, values, **given)
    yield from _of("plot_costs", tflite.plot_costs, "costs", (None, 3, []), path="/tmp/x.png")


def _iterated(**arguments: Any) -> list:
    return list(tflite.representative_dataset(**arguments))


_GROUPS = (_networks, _bases, _others, _deployment)
COUNT = len(_GROUPS)


def make(seed: int) -> dict[str, tuple[Callable[[], Any], None]]:
    """One group of attempts."""
    return {f"{n} {shown}": (call, None) for n, (shown, call) in enumerate(_GROUPS[seed]())}
