"""MobileNetV1 1.0 on ImageNet, as TF-Slim trains it: RMSprop, ×0.94 every 2.5 epochs.

Rates and batch are one replica's: with n of them, n times both. For α below 0.75 change images
less: --config.data.crop_area='(0.5,1.0)' --config.data.color=0.0. Weight decay is the network's
own, 4e-5 on all but depthwise layers. Source: arXiv 1704.04861, section 3.2; TF-Slim
`mobilenet_v1.py`, `train_image_classifier.py`. Neither says for how many epochs: 200 are ours.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 200
    config.batch_size = 96
    config.ema = 0.9999

    config.model.name = "mobilenet_v1"
    config.model.input_size = (224, 224)  # or 192, 160, 128
    config.model.kwargs.dropout_keep_prob = 0.999
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.9997}}

    config.data.source = "tfrecord:imagenet/*-of-*"
    config.data.flip = True
    config.data.crop_area = (0.05, 1.0)
    config.data.color = 0.4

    config.optimizer.name = "rmsprop"
    config.optimizer.kwargs.rho = 0.9
    config.optimizer.kwargs.momentum = 0.9
    config.optimizer.kwargs.epsilon = 1.0

    config.learning_rate.schedule = "exponential"
    config.learning_rate.peak = 0.045
    config.learning_rate.decay_rate = 0.94
    config.learning_rate.decay_epochs = 2.5
    return config
