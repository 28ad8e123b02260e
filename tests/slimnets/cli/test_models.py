"""A single network gets its card: what weights there are, and what their images went through."""

import io

from absl import flags
from rich.console import Console

from slimnets.cli import models


def printed(*args):
    console = Console(file=io.StringIO(), width=200)
    values = flags.FlagValues()
    flags.DEFINE_boolean("pretrained", None, "", flag_values=values)
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
