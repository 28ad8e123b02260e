"""MobileNetV1 0.25 on scikit-learn's 8×8 digits: about a minute on two cores. `slimnets demo`."""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 25
    config.batch_size = 16
    config.label_smoothing = 0.05

    config.model.name = "mobilenet_v1_025"
    # A last map of 2×2; with 32×32 images it is a single pixel, and accuracy 4 points lower.
    config.model.input_size = (48, 48)
    config.model.kwargs.global_pool = True
    config.model.kwargs.dropout_keep_prob = 1.0
    # The default, 0.99, averages over a hundred steps and more; an epoch here has 75.
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = "builtin:digits"
    config.data.shift = 6  # one pixel of the original

    config.learning_rate.peak = 5e-3
    return config
