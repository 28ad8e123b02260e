"""A folder of photographs, one sub-folder per class: --config.data.source=folder:PATH."""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 60
    config.batch_size = 32
    config.label_smoothing = 0.1

    config.model.name = "mobilenet_v1_050"
    config.model.input_size = (128, 128)
    config.model.kwargs.global_pool = True
    config.model.kwargs.dropout_keep_prob = 0.9
    # The default, 0.99, averages over hundreds of steps; an epoch of a small folder has fewer.
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = "folder:photos"
    config.data.flip = True
    config.data.shift = 12

    config.learning_rate.peak = 2e-3
    config.learning_rate.warmup_epochs = 2.0
    return config
