"""ONNX files: a captured graph to nodes, whole runs and steps, fewer bits.

Imports what all formats share, not the other formats.
"""
