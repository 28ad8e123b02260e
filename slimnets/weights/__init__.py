"""Weights from elsewhere into our networks, and back out. No network is named here.

`loading` is the way in; `readings` understands a source for a model, and `requirements` asks it
what to build before there is one. One module a foreign format: `tf_slim`, `state_dicts` (PyTorch;
`pth` reads its files and `safetensors_files` those of that format, `wrappers` and `prefixes` take
off what trainings put around weights and their names), `keras_applications`; `keras_files` reads
Keras's files, `keras_h5` its older ones, and `file_kinds` tells which is which. What a family says
of itself, its layers' names in those formats and its published weights, is a `Family`
(`families`); `download` fetches.
"""

from slimnets.weights.loading import load_weights
from slimnets.weights.requirements import source_requirements
from slimnets.weights.state_dicts import export_safetensors, export_torch

__all__ = ["export_safetensors", "export_torch", "load_weights", "source_requirements"]
