"""Overlaps of pairs of configurations: what is measured of a pair, and averages over many pairs with errors."""
