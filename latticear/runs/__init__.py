"""Runs on disk: configs, run directories, and the provenance of results."""
