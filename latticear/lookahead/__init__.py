"""Sums over later sites in raster order by boundary matrix products: what a conditional probability needs to know."""

from latticear.lookahead.environments import Environments
from latticear.lookahead.instances import environments_of_each
from latticear.lookahead.sweep import Sweep
from latticear.lookahead.weights import RowWeights

__all__ = ["Environments", "RowWeights", "Sweep", "environments_of_each"]
