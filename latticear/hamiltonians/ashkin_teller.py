"""The Ashkin-Teller model."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite
from latticear.lattice import Lattice

__all__ = ["AshkinTeller"]


class AshkinTeller(NamedHamiltonian):
    """`H = -sum_<ij> [J (a_i a_j + b_i b_j) + K a_i a_j b_i b_j]` with two Ising spins a, b = -1, +1 at each site.

    Both spins together are one of four states s = 2 (a + 1)/2 + (b + 1)/2 = 0 .. 3. In the magnetisation and in
    correlations a state counts as the vector (a, b) / sqrt 2. With K = 0 these are two independent Ising models, with
    K = J the Potts model with four states.

    `Components(AshkinTeller(shape))` (`components = 2` in a config) is the same system with the two spins of a site
    as separate components: configurations `(B, 2, H, W)` of -1 and +1, a before b.

    Args:
        shape: (H, W).
        coupling: J, coupling of a with a and of b with b.
        four_spin: K, coupling of the products a b.
        lattice: options of `Lattice`.

    Example:
        >>> from latticear.hamiltonians import Components
        >>> joint = AshkinTeller((4, 4), four_spin=0.5)
        >>> joint.n_tokens, joint.size, Components(joint).n_tokens, Components(joint).size
        (4, (4, 4), 2, (2, 4, 4))

    References:
        J. Ashkin and E. Teller, Phys. Rev. 64 (1943) 178.
    """

    name: ClassVar[str] = "ashkin_teller"

    def __init__(
        self,
        shape: tuple[int, int],
        coupling: float = 1.0,
        four_spin: float = 0.0,
        **lattice: Unpack[LatticeOptions],
    ) -> None:
        self.coupling, self.four_spin = finite("coupling", coupling), finite("four_spin", four_spin)
        a, b = SPINS.repeat_interleave(2), SPINS.repeat(2)
        of_each = torch.outer(a, a) + torch.outer(b, b)
        pair = -self.coupling * of_each - self.four_spin * torch.outer(a * b, a * b)
        super().__init__(Lattice(shape, **lattice), torch.arange(4, dtype=torch.float64), pair)

    @cached_property
    def vectors(self) -> Tensor:
        return torch.stack([SPINS.repeat_interleave(2), SPINS.repeat(2)], dim=1) / 2**0.5
