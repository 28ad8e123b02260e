"""MobileNetV1's CIFAR form on CIFAR-10: SGD with momentum, cosine, 200 epochs, crop and flip."""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 200
    config.batch_size = 128

    config.model.name = "mobilenet_v1_cifar"
    config.model.input_size = (32, 32)
    config.model.kwargs.depth_multiplier = 1.0
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = "cifar10"
    config.data.flip = True
    config.data.shift = 4

    config.optimizer.name = "sgd"
    config.optimizer.kwargs.momentum = 0.9
    config.optimizer.kwargs.nesterov = True

    config.learning_rate.peak = 0.1
    config.learning_rate.warmup_epochs = 1.0
    return config
