"""Shapes in which configurations are stored, and how each is brought to `(n, H, W)` or `(n, C, H, W)`.

In remedies, which are lines of NumPy, `x` is the user's array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Layout", "layout_of", "packing_of"]

Arrange = Callable[[np.ndarray], np.ndarray]


class Layout(NamedTuple):
    """One shape in which configurations may be stored.

    Attributes:
        label: the shape in words, such as `(n, H*W)`.
        lead: extents of the axes that count configurations: `(n,)`, `(T, n)`, or `()` for a single configuration.
        arrange: turns an array, or a slice of its first axis, into configurations of the standard shape.
        remedy: the same as a line of NumPy, whose result no other reading fits.
        is_standard: whether configurations have the standard shape already.
    """

    label: str
    lead: tuple[int, ...]
    arrange: Arrange
    remedy: str
    is_standard: bool = False


def layout_of(shape: tuple[int, ...], size: tuple[int, ...], name: str, dtype: Any, *, standard: bool) -> Layout:
    """The layout of an array of configurations.

    Args:
        shape: shape of the array.
        size: shape of one configuration, (H, W) or (C, H, W).
        name: what the array is called in errors.
        dtype: type of its numbers, for errors.
        standard: whether the array is known to be in the standard layout, which is then preferred to all others.

    Raises:
        ValueError: if no layout fits, or if several fit that differ; gives a line of NumPy for each.
    """
    fits = list(_fits(shape, size))
    if not fits:
        hint = _hint(shape, size) or f"; other layouts: {_others(size)}"
        raise ValueError(f"{name} must hold numbers of shape (n, {_inner(size)}), got {dtype} {shape}{hint}")
    if len(size) == 2 or len(fits) == 1 or (standard and fits[0].is_standard):
        return fits[0]  # with one component at a site all layouts that fit give the same configurations
    a, b = fits[:2]
    raise ValueError(
        f"{name} of shape {shape} can be {a.label} or {b.label} with (C, H, W) = {size}: convert the array by "
        f"`x = {a.remedy}` or by `x = {b.remedy}`"
    )


def packing_of(shape: tuple[int, ...], size: tuple[int, ...]) -> str | None:
    """A line of NumPy that unpacks bits of this shape into configurations; None if they cannot be packed ones."""
    n_sites, row, inner = math.prod(size), size[-1], _inner(size)
    if shape[1:] == (-(-n_sites // 8),):
        return f"np.unpackbits(x, axis=1, count={n_sites}).reshape(-1, {inner})"
    if len(shape) == len(size) + 1 and shape[1:] == (*size[:-1], -(-row // 8)):
        return f"np.unpackbits(x, axis=-1, count={row})"
    if len(shape) == 1 and shape[0] and shape[0] * 8 % n_sites == 0:
        return f"np.unpackbits(x).reshape(-1, {inner})"
    return None


def _fits(shape: tuple[int, ...], size: tuple[int, ...]) -> Iterator[Layout]:
    """All layouts that an array of this shape can have; the standard one comes first."""
    standard = f"(n, {'H, W' if len(size) == 2 else 'C, H, W'})"
    inner, n_sites = _inner(size), math.prod(size)

    def reshaped(label: str, lead: tuple[int, ...]) -> Layout:
        return Layout(label, lead, lambda x: x.reshape(-1, *size), f"x.reshape(-1, {inner})", label == standard)

    if shape[1:] == size:
        more = "[None]" if len(size) == 3 and len(set(size)) == 1 else ""  # (1, n, C, H, W) can be read in one way only
        yield reshaped(standard, shape[:1])._replace(remedy=f"x{more}")
    if shape == size:
        yield reshaped(standard.replace("n, ", ""), ())._replace(remedy="x[None]")
    if len(shape) == len(size) + 2 and shape[2:] == size and (len(size) == 3 or shape[1] != 1):
        yield reshaped(standard.replace("n", "T, n"), shape[:2])
    if len(size) == 2:
        if shape[1:] == (1, *size):
            yield reshaped("(n, 1, H, W)", shape[:1])
        if shape[1:] == (*size, 1):
            yield reshaped("(n, H, W, 1)", shape[:1])
        if shape[-1:] == (n_sites,) and len(shape) <= 3:
            yield reshaped(("(H*W)", "(n, H*W)", "(T, n, H*W)")[len(shape) - 1], shape[:-1])
    else:
        yield from _with_components(shape, size)


def _with_components(shape: tuple[int, ...], size: tuple[int, ...]) -> Iterator[Layout]:
    """Layouts of sites with C components in which the components come last, or all axes are joined."""
    last = (*size[1:], size[0])
    unique = "[None]" if len(set(size)) == 1 else ""
    if shape[1:] == last:
        yield Layout("(n, H, W, C)", shape[:1], lambda x: np.moveaxis(x, -1, 1), f"np.moveaxis(x, -1, 1){unique}")
    if shape == last:
        remedy = f"np.moveaxis(x, -1, 0)[None]{unique}"
        yield Layout("(H, W, C)", (), lambda x: np.moveaxis(x.reshape(-1, *last), -1, 1), remedy)
    if shape[1:] == (math.prod(size),):
        for label, remedy in (
            ("(n, C*H*W)", f"x.reshape(-1, {_inner(size)}){unique}"),
            ("(n, H*W*C)", f"np.moveaxis(x.reshape(-1, {_inner(last)}), -1, 1){unique}"),
        ):
            yield Layout(label, shape[:1], lambda x: x.reshape(-1, *size), remedy)


def _others(size: tuple[int, ...]) -> str:
    """The layouts besides the standard one, in words."""
    inner, flat = _inner(size), math.prod(size)
    if len(size) == 2:
        return f"(n, {flat}), (n, 1, {inner}), (n, {inner}, 1), (T, n, {inner}), ({inner})"
    return f"(n, {_inner((*size[1:], size[0]))}), (T, n, {inner}), ({inner})"


def _hint(shape: tuple[int, ...], size: tuple[int, ...]) -> str:
    """A line of NumPy for an array whose axes come in another order, or whose rows begin with a number."""
    n_sites, unfold = math.prod(size), f"x.reshape(-1, {_inner(size)})"
    rows, swapped = n_sites // size[-1], (*size[:-2], size[-1], size[-2])
    hints = (
        (shape[1:] == swapped, "np.swapaxes(x, -1, -2)"),
        (shape[:-1] == size, "np.moveaxis(x, -1, 0)"),
        (shape[:1] == (n_sites,) and len(shape) == 2, "x.T"),
        (shape[1:] == (n_sites + 1,), "x[:, 1:]"),
        (len(shape) == 2 and shape[1:] == size[-1:] and not shape[0] % rows, unfold),
        (len(shape) > len(size) + 2 and shape[-len(size) :] == size, unfold),
    )
    lines = [f"`x = {line}`" for fits, line in hints if fits]
    return f"; perhaps {' or '.join(lines)}" if lines else ""


def _inner(size: tuple[int, ...]) -> str:
    return ", ".join(map(str, size))
