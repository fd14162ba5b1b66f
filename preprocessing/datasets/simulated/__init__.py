"""Data sets whose recordings a simulated camera makes of pictures, and that camera.

Imports what all data sets share, and from ``stills`` how labelled pictures are found.
"""
