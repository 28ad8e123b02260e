"""Weights that are mostly zeros in TFLite's sparse form: what is not zero, and where it is.

Each row of the last dimension is a list of its non-zero columns (CSR). A DENSIFY operator in front
of the reader spreads them out again when the file is loaded; XNNPACK takes it as the sign to look
for kernels that leave the zeros out.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer

_READERS = ("CONV_2D", "FULLY_CONNECTED")
_VECTORS = (
    (np.uint8, schema.Uint8VectorT, schema.SparseIndexVector.Uint8Vector),
    (np.uint16, schema.Uint16VectorT, schema.SparseIndexVector.Uint16Vector),
    (np.int32, schema.Int32VectorT, schema.SparseIndexVector.Int32Vector),
)
# Zeros that XNNPACK asks for, counted over the 1×1 convolutions of a file.
_LEAST_ZEROS = 2 / 3
_UNARY = ("HARD_SWISH", "LOGISTIC", "RELU", "RELU6", "TANH")


def with_sparse_weights(file: bytes) -> bytes:
    """The file with float32 weights of convolutions and dense layers sparse, two thirds zeros.

    A pooling that keeps its dimensions, with 1×1 convolutions behind it, becomes one that does not,
    with dense layers: XNNPACK of LiteRT 2.3, where it uses sparse kernels, cannot load the former.
    Whatever else has fewer zeros or another type stays as it is, and so does the file's function.

    Raises:
        ValueError: there are no weights with so many zeros, or such a pooling is left, as a
            squeeze-excite's.
    """
    model = flatbuffer.unpack(file)
    graph = model.subgraphs[0]
    dense: dict[int, int] = {}
    operators = []
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) == "MEAN":
            _flatten(model, operator)
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) in _READERS:
            index = int(operator.inputs[1])
            if index not in dense and _make_sparse(model, graph.tensors[index]):
                dense[index] = len(graph.tensors)
                graph.tensors.append(_dense(graph.tensors[index]))
                operators.append(_densify(model, index, dense[index]))
            places = [dense.get(int(i), int(i)) for i in operator.inputs]
            operator.inputs = np.asarray(places, np.int32)
        operators.append(operator)
    if not dense:
        raise ValueError(
            "no layer has float32 weights of which two thirds are zero, so nothing can be sparse."
        )
    graph.operators = operators
    return flatbuffer.pack(model)


def _flatten(model: schema.ModelT, mean: schema.OperatorT) -> None:
    """Global pooling without the dimensions that it leaves of size 1, up to a RESHAPE."""
    if not mean.builtinOptions.keepDims:
        return
    graph = model.subgraphs[0]
    index, chain = int(mean.outputs[0]), []
    while True:
        readers = [o for o in graph.operators if index in o.inputs]
        kind = flatbuffer.operator_name(model, readers[0]) if len(readers) == 1 else ""
        if kind == "RESHAPE":
            break
        if kind not in (*_UNARY, "CONV_2D"):
            raise ValueError(
                f"the pooling {flatbuffer.text(graph.tensors[mean.outputs[0]].name)!r} keeps its "
                "dimensions for what follows (a squeeze-excite does that): where XNNPACK has "
                "kernels for sparse weights, LiteRT 2.3 could not load such a file."
            )
        chain.append((kind, readers[0]))
        index = int(readers[0].outputs[0])
    mean.builtinOptions.keepDims = False
    _drop_sizes_of_1(graph.tensors[mean.outputs[0]])
    for kind, operator in chain:
        _drop_sizes_of_1(graph.tensors[operator.outputs[0]])
        if kind == "CONV_2D":
            _drop_sizes_of_1(graph.tensors[operator.inputs[1]])
            activation = operator.builtinOptions.fusedActivationFunction
            operator.opcodeIndex = flatbuffer.operator_code(
                model, schema.BuiltinOperator.FULLY_CONNECTED, 1
            )
            operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
            operator.builtinOptions = schema.FullyConnectedOptionsT(
                fusedActivationFunction=activation
            )


def _drop_sizes_of_1(tensor: schema.TensorT) -> None:
    """(n, 1, 1, channels) → (n, channels); a signature with an open batch too."""
    ends = [0, -1]
    tensor.shape = np.asarray(tensor.shape)[ends]
    if tensor.shapeSignature is not None and len(tensor.shapeSignature) == 4:
        tensor.shapeSignature = np.asarray(tensor.shapeSignature)[ends]


def _make_sparse(model: schema.ModelT, tensor: schema.TensorT) -> bool:
    """Whether it was made sparse."""
    data = model.buffers[tensor.buffer].data
    if flatbuffer.type_name(tensor) != "float32" or data is None or tensor.sparsity is not None:
        return False
    rows = np.asarray(data, np.uint8).view(np.float32).reshape(-1, int(tensor.shape[-1]))
    kept = rows != 0
    if kept.mean() > 1 - _LEAST_ZEROS:
        return False
    segments = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    columns = np.nonzero(kept)[1]
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType, last.arraySegments = _vector(segments)
    last.arrayIndicesType, last.arrayIndices = _vector(columns)
    values = rows[kept].view(np.uint8)
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder = np.arange(len(tensor.shape), dtype=np.int32)
    tensor.sparsity.dimMetadata = [*map(_dense_dimension, tensor.shape[:-1]), last]
    tensors = [each for graph in model.subgraphs for each in graph.tensors]
    if sum(each.buffer == tensor.buffer for each in tensors) > 1:
        tensor.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
    model.buffers[tensor.buffer] = schema.BufferT(data=values)
    return True


def _vector(numbers: np.ndarray) -> tuple[int, object]:
    """In the shortest of the schema's three forms."""
    most = int(numbers.max(initial=0))
    kind, made, code = next(v for v in _VECTORS if most <= np.iinfo(v[0]).max)
    return code, made(values=numbers.astype(kind))


def _dense_dimension(size: int) -> schema.DimensionMetadataT:
    return schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=int(size))


def _dense(tensor: schema.TensorT) -> schema.TensorT:
    name = f"{flatbuffer.text(tensor.name)}/dense"
    return schema.TensorT(shape=tensor.shape, type=tensor.type, buffer=0, name=name)


def _densify(model: schema.ModelT, sparse: int, dense: int) -> schema.OperatorT:
    return schema.OperatorT(
        opcodeIndex=flatbuffer.operator_code(model, schema.BuiltinOperator.DENSIFY, 1),
        inputs=np.asarray([sparse], np.int32),
        outputs=np.asarray([dense], np.int32),
    )
