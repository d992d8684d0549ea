"""Samples and chains become numbers with error bars."""

from latticear.estimation.annealing import population_annealing
from latticear.estimation.autocorrelation import TauInt, integrated_autocorrelation_time, mean_error
from latticear.estimation.blocks import block_mcmc
from latticear.estimation.chains import estimate_chains, neural_mcmc
from latticear.estimation.estimates import Estimate, Estimates, UnreliableEstimateWarning
from latticear.estimation.importance import estimate, forward_ess, reweight
from latticear.estimation.likelihood import negative_log_likelihood
from latticear.estimation.smc import sequential_monte_carlo
from latticear.estimation.tempering import parallel_tempering

__all__ = [
    "Estimate",
    "Estimates",
    "TauInt",
    "UnreliableEstimateWarning",
    "block_mcmc",
    "estimate",
    "estimate_chains",
    "forward_ess",
    "integrated_autocorrelation_time",
    "mean_error",
    "negative_log_likelihood",
    "neural_mcmc",
    "parallel_tempering",
    "population_annealing",
    "reweight",
    "sequential_monte_carlo",
]
