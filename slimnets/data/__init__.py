"""Image sources: where pictures and labels come from, and the tf.data pipeline over them."""

from slimnets.data.registry import SOURCES, calibration_images, load
from slimnets.data.splits import Annotated, Source, Split, stratified_order

__all__ = [
    "SOURCES",
    "Annotated",
    "Source",
    "Split",
    "calibration_images",
    "load",
    "stratified_order",
]
