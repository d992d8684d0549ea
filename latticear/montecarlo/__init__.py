"""Markov chains and population annealing, which draw configurations; estimates are made by `latticear.estimation`."""

from latticear import deprecated
from latticear.montecarlo.clusters import SwendsenWang, Wolff, clusters_suit
from latticear.montecarlo.heatbath import HeatBath
from latticear.montecarlo.kawasaki import Kawasaki
from latticear.montecarlo.metropolis import Metropolis
from latticear.montecarlo.multicanonical_chains import Multicanonical, multicanonical
from latticear.montecarlo.population import annealed_population, equally_weighted
from latticear.montecarlo.potts_clusters import PottsSwendsenWang
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import (
    CHAIN_METHODS,
    ChainSchedule,
    Simulation,
    default_method,
    default_schedule,
    method_for,
    monte_carlo,
    monte_carlo_data,
)

__all__ = [
    "CHAIN_METHODS",
    "ChainSchedule",
    "HeatBath",
    "Kawasaki",
    "Metropolis",
    "Multicanonical",
    "ParallelTempering",
    "PottsSwendsenWang",
    "Simulation",
    "SwendsenWang",
    "Wolff",
    "annealed_population",
    "clusters_suit",
    "default_method",
    "default_schedule",
    "equally_weighted",
    "method_for",
    "monte_carlo",
    "monte_carlo_data",
    "multicanonical",
]

deprecated.keep_names(__name__)
