"""Networks at work: what a site sees, and which sites are drawn together."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from latticear.arrays import Array
from latticear.plotting.style import BLIND, EXACT, LATER, MODEL, colour_keys, legend_below
from latticear.sampling.receptive import field_of, slope_of

__all__ = ["cells", "receptive_field", "wavefront"]


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
    cells(ax, colours)
    dot = {"facecolor": "white", "edgecolor": EXACT}
    for y, x in field.known.nonzero().tolist():
        ax.add_patch(Circle((x, y), 0.2, **dot))
    labels = {
        EXACT: f"site {field.site}",
        MODEL: f"seen: {int(field.seen.sum())}",
        BLIND: f"blind spot: {int(field.blind_spot.sum())}",
        LATER: "later",
    }
    handles = colour_keys(labels)
    if ax.patches:
        known = f"known to the bias: {len(ax.patches)}"
        handles.append(Line2D([], [], ls="none", marker="o", mfc="white", mec=EXACT, label=known))
    legend_below(ax, handles)
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
    cells(ax, colours)
    if max(model.shape) <= 20:
        for (y, x), number in np.ndenumerate(rank):
            ax.text(x, y, str(number), ha="center", va="center", fontsize=120 / max(12, *model.shape))
    together = f"tick {tick}: {front.sum()} site{'s at once' if front.sum() > 1 else ''}"
    legend_below(ax, colour_keys({to_hex(blues(0.4)): "earlier", BLIND: together, LATER: "later"}))
    slope = slope_of(model)
    formula = "" if slope is None else f"s = {slope}: s (H \N{MINUS SIGN} 1) + W = "
    ax.set_title(f"{formula}{ticks} ticks instead of H W = {rank.size}", fontsize="medium")
    return ax


def cells(ax: Axes, colours: Array) -> AxesImage:
    """Draw the lattice with each site in its colour, given as `(H, W, 4)`."""
    height, width = colours.shape[:2]
    image = ax.imshow(colours)
    ax.set_xticks(np.arange(-0.5, width), [""] * (width + 1))
    ax.set_yticks(np.arange(-0.5, height), [""] * (height + 1))
    ax.grid(color="white", lw=1)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image
