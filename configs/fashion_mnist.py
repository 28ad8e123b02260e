"""MobileNetV1 0.25 on Fashion-MNIST (Debian: apt install dataset-fashion-mnist, or Keras's)."""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 10
    config.batch_size = 64
    config.label_smoothing = 0.05

    config.model.name = "mobilenet_v1_cifar"
    config.model.input_size = (32, 32)
    config.model.kwargs.depth_multiplier = 0.25

    config.data.source = "fashion_mnist"
    config.data.flip = True
    config.data.shift = 2

    config.learning_rate.peak = 3e-3
    config.learning_rate.warmup_epochs = 0.5
    return config
