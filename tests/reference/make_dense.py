"""Make the golden files of the detector and the segmenters, whose references are torchvision's.

    python -m tests.reference.make_dense [NAME ...]

Needs torch and torchvision. Two pictures of height × width each, cut out of square golden images;
of every output SAMPLES values and, of the detector, what torchvision finds in the end.
"""

import json
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torchvision
from torchvision.models import detection, segmentation

from .dense_golden import Dense, pictures, sampled, save
from .fill import spread
from .golden import GAINS, NOISE_LIMIT, fill_all
from .make_torch import tensors_of

DETECTOR = partial(
    detection.ssdlite320_mobilenet_v3_large, weights=None, weights_backbone=None, num_classes=91
)
LRASPP = partial(segmentation.lraspp_mobilenet_v3_large, weights=None, weights_backbone=None)
DEEPLAB = partial(
    segmentation.deeplabv3_mobilenet_v3_large, weights=None, weights_backbone=None, aux_loss=True
)
CASES: dict[str, tuple[Callable, tuple[int, int]]] = {
    "dense_ssdlite320": (DETECTOR, (320, 320)),
    "dense_ssdlite_291x333": (DETECTOR, (291, 333)),
    "dense_lraspp_224": (LRASPP, (224, 224)),
    "dense_lraspp_161x193": (LRASPP, (161, 193)),
    "dense_deeplabv3_161x193": (DEEPLAB, (161, 193)),
}


def outputs_of(net: torch.nn.Module, images: np.ndarray, dtype: torch.dtype) -> dict:
    """The raw outputs, channels last: heads of a detector, the class map of a segmenter."""
    nchw = torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype)
    with torch.inference_mode():
        if hasattr(net, "head"):
            heads = net.head(list(net.backbone(nchw).values()))
            return {k: heads[k].numpy() for k in ("cls_logits", "bbox_regression")}
        return {"out": net(nchw)["out"].permute(0, 2, 3, 1).numpy()}


def found_by(net: torch.nn.Module, images: np.ndarray) -> dict[str, np.ndarray]:
    """torchvision's detections in pixels, and its anchors (x1, y1, x2, y2)."""
    height, width = images.shape[1:3]
    nchw = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    with torch.inference_mode():
        features = list(net.backbone(nchw).values())
        heads = net.head(features)
        listed = detection.image_list.ImageList(nchw, [(height, width)] * len(nchw))
        anchors = net.anchor_generator(listed, features)
        found = net.postprocess_detections(heads, anchors, listed.image_sizes)
    kept = {"anchors": anchors[0].numpy().astype(np.float32)[::7]}
    for index, one in enumerate(found):
        for key, value in one.items():
            kept[f"{key}_{index}"] = value.numpy()
    return kept


def make_case(name: str) -> None:
    """Of the gains whose float32 noise is small, the one that tells pictures apart best."""
    build, (height, width) = CASES[name]
    single, double = build().eval(), build().double().eval()
    tensors = tensors_of(single)
    images = pictures(height, width)
    best = (0.0, 0.0)
    for gain in GAINS:
        weights = fill_all(tensors, gain)
        for net in (single, double):
            net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        rounded = outputs_of(single, images, torch.float32)
        exact = outputs_of(double, images, torch.float64)
        noise = max(np.abs(rounded[k] - exact[k]).max() / exact[k].std() for k in exact)
        width_of = min(spread(v.reshape(2, -1)) for v in exact.values())
        print(name, gain, f"noise {noise:.1e} spread {width_of:.3f}", flush=True)
        if noise <= NOISE_LIMIT:
            best = max(best, (width_of, gain))
    gain = best[1]
    weights = fill_all(tensors, gain)
    double.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
    exact = outputs_of(double, images, torch.float64)
    arrays = {key: sampled(value).astype(np.float32) for key, value in exact.items()}
    if hasattr(double, "head"):
        arrays |= found_by(double, images)
    reference = f"torchvision {torchvision.__version__}, torch {torch.__version__}"
    stats = {k: (list(v.shape), float(v.mean()), float(v.std())) for k, v in exact.items()}
    save(name, Dense(reference, height, width, gain, tensors, stats, arrays))
    print(name, json.dumps(stats))


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make_case(case)
