"""What writes files stands behind one function of one file."""

import re
from pathlib import Path

import tflite

# Converter, quantizer and TensorFlow's private modules; `import tensorflow` alone is tracing.
_ENGINE = re.compile(r"tf\.lite|tensorflow\.lite|TFLiteConverter\(|mlir_quantize|_experimental_")


def test_only_the_engine_calls_tensorflows_converter_and_quantizer():
    root = Path(tflite.__file__).parent
    callers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if _ENGINE.search(path.read_text("utf-8"))
    }
    assert callers == {"quantizing/engine.py"}
