"""The command line, with one file for each command; no other part of the package prints.

The commands import PyTorch and other large packages when they are called, so that --help and --version are fast.
"""

from latticear.cli import train, compare, scan, analyse, estimate, sample, report, info, mc, exact, cite  # isort: skip  # the order of --help
from latticear.cli.app import app

__all__ = ["analyse", "app", "cite", "compare", "estimate", "exact", "info", "mc", "report", "sample", "scan", "train"]
