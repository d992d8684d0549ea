"""The figures of a run, drawn beside a short Monte Carlo simulation of the same system."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from latticear.estimation.chains import estimate_chains
from latticear.estimation.importance import estimate, forward_ess
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.montecarlo.simulation import default_method, monte_carlo
from latticear.plotting import (
    LABELS,
    Drawing,
    along_range,
    correlation_function,
    draw_figures,
    histogram,
    receptive_field,
    sample_grid,
    training_curve,
    weight_histogram,
)
from latticear.runs.directory import RunDirectory
from latticear.samples import Samples
from latticear.sampling.receptive import field_of
from latticear.targets import AbstractTarget
from latticear.workflows.report_grid import panels, report_grid
from latticear.workflows.trained import quiet, trained

__all__ = ["report_run"]

MAX_SITES = 2**20
"""Sites drawn for the figures, in all: 16,384 configurations of 8x8."""

N_POINTS, N_CURVE = 13, 61
"""Places along a range that are sampled, and at which the exact curve is drawn."""

CURVES = ("free_energy_per_site", "energy_per_site", "heat_capacity_per_site", "abs_magnetization")
"""Quantities that are drawn along it."""


def report_run(path: Path, *, seed: int = 0, device: str = "auto") -> Iterator[Path]:
    """Write the figures of a run into `figures/` and yield their paths as they are made.

    Training curve, samples beside Monte Carlo configurations, histograms of energy and magnetisation, correlation
    function, the weights with ESS and forward ESS, and the receptive field where offsets describe it; of a run that
    is for any couplings, those of its first instance. A run on a grid has what `report_grid` draws.
    """
    matplotlib.use("agg")
    loaded, run = trained(path, device), RunDirectory(path)
    target, model = loaded.target, loaded.model
    if not target.has_energy:
        yield from report_grid(loaded, run, seed=seed)
        return
    hamiltonian, temperature, condition = target.shown(model)
    exact = exact_result(hamiltonian, temperature)
    n = max(256, min(10_000, MAX_SITES // hamiltonian.n_sites))
    samples = model.sample(n, seed=seed, condition=condition)
    chains = list(monte_carlo(hamiltonian, temperature, n=n, method=default_method(hamiltonian), seed=seed))
    reference = Samples.cat(chains)
    with quiet():
        ours = estimate(samples, hamiltonian, temperature)
        theirs = estimate_chains(chains, hamiltonian, temperature)
    energy, m = _energy_and_m(samples, hamiltonian)
    energy_mc, m_mc = _energy_and_m(reference, hamiltonian)
    assert samples.log_q is not None
    log_w = -energy * hamiltonian.n_sites / temperature - samples.log_q.cpu().numpy()
    weights = np.exp(log_w - log_w.max())
    forward = forward_ess(model, reference.tokens, hamiltonian, temperature, condition=condition)
    text = (
        f"ESS {ours['ess'].value:.3f}\nforward ESS {forward.value:.3f}\nPareto k {ours['pareto_k'].value:.2f}\nn = {n}"
    )
    system = f"{type(hamiltonian.joint).__name__} {hamiltonian.shape[0]}x{hamiltonian.shape[1]}"
    title = f"{system}, T = {temperature:.4g}"

    def draw_samples(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        shown = 16
        sample_grid(left, panels(hamiltonian, samples.tokens[:shown]), 4, "model")
        sample_grid(right, panels(hamiltonian, reference.tokens[:shown]), 4, "Monte Carlo")

    def draw_histograms(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        histogram(left, energy, weights, energy_mc, "energy per site")
        histogram(right, m, weights, m_mc, "magnetisation per site")

    figures: dict[str, Drawing] = {
        "training": (
            (7, 4),
            lambda f: training_curve(f.subplots(), run.metrics(), exact.free_energy_per_site if exact else None),
        ),
        "samples": ((9, 4.8), draw_samples),
        "histograms": ((9, 4), draw_histograms),
        "correlation": (
            (6, 4),
            lambda f: correlation_function(f.subplots(), ours["correlation"], theirs["correlation"]),
        ),
        "weights": ((6, 4), lambda f: weight_histogram(f.subplots(), log_w, text)),
    }
    if field_of(model, (0, 0)) is not None:
        figures["receptive_field"] = ((5, 6), lambda f: receptive_field(f.subplots(), model))
    yield from draw_figures(run.figures, figures, title)
    if target.covers_range:
        curves = partial(_along_range, model, target, n, seed)
        yield from draw_figures(run.figures, {"temperatures": ((9, 6.5), curves)}, f"{system}, one network")


def _along_range(model: AbstractModel, target: AbstractTarget, n: int, seed: int, figure: Figure) -> None:
    """Free energy, energy, heat capacity and magnetisation all along a range, and the exact curves."""
    results = {}
    for k, (x, setting) in enumerate(target.along(N_POINTS).items()):
        batches = model.sample_batches(n, seed=seed, start=k * n, condition=setting.condition)
        with quiet():
            results[x] = estimate(batches, setting.system, setting.temperature)
    curve = {x: exact_result(s.system, s.temperature) for x, s in target.along(N_CURVE).items()}
    exact = {x: result for x, result in curve.items() if result is not None}
    for ax, name in zip(figure.subplots(2, 2).flat, CURVES, strict=True):
        along_range(ax, results, exact, name, LABELS[name], target.axis)


def _energy_and_m(samples: Samples, hamiltonian: AbstractHamiltonian) -> tuple[np.ndarray, np.ndarray]:
    """Energy and magnetisation per site."""
    parts = samples.tokens.split(4096)
    energy = torch.cat([hamiltonian.token_energy(part) for part in parts]) / hamiltonian.n_sites
    m = torch.cat([hamiltonian.magnetization(part) for part in parts])
    return energy.cpu().numpy(), m.cpu().numpy()
