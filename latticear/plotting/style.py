"""Colours, labels and legends that figures share, and the writing of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

__all__ = [
    "AXES",
    "BLIND",
    "COLOURS",
    "EXACT",
    "LABELS",
    "LATER",
    "MODEL",
    "REFERENCE",
    "Drawing",
    "colour_keys",
    "draw_figures",
    "legend_below",
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


def colour_keys(labels: Mapping[str, str]) -> list[Any]:
    return [Patch(color=colour, label=label) for colour, label in labels.items()]


def legend_below(ax: Axes, handles: Sequence[Any]) -> None:
    """Put the legend below the axes, in two columns."""
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "frameon": False}
    ax.legend(handles=handles, ncols=2, handlelength=1, handleheight=1, columnspacing=1, **place)
