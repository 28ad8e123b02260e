"""`load_weights`: from whatever holds weights to the variables of a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from absl import logging

from slimnets.weights import families, matching, remembered
from slimnets.weights.matching import IN_PYTHON, Advice
from slimnets.weights.readings import read

_LISTED = 8  # names in a remark


@dataclass(frozen=True)
class Loaded:
    """What `load` did.

    Attributes:
        title: what was loaded into what.
        tensors: how many the model took.
        kept: layers of the model that stay as they were, by the source's names of their tensors.
        left: tensors of the source that were not taken.
        classes: the source's and the model's; 0: it has no classifier.
        background: whether the source's class 0 was left out.
        average: where in the source the averaged copy was that was taken; "": none was.
    """

    title: str
    tensors: int
    kept: Sequence[str]
    left: Sequence[str]
    classes: tuple[int, int]
    background: bool
    average: str

    @property
    def remarks(self) -> str:
        """What was not simply taken over, in one line; empty where nothing is to be said."""
        remarks = [f"the averaged weights, {self.average!r}"] if self.average else []
        theirs, ours = (f"{n} classes" if n else "no classifier" for n in self.classes)
        if names := dict.fromkeys((*self.kept, *self.left)):
            remarks.append(f"everything but {_listed([*names])}")
        if self.background:
            remarks.append("without class 0, the background")
        if names or self.background:
            remarks[-1] += f": the source has {theirs}, the model {ours}"
        return f"loaded {', '.join(remarks)}" if remarks else ""


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names) - _LISTED} more)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def load_weights(
    model: Any, source: Any, strict: bool = True, *, drop_background: bool = False
) -> None:
    """Load weights into a network of ours: all that it needs, or nothing.

    Batch norms take over the epsilon that the weights were trained with.

    Args:
        model: a network of ours (also cloned, or loaded from a file).
        source: one of
          - a path, whatever it is called: a Keras file of ours or of a keras.applications model
            (`.keras`, `.weights.h5`, `.h5`), a PyTorch file (a state dict, a training's
            checkpoint or a saved model; read without PyTorch), a `.safetensors` file with
            PyTorch's names, or a checkpoint of TF-Slim or of TensorFlow's Object Detection API
            (SSDLite; of other detectors the backbone): its prefix, or a training's folder, of
            which the latest counts;
          - "imagenet" (the catalogue's weights for this network) or a name of the catalogue, both
            downloaded and cached as `slimnets.weights.download` says;
          - a mapping of names to arrays, as a PyTorch state dict or checkpoint, a TF-Slim
            checkpoint or the layers of a keras.applications model have them;
          - a `keras.applications` model of a family that is in the catalogue.
          Names may have something in front (`module.`, `_orig_mod.`, `FeatureExtractor/`); of a
          last and an averaged copy (EMA) the averaged one is taken.
        strict: False leaves the classifier's layers as they are that do not fit: the source has
          another number of classes, or one of the two has none. The rest must fit in any case.
        drop_background: take a source with one class more than the model, and leave out its class
          0. TF-Slim's ImageNet checkpoints have 1001 classes with the background first. Always on
          for those where the catalogue says so.

    Raises:
        ValueError: entries that are missing, unknown or of another shape, all listed, and which
          network the source looks like; a damaged or unsafe file; a model built unlike the
          reference (padding), with the argument that makes it alike.
        FileNotFoundError: no file of this name, and no such name in the catalogue.
        ConnectionError: a download that is not possible; says which file to put where.
        TypeError: `source` or `model` is none of the above.
    """
    _log(load(model, source, strict=strict, drop_background=drop_background))


def load_for_building(model: Any, source: Any) -> None:
    """`load_weights` for a network's `weights=`, where `num_classes` says what is wanted.

    With as many classes as the source all must fit; else all but the classifier, and ImageNet's
    1001 classes go into 1000 without their background. One line of the log says so.

    Raises:
        as `load_weights`.
    """
    _log(load(model, source, strict=None))


def _log(loaded: Loaded) -> None:
    if loaded.remarks:
        logging.warning("%s: %s.", loaded.title, loaded.remarks)


def load(
    model: Any,
    source: Any,
    *,
    strict: bool | None = True,
    drop_background: bool | None = None,
    advice: Advice = IN_PYTHON,
) -> Loaded:
    """What `load_weights` does, without a word.

    Args:
        model, source: as there.
        strict: as there; None: only where both have the same number of classes.
        drop_background: as there; None: of a source known to have ImageNet's 1001 classes, where
          the model has 1000.
        advice: how the caller does what an error advises.

    Raises:
        as `load_weights`.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}.")
    with ExitStack() as stack:
        reading, title, has_background = read(model, source, stack)
        classes = reading.classes, families.classes_of(model)
        title = f"{title} → model {model.name!r}"
        if strict is None:
            strict = classes[0] == classes[1] != 0
        if drop_background is None:
            drop_background = reading.has_background and classes == (1001, 1000)
        variant = families.of_model(model)
        # What a detector gives out for the background is none of num_classes.
        background = classes[1] - variant.classes if variant else 0
        classes = max(classes[0] - background, 0), classes[1] - background
        plan = matching.plan(
            reading.entries,
            reading.tensors,
            title=title,
            is_classifier_name=reading.is_classifier_name,
            source_variant=reading.variant,
            model_variant=variant,
            classes=classes,
            strict=strict,
            drop_background=drop_background or has_background,
            advice=advice,
        )
        reading.check_built_alike()
        matching.assign(model, plan.values, reading.epsilons)
        remembered.remember(model, reading.preprocessing)
    return Loaded(
        title,
        len(plan.values),
        plan.kept,
        (*plan.left, *reading.beside),
        classes,
        plan.background,
        reading.average,
    )
