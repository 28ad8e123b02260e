"""Whether a finished file counts: what it computes beside what the Keras model does."""

from typing import TYPE_CHECKING

import numpy as np

from tflite.files import flatbuffer
from tflite.measuring.agreement import Agreement, compare
from tflite.measuring.diagnosis import quantization_report
from tflite.targets import Target

if TYPE_CHECKING:
    import keras

_GENTLER_THAN_INT8 = ("int16x8", "dynamic", "float16")
# Rounding alone leaves 100 dB to a float32 file and 50 dB to a float16 one.
_LEAST_FLOAT_SQNR_DB = 20
_LEAST_INTEGER_SQNR_DB = 20
_LEAST_TOP1_AGREEMENT = 0.8
# Layers that a warning names.
_NAMED = 3


def agreement_of(model: "keras.Model", data: bytes, images: np.ndarray) -> Agreement:
    """Agreement of the file with the Keras model."""
    try:
        return compare(model, data, images)
    except RuntimeError as error:
        raise RuntimeError(
            f"LiteRT cannot run the file, so it was not written ({error}). For int8 and int16x8 "
            "that happens where activations are all but constant; check the weights and the "
            "calibration images, or try another precision."
        ) from error


def check_agreement(agreement: Agreement, precision: str, device: Target) -> list[str]:
    """Doubts about the finished file; RuntimeError where it is not the same network."""
    if precision in ("float32", "float16"):
        if agreement.sqnr_db >= _LEAST_FLOAT_SQNR_DB:
            return []
        raise RuntimeError(
            f"the {precision} file does not compute what the Keras model does ({agreement}), so "
            "it was not written. "
            + (
                "Weights beyond 65504 do not fit float16; try precision='float32'."
                if precision == "float16"
                else "Try optimize=False, and report the model."
            )
        )
    if agreement.top1_agreement >= _LEAST_TOP1_AGREEMENT:
        return []
    gentler = [other for other in _GENTLER_THAN_INT8 if other in device.precisions]
    instead = f", or precision {' or '.join(map(repr, gentler))}" if gentler else ""
    return [
        f"the {precision} file gives another class than Keras for "
        f"{1 - agreement.top1_agreement:.0%} of the images; evaluate it on test data, and try "
        f"more calibration images{instead}."
    ]


def check_noise(
    model: "keras.Model",
    data: bytes,
    images: np.ndarray,
    agreement: Agreement,
    precision: str,
    device: Target,
) -> list[str]:
    """A doubt about a file of integers whose numbers are far off, though classes may be the
    same."""
    step = 1 / 256 if flatbuffer.ends_in_probabilities(flatbuffer.unpack(data)) else 0.0
    # Probabilities come in steps; where most are smaller than one, rounding is all that is lost.
    if agreement.sqnr_db >= _LEAST_INTEGER_SQNR_DB or agreement.mean_abs_error <= step:
        return []
    told = (
        f"the {precision} file's outputs have an SQNR of {agreement.sqnr_db:.1f} dB beside "
        f"Keras's, where {_LEAST_INTEGER_SQNR_DB} and more are usual"
    )
    if precision != "int8":
        instead = " try precision 'float16'." if "float16" in device.precisions else ""
        return [f"{told}: rounded to 8 bits, weights are not what they were.{instead}"]
    layers = quantization_report(model, data, images)
    lost = [layer.name for layer in layers.poor] or [layers.worst.name] if layers.worst else []
    more = f", and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    where = f"; most is lost in {', '.join(lost[:_NAMED])}{more}" if lost else ""
    return [
        f"{told}{where}. tflite.quantization_report tells layer by layer; try effort='high', or "
        "more calibration images like those of its use."
    ]
