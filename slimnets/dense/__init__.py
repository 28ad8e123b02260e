"""Boxes and class maps: what detectors and segmenters need beside their network.

Works on any model whose outputs are those of `slimnets.ssdlite`; imports nothing else of slimnets.
Boxes are (ymin, xmin, ymax, xmax) and anchors (y, x, height, width), both as fractions of the
picture, and codes (dy, dx, dh, dw): TensorFlow's and TFLite's order everywhere. torchvision's
(x first, pixels) is turned into it where its weights are read.
"""
