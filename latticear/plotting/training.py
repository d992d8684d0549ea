"""How a training goes: the free energy, or the likelihood, against the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from latticear.arrays import Array
from latticear.plotting.style import EXACT, LABELS, MODEL, REFERENCE

__all__ = ["bound_curve", "likelihood_curve", "training_curve"]


def training_curve(ax: Axes, metrics: Sequence[Mapping[str, Any]], exact: float | None = None) -> Axes:
    """Plot the excess of the variational free energy per site over the exact one against the training step.

    The exact free energy is a lower bound of the variational one. If it is not given, the latter itself is plotted.

    Args:
        ax: axes to draw on.
        metrics: rows of metrics.jsonl; rows without a free energy are left out.
        exact: exact free energy per site, or None.
    """
    if exact is None:
        return bound_curve(ax, metrics)
    step, value, error = _free_energies(metrics)
    gap = value - exact
    raw = np.where(gap > 0, gap, np.nan)
    ax.plot(step, raw, color=MODEL, lw=0.6, alpha=0.5, label="variational minus exact, one batch")
    if window := len(gap) // 25:
        mean = np.convolve(gap, np.full(window, 1 / window), "valid")
        smooth = np.where(mean > 0, mean, np.nan)
        ax.plot(step[window - 1 :], smooth, color=MODEL, lw=1.6, label=f"its mean over {window} steps")
    ax.plot(step, error, color=EXACT, lw=0.8, ls=":", label="statistical error of a batch")
    if (gap > 0).any() or (error > 0).any():  # both are zero where all samples are ground states
        ax.set_yscale("log")
    ax.set_ylabel("excess free energy per site (coupling units)")
    ax.set_xlabel("training step")
    ax.legend(frameon=False)
    return ax


def bound_curve(ax: Axes, metrics: Sequence[Mapping[str, Any]], exact: float | None = None) -> Axes:
    """Plot the variational free energy per site, an upper bound, against the training step, above the exact value.

    Args:
        ax: axes to draw on.
        metrics: rows of metrics.jsonl; rows without a free energy are left out.
        exact: exact free energy per site, or None.
    """
    step, value, error = _free_energies(metrics)
    ax.plot(step, value, color=MODEL, lw=1, label="variational (upper bound), one batch")
    ax.fill_between(step, value - error, value + error, color=MODEL, alpha=0.25, lw=0)
    if exact is not None:
        ax.axhline(exact, color=EXACT, lw=1, ls="--", label="exact")
    if len(value):
        tail = np.append(value[len(value) // 4 :], value[-1] if exact is None else exact)
        ax.set_ylim(tail.min() - 0.1 * np.ptp(tail) - 1e-3, tail.max() + 0.3 * np.ptp(tail) + 1e-3)
    ax.set_ylabel(LABELS["free_energy_per_site"])
    ax.set_xlabel("training step")
    ax.legend(frameon=False, loc="upper right")
    return ax


def likelihood_curve(ax: Axes, metrics: Sequence[Mapping[str, Any]], baseline: float | None = None) -> Axes:
    """Plot the negative log-likelihood per site, in nats and bits, against the training step.

    One curve is of each training batch, another of the held-out data.

    Args:
        ax: axes to draw on.
        metrics: rows of metrics.jsonl.
        baseline: negative log-likelihood of independent sites, in nats per site, or None.
    """
    loss = np.array([(row["step"], row["loss"]) for row in metrics]).reshape(-1, 2)
    held = [(row["step"], row["nll_held_out"]) for row in metrics if "nll_held_out" in row]
    ax.plot(*loss.T, color=MODEL, lw=0.6, alpha=0.5, label="one batch")
    if held:
        ax.plot(*np.array(held).T, color=REFERENCE, marker="o", ms=3, lw=1.2, label="held out")
    if baseline is not None:
        ax.axhline(baseline, color=EXACT, lw=0.8, ls=":", label="independent sites")
    tail = loss[len(loss) // 10 :, 1]  # the large values of the first steps would compress the rest
    if len(tail):
        top = max(tail.max(), baseline or 0.0)
        ax.set_ylim(tail.min() - 0.05 * (top - tail.min()) - 1e-3, top + 0.05 * (top - tail.min()) + 1e-3)
    ax.secondary_yaxis("right", functions=(lambda nats: nats / np.log(2), lambda bits: bits * np.log(2))).set_ylabel(
        "bits per site"
    )
    ax.set_xlabel("training step")
    ax.set_ylabel("negative log-likelihood, nats per site")
    ax.legend(frameon=False)
    return ax


def _free_energies(metrics: Sequence[Mapping[str, Any]]) -> tuple[Array, Array, Array]:
    """Step, variational free energy per site and its error, of the rows that have one."""
    rows = [row for row in metrics if "free_energy_per_site" in row]
    names = ("step", "free_energy_per_site", "free_energy_error")
    step, value, error = (np.array([row[name] for row in rows]) for name in names)
    return step, value, error
