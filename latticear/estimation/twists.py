"""What a partly drawn configuration says of the weight that the complete one will have.

The best that resampling between steps can look at is the ratio `p(x) / q(x)` of the sites x drawn so far, p being the
marginal of the target. What q is there, the model knows; p is about `exp(-H(x))` with a local energy H, the couplings
of a renormalised lattice. Both are fitted together, as a linear function of the log weight of complete configurations.

Index suffixes: c site function, b configuration, y and x place on a grid, f feature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.models.steps import DrawingStep

__all__ = ["Pilot", "Twist", "fit_twists"]

OFFSETS = ((0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (1, 3))
"""Pairs that are looked at, in sites of the grid, and their images under the square's symmetries."""

PLAQUETTES = (((0, 1), (1, 0), (1, 1)), ((1, 1), (1, -1), (2, 0)))
"""Four-spin products: a cell of the grid, and one of the grid's checkerboard, where only that is drawn."""

RIDGE = 1e-4
"""Of the least squares; features have variance one. It settles what a handful of sites leaves undetermined."""

SITES_AT_ONCE = 2**20


class Pilot(NamedTuple):
    """Complete configurations that twists are fitted to.

    Attributes:
        tokens: `(n, N)`.
        log_q: float64 `(n, K)`, log-probability of the sites of the first k + 1 steps of a model; K of them.
        log_w: float64 `(n,)`, `-beta E` minus the log-probability of all sites.
    """

    tokens: Tensor
    log_q: Tensor
    log_w: Tensor


class Twist:
    """`f(x) = -H(x) - a ln q(x)` of the sites x drawn after some step, in nats, up to a constant.

    H is a combination of sums of site functions, their pair products at short distances, plaquettes, and squares of the
    totals. The site functions are -1 and 1 for two tokens, indicators of all but one token for more of them.

    Args:
        level: of the grid that holds all these sites.
        known: bool `(N,)`, the sites.
        shape: (H, W).
        periodic: (y, x), whether products reach around the boundary.
        n_tokens: q.

    Attributes:
        r_squared: which part of the variance of the log weights it explains.
    """

    def __init__(
        self, level: int, known: Tensor, shape: tuple[int, int], periodic: tuple[bool, bool], n_tokens: int
    ) -> None:
        self.shape, self.periodic, self.n_tokens = shape, periodic, n_tokens
        self._spacing = 2**level
        self._known_yx = self._on_grid(known)
        self.r_squared = 0.0
        self._mean = self._slope = torch.zeros(1)

    def __call__(self, tokens: Tensor, log_q: Tensor) -> Tensor:
        """f of configurations `(B, N)`, whatever they hold elsewhere, and `ln q(x)`, `(B,)`: float64 `(B,)`."""
        return (self._inputs(tokens, log_q) - self._mean) @ self._slope

    def fit(self, own: Pilot, target: Pilot, step: int) -> None:
        """The mean of two least squares of the log weights, over the model's samples and over the target's.

        Given x, the log weight is on average `ln p(x)/q(x) - KL(q || p)` over q and `ln p(x)/q(x) + KL(p || q)` over p,
        the divergences being those of what is still to be drawn. They depend on x as well, and cancel in the mean up to
        third order in the difference of q and p; one fit alone would lead astray where they are large.
        """
        x_bf = [self._inputs(pilot.tokens, pilot.log_q[:, step]) for pilot in (own, target)]
        scale = torch.cat(x_bf).std(0)
        inverse = torch.where(scale > 1e-9, 1 / scale, 0.0)  # what never changes says nothing
        fits = [_ridge((x - x.mean(0)) * inverse, p.log_w) for x, p in zip(x_bf, (own, target), strict=True)]
        self._mean = torch.cat(x_bf).mean(0)
        self._slope = (fits[0][0] + fits[1][0]) / 2 * inverse
        self.r_squared = (fits[0][1] + fits[1][1]) / 2

    def _inputs(self, tokens: Tensor, log_q: Tensor) -> Tensor:
        parts = tokens.split(max(1, SITES_AT_ONCE // tokens.shape[1]))
        return torch.cat([torch.cat([self.features(part) for part in parts]), log_q[:, None]], 1)

    def features(self, tokens: Tensor) -> Tensor:
        """The sums, float64 `(B, F)`, of tokens `(B, N)`."""
        values = self._on_grid(tokens).float()  # tokens may be bytes, which have no -1
        if self.n_tokens == 2:
            values_cb = (2 * values - 1)[None]
        else:
            levels = torch.arange(self.n_tokens - 1, device=tokens.device).view(-1, 1, 1, 1)
            values_cb = (values[None] == levels).float() - 1 / self.n_tokens
        values_cb = values_cb * self._known_yx
        totals_cb = values_cb.double().sum((2, 3))
        sums = [*totals_cb, *(totals_cb**2 / self._known_yx.sum())]
        pairs = [(a, b) for a in range(len(values_cb)) for b in range(a + 1)]
        for offset in OFFSETS:
            sums += [self._pairs(values_cb, a, b, offset) for a, b in pairs]
        for corners in PLAQUETTES:
            product = math.prod((self._shifted(values_cb, corner) for corner in corners), start=values_cb)
            sums += [*product.double().sum((2, 3))]
        return torch.stack(sums, 1)

    def _pairs(self, values_cb: Tensor, a: int, b: int, offset: tuple[int, int]) -> Tensor:
        """Sum of the products of two site functions over all pairs at an offset and its images: `(B,)`."""
        images = _images(offset) | ({(-y, -x) for y, x in _images(offset)} if a != b else set())
        products = [values_cb[a] * self._shifted(values_cb[b], image) for image in images]
        return torch.stack(products).double().sum((0, 2, 3))

    def _shifted(self, values: Tensor, by: tuple[int, int]) -> Tensor:
        """`values[..., y + by_y, x + by_x]`, zero beyond an open boundary."""
        for axis, step, wraps in zip((-2, -1), by, self.periodic, strict=True):
            if step == 0:
                continue
            extent = values.shape[axis]
            values = values.roll(-step, axis)
            if not wraps:
                beyond = min(abs(step), extent)
                values.narrow(axis, extent - beyond if step > 0 else 0, beyond).zero_()
        return values

    def _on_grid(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, self.shape)[..., :: self._spacing, :: self._spacing]


def fit_twists(
    steps: list[DrawingStep],
    own: Pilot,
    target: Pilot,
    *,
    shape: tuple[int, int],
    periodic: tuple[bool, bool],
    n_tokens: int,
) -> list[Twist]:
    """The twists after all steps but the last.

    Args:
        steps: of the model.
        own: samples of the model.
        target: configurations of the target.
        shape, periodic, n_tokens: of the lattice.
    """
    return [
        _fitted(Twist(step.level, known, shape, periodic, n_tokens), own, target, k)
        for k, (step, known) in enumerate(_known_after(steps[:-1], own.tokens.shape[1]))
    ]


def _fitted(twist: Twist, own: Pilot, target: Pilot, step: int) -> Twist:
    twist.fit(own, target, step)
    return twist


def _known_after(steps: list[DrawingStep], n_sites: int) -> Iterator[tuple[DrawingStep, Tensor]]:
    """Each step with the sites, bool `(N,)`, that are drawn after it."""
    known = torch.zeros(n_sites, dtype=torch.bool, device=steps[0].sites.device) if steps else None
    for step in steps:
        assert known is not None
        known = known.index_fill(0, step.sites, True)
        yield step, known


def _ridge(z_bf: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """Slopes of y `(n,)`, and what they explain of its variance, corrected for their number, 0 at least."""
    n, n_features = z_bf.shape
    y = y - y.mean()
    gram = z_bf.T @ z_bf + RIDGE * n * torch.eye(n_features, dtype=z_bf.dtype, device=z_bf.device)
    slope = torch.linalg.solve(gram, z_bf.T @ y)
    left = float(((y - z_bf @ slope) ** 2).sum() / (y**2).sum().clamp_min(1e-300))
    return slope, max(0.0, 1 - left * (n - 1) / max(1, n - 1 - n_features))


def _images(offset: tuple[int, int]) -> set[tuple[int, int]]:
    """An offset under the symmetries of the square, one of each pair of opposites."""
    y, x = offset
    eight = {(a * s, b * t) for a, b in ((y, x), (x, y)) for s in (1, -1) for t in (1, -1)}
    return {image for image in eight if image > (0, 0)}
