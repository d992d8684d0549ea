"""What to cite: the package, and the papers behind what a run used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latticear.estimation.estimates import Estimates
from latticear.exact import exact_result
from latticear.models import MODELS
from latticear.montecarlo.clusters import clusters_suit
from latticear.montecarlo.heatbath import HeatBath
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import CHAIN_METHODS, default_method
from latticear.runs.config import RunConfig, stored_config
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import located
from latticear.runs.references import (
    LOOKAHEAD,
    OF_CHAINS,
    OF_ESTIMATORS,
    OF_EXACT,
    OF_HAMILTONIANS,
    OF_MODELS,
    OF_OBJECTIVES,
    OF_QUANTITIES,
    REFERENCES,
    Reference,
    itself,
)
from latticear.workflows.run import Run

__all__ = ["cite", "cited"]

Use = tuple[str, Sequence[str]]
"""What a run used, in words, and the keys of the papers behind it."""


def cite(run: Run | str | Path | None = None) -> str:
    """BibTeX of the package and, for a run, of the papers whose networks and methods it used.

    Above each entry stands what it is for. Monte Carlo methods and exact methods are named where the data of the
    training, a check or exact values of the estimates needed them.

    Args:
        run: a run, its directory, or `pretrained:NAME`; None for the package alone.

    Raises:
        OSError: if the directory is not a run, or a file cannot be read.

    Example:
        >>> print(cite().splitlines()[1])
        @misc{latticear,
    """
    return "\n\n".join(f"% {'; '.join(uses)}\n{entry.bibtex()}" for entry, uses in cited(run))


def cited(run: Run | str | Path | None = None) -> list[tuple[Reference, list[str]]]:
    """The entries that `cite` prints, each with what it is for."""
    found: dict[str, list[str]] = {}
    if run is not None:
        for what, keys in _used(*_content(run)):
            for key in keys:
                uses = found.setdefault(key, [])
                uses += [what] if what not in uses else []
    return [(itself(), ["the package"]), *((REFERENCES[key], uses) for key, uses in found.items())]


def _content(run: Run | str | Path) -> tuple[RunConfig, list[Mapping[str, Any]]]:
    """The config of a run and the contents of its estimates, one for each temperature."""
    if not isinstance(run, Run):
        folder = RunDirectory(located(run))
        content = folder.read_json("estimates.json")
        return stored_config(folder.config_path), content.get("estimates", [content] if content else [])
    results = run.estimates if isinstance(run.estimates, list) else [run.estimates]
    return run.config, [each.to_dict() for each in results if isinstance(each, Estimates)]


def _used(config: RunConfig, estimates: Sequence[Mapping[str, Any]]) -> Iterator[Use]:
    yield from _of_config(config)
    for content in estimates:
        yield from _of_estimates(config, content)
    yield from _of_exact_values(config, estimates)


def _of_config(config: RunConfig) -> Iterator[Use]:
    """What a training used."""
    tree, training = config.to_dict(), config.training
    name = tree["model"]["name"]
    yield f"the network {name}", OF_MODELS.get(name, ())
    if tree["model"].get("bond_dimension") is not None:
        yield "the sums over later sites", LOOKAHEAD
    system = tree.get("hamiltonian", {}).get("name")
    yield f"the system {system}", OF_HAMILTONIANS.get(system, ())
    if not MODELS[name].has_weights or not config.target.has_energy:
        return
    yield f"the objective {training['objective']}", OF_OBJECTIVES[training["objective"]]
    if method := _method_of_data(config):
        yield f"configurations to train on, by {method}", OF_CHAINS[method]
    if training.get("heated_share"):
        yield f"heated configurations, by {HeatBath.name}", OF_CHAINS[HeatBath.name]


def _method_of_data(config: RunConfig) -> str | None:
    """The Monte Carlo method of the data of a training; None if it drew none."""
    training = config.training
    system = config.target.only
    if training["objective"] == "reverse-kl" or training["data"] or system is None:
        return None
    if training["monte_carlo"] == "tempering" and not clusters_suit(system.joint):
        return ParallelTempering.name
    return default_method(system)


def _of_estimates(config: RunConfig, content: Mapping[str, Any]) -> Iterator[Use]:
    """What the estimates at one temperature used, but for exact values."""
    method = content.get("method")
    if method == "mcmc" and config.model["name"] == "multiscale":
        yield "estimates by block updates", OF_ESTIMATORS["blocks"]
    elif method in OF_ESTIMATORS:
        yield f"estimates, method {method}", OF_ESTIMATORS[method]
    entries = {name: entry for name, entry in content.items() if isinstance(entry, dict)}
    for name in OF_QUANTITIES:
        if name in entries:
            yield f"the diagnostic {name}", OF_QUANTITIES[name]
    if any(entry.get("tau_int") is not None for entry in entries.values()):
        yield "errors from autocorrelation times", ("Wolff2004",)
    said = " ".join(str(entry.get("reasons", "")) for entry in [content, *entries.values()])
    for name in CHAIN_METHODS:
        if f"by {name.replace('-', ' ')}" in said:
            yield f"the check, by {name}", OF_CHAINS[name]


def _of_exact_values(config: RunConfig, estimates: Sequence[Mapping[str, Any]]) -> Iterator[Use]:
    """The method of the exact values that stand beside the estimates, as `exact_result` chooses it."""
    with_exact = (each for each in estimates if "exact" in each.get("log_z", each.get("energy_per_site", {})))
    content = next(with_exact, None)
    if content is None:
        return
    with contextlib.suppress(ValueError):  # a disorder of many systems, whose exact values belong to one of them
        result = exact_result(config.target.system, content["temperature"])
        if result is not None:
            yield f"exact values, {result.method}", OF_EXACT[result.method]
