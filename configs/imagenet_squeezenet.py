"""SqueezeNet 1.1 on ImageNet: SGD, 0.04 down to 0 in a line, 170,000 steps.

Weight decay is the network's own, 2e-4. Source: the authors' `SqueezeNet_v1.1/solver.prototxt`
(16 batches of 32 a step).
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 68  # of 2,502 steps
    config.batch_size = 512

    config.model.name = "squeezenet1_1"
    config.model.input_size = (224, 224)
    config.model.kwargs.dropout_keep_prob = 0.5

    config.data.source = "tfrecord:imagenet/*-of-*"
    config.data.flip = True
    config.data.crop_area = (0.08, 1.0)

    config.optimizer.name = "sgd"
    config.optimizer.kwargs.momentum = 0.9

    config.learning_rate.schedule = "linear"
    config.learning_rate.peak = 0.04
    return config
