"""What docs/ and the README show: Python runs, commands exist, and most run."""

import contextlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimnets import cli
from slimnets.cli.command_flags import Flags

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
_BLOCK = re.compile(r"^(<!-- not run -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[tuple[bool, str]]:
    """(whether it is run, its text)."""
    found = _BLOCK.findall(page.read_text("utf-8"))
    return [(not marked, text) for marked, kind, text in found if kind == language]


def commands(page: Path) -> list[tuple[bool, str]]:
    """Lines that begin with `slimnets`, in blocks and as inline code that has arguments."""
    lines = [(run, line) for run, text in blocks(page, "sh") for line in text.splitlines()]
    if page.name == "README.md":
        lines = [(False, line.strip()) for line in page.read_text("utf-8").splitlines()]
    return [(run, line) for run, line in lines if line.startswith("slimnets ")]


def names(pages: list[Path], kind) -> list[Path]:
    return [page for page in pages if kind(page)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """photos/ of three kinds, and run/best.keras, as if it was trained on them."""
    import dataclasses

    import slimnets
    from slimnets import sidecar
    from tests.helpers.lively import lively

    folder = tmp_path_factory.mktemp("docs")
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog", "fox"):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{number}.png")
    (folder / "run").mkdir()
    model = lively(slimnets.mobilenet_v1_025((32, 32, 3), num_classes=3))
    model.save(folder / "run" / "best.keras")
    prepare = dataclasses.replace(slimnets.preprocessing(model), crop_fraction=1.0)
    described = sidecar.Sidecar("mobilenet_v1_025", {}, prepare, ("cat", "dog", "fox"))
    (folder / "run" / "best.json").write_bytes(described.to_json())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", names(PAGES, lambda page: blocks(page, "python")), ids=lambda page: page.stem
)
def test_every_block_of_python_runs(page, folder, monkeypatch, capsys):
    """Those of a page one after the other, as somebody would type them."""
    monkeypatch.chdir(folder)
    known: dict = {"__name__": page.stem}
    for run, text in blocks(page, "python"):
        assert run, f"{page.name}: Python is always run"
        exec(compile(text, f"{page.name}", "exec"), known)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    names(PAGES, lambda page: any(run for run, _ in commands(page))),
    ids=lambda page: page.stem,
)
def test_commands_that_are_not_marked_run(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for run, line in commands(page):
        if run:
            assert cli.main(shlex.split(line)[1:]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_every_command_exists_with_every_flag_it_is_shown_with(page):
    for _, line in commands(page):
        # The README says behind two spaces what a command is for.
        words = shlex.split(re.split(r" {2,}", line)[0])[1:]
        if words == ["models"] or not words:
            continue
        name, *rest = words
        assert name in cli.COMMANDS, line
        with contextlib.chdir(ROOT):
            check_flags(name, rest, line)


def check_flags(name: str, words: list[str], line: str) -> None:
    from importlib import import_module

    define = Flags([f"slimnets {name}", *words])
    define.boolean("json", False, "")
    import_module(f"slimnets.cli.{name.replace('-', '_')}").define_flags(define)
    for word in words:
        flag = word.removeprefix("--").partition("=")[0]
        # Fields of a recipe: tests of the recipes know them.
        if word.startswith("--") and not flag.startswith("config"):
            assert flag in define.values or flag.removeprefix("no") in define.values, line


def test_every_network_has_a_card():
    import slimnets
    from docs.make_pages import model_cards

    cards = model_cards()
    for name in slimnets.list_models():
        assert f"## {name}\n" in cards
    assert "| multiply-adds | 568.7 million at 224×224 |" in cards.partition("## mobilenet_v1\n")[2]


def test_every_page_is_in_the_menu_and_every_link_leads_somewhere():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in PAGES:
        assert f": {page.name}\n" in menu
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            made = target == "models.md"  # by docs/make_pages.py
            assert made or target.startswith("https://") or (page.parent / target).exists(), target
