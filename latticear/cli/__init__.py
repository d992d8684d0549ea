"""The command line: the only part that prints."""

from latticear.cli import training, estimation, judges  # isort: skip  # the verbs, in the order of --help
from latticear.cli.app import app

__all__ = ["app", "estimation", "judges", "training"]
