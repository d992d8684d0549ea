"""Figures: each function draws one figure on a matplotlib Axes and returns the Axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate
from latticear.exact import ExactResult
from latticear.sampling.receptive import field_of, slope_of

__all__ = [
    "AXES",
    "LABELS",
    "along_range",
    "bound_curve",
    "completions",
    "correlation_function",
    "draw_figures",
    "histogram",
    "likelihood_curve",
    "profile",
    "receptive_field",
    "sample_grid",
    "training_curve",
    "value_legend",
    "wavefront",
    "weight_histogram",
]


COLOURS = "cividis"
"""Colour map of the values of sites."""

MODEL, REFERENCE, EXACT = "#0b6e99", "#d1495b", "#333333"
BLIND, LATER = "#f2b84b", "#e9e9e9"

LABELS = {
    "free_energy_per_site": "free energy per site (coupling units)",
    "energy_per_site": "energy per site (coupling units)",
    "entropy_per_site": r"entropy per site ($k_\mathrm{B}$)",
    "heat_capacity_per_site": r"heat capacity per site ($k_\mathrm{B}$)",
    "abs_magnetization": r"magnetisation $\langle |m| \rangle$",
    "susceptibility": "susceptibility (1 / coupling units)",
    "binder_cumulant": "Binder cumulant",
    "ess": "ESS (fraction of n)",
}
"""Axis label of each quantity. Coupling units: the unit in which the couplings are given, which need not be 1."""

AXES = {"temperature": "temperature T (coupling units)"}
"""Axis label of the parameter of a family, where it has a unit."""

NOTHING: Mapping[float, str] = MappingProxyType({})

FEW = 10
"""Largest number of values of a site that a legend lists; more of them have a colour bar."""


Drawing = tuple[tuple[float, float], Callable[[Figure], object]]
"""The size of a figure in inches, and the function that draws on it."""


def draw_figures(folder: Path, figures: Mapping[str, Drawing], title: str) -> Iterator[Path]:
    """Write each figure to `folder/name.png`, all with the same title, and yield each path once it is written."""
    for name, (size, draw) in figures.items():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.suptitle(title)
        target = folder / f"{name}.png"
        figure.savefig(target, dpi=150)
        yield target


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


def _free_energies(metrics: Sequence[Mapping[str, Any]]) -> tuple[Array, Array, Array]:
    """Step, variational free energy per site and its error, of the rows that have one."""
    rows = [row for row in metrics if "free_energy_per_site" in row]
    names = ("step", "free_energy_per_site", "free_energy_error")
    step, value, error = (np.array([row[name] for row in rows]) for name in names)
    return step, value, error


def sample_grid(ax: Axes, spins: Array, columns: int, title: str, states: Array | None = None) -> Axes:
    """Show configurations `(n, H, W)` as framed images, `columns` of them in each row; n is a multiple of columns.

    Args:
        ax: axes to draw on.
        spins: the configurations.
        columns: number of images in a row.
        title: title of the axes.
        states: all values that a site may have, which fix the colours, as `value_legend` shows them; None for the
            values that occur.
    """
    n, height, width = spins.shape
    rows = n // columns
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for k in range(rows * columns):
        y, x = divmod(k, columns)
        canvas[y * (height + 1) + 1 : (y + 1) * (height + 1), x * (width + 1) + 1 : (x + 1) * (width + 1)] = spins[k]
    ax.set_facecolor("white")
    low, high = (None, None) if states is None else (np.min(states), np.max(states))
    ax.imshow(canvas, cmap=COLOURS, interpolation="nearest", vmin=low, vmax=high)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title)
    return ax


def value_legend(figure: Figure, axes: Sequence[Axes], states: Array, noun: str) -> None:
    """Say below the pictures of `sample_grid` which colour is which value: by a legend, or a bar for many values.

    Args:
        figure: the figure.
        axes: the axes with the pictures.
        states: all values that a site may have, ascending.
        noun: what a value is, such as "spin".
    """
    scale = Normalize(np.min(states), np.max(states))
    if len(states) > FEW:
        figure.colorbar(ScalarMappable(scale, COLOURS), ax=axes, location="bottom", label=noun, shrink=0.5, aspect=40)
        return
    sign = "+" if np.min(states) < 0 else ""
    colours = {f"{noun} {x:{sign if x else ''}g}": colormaps[COLOURS](scale(x)) for x in states}
    keys = [Patch(facecolor=colour, edgecolor=EXACT, lw=0.5, label=label) for label, colour in colours.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=min(5, len(keys)), frameon=False, handlelength=1)


def completions(
    ax: Axes, true: Array, where: NDArray[np.bool_], drawn: Array, title: str, states: Array | None = None
) -> Axes:
    """Show a row of images for each configuration: its fixed sites, m completions by the model, and the original.

    Args:
        ax: axes to draw on.
        true: `(n, H, W)`, the original configurations.
        where: `(n, H, W)`, True at the sites that were held fixed.
        drawn: `(n, m, H, W)`, m completions of each configuration.
        title: title of the figure.
        states: as in `sample_grid`.
    """
    held = np.where(where, true, np.nan)
    rows = np.concatenate([held[:, None], drawn, true[:, None]], axis=1)
    columns, width = rows.shape[1], rows.shape[-1] + 1
    sample_grid(ax, rows.reshape(-1, *rows.shape[2:]), columns, title, states)
    ax.set_xticks(
        [width / 2, (columns - 1) * width - (columns - 2) * width / 2, (columns - 0.5) * width],
        ["held fixed", "drawn", "taken from"],
    )
    ax.tick_params(length=0)
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


def _beyond_contact(estimate: Estimate) -> Estimate:
    return replace(estimate, value=np.atleast_1d(estimate.value)[1:], error=np.atleast_1d(estimate.error)[1:])


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


def receptive_field(ax: Axes, model: Any, site: tuple[int, int] | None = None) -> Axes:
    """Show the receptive field of a site: which earlier sites its conditional probability depends on.

    Colours mark the sites that the logits of the network depend on, the blind spot (earlier sites that they do not
    depend on), and the sites that are drawn later. White dots mark the neighbours whose bonds the known-neighbour term
    (the bias of the model) adds exactly.

    Args:
        ax: axes to draw on.
        model: the network.
        site: (y, x); None for the centre, (H // 2, W // 2).

    Raises:
        ValueError: for a site outside the lattice, or a network whose receptive field does not follow from the offsets
            of its layers.
    """
    field = field_of(model, site or (model.shape[0] // 2, model.shape[1] // 2))
    if field is None:
        raise ValueError(
            f"the receptive field of {type(model).__name__} does not follow from the offsets of its layers; "
            f"use receptive.dependences"
        )
    colours = np.full((*model.shape, 4), to_rgba(LATER))
    colours[field.seen.numpy()] = to_rgba(MODEL)
    colours[field.blind_spot.numpy()] = to_rgba(BLIND)
    colours[field.site] = to_rgba(EXACT)
    _cells(ax, colours)
    dot = {"facecolor": "white", "edgecolor": EXACT}
    for y, x in field.known.nonzero().tolist():
        ax.add_patch(Circle((x, y), 0.2, **dot))
    labels = {
        EXACT: f"site {field.site}",
        MODEL: f"seen: {int(field.seen.sum())}",
        BLIND: f"blind spot: {int(field.blind_spot.sum())}",
        LATER: "later",
    }
    handles = _keys(labels)
    if ax.patches:
        known = f"known to the bias: {len(ax.patches)}"
        handles.append(Line2D([], [], ls="none", marker="o", mfc="white", mec=EXACT, label=known))
    _legend(ax, handles)
    return ax


def wavefront(ax: Axes, model: Any, tick: int | None = None) -> Axes:
    """Show at which tick, or step of the wavefront sampler, each site is drawn.

    The tick is shown as shading, and on lattices of up to 20x20 sites as a number. The front, the sites that are drawn
    together, of one tick is highlighted.

    Args:
        ax: axes to draw on.
        model: the network.
        tick: the tick to highlight; None for the middle one.

    Raises:
        ValueError: for a tick at which no site is drawn.
    """
    rank = model.rank.cpu().numpy()
    ticks = int(rank.max()) + 1
    tick = ticks // 2 if tick is None else tick
    front = rank == tick
    if not front.any():
        raise ValueError(f"tick must be one of 0..{ticks - 1} at which a site is drawn, got {tick}")
    blues = colormaps["Blues"]
    colours = blues(0.15 + 0.6 * rank / ticks)
    colours[rank > tick] = to_rgba(LATER)
    colours[front] = to_rgba(BLIND)
    _cells(ax, colours)
    if max(model.shape) <= 20:
        for (y, x), number in np.ndenumerate(rank):
            ax.text(x, y, str(number), ha="center", va="center", fontsize=120 / max(12, *model.shape))
    together = f"tick {tick}: {front.sum()} site{'s at once' if front.sum() > 1 else ''}"
    _legend(ax, _keys({to_hex(blues(0.4)): "earlier", BLIND: together, LATER: "later"}))
    slope = slope_of(model)
    formula = "" if slope is None else f"s = {slope}: s (H \N{MINUS SIGN} 1) + W = "
    ax.set_title(f"{formula}{ticks} ticks instead of H W = {rank.size}", fontsize="medium")
    return ax


def _cells(ax: Axes, colours: Array) -> None:
    """Draw the lattice with each site in its colour, given as `(H, W, 4)`."""
    height, width = colours.shape[:2]
    ax.imshow(colours)
    ax.set_xticks(np.arange(-0.5, width), [""] * (width + 1))
    ax.set_yticks(np.arange(-0.5, height), [""] * (height + 1))
    ax.grid(color="white", lw=1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _keys(labels: Mapping[str, str]) -> list[Any]:
    return [Patch(color=colour, label=label) for colour, label in labels.items()]


def _legend(ax: Axes, handles: Sequence[Any]) -> None:
    """Put the legend below the axes, in two columns."""
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "frameon": False}
    ax.legend(handles=handles, ncols=2, handlelength=1, handleheight=1, columnspacing=1, **place)
