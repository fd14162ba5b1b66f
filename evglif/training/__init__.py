"""Training: from a recipe and a data set to a folder with checkpoints, a log and what came out."""
