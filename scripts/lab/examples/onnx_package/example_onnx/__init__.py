"""A ranker of any library, kept as ONNX."""
