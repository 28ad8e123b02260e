"""What a training is made of: every field of a config, its default and its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict, FieldReference

from tflite.hints import nearest

OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "exponential", "linear", "steps")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Sections that hold keyword arguments of something else: any key may be added there, and who
# takes the arguments checks them.
FREE_SECTIONS = frozenset({"model.kwargs", "optimizer.kwargs", "data.class_weights"})
BALANCES = ("none", "weights", "sampling")


def default_config() -> ConfigDict:
    """The fields that a recipe in configs/ starts from and changes; unknown names are refused."""
    config = ConfigDict()
    # Where None is possible, it stands for what suits the data; a reference knows its type even
    # then, which --config.field=value asks for.
    config.seed = 0
    config.epochs = FieldReference(30)  # or None
    config.batch_size = FieldReference(64)  # or None
    config.label_smoothing = 0.0
    config.precision = "float32"  # or mixed_bfloat16, mixed_float16; saved models are float32

    # Who shares a batch: one device, all local ones, the cluster of TF_CONFIG, a TPU's cores.
    config.distribution = "none"  # or mirrored, multi_worker, tpu
    config.xla = False  # compile the step with XLA: pays for itself in long trainings only
    config.deterministic = False  # the same weights to the bit in every run; slower
    config.ema = 0.0  # decay of moving averages of the weights, which are then kept; 0: none
    config.clip_norm = 0.0  # of all gradients together, at most; 0: any
    config.early_stopping = 0  # end after so many epochs without a better one; 0: never
    config.tensorboard = False  # write tensorboard/ into the workdir

    config.checkpoint = ConfigDict()  # at the end of each epoch, at SIGTERM, and in between …
    config.checkpoint.steps = 0  # … every so many steps, 0: no matter how many
    config.checkpoint.minutes = 5.0  # … and after so many minutes, 0: no matter how many

    config.model = ConfigDict()
    config.model.name = "mobilenet_v1"
    config.model.weights = ""  # to start from: imagenet, a catalogue's name or a path; "": fresh
    config.model.input_size = FieldReference((224, 224))  # or None
    config.model.channels = 3  # of the images: 1 grey, 3 colour, 4 colour and opacity
    config.model.freeze_batch_norm = False  # keep the statistics that came with the weights
    config.model.kwargs = ConfigDict()  # of the network's function: depth_multiplier, arg_scope, …

    config.data = ConfigDict()
    config.data.source = "builtin:digits"
    config.data.flip = False  # mirror half of the training images
    config.data.shift = 0  # move them by up to so many pixels
    config.data.crop_area = ()  # cut out random parts, of a share of the area: (0.08, 1.0) is usual
    config.data.crop_ratio = (3 / 4, 4 / 3)  # their width over height
    config.data.color = 0.0  # change brightness, contrast, saturation by up to this share
    config.data.rand_augment = ()  # (operations an image, magnitude of 30): (2, 9) is usual
    config.data.mixup = 0.0  # alpha: mix two images and their labels; 0: no
    config.data.cutmix = 0.0  # alpha: paste a part of another image; 0: no
    config.data.object_crops = False  # detectors, segmenters: zoom out, or cut to objects
    config.data.balance = "none"  # rare classes count more (weights) or are drawn more (sampling)
    config.data.class_weights = ConfigDict()  # class → what its images count; others 1

    # Before the first epoch, the classifier alone may learn on what the others make of images.
    config.head = ConfigDict()
    config.head.epochs = FieldReference(0)  # or None; 0: it does not
    config.head.learning_rate = 1e-3

    config.teacher = ""  # a larger network to learn from: a catalogue's name or a .keras file
    config.distillation = ConfigDict()
    config.distillation.temperature = 4.0  # softens what it says: above 1 shows second choices
    config.distillation.weight = 0.5  # its share of the loss; the labels have the rest

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.kwargs = ConfigDict()  # of the Keras optimizer: momentum, epsilon, …

    config.learning_rate = ConfigDict()
    config.learning_rate.schedule = "cosine"  # constant, cosine, exponential, linear or steps
    config.learning_rate.peak = 1e-3
    config.learning_rate.warmup_epochs = 0.0  # from 0 to the peak; the schedule begins after it
    config.learning_rate.decay_rate = 0.94  # multiplies the rate …
    config.learning_rate.decay_epochs = 2.5  # … exponential: every so many epochs
    config.learning_rate.step_epochs = ()  # … steps: after each of these epochs
    config.lock()
    # A locked section refuses new fields; these take any.
    for name in FREE_SECTIONS:
        value_of(config, name).unlock()
    return config


def check_config(config: Mapping[str, Any]) -> ConfigDict:
    """A complete, locked config: `config` over the defaults.

    Raises:
        ValueError: an unknown field (the nearest known one is named) or a value out of range.
        TypeError: a value of the wrong type.
    """
    if not isinstance(config, (ConfigDict, Mapping)):
        raise TypeError(f"config must be a ConfigDict or a mapping, got {config!r:.80}.")
    whole = default_config().unlock()
    _overlay(whole, ConfigDict(config), "")
    for field, (check, allowed) in _LIMITS.items():
        value = value_of(whole, field)
        if not check(value):
            raise ValueError(f"config.{field} must be {allowed}, got {value!r}.")
    if whole.distribution != "none" and (whole.teacher or whole.xla or whole.head.epochs != 0):
        raise ValueError(
            f"config.distribution={whole.distribution!r} knows neither config.teacher nor xla nor "
            "head.epochs: leave them out, or train on one device."
        )
    if whole.model.freeze_batch_norm and not whole.model.weights:
        raise ValueError(
            "config.model.freeze_batch_norm keeps statistics that came with weights, and there are "
            "none: give config.model.weights, such as imagenet or a path."
        )
    if whole.model.input_size and whole.data.shift >= min(whole.model.input_size):
        raise ValueError(
            f"config.data.shift must be less than the input's size, "
            f"{' x '.join(map(str, whole.model.input_size))} pixels, got {whole.data.shift}."
        )
    if whole.data.class_weights and whole.data.balance != "none":
        raise ValueError(
            "config.data.class_weights and config.data.balance both say what classes count; give "
            "one of them."
        )
    if whole.model.channels == 4 and (whole.data.color or whole.data.rand_augment):
        raise ValueError(
            "config.data.color and rand_augment know no opacity: leave them out, or give "
            "config.model.channels 1 or 3."
        )
    if (whole.learning_rate.schedule == "steps") != bool(whole.learning_rate.step_epochs):
        raise ValueError(
            "config.learning_rate.step_epochs and schedule 'steps' go together, got "
            f"{tuple(whole.learning_rate.step_epochs)} and schedule "
            f"{whole.learning_rate.schedule!r}."
        )
    return whole.lock()


def _overlay(under: ConfigDict, over: ConfigDict, path: str) -> None:
    for key, value in over.items():
        name = f"{path}{key}"
        if name in FREE_SECTIONS:
            if not isinstance(value, (ConfigDict, Mapping)):
                raise TypeError(f"config.{name} is a section of arguments, got {value!r:.80}.")
            under[key] = ConfigDict(value)
            continue
        if key not in under:
            near = nearest(key, under)
            hint = f" Did you mean {path}{near}?" if near else ""
            raise ValueError(
                f"unknown field config.{name}; known here: {', '.join(sorted(under))}.{hint}"
            )
        if isinstance(under[key], ConfigDict):
            if not isinstance(value, (ConfigDict, Mapping)):
                raise TypeError(f"config.{name} is a section of fields, got {value!r}.")
            _overlay(under[key], ConfigDict(value), f"{name}.")
            continue
        with under.ignore_type():
            under[key] = value


def value_of(config: Mapping[str, Any], field: str) -> Any:
    """The value of a field such as "data.flip"."""
    for key in field.split("."):
        config = config[key]
    return config


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < math.inf


def _whole_from(least: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least


def _is_size(value: Any) -> bool:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(map(_whole_from(1), value))


def _is_range(value: Any, most: float) -> bool:
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_number, value))
    return pair and 0 < value[0] <= value[1] <= most


def _is_rand_augment(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) not in (0, 2):
        return False
    return not value or (_whole_from(1)(value[0]) and _is_number(value[1]) and 0 <= value[1] <= 30)


def _are_weights(value: Any) -> bool:
    return all(_is_number(v) and v > 0 for v in value.values())


def _is_channels(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in (1, 3, 4)


def _is_rising(values: Any) -> bool:
    if not isinstance(values, (tuple, list)) or not all(map(_is_number, values)):
        return False
    return all(low < high for low, high in zip((0, *values), values, strict=False))


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda v: v is None or check(v)


_positive = (lambda v: _is_number(v) and v > 0, "a number above 0")
_not_negative = (lambda v: _is_number(v) and v >= 0, "0 or more")
_switch = (lambda v: isinstance(v, bool), "True or False")

_LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "seed": (_whole_from(0), "a whole number, 0 or more"),
        "epochs": (_or_none(_whole_from(1)), "a whole number, 1 or more"),
        "batch_size": (_or_none(_whole_from(1)), "a whole number, 1 or more"),
        "label_smoothing": (lambda v: _is_number(v) and 0 <= v < 1, "in [0, 1)"),
        "precision": (PRECISIONS.__contains__, f"one of {', '.join(PRECISIONS)}"),
        "distribution": (DISTRIBUTIONS.__contains__, f"one of {', '.join(DISTRIBUTIONS)}"),
        "xla": _switch,
        "deterministic": _switch,
        "ema": (lambda v: _is_number(v) and 0 <= v < 1, "in [0, 1)"),
        "clip_norm": _not_negative,
        "early_stopping": (_whole_from(0), "a whole number of epochs, 0 or more"),
        "tensorboard": _switch,
        "checkpoint.steps": (_whole_from(0), "a whole number, 0 or more"),
        "checkpoint.minutes": _not_negative,
        "model.name": (lambda v: isinstance(v, str), "a network's name"),
        "model.weights": (lambda v: isinstance(v, str), "a name or a path, or empty"),
        "model.input_size": (_or_none(_is_size), "(height, width) in pixels"),
        "model.channels": (_is_channels, "1 (grey), 3 (colour) or 4 (colour and opacity)"),
        "model.freeze_batch_norm": _switch,
        "head.epochs": (_or_none(_whole_from(0)), "a whole number, 0 or more"),
        "head.learning_rate": _positive,
        "data.source": (lambda v: isinstance(v, str), "a source's name"),
        "data.flip": _switch,
        "data.shift": (_whole_from(0), "a whole number of pixels, 0 or more"),
        "data.crop_area": (
            lambda v: v in ((), []) or _is_range(v, 1),
            "two shares of the area, each above 0 and at most 1, the least first, or empty",
        ),
        "data.crop_ratio": (
            lambda v: _is_range(v, 100),
            "two positive numbers, width over height, the least first",
        ),
        "data.color": (lambda v: _is_number(v) and 0 <= v <= 1, "in [0, 1]"),
        "data.rand_augment": (
            _is_rand_augment,
            "(operations an image, magnitude in 0..30), or empty",
        ),
        "data.mixup": _not_negative,
        "data.object_crops": _switch,
        "data.cutmix": _not_negative,
        "data.balance": (BALANCES.__contains__, f"one of {', '.join(BALANCES)}"),
        "data.class_weights": (_are_weights, "a number above 0 for each class that is named"),
        "teacher": (lambda v: isinstance(v, str), "a network's name or a .keras file, or empty"),
        "distillation.temperature": _positive,
        "distillation.weight": (lambda v: _is_number(v) and 0 < v <= 1, "in (0, 1]"),
        "optimizer.name": (OPTIMIZERS.__contains__, f"one of {', '.join(OPTIMIZERS)}"),
        "learning_rate.schedule": (SCHEDULES.__contains__, f"one of {', '.join(SCHEDULES)}"),
        "learning_rate.peak": _positive,
        "learning_rate.warmup_epochs": _not_negative,
        "learning_rate.decay_rate": (lambda v: _is_number(v) and 0 < v <= 1, "in (0, 1]"),
        "learning_rate.decay_epochs": _positive,
        "learning_rate.step_epochs": (_is_rising, "numbers above 0, each above the one before"),
    }
)
