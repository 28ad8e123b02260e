"""ShuffleNetV2 1.0 on ImageNet: SGD, 0.5 down to 0 in a line, batch 1024, 300,000 steps.

Weight decay is the network's own, 4e-5. Source: arXiv 1807.11164, section 4.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 240  # of 1,251 steps
    config.batch_size = 1024

    config.model.name = "shufflenet_v2"
    config.model.input_size = (224, 224)

    config.data.source = "tfrecord:imagenet/*-of-*"
    config.data.flip = True
    config.data.crop_area = (0.08, 1.0)
    config.data.color = 0.4

    config.optimizer.name = "sgd"
    config.optimizer.kwargs.momentum = 0.9

    config.learning_rate.schedule = "linear"
    config.learning_rate.peak = 0.5
    return config
