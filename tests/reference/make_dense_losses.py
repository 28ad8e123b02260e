"""Print what torchvision's matching and losses say to numbers made by rule.

    python -m tests.reference.make_dense_losses

Needs torch and torchvision; tests/slimnets/dense/test_losses.py holds what it printed.
"""

import numpy as np

GRIDS = [(6, 6), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1)]
SIDE = 96


def numbers() -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Logits (3, 318, 5), codes (3, 318, 4), and boxes (xyxy, 0 to 1) and classes (from 1)."""
    random = np.random.RandomState(7)
    count = 6 * sum(h * w for h, w in GRIDS)
    logits, codes = random.standard_normal((3, count, 5)), random.standard_normal((3, count, 4))
    boxes, classes = [], []
    for objects in (4, 1, 0):
        low = random.uniform(0, 0.5, (objects, 2))
        boxes.append(np.concatenate([low, low + random.uniform(0.1, 0.5, (objects, 2))], 1))
        classes.append(random.randint(1, 5, objects))
    return logits, codes, boxes, classes


def main() -> None:
    """Losses, and how many anchors stand for an object in each picture."""
    import torch
    from torchvision.models import detection
    from torchvision.models.detection.image_list import ImageList
    from torchvision.ops import box_iou

    net = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5
    )
    logits, codes, boxes, classes = numbers()
    features = [torch.zeros(3, 1, *grid) for grid in GRIDS]
    images = ImageList(torch.zeros(3, 3, SIDE, SIDE), [(SIDE, SIDE)] * 3)
    anchors = net.anchor_generator(images, features)
    targets = [
        {"boxes": torch.tensor(b * SIDE, dtype=torch.float32).reshape(-1, 4),
         "labels": torch.tensor(c, dtype=torch.int64)}
        for b, c in zip(boxes, classes, strict=True)
    ]  # fmt: skip
    matched = [
        net.proposal_matcher(box_iou(t["boxes"], a))
        if len(t["boxes"])
        else torch.full((len(a),), -1)
        for t, a in zip(targets, anchors, strict=True)
    ]
    heads = {"cls_logits": torch.tensor(logits), "bbox_regression": torch.tensor(codes)}
    heads = {name: value.float() for name, value in heads.items()}
    losses = net.compute_loss(targets, heads, anchors, matched)
    print({name: float(value) for name, value in losses.items()})
    print([int((m >= 0).sum()) for m in matched])


if __name__ == "__main__":
    main()
