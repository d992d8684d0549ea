"""Small pictures of characters, rendered by matplotlib: a data set of images without a download."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from torch import Tensor

from latticear.arguments import check_seed
from latticear.lattice import check_shape
from latticear.random_numbers import generator
from latticear.samples import token_dtype

__all__ = ["glyphs"]

FACES = [
    FontProperties(family=family, weight=weight)
    for family in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")
    for weight in ("normal", "bold")
]
"""Typefaces that are part of matplotlib."""


def glyphs(
    n: int,
    shape: tuple[int, int] = (16, 16),
    levels: int = 4,
    seed: int = 0,
    *,
    characters: str = "0123456789",
) -> tuple[Tensor, Tensor]:
    """Characters at random size, slant, angle and place, in one of six typefaces, as grey levels.

    Picture i depends on seed, i and the other arguments, but not on n.

    Args:
        n: number of pictures.
        shape: (H, W) in pixels, at least 8 x 8.
        levels: number q of grey levels, 2 to 256, from 0 (paper) to q - 1 (ink); 2 gives binary images.
        seed: seed of the random characters, typefaces and positions.
        characters: the classes, one character each.

    Returns:
        Tokens uint8 `(n, H, W)`, and labels int64 `(n,)`, the index in `characters` of the character in each picture.

    Raises:
        ValueError: for n < 1, a shape too small to read, no characters, or levels or a seed out of range.

    Example:
        >>> tokens, labels = glyphs(1, (12, 9), levels=2, seed=4, characters="7")
        >>> print("\\n".join("".join(" #"[t] for t in row) for row in tokens[0, 3:9].tolist()))
            ####
              #
             #
            ##
            #
           #
    """
    height, width = check_shape(shape)
    if n < 1 or min(height, width) < 8 or not characters:
        raise ValueError(
            f"glyphs need n >= 1, a shape of at least (8, 8) and a character, got {n}, {shape}, {characters!r}"
        )
    if not 2 <= levels <= 256:
        raise ValueError(f"levels must lie in 2..256, got {levels}")
    seed = check_seed(seed)
    renderer = RendererAgg(width, height, 72)
    tokens = np.empty((n, height, width), np.uint8)
    labels = np.empty(n, np.int64)
    for i in range(n):
        rng = generator(seed, "glyphs", i)
        labels[i] = rng.integers(len(characters))
        outline = _outline(characters[labels[i]], int(rng.integers(len(FACES))))
        ink = _drawn(renderer, outline, _placed((height, width), rng))
        tokens[i] = np.rint(ink * (levels - 1))
    return torch.from_numpy(tokens).to(token_dtype(levels)), torch.from_numpy(labels)


@cache
def _outline(character: str, face: int) -> Path:
    """The outline of a character, centred at the origin and scaled so that its larger extent is 1."""
    path = TextPath((0, 0), character, size=100, prop=FACES[face])
    box = path.get_extents()
    centre = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    return (centre + Affine2D().scale(1 / max(box.width, box.height))).transform_path(path)


def _placed(shape: tuple[int, int], rng: np.random.Generator) -> Affine2D:
    """A random scaling, slant, rotation and shift that leave nearly all of the character inside the picture."""
    height, width = shape
    extent = min(height, width)
    size = extent * rng.uniform(0.62, 0.86)
    slant, angle = rng.uniform(-0.15, 0.15), rng.uniform(-10, 10)
    x, y = rng.uniform(-0.06, 0.06, 2) * extent
    return (
        Affine2D()
        .scale(size * rng.uniform(0.9, 1.15), size)
        .skew(slant, 0)
        .rotate_deg(angle)
        .translate(width / 2 + x, height / 2 + y)
    )


def _drawn(renderer: RendererAgg, outline: Path, transform: Affine2D) -> NDArray[np.float64]:
    """The fraction of each pixel that the character covers: `(H, W)` in [0, 1]."""
    renderer.clear()
    pen = renderer.new_gc()
    pen.set_linewidth(0)
    renderer.draw_path(pen, outline, transform, (0.0, 0.0, 0.0))
    return np.asarray(renderer.buffer_rgba())[..., 3] / 255.0
