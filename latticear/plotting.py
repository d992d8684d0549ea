"""Figures: one function each, taking and returning a matplotlib Axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latticear.estimates import Estimate

__all__ = ["correlation_function", "histogram", "sample_grid", "training_curve", "weight_histogram"]

Array = NDArray[np.float64]

MODEL, REFERENCE, EXACT = "#0b6e99", "#d1495b", "#333333"


def training_curve(ax: Axes, metrics: Sequence[Mapping[str, Any]], exact: float | None = None) -> Axes:
    """Variational free energy per site against the step, above the exact value it is bounded by.

    Args:
        ax: to draw on.
        metrics: rows of metrics.jsonl; those without a free energy are passed over.
        exact: exact free energy per site, or None.
    """
    rows = [row for row in metrics if "free_energy_per_site" in row]
    step = np.array([row["step"] for row in rows])
    value = np.array([row["free_energy_per_site"] for row in rows])
    error = np.array([row["free_energy_error"] for row in rows])
    if exact is None:
        ax.plot(step, value, color=MODEL, lw=1, label="variational, one batch")
        ax.fill_between(step, value - error, value + error, color=MODEL, alpha=0.25, lw=0)
        ax.set_ylabel("free energy per site / J")
        if len(value):
            tail = value[len(value) // 4 :]
            ax.set_ylim(tail.min() - 0.1 * np.ptp(tail) - 1e-3, tail.max() + 0.3 * np.ptp(tail) + 1e-3)
    else:
        gap = value - exact
        raw = np.where(gap > 0, gap, np.nan)
        ax.plot(step, raw, color=MODEL, lw=0.6, alpha=0.5, label="variational minus exact, one batch")
        if window := len(gap) // 25:
            mean = np.convolve(gap, np.full(window, 1 / window), "valid")
            smooth = np.where(mean > 0, mean, np.nan)
            ax.plot(step[window - 1 :], smooth, color=MODEL, lw=1.6, label=f"its mean over {window} steps")
        ax.plot(step, error, color=EXACT, lw=0.8, ls=":", label="statistical error of a batch")
        if (gap > 0).any() or (error > 0).any():  # in its ground state a system has neither
            ax.set_yscale("log")
        ax.set_ylabel("excess free energy per site / J")
    ax.set_xlabel("step")
    ax.legend(frameon=False)
    return ax


def sample_grid(ax: Axes, spins: Array, columns: int, title: str) -> Axes:
    """Configurations `(n, H, W)` side by side, n a multiple of columns, each in a frame."""
    n, height, width = spins.shape
    rows = n // columns
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for k in range(rows * columns):
        y, x = divmod(k, columns)
        canvas[y * (height + 1) + 1 : (y + 1) * (height + 1), x * (width + 1) + 1 : (x + 1) * (width + 1)] = spins[k]
    ax.set_facecolor("white")
    ax.imshow(canvas, cmap="cividis", interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title)
    return ax


def histogram(ax: Axes, values: Array, weights: Array, reference: Array, label: str) -> Axes:
    """A weighted histogram of model samples over that of reference configurations.

    Args:
        ax: to draw on.
        values: `(n,)`, of the model's samples.
        weights: `(n,)`, their importance weights.
        reference: `(m,)`, of Monte Carlo configurations.
        label: of the quantity.
    """
    low, high = min(values.min(), reference.min()), max(values.max(), reference.max())
    spacing = np.diff(np.unique(np.concatenate([values, reference])))
    step = spacing.min() if len(spacing) else 1.0  # energies and magnetisations are discrete: never split a level
    step *= max(1, round((high - low) / step / 40))
    edges = np.arange(low - step / 2, high + step, step).tolist()
    ax.hist(reference, edges, density=True, color=REFERENCE, alpha=0.45, label="Monte Carlo")
    ax.hist(
        values,
        edges,
        weights=weights,
        density=True,
        histtype="step",
        color=MODEL,
        lw=1.6,
        label="model, weighted",
    )
    ax.hist(values, edges, density=True, histtype="step", color=MODEL, lw=0.9, ls=":", label="model")
    ax.set_xlabel(label)
    ax.set_ylabel("density")
    ax.legend(frameon=False)
    return ax


def correlation_function(ax: Axes, model: Estimate, reference: Estimate) -> Axes:
    """G(r) along the axes with error bars: model against Monte Carlo."""
    r = np.arange(len(np.atleast_1d(model.value)))
    r, model, reference = r[1:], *(_beyond_contact(estimate) for estimate in (model, reference))  # G(0) is known
    ax.errorbar(r, reference.value, reference.error, fmt="s", color=REFERENCE, ms=7, mfc="none", label="Monte Carlo")
    ax.errorbar(r, model.value, model.error, fmt="o", color=MODEL, ms=3.5, capsize=2, label="model, weighted")
    ax.set_xlabel("distance r / lattice spacing")
    ax.set_ylabel(r"$G(r) = \langle s_0 s_r \rangle$")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax


def _beyond_contact(estimate: Estimate) -> Estimate:
    return replace(estimate, value=np.atleast_1d(estimate.value)[1:], error=np.atleast_1d(estimate.error)[1:])


def weight_histogram(ax: Axes, log_w: Array, text: str) -> Axes:
    """Importance weights relative to their mean; a perfect model puts all of them at zero."""
    centred = log_w - np.log(np.mean(np.exp(log_w - log_w.max()))) - log_w.max()
    ax.hist(centred, 80, color=MODEL, alpha=0.8)
    ax.axvline(0, color=EXACT, lw=1, ls="--")
    ax.set_yscale("log")
    ax.set_xlabel(r"$\ln\,(w / \langle w \rangle)$")
    ax.set_ylabel("samples")
    ax.text(0.03, 0.96, text, transform=ax.transAxes, va="top")
    return ax
