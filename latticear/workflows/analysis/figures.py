"""The figures of an analysis: crossings, data collapse and maxima, with a colour for each size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from latticear.arrays import Array
from latticear.exact import ExactResult
from latticear.exact.dispatch import result_by
from latticear.hamiltonians import AbstractHamiltonian
from latticear.plotting import AXES, EXACT, LABELS, MODEL, Drawing, draw_figures
from latticear.scaling import Collapse, Crossings, Curve, Limit, Peaks
from latticear.workflows.analysis.run import Analysis
from latticear.workflows.scan.point import size_name
from latticear.workflows.scan.report import ANALYSED

__all__ = ["analysis_figures"]

N_LINE = 201
"""Number of points of a drawn curve."""

FURTHER = {
    "correlation_length_per_size": r"correlation length $\xi / L$",
    "overlap_binder_cumulant": "Binder cumulant of the overlap",
    "glass_correlation_length_per_size": r"spin-glass correlation length $\xi / L$",
}
"""Axis labels of what is not drawn for every scan."""


def analysis_figures(folder: Path, analysis: Analysis) -> Iterator[Path]:
    """Write crossing.png, collapse.png, peaks.png and thermodynamics.png, those that there are results for."""
    matplotlib.use("agg")
    for name in ANALYSED:  # of an earlier analysis, of other quantities
        (folder / f"{name}.png").unlink(missing_ok=True)
    figures: dict[str, Drawing] = {}
    if analysis.crossings:
        figures["crossing"] = (10, 4 * len(analysis.crossings)), partial(_draw_crossings, analysis)
    if analysis.collapses:
        figures["collapse"] = (5 * len(analysis.collapses), 4.4), partial(_draw_collapses, analysis)
    tops = [name for name, found in analysis.peaks.items() if found.peaks]
    if tops:
        figures["peaks"] = (10, 4 * len(tops)), partial(_draw_peaks, analysis, tops)
    if analysis.thermodynamics:
        figures["thermodynamics"] = (10, 7), partial(_draw_thermodynamics, analysis)
    system = f"{type(analysis.scan.system.joint).__name__} {', '.join(analysis.scan.sizes)}"
    yield from draw_figures(folder, figures, system)


def _draw_crossings(analysis: Analysis, figure: Figure) -> None:
    axes = figure.subplots(len(analysis.crossings), 2, squeeze=False)
    for (left, right), (name, found) in zip(axes, analysis.crossings.items(), strict=True):
        curves = analysis.curves[name]
        _points(left, curves)
        _lines(left, curves, found)
        _exact(left, analysis)
        left.set_xlabel(AXES["temperature"])
        left.set_ylabel(_label(name))
        left.legend(frameon=False)
        _approach(
            right,
            [float(np.sqrt(np.prod(crossing.sizes))) for crossing in found.crossings],
            [crossing.temperature for crossing in found.crossings],
            [crossing.error for crossing in found.crossings],
            found.critical_temperature,
            analysis,
        )
        right.set_xlabel(r"$1 / \sqrt{L L'}$")
        right.set_ylabel("T where L and L' cross")


def _draw_collapses(analysis: Analysis, figure: Figure) -> None:
    axes = figure.subplots(1, len(analysis.collapses), squeeze=False)[0]
    for ax, (name, found) in zip(axes, analysis.collapses.items(), strict=True):
        scaled = [found.scaled(curve) for curve in analysis.curves[name]]
        _points(ax, scaled)
        for curve in scaled:
            _whiten(ax, curve, found)
        _master(ax, found)
        ax.set_xlabel(r"$(T - T_c)\, L^{1/\nu}$")
        power = "" if not found.exponent.value else rf" $\times\; L^{{{-found.exponent.value:.3g}}}$"
        ax.set_ylabel(f"{_label(name)}{power}")
        ax.set_title(
            f"T_c = {found.critical_temperature}, 1/nu = {found.inverse_nu}, chi2/dof = {found.chi2:.2g}/{found.dof}",
            fontsize="medium",
        )
        ax.legend(frameon=False)


def _draw_peaks(analysis: Analysis, names: Sequence[str], figure: Figure) -> None:
    axes = figure.subplots(len(names), 2, squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        tops = analysis.peaks[name]
        _points(left, analysis.curves[name])
        t, dt, height, dh = zip(
            *((peak.temperature, peak.error, peak.height, peak.height_error) for peak in tops.peaks), strict=True
        )
        left.errorbar(t, height, dh, dt, fmt="x", color=EXACT, ms=6, capsize=2, label="maximum")
        _exact(left, analysis)
        left.set_xlabel(AXES["temperature"])
        left.set_ylabel(_label(name))
        left.legend(frameon=False)
        _growth(right, tops)
        right.set_ylabel(f"maximum of the {_label(name).partition(' (')[0]}")


def _draw_thermodynamics(analysis: Analysis, figure: Figure) -> None:
    """Bands of one standard deviation, points with error bars, and the exact curves of the Ising model."""
    axes = figure.subplots(2, 2, sharex=True)
    scan = analysis.scan
    for (size, curves), colour in zip(
        analysis.thermodynamics.items(), _colours(len(analysis.thermodynamics)), strict=True
    ):
        exact = _exact_curves(scan.systems[size], curves.temperature)
        points = [point for point in scan.points if point["temperature"] in curves.sampled and _is(size, point)]
        for ax, (name, value) in zip(axes.flat, curves.values.items(), strict=True):
            error = curves.errors[name]
            ax.fill_between(curves.temperature, value - error, value + error, color=colour, alpha=0.3, lw=0)
            ax.plot(curves.temperature, value, color=colour, lw=1, label=f"{size}, with error band")
            if exact:
                ax.plot(curves.temperature, [getattr(each, name) for each in exact], color=EXACT, lw=0.8, ls="--")
            entries = [point["estimates"][name] for point in points]
            columns = ([entry[key] for entry in entries] for key in ("value", "error"))
            ax.errorbar(curves.sampled, *columns, fmt="o", color=colour, ms=3, capsize=2)
            ax.set_ylabel(_label(name))
    for ax in axes[-1]:
        ax.set_xlabel(AXES["temperature"])
    axes.flat[0].legend(loc="lower left", frameon=False)


def _is(size: str, point: Mapping[str, Any]) -> bool:
    return size == size_name(tuple(point["shape"]))


def _exact_curves(system: AbstractHamiltonian, temperatures: Array) -> list[ExactResult]:
    """The exact results of the periodic Ising model without a field; none for other systems."""
    try:
        return [result_by("kaufman", system, t) for t in temperatures.tolist()]
    except ValueError:
        return []


def _points(ax: Axes, curves: Sequence[Curve]) -> None:
    for curve, colour in zip(curves, _colours(len(curves)), strict=True):
        ax.errorbar(
            curve.temperature,
            curve.value,
            curve.error,
            fmt="o",
            color=colour,
            ms=3.5,
            capsize=2,
            label=f"L = {curve.size:g}",
        )


def _colours(n: int) -> list[str]:
    return [to_hex(colormaps["viridis"](x)) for x in np.linspace(0.1, 0.8, n)]


def _lines(ax: Axes, curves: Sequence[Curve], found: Crossings) -> None:
    """The polynomials through the points around each crossing."""
    colours = {curve.size: colour for curve, colour in zip(curves, _colours(len(curves)), strict=True)}
    for crossing in found.crossings:
        for size, fit in zip(crossing.sizes, crossing.fits, strict=True):
            t = np.linspace(fit.low, fit.high, N_LINE)
            ax.plot(t, fit.at(t), color=colours[size], lw=1)
        ax.plot(crossing.temperature, crossing.value, "x", color=EXACT, ms=6)


def _exact(ax: Axes, analysis: Analysis) -> None:
    if analysis.known is not None:
        ax.axvline(analysis.known.temperature, color=EXACT, lw=1, ls="--", label="exact T_c")


def _approach(
    ax: Axes, size: list[float], t: list[float], error: list[float], limit: Limit | None, analysis: Analysis
) -> None:
    """Temperatures against 1/L, and their limit at 0."""
    ax.errorbar([1 / L for L in size], t, error, fmt="o", color=MODEL, ms=3.5, capsize=2, label="crossings")
    if limit is not None:
        ax.errorbar([0], [limit.value], [limit.error], fmt="s", color=MODEL, mfc="white", capsize=2, label="T_c")
    if analysis.known is not None:
        ax.axhline(analysis.known.temperature, color=EXACT, lw=1, ls="--", label="exact T_c")
    ax.legend(frameon=False)


def _whiten(ax: Axes, curve: Curve, found: Collapse) -> None:
    """Make hollow the points that the best fit leaves out."""
    low, high = found.window
    inside = (curve.temperature >= low) & (curve.temperature <= high) & (curve.size >= found.smallest_size)
    ax.plot(curve.temperature[~inside], curve.value[~inside], "o", color="white", ms=2, zorder=3)


def _master(ax: Axes, found: Collapse) -> None:
    x = np.linspace(*found.window, N_LINE)
    ax.plot(x, found.master(x), color=EXACT, lw=1, label="master curve")


def _growth(ax: Axes, tops: Peaks) -> None:
    """Heights against L on logarithmic axes, with the fitted laws."""
    size = np.array([peak.size for peak in tops.peaks])
    ax.errorbar(
        size,
        [peak.height for peak in tops.peaks],
        [peak.height_error for peak in tops.peaks],
        fmt="o",
        color=MODEL,
        ms=3.5,
        capsize=2,
    )
    L = np.geomspace(size.min(), size.max(), N_LINE)
    if tops.growth is not None:
        law = tops.growth
        ax.plot(L, law.amplitude * L**law.exponent, color=MODEL, lw=1, label=f"power {law.exponent:.3g}")
    if tops.logarithm is not None:
        law = tops.logarithm
        ax.plot(L, law.amplitude + law.exponent * np.log(L), color=EXACT, lw=1, ls=":", label="logarithm")
    ax.set_xscale("log")
    if (tops.peaks[0].height) > 0:
        ax.set_yscale("log")
    ax.set_xticks(size, [f"{L:g}" for L in size])
    ax.minorticks_off()
    ax.set_xlabel("L")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False)


def _label(name: str) -> str:
    """Axis label of a quantity."""
    return LABELS.get(name) or FURTHER.get(name, name)
