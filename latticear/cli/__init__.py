"""The command line: the only part that prints."""

from latticear.cli.verbs import app

__all__ = ["app"]
