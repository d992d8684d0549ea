"""The figure of a scan: each quantity against the temperature, with a colour for each size."""

from __future__ import annotations

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
from latticear.workflows.scan.table import ScanTable

__all__ = ["scan_figure"]


POINT: dict[str, Any] = {"marker": "o", "ms": 3.5}
HOLLOW = POINT | {"mfc": "white"}
CHAIN: dict[str, Any] = {"marker": "x", "ms": 6, "mew": 0.8}


def scan_figure(figure: Figure, table: ScanTable, curves: Sequence[Sequence[ExactResult]]) -> None:
    """Draw eight quantities with error bars, each in a panel, with exact curves or Monte Carlo results to compare with.

    Points are hollow where the error bar cannot be trusted. Crosses are Monte Carlo results, where there is no exact
    one.

    Args:
        figure: the figure to draw on.
        table: the table of the scan.
        curves: for each size, exact results in the order of temperature; results without a quantity are skipped.
    """
    colours = [MODEL]
    if len(table.shapes) > 1:
        colours = [to_hex(colormaps["viridis"](x)) for x in np.linspace(0.1, 0.8, len(table.shapes))]
    axes = figure.subplots(2, 4, sharex=True)
    for ax, name in zip(axes.flat, LABELS, strict=True):
        for i, colour in enumerate(colours):
            _curve(ax, curves[i], name, colour if len(colours) > 1 else EXACT)
            _points(ax, table, i, name, colour)
        ax.set_ylabel(LABELS[name])
    for ax in axes[-1]:
        ax.set_xlabel(AXES["temperature"])
    axes.flat[-1].set_ylim(-0.03, 1.03)
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
    if any(curves):
        keys.append(Line2D([], [], color=EXACT, lw=1, label="exact"))
    plain: dict[str, Any] = {"color": EXACT if several else MODEL, "ls": "none"}
    if not np.isnan(table.columns["abs_magnetization_monte_carlo"]).all():
        keys.append(Line2D([], [], label="Monte Carlo", **plain, **CHAIN))
    if not table.columns["reliable"].all():
        keys.append(Line2D([], [], label="error bar not to be trusted", **plain, **HOLLOW))
    return keys
