"""Checkpoints of a training: what is in one, when it is due, how it is written without stopping training, and where it lies."""
