"""Any functional Keras 3 model of images to a verified .tflite file, and what reads such files.

Public names load on first use: importing the package imports neither TensorFlow nor Keras.
"""

from importlib import import_module

_HOME = {
    "convert": "converter",
    "Conversion": "converter",
    "ConversionReport": "report",
    "representative_dataset": "calibration",
    "Predictor": "predictor",
    "inspect": "inspector",
    "ModelReport": "inspector",
    "compare": "agreement",
    "Agreement": "agreement",
    "read_metadata": "metadata",
    "measure_costs": "costs",
    "plot_costs": "costs",
    "check_edgetpu": "edgetpu",
    "compile_edgetpu": "edgetpu",
    "EdgeTpuReport": "edgetpu",
    "simplify_for_deployment": "deployment",
    "TARGETS": "targets",
    "PRECISIONS": "targets",
}

__all__ = [*_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'tflite' has no attribute {name!r}")
    value = getattr(import_module(f"tflite.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
