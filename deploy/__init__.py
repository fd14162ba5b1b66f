"""Trained networks out of the laboratory: export to ONNX and TorchScript, and a runtime without torch."""

import preprocessing.starting  # noqa: F401 - before what takes long to import, see there
