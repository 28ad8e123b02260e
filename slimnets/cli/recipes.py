"""Where the recipe is that --config names: a file, or one of those that come with slimnets."""

from __future__ import annotations

from pathlib import Path

from tflite.hints import did_you_mean

_CLONE = Path(__file__).parents[2]
# setup.py makes the folder configs/ of a clone the package slimnets.configs of a wheel.
_INSTALLED = Path(__file__).parents[1] / "configs"


def shipped() -> dict[str, Path]:
    """The recipes that come with slimnets, by name."""
    folder = _INSTALLED if _INSTALLED.is_dir() else _CLONE / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def find(name: str) -> Path:
    """The file of a recipe: `name` itself where it is one, else the shipped recipe of that name.

    "digits", "digits.py" and "configs/digits.py" all name a shipped recipe, wherever one is. A
    path to anywhere else has to exist.

    Raises:
        ValueError: neither; the message lists the shipped recipes and names the nearest.
    """
    path = Path(name)
    if path.is_file():
        return path
    recipes = shipped()
    may_be_shipped = str(path.parent) in (".", "configs") and path.suffix in ("", ".py")
    if may_be_shipped and path.stem in recipes:
        return recipes[path.stem]
    raise ValueError(
        f"must be a file or the name of a recipe of slimnets ({', '.join(recipes)}), got {name!r}."
        f"{did_you_mean(path.stem, recipes)}"
    )
