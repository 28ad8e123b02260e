"""Small .tflite files built operator by operator, so that a test says exactly what is in them."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files.flatbuffer import pack

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}


class FlatGraph:
    """One subgraph, written from its inputs to its outputs. Tensors are named by their index."""

    def __init__(self):
        self.model = schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()])
        self.graph = schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])
        self.model.subgraphs = [self.graph]

    def activation(self, shape, dtype="int8", scale=0.1, zero_point=0, signature=None) -> int:
        return self._tensor(shape, dtype, scale, zero_point, signature, buffer=0)

    def input(self, shape, dtype="int8", **kwargs) -> int:
        self.graph.inputs.append(self.activation(shape, dtype, **kwargs))
        return self.graph.inputs[-1]

    def constant(self, values, dtype="int8", scale=0.1, zero_point=0) -> int:
        values = np.asarray(values, dtype)
        data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(schema.BufferT(data=data))
        buffer = len(self.model.buffers) - 1
        return self._tensor(values.shape, dtype, scale, zero_point, None, buffer)

    def weights(self, *shape, dtype="int8") -> int:
        # All different, so that no two constants could share a buffer.
        return self.constant(np.arange(np.prod(shape)).reshape(shape) % 100 + 1, dtype)

    def op(self, name, inputs, output, options=None, version=1, custom=None) -> int:
        """Adds an operator; `output` is a shape (int8) or a tensor made before."""
        if not isinstance(output, int):
            output = self.activation(output)
        code = schema.OperatorCodeT(version=version, customCode=custom)
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT(inputs=list(inputs), outputs=[output])
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__.removesuffix("T")
            )
        self.graph.operators.append(operator)
        return output

    def bytes(self, *outputs) -> bytes:
        """The file; without arguments, the last operator's output is the model's."""
        self.graph.outputs = list(outputs) or list(self.graph.operators[-1].outputs)
        return pack(self.model)

    def _tensor(self, shape, dtype, scale, zero_point, signature, buffer) -> int:
        tensor = schema.TensorT(shape=list(shape), type=TYPES[dtype], buffer=buffer)
        tensor.shapeSignature = signature
        tensor.name = f"t{len(self.graph.tensors)}"
        tensor.quantization = schema.QuantizationParametersT()
        if dtype in ("int8", "uint8"):
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def conv_options(**kwargs) -> schema.Conv2DOptionsT:
    defaults = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    return schema.Conv2DOptionsT(**(defaults | kwargs))


def depthwise_options(**kwargs) -> schema.DepthwiseConv2DOptionsT:
    defaults = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    return schema.DepthwiseConv2DOptionsT(**(defaults | {"depthMultiplier": 1} | kwargs))


def pool_options(size=2, **kwargs) -> schema.Pool2DOptionsT:
    sizes = dict.fromkeys(("strideW", "strideH", "filterWidth", "filterHeight"), size)
    return schema.Pool2DOptionsT(**(sizes | kwargs))
