"""Data sets of recordings that a camera made, each a module.

Imports what all data sets share, not the other kinds.
"""
