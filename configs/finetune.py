"""A pretrained network on a folder of 50 pictures or more: its new classifier first, then all.

    slimnets train --config=finetune --data=folder:photos --workdir=run
    slimnets train --data=folder:photos --model=mobilenet_v2 --weights=imagenet --workdir=run

What is None suits the data: see `slimnets.training.default_recipe.resolve`.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = None
    config.batch_size = None
    config.label_smoothing = 0.1

    config.model.name = "mobilenet_v2"
    config.model.weights = "imagenet"  # or a path
    config.model.input_size = None
    # A small folder's statistics are worse than those of the million images that came before.
    config.model.freeze_batch_norm = True

    config.data.source = "folder:photos"
    config.data.flip = True
    config.data.shift = 12

    config.head.epochs = None
    config.head.learning_rate = 1e-3

    config.learning_rate.peak = 1e-4  # of all layers: a tenth
    config.learning_rate.warmup_epochs = 0.5
    return config
