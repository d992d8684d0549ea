"""Estimates with error bars from samples and Markov chains.

A simulation makes `Samples`, which carry the data that its estimator needs: `log_q`, or `records` and `provenance`. An
estimator takes one or many batches of samples and returns `Estimates`; its arguments are `(samples, hamiltonian,
temperature, *, observables, exact)`. Some functions run the simulation and its estimator in one call; their arguments
are `(model, hamiltonian, temperature, *, n, seed, device, observables, exact, report)`, without `model` where the
method uses none.

| simulation | estimator | both |
|---|---|---|
| `model.sample_batches` | `estimate`, `reweight`, `neural_mcmc` | |
| `la.monte_carlo`; chains of one's own, an array or a file | `estimate_chains` | |
| `la.monte_carlo(method="parallel-tempering")` | `estimate_tempering` | `parallel_tempering` |
| `la.montecarlo.annealed_population` | `estimate_population` | `population_annealing` |
| `block_chains`, by a model | `estimate_blocks` | `block_mcmc` |
| `resampled_particles`, by a model | `estimate_particles` | `sequential_monte_carlo` |
"""

from latticear.estimation.annealing import estimate_population, population_annealing
from latticear.estimation.autocorrelation import TauInt, integrated_autocorrelation_time, mean_error
from latticear.estimation.block_updates import block_chains
from latticear.estimation.blocks import block_mcmc, estimate_blocks
from latticear.estimation.check import Check, independent_check
from latticear.estimation.data_check import MisfitWarning
from latticear.estimation.derivation import derived
from latticear.estimation.disorder_average import disorder_average
from latticear.estimation.estimates import Estimates, UnreliableEstimateWarning
from latticear.estimation.forward import forward_ess
from latticear.estimation.ground_state import ground_state
from latticear.estimation.importance import estimate, reweight
from latticear.estimation.inference_data import to_arviz
from latticear.estimation.judgement import judge
from latticear.estimation.likelihood import negative_log_likelihood
from latticear.estimation.named import OBSERVABLES, AbstractObservable
from latticear.estimation.neural_metropolis import neural_mcmc
from latticear.estimation.overlaps import overlaps
from latticear.estimation.own_chain import estimate_chain, estimate_chains
from latticear.estimation.particles import resampled_particles
from latticear.estimation.quantity import Estimate
from latticear.estimation.smc import estimate_particles, sequential_monte_carlo
from latticear.estimation.tempering import estimate_tempering, parallel_tempering

__all__ = [
    "OBSERVABLES",
    "AbstractObservable",
    "Check",
    "Estimate",
    "Estimates",
    "MisfitWarning",
    "TauInt",
    "UnreliableEstimateWarning",
    "block_chains",
    "block_mcmc",
    "derived",
    "disorder_average",
    "estimate",
    "estimate_blocks",
    "estimate_chain",
    "estimate_chains",
    "estimate_particles",
    "estimate_population",
    "estimate_tempering",
    "forward_ess",
    "ground_state",
    "independent_check",
    "integrated_autocorrelation_time",
    "judge",
    "mean_error",
    "negative_log_likelihood",
    "neural_mcmc",
    "overlaps",
    "parallel_tempering",
    "population_annealing",
    "resampled_particles",
    "reweight",
    "sequential_monte_carlo",
    "to_arviz",
]
