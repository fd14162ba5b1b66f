"""Data sets of still images, kept as pictures, and the files that they come in.

Imports what all data sets share, and from ``recordings`` the classes that CIFAR10-DVS has too.
"""
