"""A grid of temperatures and sizes: planned, run, put into one table and one figure."""
