"""A run on disk: its config, its directory and where its results come from."""
