"""Any functional Keras 3 model of images to a verified .tflite file, and what reads such files.

Public names load on first use: importing the package imports neither TensorFlow nor Keras.
"""

from importlib import import_module

_HOME = {
    "convert": "converter",
    "Conversion": "converter",
    "convert_detector": "detector_converter",
    "DetectorConversion": "detector_converter",
    "ConversionReport": "measuring.reports",
    "representative_dataset": "quantizing.calibration",
    "Predictor": "predictor",
    "Detector": "detector",
    "Detection": "detector",
    "inspect": "measuring.inspector",
    "ModelReport": "measuring.inspector",
    "compare": "measuring.agreement",
    "Agreement": "measuring.agreement",
    "read_metadata": "files.metadata",
    "quantization_report": "measuring.diagnosis",
    "QuantizationReport": "measuring.diagnosis",
    "measure_costs": "measuring.costs",
    "plot_costs": "measuring.costs",
    "check_edgetpu": "edgetpu.verdict",
    "write_firmware": "micro.firmware",
    "Firmware": "micro.firmware",
    "compile_edgetpu": "edgetpu.compiler",
    "EdgeTpuReport": "edgetpu.verdict",
    "simplify_for_deployment": "rewriting",
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
