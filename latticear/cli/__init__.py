"""The command line, one file a verb: the only room that prints.

Heavy imports happen inside the verbs, so that --help and --version answer at once.
"""

from latticear.cli import train, compare, scan, estimate, sample, report, info, mc, exact  # isort: skip  # as --help has them
from latticear.cli.app import app

__all__ = ["app", "compare", "estimate", "exact", "info", "mc", "report", "sample", "scan", "train"]
