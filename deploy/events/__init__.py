"""What runs a spiking network by its events: work is done where a neuron has fired, and nowhere else.

A file (``file``) holds a plan (``plan``) and its weights; ``engine`` runs it by compiled loops (``kernels``), and
``reference`` in plain NumPy, which the engine is held to. Imports NumPy, numba, ``running`` and ``preprocessing``:
neither torch nor onnxruntime nor onnx.
"""
