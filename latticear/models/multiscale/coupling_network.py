"""What a network of known spins is told of the couplings around its targets.

Index suffixes: k tap, t target, u instance, b configuration.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from latticear.models.multiscale.gauge import Gauge

__all__ = ["CouplingNetwork", "Told"]


class Told(NamedTuple):
    """Of some targets, for each of U instances of the couplings.

    Attributes:
        signs: `(n_taps, T, U)`, of the known spins, in the gauge of the target.
        weights: `(n_taps, T, U)`, what each of them counts.
        embedded: `(n_embedded, T, U)`, the couplings as hidden layers see them.
        rows: int64 `(B,)`, the instance of each configuration.
    """

    signs: Tensor
    weights: Tensor
    embedded: Tensor
    rows: Tensor


class CouplingNetwork(nn.Module):
    """A perceptron of the couplings in a window: computed once for all configurations that share them.

    How a spin acts on a target is a matter of the couplings between them, so what comes out are weights of the known
    spins, beside what enters the hidden layers. Everything is seen in the gauge of the target, so that the network has
    the gauge symmetry exactly.

    Args:
        gauge: of the targets.
        n_taps: known spins.
        width: of its layers.
    """

    def __init__(self, gauge: Gauge, n_taps: int, width: int) -> None:
        super().__init__()
        self.gauge = gauge
        self.layers = nn.Sequential(nn.Linear(gauge.n_bonds, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.weigh = nn.Linear(width, n_taps)
        nn.init.ones_(self.weigh.bias)

    def forward(self, couplings: Tensor, part: slice | Tensor) -> Told:
        """What is told of some targets.

        Args:
            couplings: `(B, 2 H W)`, of each configuration.
            part: of the targets, a slice or their places.
        """
        instances, rows = _instances(couplings)
        signs_ktu, window = self.gauge(instances, part, self.weigh.weight)
        embedded_tue = self.layers(window.movedim(0, -1))
        return Told(signs_ktu, self.weigh(embedded_tue).movedim(-1, 0), embedded_tue.movedim(-1, 0), rows)


def _instances(couplings: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that differ from the one before, `(U, ...)`, and the one of each: `torch.unique_consecutive`, faster."""
    first = torch.ones(len(couplings), dtype=torch.bool, device=couplings.device)
    first[1:] = (couplings[1:] != couplings[:-1]).any(1)
    return couplings[first], first.cumsum(0) - 1
