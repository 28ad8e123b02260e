"""The one signature of a file: names of its ends, as LiteRT's users call it."""

from collections.abc import Iterable

from ai_edge_litert import schema_py_generated as schema

SIGNATURE_KEY = "serving_default"


def set_signature(model: schema.ModelT, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Gives the model exactly one signature, `serving_default`, and its tensors those names."""
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE_KEY
    signature.subgraphIndex = 0
    signature.inputs = _name_ends(graph, graph.inputs, inputs)
    signature.outputs = _name_ends(graph, graph.outputs, outputs)
    model.signatureDefs = [signature]


def _name_ends(graph, indices, names) -> list[schema.TensorMapT]:
    maps = []
    for name, index in zip(names, indices, strict=True):
        graph.tensors[index].name = name
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, int(index)
        maps.append(entry)
    return maps
