"""Trained models for other runtimes: ONNX, TensorFlow's SavedModel, PyTorch's weights."""
