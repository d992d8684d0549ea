"""The figure of a scan: each quantity against the temperature, with a colour for each size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latticear.arrays import Array
from latticear.exact import ExactResult
from latticear.plotting import AXES, EXACT, LABELS, MODEL
from latticear.workflows.scan.table import N_INSTANCES, ScanTable

__all__ = ["scan_figure"]


OVERLAPS = {
    "overlap_squared": "squared overlap",
    "overlap_binder_cumulant": "Binder cumulant of the overlap",
    "glass_susceptibility": "spin-glass susceptibility",
    "glass_correlation_length": "spin-glass correlation length",
}
"""Axis labels of what is drawn below the others, if it was measured."""

N_COLUMNS, WIDTH, HEIGHT = 4, 12.5, 3.3
"""Number of panels in a row, and the size of the figure and of a row, in inches."""

POINT: dict[str, Any] = {"marker": "o", "ms": 3.5}
HOLLOW = POINT | {"mfc": "white"}
CHAIN: dict[str, Any] = {"marker": "x", "ms": 6, "mew": 0.8}


def figure_size(table: ScanTable) -> tuple[float, float]:
    """Width and height of the figure in inches."""
    return WIDTH, HEIGHT * math.ceil(len(_labels(table)) / N_COLUMNS)


def _labels(table: ScanTable) -> dict[str, str]:
    """What is drawn, with the label of its axis."""
    return dict(LABELS) | {name: label for name, label in OVERLAPS.items() if name in table.columns}


def scan_figure(figure: Figure, table: ScanTable, curves: Sequence[Sequence[ExactResult]]) -> None:
    """Draw eight quantities with error bars, each in a panel, with exact curves or Monte Carlo results to compare with.

    Where overlaps were measured, a further row has their averages. Averages over instances stand beside those of the
    exact values of the same instances, joined by lines. Points are hollow where the error bar cannot be trusted.
    Crosses are Monte Carlo results, where there is no exact one.

    Args:
        figure: the figure to draw on.
        table: the table of the scan.
        curves: for each size, exact results in the order of temperature; results without a quantity are skipped.
    """
    colours = [MODEL]
    if len(table.shapes) > 1:
        colours = [to_hex(colormaps["viridis"](x)) for x in np.linspace(0.1, 0.8, len(table.shapes))]
    labels = _labels(table)
    axes = figure.subplots(math.ceil(len(labels) / N_COLUMNS), N_COLUMNS, sharex=True)
    for ax in axes.flat[len(labels) :]:
        ax.set_axis_off()
    for ax, (name, label) in zip(axes.flat, labels.items(), strict=False):
        for i, colour in enumerate(colours):
            line = colour if len(colours) > 1 else EXACT
            _curve(ax, curves[i], name, line)
            if N_INSTANCES in table.columns and f"{name}_exact" in table.columns:
                ax.plot(table.temperatures, table.columns[f"{name}_exact"][i], color=line, lw=1)
            _points(ax, table, i, name, colour)
        ax.set_ylabel(label)
    for ax in axes[-1]:
        ax.set_xlabel(AXES["temperature"])
    axes.flat[list(labels).index("ess")].set_ylim(-0.03, 1.03)
    figure.legend(handles=_keys(table, curves, colours), loc="outside lower center", ncols=8, frameon=False)


def _curve(ax: Axes, results: Sequence[ExactResult], name: str, colour: str) -> None:
    points = [(exact.temperature, exact.to_dict()[name]) for exact in results if name in exact.to_dict()]
    if points:
        ax.plot(*zip(*points, strict=True), color=colour, lw=1)


def _points(ax: Axes, table: ScanTable, size: int, name: str, colour: str) -> None:
    t = np.array(table.temperatures)
    columns = {key: column[size] for key, column in table.columns.items()}
    if name == "ess":
        ax.plot(t, columns[name], color=colour, lw=0.8, alpha=0.5)
    chains = columns.get(f"{name}_monte_carlo")
    if chains is not None:
        where = np.isnan(columns[f"{name}_exact"]) & ~np.isnan(chains)
        _bars(ax, t[where], chains[where], columns[f"{name}_monte_carlo_error"][where], colour, CHAIN)
    good = columns["reliable"] > 0
    error = columns.get(f"{name}_error", np.full(len(t), np.nan))
    for where, style in ((good, POINT), (~good, HOLLOW)):
        _bars(ax, t[where], columns[name][where], error[where], colour, style)


def _bars(ax: Axes, t: Array, value: Array, error: Array, colour: str, style: dict[str, Any]) -> None:
    if len(t):
        ax.errorbar(t, value, error, ls="none", color=colour, capsize=2, **style)


def _keys(table: ScanTable, curves: Sequence[Sequence[ExactResult]], colours: Sequence[str]) -> list[Line2D]:
    several = len(colours) > 1
    keys = [
        Line2D(
            [], [], color=colour, ls="none", label=f"{shape[0]}x{shape[1]}" if several else "model, weighted", **POINT
        )
        for colour, shape in zip(colours, table.shapes, strict=True)
    ]
    averaged = N_INSTANCES in table.columns and any(
        np.isfinite(column).any() for name, column in table.columns.items() if name.endswith("_exact")
    )
    if any(curves) or averaged:
        label = "exact, of these instances" if averaged else "exact"
        keys.append(Line2D([], [], color=EXACT, lw=1, label=label))
    plain: dict[str, Any] = {"color": EXACT if several else MODEL, "ls": "none"}
    if not np.isnan(table.columns["abs_magnetization_monte_carlo"]).all():
        keys.append(Line2D([], [], label="Monte Carlo", **plain, **CHAIN))
    if not table.columns["reliable"].all():
        keys.append(Line2D([], [], label="error bar not to be trusted", **plain, **HOLLOW))
    return keys
