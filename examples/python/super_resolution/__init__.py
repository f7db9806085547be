"""A photograph, super-resolved over NNRP: a server around an ONNX model, a client, and a demo of both."""
