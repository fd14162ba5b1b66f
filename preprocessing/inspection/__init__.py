"""What is known about a recording or a cache: as plain data, as text, as a picture.

Imports the rooms of events, frames and the cache; only the command ``inspect`` imports it.
"""
