"""Several runs as one question: what lies in a folder, which settings are better, and by how much."""
