"""A larger network teaches: the student learns what the teacher thinks of every class.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops
from ml_collections import ConfigDict

from slimnets.catalog import create_model, for_size, model_info, preprocessing
from slimnets.evaluation import KerasFile, open_keras
from tflite.images import Preprocessing

# What the logarithm of a probability is taken of, at least: float32 has nothing below.
_LEAST = 1e-37


def open_teacher(config: ConfigDict, class_names: Sequence[str]) -> KerasFile:
    """The network of `config.teacher`: of the catalogue with its weights, or a .keras file.

    Args:
        config: complete, with a teacher.
        class_names: what it has to know, in this order.

    Raises:
        ValueError: it knows other classes or another number of them, or takes images of other
            channels; no such network.
        FileNotFoundError: no such file.
    """
    name = config.teacher
    if Path(name).suffix == ".keras" or Path(name).is_file():
        found = open_keras(name)
    else:
        info = model_info(name)
        if not info.weight_sources:
            raise ValueError(
                f"config.teacher={name} has no published weights to teach by; train it first and "
                "give its best.keras."
            )
        if info.classes != len(class_names):
            raise ValueError(
                f"config.teacher={name} knows the {info.classes} classes of its weights and the "
                f"data has {len(class_names)}: fine-tune it on the data first, slimnets train "
                f"--model={name} --weights=imagenet, and give its best.keras."
            )
        shape = (*config.model.input_size, config.model.channels)
        model = create_model(name, input_shape=shape, weights="imagenet")
        found = KerasFile(model, for_size(preprocessing(model), shape[:2]), ())
    count = found.model.output_shape[-1]
    if len(found.model.output_shape) != 2 or count != len(class_names):
        raise ValueError(
            f"config.teacher={name} gives {count} classes and the data has {len(class_names)}: a "
            "teacher has to be trained on the same classes."
        )
    if found.labels and list(found.labels) != list(class_names):
        other = next(a for a, b in zip(found.labels, class_names, strict=True) if a != b)
        raise ValueError(
            f"config.teacher={name} knows other classes than the data, or in another order; "
            f"{other!r} is the first that differs."
        )
    if found.preprocessing.channels != config.model.channels:
        raise ValueError(
            f"config.teacher={name} takes images of {found.preprocessing.channels} channels, and "
            f"config.model.channels is {config.model.channels}."
        )
    return found


def conversion(student: Preprocessing, teacher: Preprocessing) -> Callable[[Any], Any]:
    """Images as the student takes them, float32 (B, h, w, channels) → as the teacher does.

    Both are the same pixels, normalized in another way; to another size they are resized.
    """
    (scale, offset), (wanted, start) = (
        [np.asarray(values, np.float32) for values in each.affine()] for each in (student, teacher)
    )
    factor = wanted / scale
    same = student.size == teacher.size
    if not same:
        logging.info(
            "the teacher sees the student's images, %s pixels, resized to %s",
            *("×".join(map(str, each.size)) for each in (student, teacher)),
        )

    def convert(images: Any) -> Any:
        images = images * factor + (start - offset * factor)
        if same:
            return images
        return ops.image.resize(images, teacher.size, interpolation="bilinear")

    return convert


def soft_loss(answers: Any, taught: Any, temperature: float) -> Any:
    """T²·KL(teacher ‖ student) of softened probabilities, (B,); 2 of Hinton et al.

    Args:
        answers, taught: the student's and the teacher's probabilities, (B, classes). The softmax
            of their logarithms over T is that of the logits.
        temperature: T; above 1 the teacher's smaller probabilities count more.
    """
    ours, theirs = (
        ops.log_softmax(ops.log(ops.maximum(p, _LEAST)) / temperature) for p in (answers, taught)
    )
    return temperature**2 * ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)


class Student(keras.Model):
    """A network's layers and weights, trained on labels and on a teacher's answers.

    What is measured on validation images is the plain loss.
    """

    def __init__(
        self, model: keras.Model, teach: Callable[[Any], Any], temperature: float, weight: float
    ) -> None:
        """
        Args:
            model: a classifier that ends in a softmax.
            teach: images as `model` takes them → the teacher's probabilities.
            temperature: see `soft_loss`.
            weight: the teacher's share of the loss, in (0, 1].
        """
        super().__init__(model.input, model.output, name=model.name)
        self._teach, self._temperature, self._weight = teach, temperature, weight

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        soft = soft_loss(y_pred, self._teach(x), self._temperature)
        if sample_weight is not None:
            soft = soft * ops.cast(sample_weight, soft.dtype)
        decay = sum(self.losses)
        hard = loss - decay
        return (1 - self._weight) * hard + self._weight * ops.mean(soft) + decay


def taught(
    model: keras.Model, preprocess: Preprocessing, config: ConfigDict, class_names: Sequence[str]
) -> Student:
    """`model` as a student of `config.teacher`, which answers as in inference and learns nothing.

    Raises:
        ValueError: as `open_teacher`; the student ends in something else than a softmax.
        FileNotFoundError: no such file.
    """
    if getattr(model.layers[-1], "activation", None) is not keras.activations.softmax:
        raise ValueError(
            "a student of config.teacher has to end in a softmax: leave prediction_fn out of "
            "config.model.kwargs."
        )
    teacher = open_teacher(config, class_names)
    teacher.model.trainable = False
    convert = conversion(preprocess, teacher.preprocessing)
    probable = teacher.gives == "probabilities"
    # Sigmoids need not sum to 1.
    finish = (lambda y: y / ops.sum(y, -1, keepdims=True)) if probable else ops.softmax

    def teach(images: Any) -> Any:
        return ops.stop_gradient(finish(teacher.model(convert(images), training=False)))

    logging.info("the teacher: %s", config.teacher)
    return Student(model, teach, config.distillation.temperature, config.distillation.weight)
