"""How other libraries call the parts of a network: a family has one record a naming.

*Units* and templates are those of `slimnets.weights.units`. Shapes are the source's own: name of a
tensor → shape. A `variant` raises KeyError, StopIteration or IndexError where a part is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slimnets.weights.variants import Variant

Shapes = Mapping[str, tuple[int, ...]]
Templates = Iterable[tuple[str, str]]
Orders = Mapping[str, tuple[Sequence[int] | None, Sequence[int] | None]]


@dataclass(frozen=True)
class StateDictNaming:
    """One PyTorch reference's state dict.

    Attributes:
        networks: the catalogue's names of the networks that are called so.
        origin: whose names these are.
        signature: tensors that, together, only a state dict of this naming has.
        absent: tensors that it has not, where a larger network has all those of the signature.
        name_units: the units of a model and itself → (unit, template) pairs.
        variant: the network, from its shapes and classes.
        classifier: the classifier's prefix.
        classifiers: further ones, of a network that has several.
        per_class: outputs of the classifier for each class.
        dense: prefixes of dense layers, where ours are 1×1 convolutions.
        ignored: beginnings of names that the network has no use for (an auxiliary classifier).
        before_classifier: prefixes of layers that are absent without classes as well.
        epsilon: of its batch norms, but for
        epsilons: those of layers of ours whose names begin so.
        pads_same: whether it pads by TensorFlow's SAME, and not both sides alike.
        requires: keywords with which our function builds the same network.
        lacks: options of ours (`Variant.options`) that the reference does not have.
        complaint: what in a model makes the same weights another function; None: nothing does.
        channel_orders: unit → (input, output) order of channels, where ours is another.
    """

    networks: tuple[str, ...]
    origin: str
    signature: tuple[str, ...]
    name_units: Callable[[Sequence[str], Any], Templates]
    variant: Callable[[Shapes, int], Variant]
    classifier: str
    classifiers: tuple[str, ...] = ()
    per_class: int = 1
    dense: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    before_classifier: tuple[str, ...] = ()
    epsilon: float = 1e-5
    epsilons: Mapping[str, float] = field(default_factory=dict)
    pads_same: bool = False
    requires: Mapping[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    complaint: Callable[[Any], str | None] = lambda model: None
    channel_orders: Callable[[Any], Orders] = lambda model: {}

    def is_classifier_name(self, name: str) -> bool:
        """Whether a tensor belongs to what follows the pool: absent without classes."""
        layers = (self.classifier, *self.classifiers, *self.dense, *self.before_classifier)
        return name.rpartition(".")[0] in layers

    def epsilon_of(self, layer: str) -> float:
        """The epsilon of our batch norm of this name in the reference."""
        found = (value for start, value in self.epsilons.items() if layer.startswith(start))
        return next(found, self.epsilon)


@dataclass(frozen=True)
class CheckpointNaming:
    """One network's variables in a TensorFlow checkpoint that names layers, as TF-Slim's do.

    Attributes:
        scope: the variable scope that they begin with; "": there are several.
        name_units: the units of a model and itself → (unit, template) pairs, without the scope.
        variant: the network, from the shapes below the scope and the classes.
        classifier: layers, below the scope, that are absent without classes; the last one has as
            many outputs as there are classes.
        per_class: outputs of the classifier for each class.
        network: the catalogue's name of a network on a backbone, whose scope does not tell it;
        signature: of such a one the scopes that, together, only a checkpoint of it has.
        origin: whose names these are.
    """

    scope: str
    name_units: Callable[[Sequence[str], Any], Templates]
    variant: Callable[[Shapes, int], Variant]
    classifier: tuple[str, ...] = ("Logits/Conv2d_1c_1x1",)
    per_class: int = 1
    network: str | None = None
    signature: tuple[str, ...] = ()
    origin: str = "TF-Slim"

    def full_name(self, name: str) -> str:
        """A layer's name with the scope."""
        return f"{self.scope}/{name}" if self.scope else name

    def is_classifier_name(self, name: str) -> bool:
        """Whether a variable belongs to what follows the pool."""
        return name.startswith(tuple(self.full_name(f"{layer}/") for layer in self.classifier))


@dataclass(frozen=True)
class KerasNaming:
    """One `keras.applications` model's layers; its weights are called `layer/variable`.

    Attributes:
        title: the model's name there.
        pattern: matches the beginning of a weight's name that only this model has.
        name_units: the units of a model → (unit, template) pairs.
        variant: the network, from its shapes and classes.
        classifier: layers that are absent without classes; the last one has as many outputs as
            there are classes.
        dense: layers that are dense, where ours are 1×1 convolutions.
        odd_as_same: whether maps of odd height or width are padded as by SAME at stride 2.
    """

    title: str
    pattern: str
    name_units: Callable[[Sequence[str]], Templates]
    variant: Callable[[Shapes, int], Variant]
    classifier: tuple[str, ...]
    dense: tuple[str, ...] = ()
    odd_as_same: bool = True

    def is_classifier_name(self, name: str) -> bool:
        """Whether a weight belongs to what follows the pool."""
        return name.partition("/")[0] in self.classifier
