"""SSDLite on MobileNetV2's ImageNet weights: its heads first, on features computed once, then all.

    slimnets train --config=detect --data=voc:photos --workdir=run

--config.model.weights=FILE takes weights that are there already.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 40
    config.batch_size = 16
    config.clip_norm = 10.0

    config.model.name = "ssdlite"
    config.model.weights = "imagenet"  # or a path
    config.model.input_size = (160, 160)
    config.model.kwargs.backbone = "mobilenet_v2"
    config.model.freeze_batch_norm = True  # of the backbone

    config.data.source = "builtin:scenes"
    config.data.object_crops = True
    config.data.color = 0.5
    config.data.flip = False  # digits; photographs may be mirrored

    config.head.epochs = 40
    config.head.learning_rate = 2e-3

    config.learning_rate.peak = 5e-4
    config.learning_rate.warmup_epochs = 0.5
    return config
