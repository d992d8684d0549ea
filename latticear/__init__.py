"""Autoregressive neural samplers of lattice spin systems, with exact likelihoods and honest error bars.

    import latticear as la

    ising = la.Ising((8, 8))
    model = la.PixelCNN((8, 8), spin_flip_symmetric=True, bias=ising.bias(2.269))
    for step in la.fit(model, ising, temperature=2.269):
        ...
    print(la.estimate(model.sample(10_000), ising, temperature=2.269))

Names are loaded when first used, so that `latticear --help` does not wait for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latticear.annealing import population_annealing
    from latticear.autocorrelation import TauInt, integrated_autocorrelation_time, mean_error
    from latticear.blocks import block_mcmc
    from latticear.chains import estimate_chains, neural_mcmc
    from latticear.checks import check_hamiltonian
    from latticear.configurations import read_batches, read_condition, read_configurations, read_given, read_metadata
    from latticear.datafile import SampleWriter
    from latticear.estimates import Estimate, Estimates, UnreliableEstimateWarning
    from latticear.exact import (
        T_C,
        ExactResult,
        critical_temperature,
        enumerate_states,
        exact_result,
        kasteleyn,
        kaufman,
        magnetization_resolved,
        onsager,
        potts_transition,
        transfer_matrix,
    )
    from latticear.hamiltonians import (
        HAMILTONIANS,
        AbstractHamiltonian,
        AshkinTeller,
        BlumeCapel,
        Clock,
        Components,
        CustomHamiltonian,
        EdwardsAnderson,
        EdwardsAndersonDisorder,
        Ising,
        PairHamiltonian,
        Phi4,
        Potts,
        SherringtonKirkpatrick,
    )
    from latticear.importance import estimate, forward_ess, reweight
    from latticear.instances import read_couplings
    from latticear.lattice import Lattice
    from latticear.likelihood import negative_log_likelihood
    from latticear.models import (
        MADE,
        MODELS,
        AbstractModel,
        CausalTransformer,
        ConditionEmbedding,
        GatedPixelCNN,
        LogisticMixture,
        MaskedConv2d,
        MeanField,
        MultiscalePixelCNN,
        PixelCNN,
        PixelCNNPlusPlus,
        PixelSNAIL,
        RecurrentPixelRNN,
        ResidualPixelCNN,
        check_autoregressive,
        transfer_weights,
    )
    from latticear.montecarlo import monte_carlo
    from latticear.objectives import forward_kl, reverse_kl
    from latticear.observables import correlation
    from latticear.pictures import glyphs
    from latticear.rundir import load_model
    from latticear.samples import Samples
    from latticear.smc import sequential_monte_carlo
    from latticear.spaces import Grid
    from latticear.tempering import parallel_tempering
    from latticear.training import Step, TrainingError, fit

__version__ = version("latticear")

_HOMES = {
    "annealing": ("population_annealing",),
    "autocorrelation": ("TauInt", "integrated_autocorrelation_time", "mean_error"),
    "configurations": ("read_batches", "read_condition", "read_configurations", "read_given", "read_metadata"),
    "datafile": ("SampleWriter",),
    "estimates": ("Estimate", "Estimates", "UnreliableEstimateWarning"),
    "blocks": ("block_mcmc",),
    "checks": ("check_hamiltonian",),
    "chains": ("estimate_chains", "neural_mcmc"),
    "importance": ("estimate", "forward_ess", "reweight"),
    "exact": (
        "T_C",
        "ExactResult",
        "critical_temperature",
        "enumerate_states",
        "exact_result",
        "kasteleyn",
        "kaufman",
        "magnetization_resolved",
        "onsager",
        "potts_transition",
        "transfer_matrix",
    ),
    "spaces": ("Grid",),
    "hamiltonians": (
        "HAMILTONIANS",
        "AbstractHamiltonian",
        "AshkinTeller",
        "BlumeCapel",
        "Clock",
        "Components",
        "CustomHamiltonian",
        "EdwardsAnderson",
        "EdwardsAndersonDisorder",
        "Ising",
        "PairHamiltonian",
        "Phi4",
        "Potts",
        "SherringtonKirkpatrick",
    ),
    "instances": ("read_couplings",),
    "lattice": ("Lattice",),
    "likelihood": ("negative_log_likelihood",),
    "models": (
        "MADE",
        "MODELS",
        "AbstractModel",
        "CausalTransformer",
        "ConditionEmbedding",
        "GatedPixelCNN",
        "LogisticMixture",
        "MaskedConv2d",
        "MeanField",
        "MultiscalePixelCNN",
        "PixelCNN",
        "PixelCNNPlusPlus",
        "PixelSNAIL",
        "RecurrentPixelRNN",
        "ResidualPixelCNN",
        "check_autoregressive",
        "transfer_weights",
    ),
    "montecarlo": ("monte_carlo",),
    "objectives": ("forward_kl", "reverse_kl"),
    "observables": ("correlation",),
    "pictures": ("glyphs",),
    "rundir": ("load_model",),
    "samples": ("Samples",),
    "smc": ("sequential_monte_carlo",),
    "tempering": ("parallel_tempering",),
    "training": ("Step", "TrainingError", "fit"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latticear' has no attribute {name!r}")
    value = getattr(import_module(f"latticear.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
