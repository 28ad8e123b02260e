"""Image sources: where pictures and labels come from, and the tf.data pipeline over them."""

from slimnets.data.sources import SOURCES, Source, Split, calibration_images, load, stratified_order

__all__ = ["SOURCES", "Source", "Split", "calibration_images", "load", "stratified_order"]
