"""A CIFAR form on CIFAR-100: SGD with momentum, a fifth of the rate after 60, 120 and 160 epochs.

MobileNetV2's form; the others by --config.model.name: mobilenet_v1_cifar, squeezenet_cifar,
shufflenet_v1_cifar, shufflenet_v2_cifar. Weight decay is the networks' own, 5e-4.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 200
    config.batch_size = 128

    config.model.name = "mobilenet_v2_cifar100"
    config.model.input_size = (32, 32)
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9}}

    config.data.source = "cifar100"
    config.data.flip = True
    config.data.shift = 4

    config.optimizer.name = "sgd"
    config.optimizer.kwargs.momentum = 0.9
    config.optimizer.kwargs.nesterov = True

    config.learning_rate.schedule = "steps"
    config.learning_rate.peak = 0.1
    config.learning_rate.decay_rate = 0.2
    config.learning_rate.step_epochs = (60, 120, 160)
    return config
