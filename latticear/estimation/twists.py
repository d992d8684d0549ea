"""Twists: predictions of the log weight of a complete configuration from the sites drawn so far.

Resampling between the steps of a model is best done with the ratio `p(x) / q(x)`, where x are the sites drawn so far, p
is their marginal distribution under the target and q that under the model. The model gives q; p is approximated by
`exp(-H(x))` with a local energy H, as for the couplings of a renormalised lattice. The coefficients of H and of `ln q`
are fitted together, by linear regression of the log weights of complete configurations.

Index suffixes: c site function, b configuration, y and x coordinates on a grid, f feature.
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
"""Distances (y, x) of the pairs in H, in grid sites; their images under the symmetries of the square are included."""

PLAQUETTES = (((0, 1), (1, 0), (1, 1)), ((1, 1), (1, -1), (2, 0)))
"""Offsets of the other three sites of the four-spin products in H: those of a cell of the grid, and those of a cell of
its checkerboard sublattice, for steps after which only this sublattice is drawn."""

RIDGE = 1e-4
"""Ridge penalty of the least squares, for features of variance one. It makes the fit unique with few drawn sites."""

SITES_AT_ONCE = 2**20


class Pilot(NamedTuple):
    """Complete configurations that twists are fitted to.

    Attributes:
        tokens: `(n, N)`.
        log_q: float64 `(n, K)`; `[b, k]` is the log-probability of the sites that the steps 0 to k of K steps draw.
        log_w: float64 `(n,)`, `-beta E` minus the log-probability of all sites.
    """

    tokens: Tensor
    log_q: Tensor
    log_w: Tensor


class Twist:
    """`f(x) = -H(x) - a ln q(x)` for the sites x that are drawn after some step, in nats, up to a constant.

    H is a linear combination of sums of site functions, of their pair products at short distances and of their
    plaquette products, and of the squared sums of site functions. With two tokens there is one site function with
    values -1 and 1; with more tokens the site functions are indicators of all tokens but one.

    Args:
        level: level of the grid that contains all the sites x.
        known: bool `(N,)`, True at the sites x.
        shape: (H, W).
        periodic: (y, x), whether products cross the boundary in each direction.
        n_tokens: q.

    Attributes:
        r_squared: fraction of the variance of the log weights that f explains.
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
        """f, float64 `(B,)`, from tokens `(B, N)`, of which only the sites x are used, and `ln q(x)`, `(B,)`."""
        return (self._inputs(tokens, log_q) - self._mean) @ self._slope

    def fit(self, own: Pilot, target: Pilot, step: int) -> None:
        """Fit f: the mean of two least-squares fits of the log weights, to samples of the model and of the target.

        Given x, the mean of the log weight is `ln p(x)/q(x) - KL(q || p)` over q and `ln p(x)/q(x) + KL(p || q)` over
        p, with the divergences between the distributions of the remaining sites given x. The divergences depend on x
        and bias each of the two fits; in the mean of the fits they cancel up to third order in the difference of q and
        p.
        """
        x_bf = [self._inputs(pilot.tokens, pilot.log_q[:, step]) for pilot in (own, target)]
        scale = torch.cat(x_bf).std(0)
        inverse = torch.where(scale > 1e-9, 1 / scale, 0.0)  # constant features get the coefficient zero
        fits = [_ridge((x - x.mean(0)) * inverse, p.log_w) for x, p in zip(x_bf, (own, target), strict=True)]
        self._mean = torch.cat(x_bf).mean(0)
        self._slope = (fits[0][0] + fits[1][0]) / 2 * inverse
        self.r_squared = (fits[0][1] + fits[1][1]) / 2

    def _inputs(self, tokens: Tensor, log_q: Tensor) -> Tensor:
        parts = tokens.split(max(1, SITES_AT_ONCE // tokens.shape[1]))
        return torch.cat([torch.cat([self.features(part) for part in parts]), log_q[:, None]], 1)

    def features(self, tokens: Tensor) -> Tensor:
        """The sums of which H is a linear combination, float64 `(B, F)`, from tokens `(B, N)`."""
        values = self._on_grid(tokens).float()  # tokens may be unsigned integers, which cannot be -1
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
        """Sum of the products of site functions a and b over all pairs at an offset and its images: `(B,)`."""
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
    """Fit one twist for each step of a model but the last.

    Args:
        steps: all steps of the model.
        own: samples of the model.
        target: configurations of the target.
        shape, periodic, n_tokens: shape (H, W), boundary conditions (y, x) and number of tokens of the system.
    """
    return [
        _fitted(Twist(step.level, known, shape, periodic, n_tokens), own, target, k)
        for k, (step, known) in enumerate(_known_after(steps[:-1], own.tokens.shape[1]))
    ]


def _fitted(twist: Twist, own: Pilot, target: Pilot, step: int) -> Twist:
    twist.fit(own, target, step)
    return twist


def _known_after(steps: list[DrawingStep], n_sites: int) -> Iterator[tuple[DrawingStep, Tensor]]:
    """Each step, and a mask, bool `(N,)`, of the sites that this step and the steps before it have drawn."""
    known = torch.zeros(n_sites, dtype=torch.bool, device=steps[0].sites.device) if steps else None
    for step in steps:
        assert known is not None
        known = known.index_fill(0, step.sites, True)
        yield step, known


def _ridge(z_bf: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """Coefficients of a linear fit to y `(n,)`, and the adjusted fraction of its variance that they explain (>= 0)."""
    n, n_features = z_bf.shape
    y = y - y.mean()
    gram = z_bf.T @ z_bf + RIDGE * n * torch.eye(n_features, dtype=z_bf.dtype, device=z_bf.device)
    slope = torch.linalg.solve(gram, z_bf.T @ y)
    residual = float(((y - z_bf @ slope) ** 2).sum() / (y**2).sum().clamp_min(1e-300))
    return slope, max(0.0, 1 - residual * (n - 1) / max(1, n - 1 - n_features))


def _images(offset: tuple[int, int]) -> set[tuple[int, int]]:
    """Images of an offset under the symmetries of the square, one of each pair of opposite offsets."""
    y, x = offset
    eight = {(a * s, b * t) for a, b in ((y, x), (x, y)) for s in (1, -1) for t in (1, -1)}
    return {image for image in eight if image > (0, 0)}
