"""MobileNetV3-Large on ImageNet: RMSprop, batch 4096, warm-up, ×0.99 every 3 epochs.

The batch needs a pod: with one of n images the rate is 0.1·n/4096. Weight decay is the network's
own, 1e-5 on all but depthwise layers. Source: arXiv 1905.02244, section 6.1. What it does not say
is as in MnasNet's code (`mnasnet_utils.py`: epsilon, warm-up; `mnasnet_main.py`: label smoothing),
but for the epochs: 600 are those of torchvision's V3.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 600
    config.batch_size = 4096
    config.label_smoothing = 0.1
    config.ema = 0.9999

    config.model.name = "mobilenet_v3_large"
    config.model.input_size = (224, 224)
    config.model.kwargs.dropout_keep_prob = 0.8
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.99}}

    config.data.source = "tfrecord:imagenet/*-of-*"
    config.data.flip = True
    config.data.crop_area = (0.05, 1.0)

    config.optimizer.name = "rmsprop"
    config.optimizer.kwargs.rho = 0.9
    config.optimizer.kwargs.momentum = 0.9
    config.optimizer.kwargs.epsilon = 1e-3

    config.learning_rate.schedule = "exponential"
    config.learning_rate.peak = 0.1
    config.learning_rate.warmup_epochs = 5.0
    config.learning_rate.decay_rate = 0.99
    config.learning_rate.decay_epochs = 3.0
    return config
