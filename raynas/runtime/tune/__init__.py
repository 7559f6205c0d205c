"""Trials through Ray Tune."""
