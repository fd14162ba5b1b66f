"""What a network comes to on a neuromorphic chip: which core takes which layer, and what its bits leave of it.

A chip is a file of numbers in ``targets``; a new one takes no code.
"""
