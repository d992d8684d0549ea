"""Animations of networks at work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.animation import FuncAnimation
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure

from latticear.arrays import Array
from latticear.plotting.networks import cells
from latticear.plotting.style import BLIND, COLOURS, LATER

__all__ = ["drawing_animation", "pictures"]


def drawing_animation(
    figure: Figure, model: Any, spins: Array, *, states: Array | None = None, frames: int = 60, interval: int = 120
) -> FuncAnimation:
    """Show how a configuration is drawn: at each tick the sites that are drawn together, then their values.

    Sites are marked while they are drawn. `animation.save("drawing.gif", writer="pillow")` writes the animation; in a
    notebook `IPython.display.HTML(animation.to_jshtml())` shows it. Keep it in a variable until then.

    Args:
        figure: figure to draw on, which must be empty.
        model: the network; `model.rank` has the tick of each site.
        spins: `(H, W)`, a configuration.
        states: all values that a site may have, which fix the colours; None for the values that occur.
        frames: largest number of frames; where there are more ticks, a frame has several.
        interval: milliseconds of a frame.

    Raises:
        ValueError: for a configuration of another shape, or a number of frames below 1.
    """
    rank = model.rank.cpu().numpy()
    if spins.shape != rank.shape:
        raise ValueError(f"spins must have the shape of the lattice, {rank.shape}, got {spins.shape}")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    values = spins if states is None else np.asarray(states)
    drawn = colormaps[COLOURS](Normalize(np.min(values), np.max(values))(spins))
    shown = list(pictures(rank, drawn, frames))
    ax = figure.subplots()
    image = cells(ax, shown[0][0])

    def show(frame: int) -> list[Any]:
        colours, title = shown[frame]
        image.set_data(colours)
        ax.set_title(title, fontsize="medium")
        return [image]

    return FuncAnimation(figure, show, frames=len(shown), interval=interval, blit=False)


def pictures(rank: Array, drawn: Array, frames: int) -> Iterator[tuple[Array, str]]:
    """The colours of the sites `(H, W, 4)` and the title of each frame.

    Args:
        rank: `(H, W)`, the tick of each site.
        drawn: `(H, W, 4)`, the colour of each site once it is drawn.
        frames: largest number of frames.
    """
    ticks = int(rank.max()) + 1
    step = -(-ticks // frames)
    for first in range(0, ticks, step):
        last = min(first + step, ticks) - 1
        front = (rank >= first) & (rank <= last)
        colours = np.where((rank <= last)[..., None], drawn, to_rgba(LATER))
        if last < ticks - 1:  # the last frame shows the whole configuration
            colours[front] = to_rgba(BLIND)
        yield colours, f"tick {last + 1} of {ticks}: {front.sum()} site{'s' if front.sum() > 1 else ''}"
