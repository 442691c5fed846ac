"""The ONNX backend: from the graph straight to ONNX nodes, without tracing and without torch."""
