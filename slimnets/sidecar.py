"""What a model is, said beside it: `best.json` belongs to `best.keras`.

Whoever makes a model writes it, whoever opens one reads it. Without it, how to prepare images can
only be guessed from the model's name and shapes.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tflite.images import Preprocessing

# Raised when older readers would misunderstand a newer file.
VERSION = 1
_FORMAT = "slimnets model"
# A thousand classes take 20 kB.
_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class Sidecar:
    """What a model file cannot say of itself.

    Attributes:
        network: its name in the catalogue; the model's own, of one from elsewhere.
        options: the keywords that it was built with: `create_model(network, **options)` has the
            same layers.
        preprocessing: what images went through when it learned.
        labels: a name for each class; empty if they are not known.
        weights: where its weights come from, in words.
    """

    network: str
    options: Mapping[str, Any]
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    weights: str = ""

    def to_json(self) -> bytes:
        """The file's content.

        Raises:
            TypeError: an option that JSON has no form for.
        """
        fields = {
            "format": _FORMAT,
            "version": VERSION,
            "network": self.network,
            "options": dict(self.options),
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "labels": self.labels,
            "weights": self.weights,
        }
        return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"


def path_beside(model: str | os.PathLike) -> Path:
    """Where the sidecar of a model file is: `run/best.json` of `run/best.keras`."""
    return Path(model).with_suffix(".json")


def class_count(model: Any) -> int:
    """How many classes have names in a model: a detector's background has none.

    Of a model with several other outputs, those of the first.
    """
    heads = getattr(model, "output", None)
    if isinstance(heads, dict) and "scores" in heads:
        return heads["scores"].shape[-1] - 1
    shape = model.output_shape
    return shape[0][-1] if isinstance(shape, list) else shape[-1]


def check_place(model: str | os.PathLike) -> Path:
    """`path_beside`, once it is sure that nothing but a sidecar would be overwritten there.

    Raises:
        FileExistsError: another program's file.
    """
    path = path_beside(model)
    if path.exists() and not _is_ours(path):
        raise FileExistsError(
            f"{path} is no description of a slimnets model and would be overwritten by that of "
            f"{model}; move it, or give the model another name."
        )
    return path


def read(path: str | os.PathLike, model: Any) -> Sidecar | None:
    """What stands beside a model file, once it is sure that it fits the model.

    Args:
        path: of the model file.
        model: the Keras model in it.

    Returns:
        None where there is none; another program's JSON file is none.

    Raises:
        ValueError: it is damaged, of a newer version, or not about this model.
        OSError: it cannot be read.
    """
    place = path_beside(path)
    if not place.is_file():
        return None
    try:
        fields = _fields(place)
        if fields is None:
            return None
        found = _parse(fields)
        _check_fit(found, model)
    except ValueError as error:
        raise ValueError(
            f"{place} does not fit {path}: {error}. Write both anew (slimnets train or "
            f"import-weights), or delete {place.name}: how to prepare images is then guessed from "
            "the model."
        ) from error
    return found


def _is_ours(path: Path) -> bool:
    try:
        return _fields(path) is not None
    except (ValueError, OSError):
        return False


def _fields(path: Path) -> Mapping[str, Any] | None:
    """The file's fields; None of another program's file."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, more than a description needs")
    try:
        fields = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is no JSON: it nests without end") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    ours = isinstance(fields, dict) and fields.get("format") == _FORMAT
    return fields if ours else None


def _parse(fields: Mapping[str, Any]) -> Sidecar:
    version = fields.get("version")
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"its version is {version!r}")
    if version > VERSION:
        raise ValueError(
            f"it is of version {version}, and this slimnets reads versions up to {VERSION}"
        )
    for name, (check, what) in _KINDS.items():
        if not check(fields.get(name)):
            raise ValueError(f"{name} should be {what}, not {str(fields.get(name))[:60]}")
    known = {field.name for field in dataclasses.fields(Preprocessing)}
    if set(fields["preprocessing"]) != known:
        differing = ", ".join(sorted(known ^ set(fields["preprocessing"])))
        raise ValueError(f"the fields of preprocessing are not those known: see {differing}")
    return Sidecar(
        network=fields["network"],
        options=MappingProxyType(_tuples(fields["options"])),
        preprocessing=Preprocessing(**_tuples(fields["preprocessing"])),
        labels=tuple(fields["labels"]),
        weights=fields["weights"],
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "network": (_is_text, "a network's name"),
        "options": (lambda v: isinstance(v, dict), "a table"),
        "preprocessing": (lambda v: isinstance(v, dict), "a table"),
        "labels": (lambda v: isinstance(v, list) and all(map(_is_text, v)), "a list of names"),
        "weights": (_is_text, "text"),
    }
)


def _tuples(value: Any) -> Any:
    """Lists as the tuples that they were before JSON."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return value


def _check_fit(sidecar: Sidecar, model: Any) -> None:
    described = (*sidecar.preprocessing.size, sidecar.preprocessing.channels)
    taken = tuple(model.input_shape[1:])
    if len(taken) != 3 or any(n not in (None, m) for n, m in zip(taken, described, strict=True)):
        raise ValueError(
            f"its images are {'×'.join(map(str, described))}, but the model takes "
            f"{'×'.join(map(str, taken))}"
        )
    classes = class_count(model)
    if sidecar.labels and len(sidecar.labels) != classes:
        raise ValueError(f"it names {len(sidecar.labels)} classes, but the model has {classes}")
