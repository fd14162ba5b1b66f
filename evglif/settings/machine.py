"""Names of where a training runs and what it writes of itself."""

ACCELERATORS = ("auto", "cpu", "cuda", "mps")
LOGS = ("auto", "csv", "tensorboard")
