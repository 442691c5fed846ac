"""From a file back to a spec: what weights or an ONNX graph tell, and what they cannot."""
