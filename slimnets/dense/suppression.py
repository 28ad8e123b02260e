"""Non-maximum suppression of many lists of boxes at once.

Greedy suppression, the best box first, is the one fixed point of "kept is what no kept better box
overlaps"; iterating that from "all are kept" reaches it in as many steps as the longest chain of
boxes that suppress each other, a handful, where going through the boxes takes hundreds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimnets import lazy_keras as keras
from slimnets.dense.boxes import overlaps


def suppress(boxes: Any, iou_threshold: float) -> Any:
    """Which boxes stay: booleans (…, n), of `boxes` (…, n, 4) with the best first.

    A box goes if its overlap with a better one that stays is above `iou_threshold`.
    """
    count = boxes.shape[-2]
    better = np.triu(np.ones((count, count), bool), 1)
    suppresses = keras.ops.logical_and(overlaps(boxes, boxes) > iou_threshold, better)

    def changed(kept: Any, before: Any) -> Any:
        return keras.ops.any(keras.ops.not_equal(kept, before))

    def once_more(kept: Any, before: Any) -> tuple[Any, Any]:
        rivals = keras.ops.logical_and(suppresses, kept[..., :, None])
        return keras.ops.logical_not(keras.ops.any(rivals, axis=-2)), kept

    all_kept = keras.ops.ones(boxes.shape[:-1], "bool")
    kept, _ = keras.ops.while_loop(
        changed, once_more, once_more(all_kept, all_kept), maximum_iterations=count
    )
    return kept
