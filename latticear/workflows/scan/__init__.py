"""Scans: a grid of temperatures and sizes is planned and run, and gives one table and one figure."""

from latticear import deprecated

deprecated.keep_names(__name__)
