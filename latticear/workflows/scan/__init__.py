"""A grid of temperatures and sizes: planned, run, put into one table and one figure."""

from latticear import deprecated

deprecated.keep_names(__name__)
