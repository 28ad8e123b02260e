"""`slimnets.Preprocessing`: the one class, of `tflite.images`, under its name here.

What a network expects is told by `slimnets.preprocessing(name_or_model)`, beside the catalogue.
"""

from tflite.images import Preprocessing

__all__ = ["Preprocessing"]
