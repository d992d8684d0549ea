"""The figures and the page of a run; they compare its samples with a short Monte Carlo simulation of the system."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from latticear.estimation.chains import estimate_chains
from latticear.estimation.check import Check
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.importance import estimate
from latticear.estimation.judgement import judge
from latticear.exact import ExactResult, exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.montecarlo.simulation import default_method, monte_carlo
from latticear.plotting import (
    LABELS,
    Drawing,
    along_range,
    bound_curve,
    correlation_function,
    draw_figures,
    histogram,
    receptive_field,
    sample_grid,
    training_curve,
    value_legend,
    weight_histogram,
)
from latticear.processes import Processes, current
from latticear.runs.directory import RunDirectory, write_atomically
from latticear.runs.pretrained import check_is_writable
from latticear.runs.provenance import fingerprint
from latticear.samples import Samples
from latticear.sampling.receptive import field_of
from latticear.targets import AbstractTarget, Setting
from latticear.workflows.describe import describe
from latticear.workflows.page.run import run_page
from latticear.workflows.report_grid import panels, report_grid
from latticear.workflows.run import load_run
from latticear.workflows.shared import check_alike
from latticear.workflows.trained import Trained, trained

__all__ = ["report_run"]

MAX_SITES = 2**20
"""Largest number of sites of all samples that are drawn for the figures: 16,384 configurations of 8x8."""

PAGE = "report.html"
"""The page of a run."""

N_SHOWN = 16
"""Number of samples, and of Monte Carlo configurations, in the figure of samples."""

N_POINTS, N_CURVE = 13, 61
"""Numbers of points along a range: those with samples, and those of the exact curve."""

CURVES = ("free_energy_per_site", "energy_per_site", "heat_capacity_per_site", "abs_magnetization")
"""Quantities that are drawn along a range."""


def report_run(path: Path, *, out: Path | None = None, seed: int = 0, device: str = "auto") -> Iterator[Path]:
    """Write the figures of a run into `figures/` and its page, `report.html`; yields each path when it is written.

    The figures show the training curve; samples and Monte Carlo configurations; histograms of energy and magnetisation;
    the correlation function; the importance weights with ESS and forward ESS; the receptive field of a network whose
    layers read sites at fixed offsets; and, for a run that covers a range, quantities along the range. For a run for a
    disorder they show its first instance. For a run on a grid, `report_grid` draws the figures. The page has the
    estimates of the run, if there are any, else those of the samples that are drawn here.

    If `torch.distributed` has joined several processes, each makes this call: they draw the samples together, and the
    first one writes.

    Args:
        path: run directory.
        out: a new directory for a copy of the run, which gets figures and page; None for the run itself.
        seed: seed of the samples and of the Monte Carlo simulation.
        device: device of the network: auto, cpu or cuda.

    Raises:
        FileExistsError: if `out` exists.
        ValueError: for a run that the package ships, without `out`.
    """
    path = path if out is None else _copied(path, out)
    check_is_writable(path, "its page by --out FOLDER, a copy of the run")
    matplotlib.use("agg")
    loaded, run, processes = trained(path, device), RunDirectory(path), current()
    check_alike(processes, f"the network of {path}", fingerprint(loaded.model))
    if not processes.is_first:
        _draw_for_first(loaded, seed, processes)
        return
    about = describe(path)  # what is damaged is noticed before anything is drawn
    written: list[Path] = []
    drawn: list[Estimates] = []
    has_energy = loaded.target.has_energy
    figures = _drawn(loaded, run, seed, processes, drawn) if has_energy else report_grid(loaded, run, seed=seed)
    for figure in figures:
        written.append(figure)
        yield figure
    content = run_page(path, about, written, [estimates.to_dict() for estimates in drawn])
    write_atomically(path / PAGE, content.encode())
    yield path / PAGE


def _copied(path: Path, out: Path) -> Path:
    """The place of a copy that the first process makes."""
    processes = current()
    if processes.is_first:
        load_run(path).copy_to(out)
    processes.wait()
    return out


def _draw_for_first(loaded: Trained, seed: int, processes: Processes) -> None:
    """Draw and measure the share of a process that is not the first one, and nothing else."""
    target, model = loaded.target, loaded.model
    if target.has_energy:
        setting = target.shown(model)
        n = _size(setting)
        _samples(model, setting, n, seed, processes)
        if target.covers_range:
            _estimates_along(model, target, n, seed, processes)


def _size(setting: Setting) -> int:
    """Number of samples of a setting."""
    return max(256, min(10_000, MAX_SITES // setting.system.n_sites))


def _samples(model: AbstractModel, setting: Setting, n: int, seed: int, processes: Processes) -> Samples:
    """The samples of all processes."""
    if processes.size == 1:
        return model.sample(n, seed=seed, condition=setting.condition)
    mine = model.sample_batches(n, seed=seed, condition=setting.condition, processes=processes)
    return Samples.cat(list(processes.in_turn(batch.detached() for batch in mine)))


def _drawn(
    loaded: Trained, run: RunDirectory, seed: int, processes: Processes, drawn: list[Estimates]
) -> Iterator[Path]:
    """Draw the figures of a run with an energy; the estimates of their samples are added to a list.

    For a run that covers a range these are the estimates along it.
    """
    target, model = loaded.target, loaded.model
    setting = target.shown(model)
    hamiltonian, n = setting.system, _size(setting)
    figures, estimates = _figures(run, model, setting, n, seed, processes)
    if field_of(model, (0, 0)) is not None:
        figures["receptive_field"] = ((5, 6), lambda f: receptive_field(f.subplots(), model))
    yield from draw_figures(run.figures, figures, f"{hamiltonian.label}, T = {setting.temperature:.4g}")
    if target.covers_range:
        results = _estimates_along(model, target, n, seed, processes)
        curves = partial(_along_range, target, results)
        yield from draw_figures(run.figures, {"temperatures": ((9, 6.5), curves)}, f"{hamiltonian.label}, one network")
        drawn += results.values()
    else:
        drawn.append(estimates)


def _figures(
    run: RunDirectory, model: AbstractModel, setting: Setting, n: int, seed: int, processes: Processes
) -> tuple[dict[str, Drawing], Estimates]:
    """The figures of one system at one temperature, from n samples and n Monte Carlo configurations, and estimates."""
    hamiltonian, t, condition = setting
    exact = exact_result(hamiltonian, t)
    exact_free_energy = exact.free_energy_per_site if exact else None
    samples = _samples(model, setting, n, seed, processes)
    chains = list(monte_carlo(hamiltonian, t, n=n, method=default_method(hamiltonian), seed=seed))
    reference = Samples.cat(chains)
    with quiet():
        ours = estimate(samples, hamiltonian, t, exact=exact)
        theirs = estimate_chains(chains, hamiltonian, t, exact=exact)
    source = f"{n:,} configurations of Markov chains"
    width = len(chains[0])
    check = Check.of(source, theirs, reference.tokens, hamiltonian, n_chains=width, model=model, condition=condition)
    judge(ours, check)
    forward = ours["forward_ess"]
    from_model, from_chains = _Observed.of(samples, hamiltonian), _Observed.of(reference, hamiltonian)
    assert samples.log_q is not None
    log_w = -from_model.energy * hamiltonian.n_sites / t - samples.log_q.cpu().numpy()
    text = (
        f"ESS {ours['ess'].value:.3f}\nforward ESS {forward.value:.3f}\nPareto k {ours['pareto_k'].value:.2f}\nn = {n}"
    )
    pair = ours["correlation"], theirs["correlation"]
    figures: dict[str, Drawing] = {
        "training": ((9, 4) if exact else (7, 4), partial(_draw_training, run.metrics(), exact_free_energy)),
        "samples": ((9, 4.8), partial(_draw_samples, hamiltonian, samples, reference)),
        "histograms": ((9, 4), partial(_draw_histograms, from_model, np.exp(log_w - log_w.max()), from_chains, exact)),
        "correlation": ((6, 4), lambda f: correlation_function(f.subplots(), *pair)),
        "weights": ((6, 4), lambda f: weight_histogram(f.subplots(), log_w, text)),
    }
    return figures, ours


def _draw_training(metrics: list[dict[str, Any]], exact: float | None, figure: Figure) -> None:
    """Draw the variational free energy; with an exact one also the excess over it, on a logarithmic axis."""
    axes = figure.subplots(1, 1 if exact is None else 2, squeeze=False)[0]
    training_curve(axes[-1], metrics, exact)
    if exact is not None:
        bound_curve(axes[0], metrics, exact)


def _draw_samples(hamiltonian: AbstractHamiltonian, samples: Samples, reference: Samples, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    states = hamiltonian.states.numpy()
    sample_grid(left, panels(hamiltonian, samples.tokens[:N_SHOWN]), 4, "model", states)
    sample_grid(right, panels(hamiltonian, reference.tokens[:N_SHOWN]), 4, "Monte Carlo", states)
    value_legend(figure, [left, right], states, "spin" if states.min() < 0 else "state")


def _draw_histograms(
    samples: _Observed, weights: np.ndarray, reference: _Observed, exact: ExactResult | None, figure: Figure
) -> None:
    left, right = figure.subplots(1, 2)
    u, m = (exact.energy_per_site, exact.abs_magnetization) if exact else (None, None)
    of_energy = {} if u is None else {u: "exact mean"}
    of_m = {} if m is None else {-m: "_", m: r"exact $\pm\langle |m| \rangle$"}
    if m is not None and samples.m.min() >= 0:  # the length of a vector
        of_m = {m: r"exact $\langle |m| \rangle$"}
    histogram(left, samples.energy, weights, reference.energy, LABELS["energy_per_site"], of_energy)
    histogram(right, samples.m, weights, reference.m, "magnetisation per site m", of_m)


def _estimates_along(
    model: AbstractModel, target: AbstractTarget, n: int, seed: int, processes: Processes
) -> dict[float, Estimates]:
    """Estimates from n samples at each of several settings along the range of a target."""
    results = {}
    for k, (x, setting) in enumerate(target.along(N_POINTS).items()):
        system, t, condition = setting
        batches = model.sample_batches(n, seed=seed, start=k * n, condition=condition, processes=processes)
        exact = exact_result(system, t) if processes.is_first else None
        with quiet():
            results[x] = estimate(batches, system, t, exact=exact, processes=processes)
    return results


def _along_range(target: AbstractTarget, results: dict[float, Estimates], figure: Figure) -> None:
    """Draw free energy, energy, heat capacity and magnetisation along the range of a target, with exact curves."""
    curve = {x: exact_result(s.system, s.temperature, closed_form=True) for x, s in target.along(N_CURVE).items()}
    exact = {x: result for x, result in curve.items() if result is not None}
    for ax, name in zip(figure.subplots(2, 2).flat, CURVES, strict=True):
        along_range(ax, results, exact, name, LABELS[name], target.axis)


class _Observed(NamedTuple):
    """Observables of n configurations.

    Attributes:
        energy: energy per site, `(n,)`.
        m: magnetisation per site, `(n,)`.
    """

    energy: np.ndarray
    m: np.ndarray

    @classmethod
    def of(cls, samples: Samples, hamiltonian: AbstractHamiltonian) -> _Observed:
        parts = samples.tokens.split(4096)
        energy = torch.cat([hamiltonian.token_energy(part) for part in parts]) / hamiltonian.n_sites
        m = torch.cat([hamiltonian.magnetization(part) for part in parts])
        return cls(energy.cpu().numpy(), m.cpu().numpy())
