"""NIR files, for other simulators and chips.

Imports what all formats share, not the other formats.
"""
