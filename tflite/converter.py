"""`convert`: from a Keras model to a verified .tflite file, in the order in which it happens.

Arguments and model are checked before any long work; the deployment rewrite makes the float graph
that the target likes; `lowering` turns it into bytes; metadata and a signature are added; the file
is run beside the Keras model; only then is it written.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite import keras_models, targets
from tflite.files import flatbuffer, writing
from tflite.files.labels import check_labels
from tflite.files.metadata import Metadata, read_metadata
from tflite.files.metadata_writing import append_labels, attach
from tflite.files.signature import set_signature
from tflite.files.sparse import with_sparse_weights
from tflite.images import ImageInput
from tflite.measuring import acceptance
from tflite.measuring.agreement import relative_error
from tflite.measuring.reports import ConversionReport, price_of, report_on
from tflite.micro.firmware import Firmware, write_firmware
from tflite.quantizing import calibration as calibration_images
from tflite.quantizing import input_range, unfolding
from tflite.quantizing.compressible import pruned_or_clustered
from tflite.quantizing.engine import Form
from tflite.quantizing.integer_forms import float_operators
from tflite.quantizing.keeping import check_keep
from tflite.quantizing.lowering import Lowered, lower
from tflite.quantizing.tracing import INPUT_NAME
from tflite.runtime import Session

if TYPE_CHECKING:
    import keras

    from tflite.rewriting.passes import PassReport

logger = logging.getLogger(__name__)

_AGREEMENT_IMAGES = 64
_PROBES = 4
# The rewriting is exact up to float32's rounding, which leaves 1e-5 of the greatest output.
_MOST_REWRITING_ERROR = 1e-4
# A model of mixed precision rounds to 2**-8 (bfloat16) in every layer, and its file does not.
_MOST_MIXED_ERROR = 0.1
_END_TYPES = {
    "float32": ("float32",),
    "float16": ("float32",),
    "dynamic": ("float32",),
    "int8": ("int8", "uint8", "float32"),
    "int16x8": ("int16", "float32"),
}


@dataclass(frozen=True)
class Conversion:
    """A finished conversion.

    Attributes:
        path: the file that was written; None if no `out` was given.
        bytes: the file's content.
        report: what was made and how well it agrees with the Keras model.
        firmware: what was written for a microcontroller beside the file; None for other targets.
    """

    path: Path | None
    bytes: bytes
    report: ConversionReport
    firmware: Firmware | None = None

    def __repr__(self) -> str:
        return f"Conversion(path={str(self.path)!r}, {len(self.bytes)} bytes)"


def convert(
    model_or_path: "keras.Model | str | os.PathLike",
    out: str | os.PathLike | None = None,
    *,
    precision: str = "int8",
    target: str = "android",
    calibration: Iterable[np.ndarray] | np.ndarray | None = None,
    input_type: str | None = None,
    output_type: str | None = None,
    batch_size: int | None = 1,
    preprocessing: Any = None,
    labels: Iterable[str] | str | os.PathLike | None = None,
    optimize: bool = True,
    effort: str = "normal",
    keep: Mapping[str, str] | None = None,
    sparse: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Conversion:
    """Converts a Keras model of images into a verified .tflite file.

    The file has a static batch, one signature `serving_default` from `image` to `probabilities`
    (where the network ends in a softmax or a sigmoid), `logits` or `numbers` (one number of a
    linear layer, or another activation's), TFLite Metadata, and is the same, byte for byte, for the
    same arguments.

    Args:
        model_or_path: a built functional (or Sequential) Keras 3 model with one image input
            (height, width, channels) and one output, or the path of its `.keras` file. One that
            `slimnets.optimization.quantize_aware` made becomes the int8 file that it computes as.
        out: where to write the file; a report goes beside it as `<stem>.report.json`.
            Each is written whole or not at all.
        precision: "float32"; "float16" (weights half, ends float32); "dynamic" (int8 weights);
            "int8" (every tensor int8, weights per channel, biases int32); "int16x8" (int16
            activations, int8 weights).
        target: a name in `tflite.TARGETS`: "android", "cpu", "coral" or "micro". For the last,
            `<stem>.h` and `<stem>.cc` go beside the file (see `write_firmware`).
        calibration: for int8 and int16x8: about 100 training images in the model's input space,
            as an array (N, height, width, channels), an iterable of batches, or what
            `tflite.representative_dataset` gives. Other precisions use them only to verify, as does
            a model that is quantization-aware already.
        input_type, output_type: "int8", "uint8" or "float32" for an int8 file, "int16" or
            "float32" for int16x8. The target's own default otherwise: android and cpu have uint8
            at both ends, because camera frames are bytes and because MediaPipe refuses int8.
        batch_size: images an invocation takes; None leaves it open.
        preprocessing: the object whose `mean`, `std`, `value_range`, `crop_fraction` and
            `interpolation` say how pixels become the model's input. An integer input of a model
            with one mean and std for all channels then has exactly the scale and zero point
            that take raw bytes (1/127.5 and 127 for [-1, 1]). Where channels differ, the
            normalization goes into the file, which then takes plain pixels. None: the range is
            read off the calibration images where they fill a usual one ([-1, 1], [0, 1],
            [-0.5, 0.5] or [0, 255]); the report's warnings say what was guessed.
        labels: one name a class, or the path of a text file with one a line.
        optimize: rewrite the float graph for the target first (`simplify_for_deployment`).
        effort: for the accuracy of an int8 file. "fast" takes every activation's minimum and
            maximum and rounds weights to nearest; "normal" equalizes channels, corrects biases and
            refits weights, about a minute for MobileNetV2 at 224; "high" does so on mirrored and
            cut out images, too. What is no better on calibration images kept aside is left out;
            `report.quantizing` tells.
        keep: layers of an int8 file that stay float32, where the device computes in floats: names
            of layers or patterns of them, {"head": "float32", "stage1_*": "float32"}.
            `report.kept` tells what it costs.
        sparse: a pruned network's float32 file without the zeros of layers that are two thirds
            zeros. Where XNNPACK has kernels for that (Arm; not x86 with AVX) and the network suits
            them (see docs/optimization.md), it is faster, too.
        metadata: further texts of the file: "name", "description", "version", "author",
            "license".

    Raises:
        ValueError: a model that cannot be converted, calibration images that do not fit it, a
            wrong option; the message says what is possible.
        TypeError: an argument of the wrong type.
        OSError: `out` cannot be written.
    """
    device, form = check_options(precision, target, input_type, output_type, batch_size)
    targets.check_choice("effort", effort, targets.EFFORTS)
    texts = _check_texts(metadata)
    if out is not None:
        out = writing.check_writable(out)
    model = keras_models.load(model_or_path)
    shape = keras_models.check(model)
    kept = _check_keep(keep, model, precision, device)
    if sparse:
        _check_sparse(precision, device)
    labels = check_labels(labels, model.outputs[0].shape[-1])
    made = make(model, shape, device, form, calibration, preprocessing, optimize, effort, kept)
    file, unkept = made.lowered.file, made.lowered.unkept
    data = _finish(
        with_sparse_weights(file) if sparse else file,
        Metadata(image=made.image, labels=labels, **{"name": model.name, **texts}),
    )

    agreement = acceptance.agreement_of(model, data, made.samples[:_AGREEMENT_IMAGES])
    doubts = [*made.doubts, *acceptance.check_agreement(agreement, precision, device)]
    if precision not in ("float32", "float16") and made.images is not None:
        doubts += acceptance.check_noise(model, data, made.images, agreement, precision, device)
    report = report_on(
        data,
        precision,
        device,
        agreement,
        made.source,
        doubts,
        made.rewriting,
        made.lowered.outcome,
        price_of(kept, file, unkept) if unkept else None,
    )
    for doubt in doubts:
        logger.warning("%s", doubt)
    if out is None:
        return Conversion(None, data, report)
    firmware = None
    if device.takes_source:
        numbers = _in_files_numbers(data, made.image, made.samples[:1])
        firmware = write_firmware(data, out, numbers)
    writing.write_bytes(out, data)
    writing.write_bytes(out.with_suffix(".report.json"), report.to_json().encode())
    return Conversion(out, data, report, firmware)


@dataclass(frozen=True)
class Made:
    """A file without signature and metadata, and what it took.

    Attributes:
        lowered: the file.
        image: how pixels become the model's input, if it is known.
        images: the calibration's; None: there are none.
        samples: images to compare on, and where they come from, `source`.
        rewriting: what each pass did.
        doubts: what the user should know.
    """

    lowered: Lowered
    image: ImageInput | None
    images: np.ndarray | None
    samples: np.ndarray
    source: str
    rewriting: Iterable["PassReport"]
    doubts: list[str]


def make(
    model: "keras.Model",
    shape: tuple[int, int, int],
    device: targets.Target,
    form: Form,
    calibration: Iterable[np.ndarray] | np.ndarray | None,
    preprocessing: Any,
    optimize: bool = True,
    effort: str = "normal",
    kept: tuple[str, ...] = (),
    detects: bool = False,
) -> Made:
    """The file of a model with one input of `shape` and one output; arguments as `convert`'s.

    `detects`: the output is a detector's codes beside its probabilities.
    """
    precision, images = form.precision, None
    aware = unfolding.lowered(model, form, device, kept)
    if precision in input_range.CALIBRATED:
        keras_models.check_calibratable(model)
    if calibration is not None or (precision in input_range.CALIBRATED and not aware):
        images = calibration_images.collect(calibration, shape)
    image, doubts = input_range.decide(preprocessing, shape, images)
    doubts += input_range.check_images(images, image, "float32" if aware else precision)
    samples, source = images, "calibration images"
    if samples is None:
        samples, source = input_range.noise(image, shape, _PROBES), "seeded noise"
    else:
        keras_models.check_outputs(model, samples[:_PROBES])
    deployed, rewriting = model, ()
    if optimize and not aware:
        deployed, rewriting, found = _deployed(model, device, form, samples[:_PROBES])
        doubts += found
    lowered = aware or lower(deployed, form, image, images, effort, kept, detects)
    if precision == "int8" and effort != "fast" and not aware:
        doubts += pruned_or_clustered(model)
    doubts += _check_float_operators(lowered.unkept or lowered.file, precision, device)
    return Made(lowered, image, images, samples, source, rewriting, doubts)


# --- Arguments ---------------------------------------------------------------------------------


def check_options(
    precision: str,
    target: str,
    input_type: str | None,
    output_type: str | None,
    batch_size: int | None,
) -> tuple[targets.Target, Form]:
    """The device and the form of the file, with the device's own ends where none are asked for.

    Raises:
        ValueError: an option that `convert` does not take, or not for this device or precision.
    """
    device = targets.lookup(target)
    targets.check_precision(device, precision)
    targets.check_batch_size(batch_size)
    allowed = _END_TYPES[precision]
    ends = []
    for name, value, default in (
        ("input_type", input_type, device.default_input_type),
        ("output_type", output_type, device.default_output_type),
    ):
        if value is None:
            value = default if precision == "int8" else "float32"
        if value not in allowed:
            raise ValueError(
                f"{name} of a {precision} file must be {' or '.join(allowed)}, got {value!r}."
            )
        ends.append(value)
    return device, Form(precision, *ends, batch_size)


def _check_keep(
    keep: Any, model: "keras.Model", precision: str, device: targets.Target
) -> tuple[str, ...]:
    kept = check_keep(keep, [layer.name for layer in model.layers])
    if kept and precision != "int8":
        raise ValueError(f"keep is for precision='int8', not {precision!r}.")
    if kept and not device.keeps_float_operators:
        raise ValueError(
            f"target {device.name!r} computes in integers only: it can keep no layer in float32."
        )
    return kept


def _check_sparse(precision: str, device: targets.Target) -> None:
    if precision == "float32" and device.reads_sparse_weights:
        return
    able = ", ".join(name for name, d in targets.TARGETS.items() if d.reads_sparse_weights)
    raise ValueError(
        f"sparse weights are for float32 files for {able}, not for {precision} for "
        f"{device.name!r}; those are compressed by any archive instead."
    )


def _check_texts(metadata: Mapping[str, str] | None) -> dict[str, str]:
    known = ("name", "description", "version", "author", "license")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must map {', '.join(known)} to text, got {metadata!r:.80}.")
    texts = dict(metadata or {})
    for name in texts:
        targets.check_choice("a key of metadata", name, known)
    return {name: str(value) for name, value in texts.items()}


# --- The file ----------------------------------------------------------------------------------


def _deployed(
    model: "keras.Model", device: targets.Target, form: Form, probes: np.ndarray
) -> tuple["keras.Model", list["PassReport"], list[str]]:
    """The model rewritten for the device, what each pass did, and doubts about it.

    A rewriting that is another function is not used, whatever the precision: the model is then
    converted as it is, and the doubt names the pass.
    """
    from tflite.rewriting import simplify_for_deployment

    reports: list[PassReport] = []
    deployed = simplify_for_deployment(
        model,
        device.name,
        form.precision,
        batch_size=form.batch_size,
        after_pass=lambda report, _: reports.append(report),
    )
    error, allowed = relative_error(model, deployed, probes), _most_error(model)
    if error <= allowed:
        return deployed, reports, []
    guilty = _guilty_pass(model, device, form, probes)
    return (
        model,
        [],
        [
            f"rewritten for {device.name}, the network's outputs differ by {error:.2g} of the "
            f"greatest (first after the pass {guilty}), so it was converted as it is: the file may "
            "be slower than it could be. Please report the model."
        ],
    )


def _most_error(model: "keras.Model") -> float:
    halves = ("float16", "bfloat16")
    mixed = any(layer.compute_dtype in halves for layer in model._flatten_layers())
    return _MOST_MIXED_ERROR if mixed else _MOST_REWRITING_ERROR


def _guilty_pass(
    model: "keras.Model", device: targets.Target, form: Form, probes: np.ndarray
) -> str:
    """The first pass after which the network is another function."""
    from tflite.rewriting import model_of, simplify_for_deployment

    found: list[str] = []

    def check(report: "PassReport", graph: Any) -> None:
        if not found and report.changed:
            error = relative_error(model, model_of(graph, form.batch_size), probes)
            if not error <= _most_error(model):
                found.append(report.name)

    simplify_for_deployment(
        model, device.name, form.precision, batch_size=form.batch_size, after_pass=check
    )
    return found[0] if found else "building"


def _finish(data: bytes, metadata: Metadata) -> bytes:
    """The file with its signature, its metadata and its labels."""
    flat = flatbuffer.unpack(data)
    set_signature(flat, [INPUT_NAME], [flatbuffer.output_kind(flat)])
    flat.description = "Converted from Keras."
    attach(flat, metadata)
    return append_labels(flatbuffer.pack(flat), metadata.labels)


def _check_float_operators(data: bytes, precision: str, device: targets.Target) -> list[str]:
    """What an int8 file computes in float32: a doubt, or a ValueError where the device cannot."""
    left = float_operators(data) if precision == "int8" else []
    if not left:
        return []
    if device.keeps_float_operators:
        return [
            f"these operators have no int8 form and stay float32: {', '.join(left)}. The file "
            "runs on CPUs; replace the layers that make them to have all of it in integers."
        ]
    gentler = [other for other in ("float32", "float16", "dynamic") if other in device.precisions]
    instead = f", or convert with precision={' or '.join(map(repr, gentler))}" if gentler else ""
    raise ValueError(
        f"these operators have no int8 form and would stay float32, which target {device.name!r} "
        f"does not take: {', '.join(left)}. Replace the layers that make them{instead}."
    )


def _in_files_numbers(
    data: bytes, image: ImageInput | None, images: np.ndarray
) -> np.ndarray | None:
    """Images as the file takes them; None of a file with a batch that they are not."""
    metadata = read_metadata(data)
    session = Session(data, metadata.image and metadata.image.of_file)
    if session.batch != len(images):
        return None
    return session.quantize(images if image is None else image.to_file(images))
