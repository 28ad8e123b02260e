"""Trainings of a few seconds: the catalogue's MobileNetV1 with a table of two layers."""

from slimnets.catalog import create_model
from slimnets.conv_defs import Conv
from slimnets.nets.mobilenet_v1 import DepthSepConv
from slimnets.training import recipe

TABLE = (Conv(3, 2, 8), DepthSepConv(3, 2, 16))


def tiny_model(name, **options):
    """`create_model`, of fewer layers."""
    return create_model(name, conv_defs=TABLE, global_pool=True, **options)


def make_tiny(set_attribute=setattr):
    """From here on `train` builds tiny networks; `set_attribute` may be `monkeypatch.setattr`."""
    set_attribute(recipe, "create_model", tiny_model)
