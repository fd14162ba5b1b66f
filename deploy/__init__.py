"""Trained networks out of the laboratory: export to ONNX and TorchScript, and a runtime without torch."""
