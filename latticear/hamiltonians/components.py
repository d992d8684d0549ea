"""Systems whose sites have several tokens: the Q = r^C states of a site are split into C components of r values each.

Index suffixes of tensors: b configuration, n entry (a component of a site), c component, t state of a site, v value of
a component.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.bias import BoltzmannBias, Strengths
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.temperatures import check_temperature
from latticear.lattice import Symmetries
from latticear.samples import token_dtype

__all__ = ["ComponentBias", "Components"]


class Components(AbstractHamiltonian):
    """A system whose Q = r^C states of a site are split into C components of r values each.

    The energy, and everything derived from it, is that of the system `joint`, which has one token at each site. Only
    the form of configurations differs: tokens are `(B, C, H, W)`, and a model draws one component after the other. The
    tokens of the components are the digits of the state in base r, the first component being the most significant
    digit. Components with two values are spins -1 and +1; components with more have the values 0 .. r - 1.

    For example `Components(AshkinTeller(shape))` has two Ising spins at each site, as in the usual definition of the
    Ashkin-Teller model: component 0 is a, component 1 is b. In a config any Hamiltonian takes the option `components`.

    Args:
        joint: the system with one token at each site.
        n_components: C, 2 or more; the number of states must be Q = r^C with an integer r.

    Raises:
        ValueError: if the states cannot be split into C components, or the system already has components.

    Example:
        >>> from latticear.hamiltonians import AshkinTeller
        >>> joint = AshkinTeller((2, 3), four_spin=0.4)
        >>> spins = torch.tensor([[[[1, 1, 1], [1, 1, 1]], [[-1, 1, 1], [1, 1, 1]]]])  # (1, C, H, W): a, then b
        >>> Components(joint).tokens(spins).shape, joint.n_tokens
        (torch.Size([1, 2, 2, 3]), 4)
        >>> Components(joint).energy(spins) == joint.energy(torch.tensor([[[2, 3, 3], [3, 3, 3]]]))
        tensor([True])
    """

    name: ClassVar[str] = "components"

    def __init__(self, joint: AbstractHamiltonian, n_components: int = 2) -> None:
        if joint.n_components > 1:
            raise ValueError(f"{joint} already has components; use its attribute joint")
        self._joint, self.lattice = joint, joint.lattice
        self.has_bonds = joint.has_bonds  # type: ignore[misc]
        self.n_components, r = _checked(n_components, joint)
        self._states = SPINS.clone() if r == 2 else torch.arange(r, dtype=torch.float64)

    @property
    def joint(self) -> AbstractHamiltonian:
        """The same system with one token at each site."""
        return self._joint

    @property
    def states(self) -> Tensor:
        return self._states

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the joint system, and `components`."""
        return {**self.joint.parameters, "components": self.n_components}

    def to_dict(self) -> dict[str, Any]:
        return {**self.joint.to_dict(), "components": self.n_components}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.joint!r}, {self.n_components})"

    def join(self, tokens: Tensor) -> Tensor:
        return joined(tokens, self.n_tokens).to(token_dtype(self.joint.n_tokens))

    def split(self, tokens: Tensor) -> Tensor:
        return digits(tokens, self.n_tokens, self.n_components).to(token_dtype(self.n_tokens))

    @property
    def bonds(self) -> Tensor:
        return self.joint.bonds

    @property
    def bond_energies(self) -> Tensor:
        """Not defined: energy tables are by the states of whole sites; see `joint.bond_energies`.

        Raises:
            ValueError: always.
        """
        self._refuse()

    @property
    def site_energies(self) -> Tensor:
        """Not defined: energy tables are by the states of whole sites; see `joint.site_energies`.

        Raises:
            ValueError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(f"this needs a system with one token at each site, got {self!r}; use its attribute joint")

    @property
    def spin_flip(self) -> bool:
        """True if the energy is unchanged when each component of each site changes from token v to r - 1 - v.

        This is the spin-flip symmetry of the joint system: if state t has the digits v, state Q - 1 - t has the digits
        r - 1 - v.
        """
        return self.joint.spin_flip

    @property
    def is_homogeneous(self) -> bool:
        return self.joint.is_homogeneous

    @property
    def symmetries(self) -> Symmetries:
        return self.joint.symmetries

    @property
    def colours(self) -> Tensor:
        return self.joint.colours

    @property
    def vectors(self) -> Tensor:
        """float64 `(Q, d)`, the spin vector of each state of a whole site, as in the joint system."""
        return self.joint.vectors

    def vectors_of(self, tokens: Tensor) -> Tensor:
        return self.joint.vectors_of(self.join(tokens))

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of configurations given as tokens `(B, C, H, W)`, without checks: float64 `(B,)`."""
        return self.joint.token_energy(self.join(tokens), couplings)

    def region_energy(self, tokens: Tensor, sites: Tensor) -> Tensor:
        return self.joint.region_energy(self.join(tokens), sites)

    def conditional_energies(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """Energy of each state t = 0 .. Q - 1 that a whole site could take: float64 `(B, n, Q)`."""
        return self.joint.conditional_energies(self.join(tokens), sites)

    def bias(self, temperature: float | None = None, *, bond_dimension: int | None = None) -> ComponentBias:
        """The known-neighbour term, for a model with the same number of components.

        Raises:
            ValueError: with a bond dimension.
        """
        if bond_dimension is not None:
            raise ValueError("bond_dimension goes with one token at each site: use components = 1, or leave it out")
        return ComponentBias(self, None if temperature is None else check_temperature(temperature))


class ComponentBias(BoltzmannBias):
    """The known-neighbour term, exact energies of bonds to earlier sites in the logits, for sites with components.

    The logit of value v of component c is `ln sum_t exp(-beta E_t)` over those states t of the site that agree with its
    components before c and have the value v as component c. E_t is the energy of the field and of the bonds to sites of
    lower rank. The product of the conditional probabilities of all components is therefore exactly the softmax that
    `BoltzmannBias` gives for the whole site.

    Args:
        system: the system with components.
        temperature: T, or None, as for `BoltzmannBias`.
    """

    digits: Tensor

    def __init__(self, system: Components, temperature: float | None) -> None:
        joint = system.joint
        super().__init__(
            joint.neighbourhoods,
            joint.site_energies,
            temperature,
            shape=system.shape,
            spin_flip=system.spin_flip,
            hamiltonian=system.to_dict(),
        )
        self.n_tokens, self.n_components = system.n_tokens, system.n_components
        states = torch.arange(joint.n_tokens)[:, None, None]
        of_states = digits(states, self.n_tokens, self.n_components)[..., 0, 0]  # (Q, C)
        self.register_buffer("digits", of_states, persistent=False)

    def at(self, tokens: Tensor, sites: Tensor, strengths: Strengths) -> Tensor:
        """The term for some components: float64 `(B, n, r)`, for tokens `(B, C N)` and numbers of components `(n,)`.

        The number c N + i stands for component c of site i. Later components of the same site may have any token.
        """
        n_sites = len(self.sites)
        component_n, site_n = sites // n_sites, sites % n_sites
        tokens_bcs = tokens.view(len(tokens), self.n_components, n_sites)
        log_w_bnt = super().at(joined(tokens_bcs, self.n_tokens), site_n, strengths)
        tokens_bnc = tokens_bcs[:, :, site_n].transpose(1, 2)
        undrawn_nc = torch.arange(self.n_components, device=sites.device) >= component_n[:, None]
        agrees_bnt = ((self.digits == tokens_bnc[:, :, None]) | undrawn_nc[:, None]).all(-1)
        values = torch.arange(self.n_tokens, device=sites.device)
        of_value_nvt = self.digits.T[component_n][:, None] == values[:, None]
        possible_bnvt = agrees_bnt[:, :, None] & of_value_nvt
        return log_w_bnt[:, :, None].masked_fill(~possible_bnvt, float("-inf")).logsumexp(-1)


def joined(tokens: Tensor, r: int) -> Tensor:
    """Join components `(B, C, ...)`, which are digits in base r, into states: int64 `(B, ...)`."""
    states = torch.zeros_like(tokens[:, 0], dtype=torch.long)
    for component in tokens.unbind(1):
        states = r * states + component
    return states


def digits(states: Tensor, r: int, n_components: int) -> Tensor:
    """The digits in base r of states `(B, H, W)`, the most significant one first: int64 `(B, C, H, W)`."""
    places = r ** torch.arange(n_components - 1, -1, -1, device=states.device)
    return states.long().unsqueeze(1) // places[:, None, None] % r


def _checked(n_components: int, joint: AbstractHamiltonian) -> tuple[int, int]:
    """Return C and r; raise ValueError unless the number of states is Q = r^C."""
    q = joint.n_tokens
    try:
        n = -1 if isinstance(n_components, bool) else operator.index(n_components)
    except TypeError:
        n = -1
    r = round(q ** (1 / n)) if n >= 2 else 0
    if r < 2 or r**n != q:
        fitting = [str(c) for c in range(2, q.bit_length()) if round(q ** (1 / c)) ** c == q]
        what = f"the {q} states of a site of {joint.name}"
        wanted = f"components of {what} must be {' or '.join(fitting)}" if fitting else f"{what} have no components"
        raise ValueError(f"{wanted}, got {n_components!r}")
    return n, r
