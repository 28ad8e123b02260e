"""Training: a config file says what, `train` does it with Keras's `fit`."""

from slimnets.training.config import default_config

__all__ = ["default_config"]
