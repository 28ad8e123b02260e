"""The Keras model to convert: where it comes from, and whether it can be converted."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tflite.files.keras_archive import check_keras_archive
from tflite.output_kinds import Effect, kind_after, kind_of_output

if TYPE_CHECKING:
    import keras


def load(model_or_path: Any) -> "keras.Model":
    """The Keras 3 model itself, or the one in a `.keras` file.

    Raises:
        TypeError: neither.
        FileNotFoundError, ValueError: as `load_file`.
    """
    import keras

    if isinstance(model_or_path, (str, os.PathLike)):
        return load_file(model_or_path)
    if type(model_or_path).__module__.startswith(("tf_keras", "tensorflow")):
        raise TypeError(
            "this is a model of Keras 2 (tf_keras or tf.keras with TF_USE_LEGACY_KERAS): rebuild "
            "it in Keras 3 and copy its weights with set_weights(get_weights())."
        )
    if not isinstance(model_or_path, keras.Model):
        raise TypeError(
            "expected a keras.Model or the path of a .keras file, got "
            f"{type(model_or_path).__name__}."
        )
    return model_or_path


def load_file(path: str | os.PathLike) -> "keras.Model":
    """A model from a `.keras` file, without running any code that the file may carry.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no Keras model that can be loaded safely.
    """
    path = Path(path)
    if path.suffix in (".h5", ".hdf5"):
        raise ValueError(
            f"{path}: HDF5 models are of old Keras. Load it with keras.models.load_model (or "
            "with tf_keras, if that fails), save it with model.save('model.keras') and convert "
            "that."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder (a SavedModel?); give a .keras file.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}.")
    if path.suffix != ".keras":
        raise ValueError(f"{path}: give a .keras file, made with model.save('model.keras').")
    cannot = f"{path} is no Keras model that can be loaded safely"
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{cannot}: it is not the zip archive that a .keras file is. It was cut off, or it is "
            "a file of another kind."
        )
    check_keras_archive(path)
    import keras

    import tflite.quantized_layers  # noqa: F401  Keras has to know them

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    # A damaged archive can fail anywhere in zipfile, json, h5py or Keras.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(
            f"{cannot} ({reason}). A model with custom or Lambda layers has to be loaded in "
            "your program, and the model passed instead."
        ) from error


def check(model: "keras.Model") -> tuple[int, int, int]:
    """The (height, width, channels) of the one input of a model that can be converted.

    Raises:
        ValueError: it cannot: another backend of Keras, a model without a known graph, several
            inputs or outputs, no images of a known size, weights that are not finite.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"conversion runs on Keras's TensorFlow backend, but this process uses "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow before importing Keras."
        )
    what = f"{type(model).__name__} {model.name!r}"
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(f"{what} is not built: give it a keras.Input layer, or call it once.")
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ValueError(
            f"{what} is a subclassed model, whose graph is not known. Wrap it: x = keras.Input("
            "(height, width, channels)); convert(keras.Model(x, model(x)))."
        )
    shape = check_input(model)
    check_output(model)
    if None in shape[1:]:
        raise ValueError(
            f"{what} takes images of shape {shape[1:]}, of unknown size; a device file needs a "
            f"fixed one. Wrap it: x = keras.Input((224, 224, {shape[3] or 3})); "
            "convert(keras.Model(x, model(x)))."
        )
    kind = model.inputs[0].dtype
    if not keras.backend.is_float_dtype(kind):
        raise ValueError(
            f"{what} takes {kind} images; give it a float32 keras.Input. The file can "
            "take uint8 nevertheless, with preprocessing whose value_range is (0, 255)."
        )
    _check_weights(model)
    return shape[1:]


def check_input(model: "keras.Model") -> tuple[int | None, ...]:
    """The shape of a model's one input, (batch, height, width, channels), or a ValueError."""
    _check_single(model, "inputs", model.inputs)
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4:
        raise ValueError(
            f"{type(model).__name__} {model.name!r} takes inputs of shape {shape}; expected images "
            "(batch, height, width, channels)."
        )
    return shape


def check_output(model: "keras.Model") -> None:
    """Raise a ValueError where a model has several outputs."""
    _check_single(model, "outputs", model.outputs)


def _check_single(model: "keras.Model", kind: str, tensors: Sequence[Any]) -> None:
    if len(tensors) != 1:
        # A tensor that no layer made by name is called keras_tensor_7.
        names = ", ".join(tensor._keras_history.operation.name for tensor in tensors)
        raise ValueError(
            f"{type(model).__name__} {model.name!r} has {len(tensors)} {kind} ({names}); models "
            "with one image input and one output can be used here. Make one of them, e.g. "
            "keras.Model(model.inputs[0], model.outputs[0])."
        )


def unwrapped(model: "keras.Model") -> "keras.Model":
    """A model of one input and one output as one from array to array.

    Its maker may have put either into a dictionary or a list, which it then takes or gives.
    """
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def task_of(model: "keras.Model") -> str:
    """What a model does, by its outputs: "detect" with a detector's two heads, raw boxes and scores
    by name; "segment" with one map; "classify" with anything else."""
    if {"boxes", "scores"} <= set(getattr(model, "output_names", None) or ()):
        return "detect"
    outputs = getattr(model, "outputs", None) or ()
    return "segment" if len(outputs) == 1 and len(outputs[0].shape) == 4 else "classify"


# Layers and functions of Keras that move numbers, or mix them so that probabilities stay such.
_KEEP = frozenset(
    {"reshape", "flatten", "identity", "squeeze", "expanddims", "cast", "permute", "transpose"}
    | {"dropout", "spatialdropout2d", "gaussiannoise", "gaussiandropout", "getitem", "activation"}
    | {"activityregularization", "resizing", "resize", "upsampling2d", "cropping2d"}
    | {"average", "maximum", "minimum", "concatenate", "mean", "max", "min", "averagepooling2d"}
    | {"globalaveragepooling2d", "globalmaxpooling2d", "maxpooling2d"}
)


def output_kind(model: "keras.Model") -> str:
    """What a model's one output is: see `tflite.output_kinds`.

    Told inside of a nested model, too; a layer or function that is not known is arithmetic.
    """
    output = model.outputs[0]
    return kind_of_output(_kind_of(output, {}), output.shape[-1])


def _kind_of(tensor: Any, known: dict[int, str | None]) -> str | None:
    """None of a model's input. `known`: by tensor, for one may be read again and again."""
    if id(tensor) not in known:
        known[id(tensor)] = _kind_made(tensor, known)
    return known[id(tensor)]


def _kind_made(tensor: Any, known: dict[int, str | None]) -> str | None:
    import keras

    operation, node, index = tensor._keras_history
    if isinstance(operation, keras.layers.InputLayer):
        return None
    inputs = operation._inbound_nodes[node].input_tensors
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return _kind_of(operation.outputs[index], known) or _kind_of(inputs[0], known)
    return kind_after(_effect(operation, len(inputs)), (_kind_of(one, known) for one in inputs))


def _effect(operation: Any, inputs: int) -> Effect:
    import keras

    name = type(operation).__name__.lower()
    activation = getattr(operation, "activation", None)
    if isinstance(activation, keras.layers.Softmax) or (
        name in ("softmax", "sigmoid")
        or activation in (keras.activations.softmax, keras.activations.sigmoid)
    ):
        return Effect.PROBABILITIES
    if activation not in (None, keras.activations.linear) or "relu" in name:
        return Effect.ACTIVATION
    if getattr(operation, "weights", None) or name in ("log", "logsoftmax"):
        return Effect.LINEAR
    if name in _KEEP:
        return Effect.KEEPS
    # A softmax written out, or a division by a norm.
    if name == "exp" or (name in ("divide", "truedivide") and inputs > 1):
        return Effect.ACTIVATION
    return Effect.ARITHMETIC


def check_calibratable(model: "keras.Model") -> None:
    """Raise a ValueError that names layers which TensorFlow's calibration does not survive."""
    import keras

    loops = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]
    if loops:
        raise ValueError(
            f"recurrent layers run as loops, which cannot be calibrated: {', '.join(loops)}. Build "
            "them with unroll=True and copy the weights with set_weights(get_weights()), or "
            "convert with precision='float16' or 'dynamic'."
        )


def check_outputs(model: "keras.Model", images: np.ndarray) -> None:
    """Raise a ValueError where the model gives NaN for these images, float32 (N, H, W, C)."""
    outputs = np.asarray(unwrapped(model)(images, training=False), np.float32)
    if np.isnan(outputs).any():
        raise ValueError(
            f"{type(model).__name__} {model.name!r} gives NaN for calibration images, although all "
            "its weights are finite. Look at the output of one layer after the other; a batch norm "
            "with a negative variance does so."
        )


def _check_weights(model: "keras.Model") -> None:
    import keras

    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if np.issubdtype(values.dtype, np.integer):
            continue
        if not np.isfinite(values.astype(np.float32, copy=False)).all():
            raise ValueError(
                f"the weight {weight.path} holds NaN or infinite values; the training diverged "
                "or the file is broken."
            )
