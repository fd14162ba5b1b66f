"""What a network costs: time against other ways to run it, operations, energy.

Imports ``exporting``, ``running`` and evglif.
"""
