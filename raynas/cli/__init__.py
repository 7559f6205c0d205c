"""The command line ``raynas``."""

from raynas.cli.main import main

__all__ = ["main"]
