"""LiteRT's interpreter with real numbers at both ends: the one place that runs a file here."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from tflite.files.compiled import check_runs_here
from tflite.files.reading import File, open_file
from tflite.images import ImageInput

_INPUT_TYPES = tuple(map(np.dtype, ("float32", "int8", "uint8", "int16")))


@contextlib.contextmanager
def errors_named(name: str) -> Iterator[None]:
    """LiteRT's own errors as ValueErrors that name the file."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        if "failed to invoke" in reason:
            raise ValueError(
                f"{name}: LiteRT stopped ({reason}). The operator is not defined for all that "
                "images make of its input: a root of what int8 rounds below 0 is not. Bound it in "
                "the model, as by keras.ops.maximum(x, 0.001), or convert to float16."
            ) from error
        raise ValueError(
            f"{name}: LiteRT cannot run this file ({reason}); convert it again, or update "
            "ai-edge-litert if the file is newer."
        ) from error


class Session:
    """A .tflite file ready to run on any number of images.

    Attributes:
        input_shape: (height, width, channels).
        batch: images an invocation takes; None where the file leaves it open.
        input_type, output_type: NumPy types of the file's ends.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes | File,
        image: ImageInput | None = None,
        num_threads: int | None = None,
        keep_all_tensors: bool = False,
        delegate: str | os.PathLike | None = None,
    ) -> None:
        """Loads the file.

        Args:
            source: path, bytes or an opened file.
            image: what the file's metadata says of its input; see its `exact_zero_point`.
            num_threads: None is LiteRT's default.
            keep_all_tensors: `tensor` can then read inner tensors; runs without a delegate.
            delegate: a library that runs what it can of the file, see `open_interpreter`.

        Raises:
            TypeError, FileNotFoundError, ValueError: as `open_file`; ValueError also where the
                file's ends are not one image and its scores, or LiteRT cannot run it, as without
                a delegate one that was compiled for the Edge TPU.
            OSError: the delegate's library cannot be loaded, or its device does not answer.
        """
        from tflite.litert import open_interpreter

        file = open_file(source)
        self._name = file.name
        through = not keep_all_tensors if delegate is None else delegate
        check_runs_here(file, through)
        with errors_named(self._name):
            self._interpreter = open_interpreter(
                file.data,
                num_threads=num_threads,
                delegate=through,
                keep_all_tensors=keep_all_tensors,
            )
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        _check_ends(file.name, inputs, outputs)
        (self._input,), self._output = inputs, outputs[0]
        signature = self._input["shape_signature"]
        self.batch = None if signature[0] == -1 else int(self._input["shape"][0])
        self.input_shape = tuple(int(n) for n in self._input["shape"][1:])
        self.input_type = np.dtype(self._input["dtype"])
        self.output_type = np.dtype(self._output["dtype"])
        self._image = image
        if self.batch is not None:
            with errors_named(self._name):
                self._interpreter.allocate_tensors()

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs, float32 (N, ...), for images, float32 (N, *input_shape) in the input space."""
        return np.concatenate([output for output, _ in self.steps(images)])

    def run_all(self, image: np.ndarray) -> list[np.ndarray]:
        """Every output, float32 in the file's order, for one image (*input_shape)."""
        with errors_named(self._name):
            self._invoke(self.quantize(image[np.newaxis]))
            details = self._interpreter.get_output_details()
        return [dequantize(self._interpreter.get_tensor(d["index"]), d) for d in details]

    def steps(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Runs batch by batch; gives the outputs and how many images they belong to."""
        size = self.batch or len(images)
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            count = len(batch)
            if self.batch is not None and count < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, axis=0)])
            with errors_named(self._name):
                output = self._invoke(self.quantize(batch))
            yield dequantize(output, self._output)[:count], count

    def _invoke(self, batch: np.ndarray) -> np.ndarray:
        if self.batch is None:
            self._interpreter.resize_tensor_input(self._input["index"], batch.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input["index"], batch)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])

    def quantize(self, images: np.ndarray) -> np.ndarray:
        """Real numbers as the file's input type, rounded to the nearest step."""
        if self.input_type == np.float32:
            return np.ascontiguousarray(images, np.float32)
        scale, offset = self._input["quantization"]
        if self._image is not None:
            offset = self._image.exact_zero_point(scale, offset, self.input_type)
        limits = np.iinfo(self.input_type)
        steps = np.rint(images.astype(np.float64) / scale + offset)
        return np.clip(steps, limits.min, limits.max).astype(self.input_type)

    def tensor(self, index: int) -> np.ndarray:
        """An inner tensor of the last run, as real numbers; needs `keep_all_tensors`."""
        details = next(d for d in self._interpreter.get_tensor_details() if d["index"] == index)
        return dequantize(self._interpreter.get_tensor(index), details)


def whole_batches(images: np.ndarray, size: int) -> np.ndarray:
    """`images`, filled up from the first on until they are whole batches of `size`."""
    missing = -len(images) % size
    return images[np.resize(np.arange(len(images)), len(images) + missing)] if missing else images


def _check_ends(name: str, inputs: list[dict], outputs: list[dict]) -> None:
    if len(inputs) != 1 or not outputs:
        raise ValueError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; files with one image "
            "input and an output can be run here."
        )
    shape, kind = inputs[0]["shape"], np.dtype(inputs[0]["dtype"])
    if len(shape) != 4 or min(shape) < 1 or kind not in _INPUT_TYPES:
        raise ValueError(
            f"{name} takes {kind} of shape {tuple(map(int, shape))}; expected images, (batch, "
            f"height, width, channels) of {', '.join(t.name for t in _INPUT_TYPES)}."
        )
    if np.dtype(outputs[0]["dtype"]).kind not in "fiu" or not len(outputs[0]["shape"]):
        raise ValueError(f"{name} has an output that is no array of numbers.")


def dequantize(values: np.ndarray, details: dict) -> np.ndarray:
    """float32 of an interpreter's tensor, by its scale and zero point where it has any."""
    scale, zero_point = details["quantization"]
    if np.issubdtype(values.dtype, np.floating) or scale == 0:
        return values.astype(np.float32)
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(…, classes) → the same shape, each row of the last axis summing to 1."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
