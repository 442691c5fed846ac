"""Detectors as ONNX files, with proof."""
