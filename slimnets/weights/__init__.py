"""Weights from elsewhere into our networks, and back out.

One module a foreign format: `tf_slim`, `torchvision`, `keras_applications`; `keras_files` reads
our own. `sources` lists what is published, `download` fetches it.
"""

from slimnets.weights.loading import load_weights, source_requirements
from slimnets.weights.torchvision import export_torch

__all__ = ["export_torch", "load_weights", "source_requirements"]
