"""MobileNetV2 1.0 on ImageNet: RMSprop, ×0.98 an epoch, label smoothing.

Rate and batch are those of one of the authors' 16 asynchronous workers. Weight decay is the
network's own, 4e-5 on all but depthwise layers. Source: arXiv 1801.04381, section 6.1; label
smoothing, moving averages and epochs are of TF-Slim's `nets/mobilenet/README.md`, the epsilon of
its `train_image_classifier.py`.
"""

from slimnets.training import default_config


def get_config():
    config = default_config()
    config.epochs = 420  # 700,000 steps of 8 × 96
    config.batch_size = 96
    config.label_smoothing = 0.1
    config.ema = 0.9999

    config.model.name = "mobilenet_v2"
    config.model.input_size = (224, 224)  # or 192, 160, 128, 96
    config.model.kwargs.dropout_keep_prob = 0.8
    config.model.kwargs.arg_scope = {"batch_norm": {"momentum": 0.997}}

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
    config.learning_rate.decay_rate = 0.98
    config.learning_rate.decay_epochs = 1.0
    return config
