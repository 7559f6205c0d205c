"""Warm evaluators: long-lived actors that take architectures in small batches."""
