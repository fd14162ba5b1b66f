"""What runs an exported file on a device: onnxruntime, NumPy and ``preprocessing``.

Imports neither torch nor evglif, nor any other room of ``deploy``.
"""
