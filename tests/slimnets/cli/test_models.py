"""A single network gets its card: what weights there are, and what their images went through."""

import io
import re

import pytest
from absl import flags
from rich.console import Console

import slimnets
from slimnets.cli import UsageError, models


def printed(*args, **options):
    console = Console(file=io.StringIO(), width=200)
    values = flags.FlagValues()
    flags.DEFINE_boolean("pretrained", None, "", flag_values=values)
    flags.DEFINE_boolean("convert", options.get("convert"), "", flag_values=values)
    flags.DEFINE_string("plot", options.get("plot"), "", flag_values=values)
    values.mark_as_parsed()
    models.run(args, values, console)
    return console.file.getvalue()


def test_a_card_tells_each_set_of_weights_the_default_first():
    card = printed("mobilenet_v1")
    assert "arXiv 1704.04861, Apache-2.0" in card
    timm, slim = (
        card.index(name)
        for name in ("timm/mobilenetv1_100.ra4_e3600_r224_in1k │ 75.4 %", "mobilenet_v1_1.0_224 ")
    )
    assert timm < slim
    assert "top-5" not in printed("mobilenet_v1*")


def test_a_card_tells_sizes_and_says_that_they_are_estimated():
    assert "float16 about 8.1 MiB, int8 about 4.5 MiB (--convert makes them)" in printed(
        "mobilenet_v1"
    )


def test_a_picture_marks_the_network(tmp_path):
    pictures = []
    for name in ("mobilenet_v2", "mobilenet_v1", "mobilenet_v1*"):
        printed(name, plot=f"{tmp_path}/it.svg")
        pictures.append((tmp_path / "it.svg").read_text("utf-8"))
    assert all(picture.startswith("<svg") for picture in pictures)
    assert len({*pictures}) == 3
    assert len(pictures[2]) < len(pictures[0])  # no network among many is marked
    with pytest.raises(UsageError, match=r"ends in \.svg or \.png, got 'it\.gif'"):
        printed("mobilenet_v2", plot="it.gif")


def test_only_a_single_networks_files_are_made():
    with pytest.raises(UsageError, match="--convert takes a single network"):
        printed("mobilenet_v1*", convert=True)


@pytest.mark.slow
def test_a_card_says_what_made_files_have_and_what_an_edge_tpu_takes():
    card = printed("mobilenet_v1_025", convert=True)
    found = re.search(
        r"float16 ([\d,]+) bytes, int8 ([\d,]+) bytes, which an Edge TPU takes whole", card
    )
    sizes = [int(text.replace(",", "")) for text in found.groups()]
    estimated = slimnets.model_info("mobilenet_v1_025").estimated_bytes.values()
    assert sizes == pytest.approx([*estimated], rel=0.15)
