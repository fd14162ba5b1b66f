"""The day a GPU is at hand: what is looked at, in which order, and what is taken along."""
