"""Layers that an int8 file computes in float32 because its maker says so.

The quantizer leaves out operators by the name of what they write; users know layers. A fused
operator is named by all its layers, "act_1/Relu6;bn_1/…;conv_1/convolution", so each of them keeps
it; the last one's output is only called Identity, and its constants then tell whose it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.hints import did_you_mean


def check_keep(keep: Any, layers: Iterable[str]) -> tuple[str, ...]:
    """The patterns of `keep`, each of which names a layer.

    Args:
        keep: {pattern: "float32"} or None.
        layers: names of the model's layers.

    Raises:
        TypeError: no mapping of texts.
        ValueError: a pattern that no layer's name fits; another type than float32.
    """
    if keep is None:
        return ()
    if not isinstance(keep, Mapping) or not all(isinstance(pattern, str) for pattern in keep):
        raise TypeError(f'keep must map names of layers to "float32", got {keep!r:.80}.')
    layers = list(layers)
    for pattern, kind in keep.items():
        if isinstance(kind, str) and kind == "int16":
            raise ValueError(
                f"keep cannot make {pattern!r} int16: LiteRT has no kernel that takes int16 and "
                "int8 activations together. Keep it in 'float32', or convert the whole network "
                "with precision='int16x8'."
            )
        if not isinstance(kind, str) or kind != "float32":
            raise ValueError(f"keep[{pattern!r}] must be 'float32', got {kind!r:.80}.")
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise ValueError(
                f"keep names the layer {pattern!r}, which the model has not."
                f"{did_you_mean(pattern, layers)}"
            )
    return tuple(keep)


def kept_outputs(data: bytes, patterns: Iterable[str]) -> dict[str, list[str]]:
    """Of a float file, the names of what operators write that belong to layers, by pattern."""
    flat = flatbuffer.unpack(data)
    found: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for operator in flat.subgraphs[0].operators if found else ():
        layers = set(_layers(flat, operator))
        output = flatbuffer.text(flat.subgraphs[0].tensors[operator.outputs[0]].name)
        for pattern, outputs in found.items():
            if any(fnmatchcase(layer, pattern) for layer in layers):
                outputs.append(output)
    return found


def _layers(flat: schema.ModelT, operator: schema.OperatorT) -> Iterator[str]:
    """Every name that a layer of the operator could have."""
    graph = flat.subgraphs[0]
    written = {int(i) for other in graph.operators for i in other.outputs}
    constants = {int(i) for i in operator.inputs if i >= 0} - written - set(map(int, graph.inputs))
    for index in (*map(int, operator.outputs), *constants):
        for name in flatbuffer.text(graph.tensors[index].name).split(";"):
            for part in name.split("/"):
                yield part
                yield part.rpartition("_")[0]
