"""The published weights of the catalogue are called as their publishers call them."""

import re

from slimnets import nets  # noqa: F401  makes the families known
from slimnets.weights.families import all_sources


def test_the_sources_are_those_that_were_published():
    names = [source.name for source in all_sources()]
    assert len(names) == len(set(names))
    for source in all_sources():
        file = source.url.rpartition("/")[2]
        stem = re.sub(r"\.(pth|tgz|h5)$", "", file)
        assert source.name.removeprefix("timm/") == stem
        if source.format == "torchvision":
            assert source.sha256 == source.name.rpartition("-")[2]
        if source.format == "timm":  # repository NAME.TAG of the Hub
            assert source.name == f"timm/{file}"
            assert source.pads_same == file.startswith("tf_") == (source.epsilon == 1e-3)
    assert {n for n in names if n.startswith("mobilenet_v1")} == {
        f"mobilenet_v1_{a}_{s}" for a in (1.0, 0.75, 0.5, 0.25) for s in (224, 192, 160, 128)
    }
    assert sum(source.format == "torchvision" for source in all_sources()) == 14
