"""Local energies of partly drawn configurations: what they say of the weight that the complete one will have.

Index suffixes: c site function, b configuration, y and x place on a grid, f feature.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latticear.models.partial import Step

__all__ = ["LocalEnergy", "fit_local_energies"]

OFFSETS = ((0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (1, 3))
"""Pairs that are looked at, in sites of the grid, and their images under the square's symmetries."""

PLAQUETTES = (((0, 1), (1, 0), (1, 1)), ((1, 1), (1, -1), (2, 0)))
"""Four-spin products: a cell of the grid, and one of the grid's checkerboard, where only that is drawn."""

RIDGE = 1e-3
"""Of the least squares; features have variance one. It settles what a handful of sites leaves undetermined."""

SITES_AT_ONCE = 2**20


class LocalEnergy:
    """A linear combination of a few sums over the sites that are drawn after some step: `ln <w>` given these, about.

    The features are sums of site functions, their pair products at short distances, plaquettes, and the squares of the
    totals. The site functions are -1 and 1 for two tokens, indicators of all but one token for more of them.
    `fit_local_energies` makes them.

    Args:
        level: of the grid that holds all these sites.
        known: bool `(N,)`, the sites.
        shape: (H, W).
        periodic: (y, x), whether products reach around the boundary.
        n_tokens: q.
    """

    def __init__(
        self, level: int, known: Tensor, shape: tuple[int, int], periodic: tuple[bool, bool], n_tokens: int
    ) -> None:
        self.shape, self.periodic, self.n_tokens = shape, periodic, n_tokens
        self._spacing = 2**level
        self._known_yx = self._on_grid(known)
        self.r_squared = 0.0
        self._mean = self._slope = torch.zeros(1)

    def __call__(self, tokens: Tensor) -> Tensor:
        """f of configurations `(B, N)`, whatever they hold elsewhere: float64 `(B,)`, in nats."""
        parts = tokens.split(max(1, SITES_AT_ONCE // tokens.shape[1]))
        return torch.cat([(self.features(part) - self._mean) @ self._slope for part in parts])

    def fit(self, tokens: Tensor, log_w: Tensor) -> None:
        """Least squares of log weights `(n,)` of complete configurations `(n, N)`; `r_squared` is what it explains.

        `r_squared` is corrected for the number of features, and 0 at least.
        """
        parts = tokens.split(max(1, SITES_AT_ONCE // tokens.shape[1]))
        x_bf = torch.cat([self.features(part) for part in parts])
        n, n_features = x_bf.shape
        self._mean, scale = x_bf.mean(0), x_bf.std(0)
        inverse = torch.where(scale > 1e-9, 1 / scale, 0.0)  # what never changes says nothing
        z_bf = (x_bf - self._mean) * inverse
        y = log_w - log_w.mean()
        gram = z_bf.T @ z_bf + RIDGE * n * torch.eye(n_features, dtype=z_bf.dtype, device=z_bf.device)
        slope = torch.linalg.solve(gram, z_bf.T @ y)
        self._slope = slope * inverse
        left = float(((y - z_bf @ slope) ** 2).sum() / (y**2).sum().clamp_min(1e-300))
        self.r_squared = max(0.0, 1 - left * (n - 1) / max(1, n - 1 - n_features))

    def features(self, tokens: Tensor) -> Tensor:
        """The sums, float64 `(B, F)`, of tokens `(B, N)`."""
        values = self._on_grid(tokens)
        if self.n_tokens == 2:
            values_cb = (2 * values - 1)[None]
        else:
            levels = torch.arange(self.n_tokens - 1, device=tokens.device).view(-1, 1, 1, 1)
            values_cb = (values[None] == levels).double() - 1 / self.n_tokens
        values_cb = values_cb.float() * self._known_yx
        totals_cb = values_cb.double().sum((2, 3))
        sums = [*totals_cb, *(totals_cb**2 / self._known_yx.sum())]
        pairs = [(a, b) for a in range(len(values_cb)) for b in range(a + 1)]
        for offset in OFFSETS:
            sums += [self._pairs(values_cb[a], values_cb[b], offset) for a, b in pairs]
        for corners in PLAQUETTES:
            product = math.prod((self._shifted(values_cb, corner) for corner in corners), start=values_cb)
            sums += [*product.double().sum((2, 3))]
        return torch.stack(sums, 1)

    def _pairs(self, left_b: Tensor, right_b: Tensor, offset: tuple[int, int]) -> Tensor:
        """Sum over all pairs at an offset and its images: `(B,)`."""
        images = _images(offset) if left_b is right_b else _images(offset) | {(-y, -x) for y, x in _images(offset)}
        return sum((left_b * self._shifted(right_b, image)).double().sum((1, 2)) for image in images)  # type: ignore[return-value]

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


def fit_local_energies(
    steps: list[Step],
    tokens: Tensor,
    log_w: Tensor,
    *,
    shape: tuple[int, int],
    periodic: tuple[bool, bool],
    n_tokens: int,
) -> list[LocalEnergy]:
    """The local energies after all steps but the last, fitted to samples of a model.

    Args:
        steps: of the model.
        tokens: `(n, N)`, drawn from it.
        log_w: float64 `(n,)`, their log weights.
        shape, periodic, n_tokens: of the lattice.
    """
    known = torch.zeros(tokens.shape[1], dtype=torch.bool, device=tokens.device)
    energies = []
    for step in steps[:-1]:
        known = known.clone()
        known[step.sites] = True
        energy = LocalEnergy(step.level, known, shape, periodic, n_tokens)
        energy.fit(tokens, log_w)
        energies.append(energy)
    return energies


def _images(offset: tuple[int, int]) -> set[tuple[int, int]]:
    """An offset under the symmetries of the square, one of each pair of opposites."""
    y, x = offset
    eight = {(a * s, b * t) for a, b in ((y, x), (x, y)) for s in (1, -1) for t in (1, -1)}
    return {image for image in eight if image > (0, 0)}
