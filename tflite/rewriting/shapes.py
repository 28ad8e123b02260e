"""Forms of reshaping and pooling that leave no shape arithmetic in the file."""

from tflite.rewriting.graph import Graph, Node

_RESHAPES = ("Reshape", "Flatten", "ops.Reshape")


def fix_shapes(graph: Graph, batch_size: int | None) -> None:
    """Reshape to constant sizes, pool without a reshape, take softmax of vectors."""
    for node in graph.order()[1:]:
        if node.kind in _RESHAPES:
            _pool_to_shape(graph, node)
    readers = graph.readers()
    for node in graph.order()[1:]:
        if node.kind == "Activation" and node.config["activation"] == "softmax":
            _reshape_before_softmax(graph, node, graph.only_reader(node.out, readers))
    for node in graph.order()[1:]:
        sizes = node.shape[1:]
        if batch_size is None and node.kind in ("Reshape", "Flatten") and None not in sizes:
            # Keras would ask for the batch size at run time: SHAPE, STRIDED_SLICE and PACK.
            node.become("ConstantReshape", sizes=sizes)


def _pool_to_shape(graph: Graph, node: Node) -> None:
    """Global pooling, then a reshape to (1, 1, channels), is pooling that keeps dimensions."""
    pooling = node.inputs[0].node
    if pooling.kind != "GlobalAveragePooling2D" or node.shape[1:] != (1, 1, pooling.shape[-1]):
        return
    if len(graph.readers()[pooling.out]) == 1 and graph.output != pooling.out:
        pooling.config = {**pooling.config, "keepdims": True}
        pooling.shapes = node.shapes
        graph.redirect(node.out, pooling.out)


def _reshape_before_softmax(graph: Graph, softmax: Node, reshape: Node | None) -> None:
    """The Edge TPU takes softmax of vectors only: a reshape to one goes before it."""
    if reshape is None or reshape.kind not in _RESHAPES:
        return
    if softmax.shape[1:-1].count(1) == len(softmax.shape) - 2 and len(reshape.shape) == 2:
        graph.redirect(reshape.out, softmax.out)
        reshape.inputs, softmax.inputs = softmax.inputs, [reshape.out]
        softmax.shapes = reshape.shapes
