"""Forms of reshaping and pooling that leave no shape arithmetic in the file."""

from tflite.rewriting.graph import Graph, Node
from tflite.rewriting.passes import Form, Notes, PassReport


def run(graph: Graph, form: Form) -> PassReport:
    """Reshape to constant sizes, pool without a reshape, take softmax of vectors."""
    notes = Notes()
    for node in graph.nodes():
        if node.traits.reshapes:
            _pool_to_shape(graph, node, notes)
    for node in graph.nodes():
        if node.kind == "Activation" and node.config["activation"] == "softmax":
            _reshape_before_softmax(graph, node, notes)
    for node in graph.nodes():
        sizes = node.shape[1:]
        if form.batch_size is None and node.kind in ("Reshape", "Flatten") and None not in sizes:
            # Keras would ask for the batch size at run time: SHAPE, STRIDED_SLICE and PACK.
            notes.change(node, "reshape", "written with constant sizes")
            node.become("ConstantReshape", sizes=sizes)
    return notes.report("shapes")


def _pool_to_shape(graph: Graph, node: Node, notes: Notes) -> None:
    """Global pooling, then a reshape to (1, 1, channels), is pooling that keeps dimensions."""
    pooling = node.inputs[0].node
    if pooling.kind != "GlobalAveragePooling2D" or node.shape[1:] != (1, 1, pooling.shape[-1]):
        return
    if pooling.out.only_reader is node:
        notes.change(node, "reshape", "done by the pooling before it")
        pooling.config = {**pooling.config, "keepdims": True}
        pooling.shape = node.shape
        graph.replace(node.out, pooling.out)


def _reshape_before_softmax(graph: Graph, softmax: Node, notes: Notes) -> None:
    """The Edge TPU takes softmax of vectors only: a reshape to one goes before it."""
    reshape = softmax.out.only_reader
    if reshape is None or not reshape.traits.reshapes:
        return
    is_vector = softmax.shape[1:-1].count(1) == len(softmax.shape) - 2
    # To a vector of the same numbers, that is: they are normalized together.
    if is_vector and len(reshape.shape) == 2 and reshape.shape[-1] == softmax.shape[-1]:
        notes.change(softmax, "softmax", "taken after the reshape to a vector")
        graph.replace(reshape.out, softmax.out)
        reshape.inputs = softmax.inputs
        softmax.inputs = [reshape.out]
        softmax.shape = reshape.shape
