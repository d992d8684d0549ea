"""A network of the couplings around a target, whose output enters the network of the known spins around that target.

A target is a site whose conditional probability is computed; a tap is a known site near a target.
Index suffixes: k tap, t target, u instance, b configuration.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from latticear.models.multiscale.gauge import Gauge

__all__ = ["CouplingFeatures", "CouplingNetwork", "instances_of"]


class CouplingFeatures(NamedTuple):
    """Features of the couplings around T targets, for each of U instances of the couplings.

    Attributes:
        signs: `(n_taps, T, U)`, gauge signs that the known spins are multiplied with.
        weights: `(n_taps, T, U)`, weights that the known spins are multiplied with.
        embedded: `(n_embedded, T, U)`, embedded couplings that enter the hidden layers.
        rows: int64 `(B,)`, the instance of each configuration.
    """

    signs: Tensor
    weights: Tensor
    embedded: Tensor
    rows: Tensor


class CouplingNetwork(nn.Module):
    """A perceptron of the couplings in a window, evaluated once for all configurations that share the couplings.

    How a known spin acts on a target depends on the couplings between them, so the network returns a weight for each
    known spin, and an embedding of the couplings for the hidden layers. Couplings and spins are transformed to the
    gauge of the target, so that the gauge symmetry is exact.

    Args:
        gauge: the gauge transformation for the targets.
        n_taps: number of known spins around a target.
        width: width of the layers.
    """

    def __init__(self, gauge: Gauge, n_taps: int, width: int) -> None:
        super().__init__()
        self.gauge = gauge
        self.layers = nn.Sequential(nn.Linear(gauge.n_bonds, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.weigh = nn.Linear(width, n_taps)
        nn.init.ones_(self.weigh.bias)

    def forward(self, couplings: Tensor, part: slice | Tensor) -> CouplingFeatures:
        """The features of the couplings around some targets.

        Args:
            couplings: the couplings of each configuration, `(B, 2 H W)`.
            part: the targets to compute, a slice or indices.
        """
        instances, rows = instances_of(couplings)
        return self.features(self.gauge.values(instances, self.weigh.weight), rows, part)

    def features(self, values: Tensor, rows: Tensor, part: slice | Tensor) -> CouplingFeatures:
        """The same from the values that `Gauge.values` makes of the couplings of the instances, and from `rows`."""
        signs_ktu, window = self.gauge(values, part)
        embedded_tue = self.layers(window.movedim(0, -1))
        return CouplingFeatures(signs_ktu, self.weigh(embedded_tue).movedim(-1, 0), embedded_tue.movedim(-1, 0), rows)


def instances_of(couplings: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that differ from the row before, `(U, ...)`, and for each row the index of its equal among them.

    The result of `torch.unique_consecutive(couplings, return_inverse=True, dim=0)`, but faster.
    """
    first = torch.ones(len(couplings), dtype=torch.bool, device=couplings.device)
    first[1:] = (couplings[1:] != couplings[:-1]).any(1)
    return couplings[first], first.cumsum(0) - 1
