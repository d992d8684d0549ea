"""Estimates beside Monte Carlo and exact values: histograms, correlations, curves against T, profiles, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate
from latticear.estimation.weights import effective_sample_size, log_mean_exp
from latticear.exact import ExactResult
from latticear.plotting.style import AXES, EXACT, MODEL, REFERENCE

__all__ = ["along_range", "correlation_function", "growing_weights", "histogram", "profile", "weight_histogram"]

NOTHING: Mapping[float, str] = MappingProxyType({})


def histogram(
    ax: Axes, values: Array, weights: Array, reference: Array, label: str, exact: Mapping[float, str] = NOTHING
) -> Axes:
    """Plot histograms of a quantity: of model samples, with and without importance weights, and of Monte Carlo.

    Args:
        ax: axes to draw on.
        values: `(n,)`, values of the quantity in the samples of the model.
        weights: `(n,)`, importance weights of these samples.
        reference: `(m,)`, values of the quantity in Monte Carlo configurations.
        label: name of the quantity.
        exact: exact means, each with its name in the legend.
    """
    low, high = min(values.min(), reference.min()), max(values.max(), reference.max())
    spacing = np.diff(np.unique(np.concatenate([values, reference])))
    step = spacing.min() if len(spacing) else 1.0  # bins of whole levels: energies and magnetisations are discrete
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
    for mean, name in exact.items():
        ax.axvline(mean, color=EXACT, lw=1, ls="--", label=name)
    ax.set_xlabel(label)
    ax.set_ylabel("probability density")
    ax.locator_params(axis="x", nbins=6)
    ax.legend(frameon=False)
    return ax


def correlation_function(ax: Axes, model: Estimate, reference: Estimate) -> Axes:
    """Plot the two-point function G(r) along the axes with error bars, of the model and of Monte Carlo."""
    r = np.arange(len(np.atleast_1d(model.value)))
    r, model, reference = r[1:], *(_beyond_contact(estimate) for estimate in (model, reference))  # without G(0)
    ax.errorbar(r, reference.value, reference.error, fmt="s", color=REFERENCE, ms=7, mfc="none", label="Monte Carlo")
    ax.errorbar(r, model.value, model.error, fmt="o", color=MODEL, ms=3.5, capsize=2, label="model, weighted")
    ax.set_xlabel("distance r / lattice spacing")
    ax.set_ylabel(r"correlation $G(r) = \langle s_0 s_r \rangle$")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax


def along_range(
    ax: Axes,
    results: Mapping[float, Estimates],
    exact: Mapping[float, ExactResult],
    name: str,
    label: str,
    axis: str = "temperature",
) -> Axes:
    """Plot estimates of a quantity with error bars against temperature, with the exact curve where there is one.

    Args:
        ax: axes to draw on.
        results: the estimates at each temperature, or at each value of another variable.
        exact: exact results by the same variable, ascending; results without the quantity are left out.
        name: name of the quantity, as in estimates.json.
        label: label of the vertical axis.
        axis: name of the variable, the label of the horizontal axis.
    """
    curve = [(x, result.to_dict()[name]) for x, result in exact.items() if name in result.to_dict()]
    if curve:
        ax.plot(*zip(*curve, strict=True), color=EXACT, lw=1, label="exact")
    value, error = ([getattr(result[name], field) for result in results.values()] for field in ("value", "error"))
    ax.errorbar(list(results), value, error, fmt="o", color=MODEL, ms=3.5, capsize=2, label="model, weighted")
    ax.set_xlabel(AXES.get(axis, axis))
    ax.set_ylabel(label)
    ax.legend(frameon=False)
    return ax


def profile(ax: Axes, estimate: Estimate, *, label: str = "estimate", per_site: int | None = None) -> Axes:
    """Plot a distribution or a free-energy profile with a band of one standard deviation, and the exact one as a line.

    Bins without a value are left out. The axis has the name of the label, such as m or energy.

    Args:
        ax: axes to draw on.
        estimate: an estimate with an array along one label, as `magnetization_profile` and `energy_distribution` give.
        label: name of the curve in the legend.
        per_site: N, to divide the horizontal axis by it (the energy is extensive); None to leave it.

    Raises:
        ValueError: for an estimate without labels, or with those of several axes.
    """
    centres = [name for name in estimate.labels or {} if not name.endswith(("_from", "_to"))]
    if len(centres) != 1:
        raise ValueError(f"a profile needs an estimate with one label for each entry, got {centres or 'none'}")
    x = np.asarray((estimate.labels or {})[centres[0]]) / (per_site or 1)
    value, error = np.asarray(estimate.value), np.asarray(estimate.error)
    shown = np.isfinite(value)
    ax.fill_between(x[shown], (value - error)[shown], (value + error)[shown], color=MODEL, alpha=0.3, lw=0)
    ax.plot(x[shown], value[shown], "o", ms=3, color=MODEL, label=label)
    if estimate.exact is not None:
        exact = np.asarray(estimate.exact)
        known = np.isfinite(exact)
        ax.plot(x[known], exact[known], color=EXACT, lw=1, label="exact")
    ax.set_xlabel(
        {"m": "magnetisation m", "energy": "energy"}.get(centres[0], centres[0]) + (" / N" if per_site else "")
    )
    ax.legend()
    return ax


def weight_histogram(ax: Axes, log_w: Array, text: str) -> Axes:
    """Plot a histogram of log importance weights relative to their mean; for a perfect model all are zero."""
    centred = log_w - np.log(np.mean(np.exp(log_w - log_w.max()))) - log_w.max()
    ax.hist(centred, 80, color=MODEL, alpha=0.8)
    ax.axvline(0, color=EXACT, lw=1, ls="--", label="perfect model")
    ax.set_yscale("log")
    ax.set_xlabel(r"log importance weight $\ln\,(w / \langle w \rangle)$")
    ax.set_ylabel("number of samples")
    ax.legend(frameon=False, loc="upper right")
    ax.text(0.03, 0.96, text, transform=ax.transAxes, va="top")
    return ax


def growing_weights(ax: Axes, log_w: Array, numbers: Sequence[int]) -> Axes:
    """Plot histograms of the first n log importance weights for growing n, relative to the mean of all.

    Of a good network the histogram grows and keeps its shape. Of one that lacks a part of the distribution rare large
    weights appear on the right as n grows, and the effective sample size falls.

    Args:
        ax: axes to draw on.
        log_w: `(n,)`, log importance weights in the order in which their samples were drawn.
        numbers: the numbers n, ascending.

    Raises:
        ValueError: for a number that is not one of 1..n, or numbers that do not ascend.
    """
    if list(numbers) != sorted(set(numbers)) or not numbers or numbers[0] < 1 or numbers[-1] > len(log_w):
        raise ValueError(f"numbers must ascend within 1..{len(log_w)}, got {list(numbers)}")
    centred = log_w - log_mean_exp(log_w)
    edges = np.histogram_bin_edges(centred[: numbers[-1]], 80).tolist()
    for n, alpha in zip(reversed(numbers), np.linspace(0.25, 1, len(numbers)), strict=True):
        label = f"n = {n:,}: ESS {effective_sample_size(log_w[:n]):.3f}"
        ax.hist(centred[:n], edges, color=MODEL, alpha=alpha, label=label)
    ax.axvline(0, color=EXACT, lw=1, ls="--")
    ax.set_yscale("log")
    ax.set_xlabel(r"log importance weight $\ln\,(w / \langle w \rangle)$")
    ax.set_ylabel("number of samples")
    ax.legend(frameon=False, loc="upper left")
    return ax


def _beyond_contact(estimate: Estimate) -> Estimate:
    return replace(estimate, value=np.atleast_1d(estimate.value)[1:], error=np.atleast_1d(estimate.error)[1:])
