"""Batch normalization and rescaling that a neighbouring linear layer can do as well."""

import numpy as np

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.linear import (
    affine,
    fold_affine,
    scale_input,
    shift_input,
    takes_channel_factors,
    takes_offsets,
)
from tflite.rewriting.passes import Form, Notes, PassReport, describe


def run(graph: Graph, form: Form) -> PassReport:
    """Fold affine maps into the layer before them, or else into all those after them."""
    notes = Notes()
    for node in graph.nodes():
        if affine(node) is not None:
            _fold_into_producer(graph, node, notes)
    for node in graph.nodes():
        if affine(node) is not None:
            _fold_into_consumers(graph, node, notes)
    return notes.report("folding")


def _fold_into_producer(graph: Graph, node: Node, notes: Notes) -> None:
    source = node.inputs[0]
    if source.only_reader is node and fold_affine(node, into=source.node):
        notes.change(node, _what(node), "folded into weights")
        graph.replace(node.out, source)


def _fold_into_consumers(graph: Graph, node: Node, notes: Notes) -> None:
    scale, offset = affine(node)
    followers = node.out.readers
    obstacles = [reason for one in followers if (reason := _obstacle(one, offset))]
    if obstacles:
        if node.kind == "BatchNormalization" or node.inputs[0].node is graph.input:
            notes.leave(node, _what(node), obstacles[0])
        return
    notes.change(node, _what(node), "folded into weights")
    for follower in followers:
        shift_input(follower, offset)
        scale_input(follower, scale)
    graph.replace(node.out, node.inputs[0])


def _what(node: Node) -> str:
    return "batch norm" if node.kind == "BatchNormalization" else "scaling"


def _obstacle(node: Node, offset: np.ndarray) -> str | None:
    """Why it cannot take an affine map of its input into its weights; None if it can."""
    if not takes_channel_factors(node):
        return f"read by {describe(node)}"
    if np.any(offset) and not takes_offsets(node):
        return "an offset must not meet zero padding, whose border would lack it"
    return None
