"""Training that knows of its quantization, for every network that has an int8 file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tflite.converter import convert
from tflite.files.metadata import read_metadata
from tflite.hints import did_you_mean
from tflite.keras_models import check
from tflite.measuring.agreement import compare, sqnr_db
from tflite.quantizing.calibration import collect
from tflite.quantizing.unfolding import trainable_model

PRESERVABLE = ("sparsity", "clusters")
# Steps that fall the other way add up, so the two are compared by how far they are from the float
# network: so much further the one may be.
_COMPARED, _MOST_DB = 8, 6.0


def quantize_aware(
    model: keras.Model,
    target: str = "android",
    calibration: Iterable[np.ndarray] | np.ndarray | None = None,
    *,
    preprocessing: Any = None,
    effort: str = "normal",
    preserve: Iterable[str] = (),
) -> keras.Model:
    """The network's int8 file as a Keras model that can be trained on.

    What is trained is the graph of the file itself: rewritten for the device, batch norms folded as
    in inference, channels equalized, weights int8 with a scale a channel, every activation rounded
    to the very steps of the file, which stay as post-training quantization chose them. It starts
    where that ends, and `tflite.convert(trained, …)` gives the file that computes the same. (The
    quantize_model of tensorflow-model-optimization trains the graph as it was before conversion,
    whose ranges and folding are then not the file's.)

    Train it with a small learning rate (Adam, 1e-4 and less). Probabilities at its end are not
    rounded to 1/256, so that a loss can tell them apart. Dropout is gone; what it had taught stays.

    Args:
        model: a Keras 3 model that `tflite.convert` takes.
        target: of the file: a name in `tflite.TARGETS`.
        calibration: about 100 training images in the model's input space, as for `convert`.
        preprocessing: as for `convert`; give the same when the trained model is converted.
        effort: as for `convert`, of the file that it starts from.
        preserve: "sparsity": weights that are 0 stay 0; "clusters": weights of an output channel
            that are equal stay equal. Both need effort "fast", which changes no weight.

    Returns:
        A functional Keras 3 model, not compiled, of the same input and output; it can be saved as
        a `.keras` file, which `slimnets.evaluate` and `slimnets convert` read.

    Raises:
        ValueError: as `convert`; an operator that cannot be trained; an unknown `preserve`.
        RuntimeError: the model does not compute what its file does.
    """
    preserve = (preserve,) if isinstance(preserve, str) else tuple(preserve)
    for what in preserve:
        if what not in PRESERVABLE:
            raise ValueError(
                f"preserve must be of {', '.join(PRESERVABLE)}, got {what!r:.80}."
                f"{did_you_mean(what, PRESERVABLE)}"
            )
    if preserve and effort != "fast":
        raise ValueError(
            f"effort {effort!r} changes weights one by one, so that nothing of {preserve} is left; "
            "to preserve it pass effort='fast'."
        )
    images = collect(calibration, check(model))
    made = convert(
        model,
        precision="int8",
        target=target,
        calibration=images,
        preprocessing=preprocessing,
        effort=effort,
    )
    aware = trainable_model(
        made.bytes,
        read_metadata(made.bytes).image,
        target,
        model.name,
        sparse="sparsity" in preserve,
        clusters="clusters" in preserve,
    )
    given = images[:_COMPARED]
    expected, found = (np.asarray(one(given, training=False)) for one in (model, aware))
    its_db, file_db = sqnr_db(expected, found), compare(model, made.bytes, given).sqnr_db
    if its_db < file_db - _MOST_DB:
        raise RuntimeError(
            f"the trainable form of {model.name!r} is not its int8 file: on calibration images it "
            f"has {its_db:.0f} dB and the file {file_db:.0f}; please report the model."
        )
    return aware
