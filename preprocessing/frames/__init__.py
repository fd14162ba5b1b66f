"""From events or pictures to frames: slices counted per pixel, resized.

Imports ``events`` and ``kernels``; knows no files.
"""
