"""Make the golden files of SSDLite as TensorFlow's Object Detection API builds it.

    PYTHONPATH=.:research:research/slim python -m tests.reference.make_object_detection [NAME ...]

Needs `research/object_detection` and `research/slim` of tensorflow/models (the package
123-object-detection 0.1 has both) with `matchers/bipartite_matcher.py` emptied, which is of
TensorFlow 1; tensorflow 2.12, tf-slim 1.1 and PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python. The
graph is what `ssd_meta_arch.predict` builds from the configs `ssdlite_mobilenet_*`.
"""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import tensorflow.compat.v1 as tf
import tf_slim as slim
from google.protobuf import text_format
from object_detection.builders import (
    anchor_generator_builder,
    box_predictor_builder,
    hyperparams_builder,
)
from object_detection.core import box_list_ops
from object_detection.models import ssd_mobilenet_v1_feature_extractor as v1
from object_detection.models import ssd_mobilenet_v2_feature_extractor as v2
from object_detection.models import ssd_mobilenet_v3_feature_extractor as v3
from object_detection.protos import anchor_generator_pb2, box_predictor_pb2

from .dense_golden import Dense, pictures, sampled, save
from .fill import Layout, spread
from .golden import GAINS, NOISE_LIMIT, Tensor, fill_all

HYPERPARAMS = """
    activation: RELU_6
    regularizer { l2_regularizer { weight: 0.00004 } }
    initializer { truncated_normal_initializer { stddev: 0.03 mean: 0.0 } }
    batch_norm { train: true scale: true center: true decay: %s epsilon: 0.001 }
"""
PREDICTOR = """convolutional_box_predictor {
    min_depth: 0 max_depth: 0 num_layers_before_predictor: 0 use_dropout: false
    dropout_keep_probability: 0.8 kernel_size: 3 use_depthwise: true box_code_size: 4
    apply_sigmoid_to_scores: false class_prediction_bias_init: -4.6 conv_hyperparams { %s }
}"""
ANCHORS = """ssd_anchor_generator {
    num_layers: 6 min_scale: 0.2 max_scale: 0.95
    aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333]
}"""
V1, V2 = v1.SSDMobileNetV1FeatureExtractor, v2.SSDMobileNetV2FeatureExtractor
LARGE, SMALL = v3.SSDMobileNetV3LargeFeatureExtractor, v3.SSDMobileNetV3SmallFeatureExtractor
# Name: feature extractor, depth multiplier, decay, whether hyperparameters go for the backbone too,
# classes, height and width.
CASES = {
    "dense_tf_ssdlite_v1_x0.25": (V1, 0.25, "0.9997", False, 3, (97, 131)),
    "dense_tf_ssdlite_v2_x0.35": (V2, 0.35, "0.9997", False, 3, (97, 97)),
    "dense_tf_ssdlite_v2": (V2, 1.0, "0.9997", False, 90, (97, 97)),
    "dense_tf_ssdlite_v3_large": (LARGE, 1.0, "0.97", True, 90, (97, 97)),
    "dense_tf_ssdlite_v3_small": (SMALL, 1.0, "0.97", True, 90, (97, 97)),
}
HEADS = ("scores", "boxes")


def predict(images: tf.Tensor, name: str) -> dict[str, tf.Tensor]:
    """Raw heads and anchors, as `SSDMetaArch.predict` makes them."""
    extractor, alpha, decay, override, classes, _ = CASES[name]
    box_predictor = box_predictor_pb2.BoxPredictor()
    text_format.Parse(PREDICTOR % (HYPERPARAMS % decay), box_predictor)
    anchors = text_format.Parse(ANCHORS, anchor_generator_pb2.AnchorGenerator())
    hyperparams = box_predictor.convolutional_box_predictor.conv_hyperparams
    build = hyperparams_builder.build
    generator = anchor_generator_builder.build(anchors)
    features = extractor(
        is_training=False,
        depth_multiplier=alpha,
        min_depth=16,
        pad_to_multiple=1,
        conv_hyperparams_fn=build(hyperparams, False),
        use_depthwise=True,
        override_base_feature_extractor_hyperparams=override,
    )
    heads = box_predictor_builder.build(build, box_predictor, False, classes)
    # The fused batch norm has no float64.
    with slim.arg_scope([slim.batch_norm], is_training=False, fused=False):
        with tf.variable_scope("FeatureExtractor"):
            maps = list(features.extract_features(images))
        raw = heads.predict(maps, generator.num_anchors_per_location())
    _, height, width, _ = images.shape.as_list()
    grids = [tuple(x.shape.as_list()[1:3]) for x in maps]
    boxes = generator.generate(grids, im_height=height, im_width=width)
    return {
        "scores": tf.concat(raw["class_predictions_with_background"], 1),
        "boxes": tf.squeeze(tf.concat(raw["box_encodings"], 1), 2),
        "anchors": box_list_ops.concatenate(boxes).get(),
    }


def run(name: str, images: np.ndarray, gains: Sequence[float]) -> tuple[tuple[Tensor, ...], list]:
    """The variables, and for each gain what heads and anchors are."""
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = predict(tf.constant(images), name)
        variables = {v.op.name: v for v in tf.global_variables()}
        trained = sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables())
        print(name, f"{trained:,} parameters", images.dtype)
        listed = tuple(
            Tensor(key, tuple(v.shape.as_list()), _layout(key)) for key, v in variables.items()
        )
        answers = []
        for gain in gains:
            for key, value in fill_all(listed, gain).items():
                variables[key].load(value, session)
            answers.append(session.run(tensors))
    return listed, answers


def _layout(name: str) -> Layout:
    return "HWCM" if name.endswith("depthwise_weights") else "HWIO"


def make_case(name: str) -> None:
    """Of the gains whose float32 noise is small, the one that tells pictures apart best."""
    height, width = CASES[name][-1]
    images = pictures(height, width)
    tensors, rounded = run(name, images, GAINS)
    _, exact = run(name, images.astype(np.float64), GAINS)
    best = (0.0, 0)
    for index, gain in enumerate(GAINS):
        one, other = rounded[index], exact[index]
        noise = max(np.abs(one[k] - other[k]).max() / other[k].std() for k in HEADS)
        width_of = min(spread(other[k].reshape(2, -1)) for k in HEADS)
        print(name, gain, f"noise {noise:.1e} spread {width_of:.3f}", flush=True)
        if noise <= NOISE_LIMIT:
            best = max(best, (width_of, index))
    chosen = exact[best[1]]
    stats = {k: (list(chosen[k].shape), chosen[k].mean(), chosen[k].std()) for k in HEADS}
    arrays = {k: sampled(chosen[k]) for k in HEADS} | {"anchors": chosen["anchors"][::7]}
    reference = f"Object Detection API, tf-slim {version('tf-slim')}, tensorflow {tf.__version__}"
    save(name, Dense(reference, height, width, GAINS[best[1]], tensors, stats, arrays))
    print(name, json.dumps(stats))


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make_case(case)
