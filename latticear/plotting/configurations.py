"""Configurations as images, and which colour is which value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from latticear.arrays import Array
from latticear.plotting.style import COLOURS, EXACT

__all__ = ["completions", "sample_grid", "value_legend"]

FEW = 10
"""Largest number of values of a site that a legend lists; more of them have a colour bar."""


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
