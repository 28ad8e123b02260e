"""Print what pycocotools says to detections made by rule.

    python -m tests.reference.make_average_precision

Needs pycocotools; tests/slimnets/dense/test_precision.py holds what it printed.
"""

import numpy as np

PICTURES, CLASSES = 12, 3


def numbers() -> tuple[list[tuple], list[tuple]]:
    """(boxes, classes, scores) and (boxes, classes) of each picture; ymin, xmin, ymax, xmax."""
    random = np.random.RandomState(11)
    found, objects = [], []
    for _ in range(PICTURES):
        count = random.randint(0, 6)
        low = random.uniform(0, 200, (count, 2))
        boxes = np.concatenate([low, low + random.uniform(10, 90, (count, 2))], 1)
        classes = random.randint(0, CLASSES, count)
        objects.append((boxes, classes))
        near = np.repeat(boxes, 3, 0) + random.normal(0, 6, (3 * count, 4))
        right = np.where(random.uniform(size=3 * count) < 0.8, np.repeat(classes, 3), 1)
        low = random.uniform(0, 200, (4, 2))
        wild = np.concatenate([low, low + random.uniform(10, 90, (4, 2))], 1)
        scores = np.round(random.uniform(0.05, 1, 3 * count + 4), 2)
        kinds = np.concatenate([right, random.randint(0, CLASSES, 4)])
        found.append((np.concatenate([near, wild]), kinds, scores))
    return found, objects


def with_crowds() -> tuple[list[tuple], list[tuple]]:
    """The same, every third object a crowd, which is larger than what is found in it."""
    found, objects = numbers()
    marked = []
    for boxes, classes in objects:
        crowds = np.arange(len(classes)) % 3 == 1
        sides = np.where(crowds, 40, 0)[:, None] * [-1, -1, 1, 1]
        marked.append((boxes + sides, classes, crowds))
    return found, marked


def main() -> None:
    """AP, AP50 and AP75; without crowds and with them."""
    for found, objects in (numbers(), with_crowds()):
        print(official(found, objects))


def official(found: list[tuple], objects: list[tuple]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entries(pictures: list[tuple], last: str) -> list[dict]:
        listed = []
        for image, (boxes, classes, *more) in enumerate(pictures):
            for index, (y, x, y2, x2) in enumerate(boxes):
                told = {last: more[0][index].item()} if more else {}
                listed.append(
                    {"id": len(listed) + 1, "image_id": image, "iscrowd": 0,
                     "category_id": int(classes[index]), "area": (y2 - y) * (x2 - x),
                     "bbox": [x, y, x2 - x, y2 - y]} | told
                )  # fmt: skip
        return listed

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(PICTURES)],
        "categories": [{"id": k} for k in range(CLASSES)],
        "annotations": entries(objects, "iscrowd"),
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(entries(found, "score")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(v) for v in evaluation.stats[:3]]


if __name__ == "__main__":
    main()
