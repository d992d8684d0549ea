"""A sampler without weights: the sum over all later sites by boundary matrix products."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from latticear.arguments import check_integer
from latticear.hamiltonians import BoltzmannBias, LookaheadBias, hamiltonian_from_dict
from latticear.models.base import AbstractModel, Common
from latticear.models.bond_dimension import Found, Limits, Progress, find_bond_dimension
from latticear.sampling.reference import Drawn, Given, draw_front
from latticear.sampling.schedule import raster_rank

__all__ = ["TensorNetwork", "searched"]


class TensorNetwork(AbstractModel):
    """Draws the sites in raster order from the Boltzmann distribution, whose later sites are summed approximately.

    Nothing is trained. The sum over the rows below a row is a matrix product over the columns, cut to a bond dimension
    chi after each row (`latticear.lookahead`). Whatever chi is, the result is a product of normalised conditional
    probabilities, so that importance weights make every estimate exact; chi determines the ESS. Open lattices with up
    to some thousand sites are exact to many digits, periodic ones need a larger chi near criticality.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        bond_dimension: chi, the largest bond dimension. Memory is at most `8 H W (q chi)^2` bytes. "auto" tries 4, 8,
            16 and so on until the ESS of 1000 configurations reaches `target_ess`; if time or memory do not suffice, a
            warning says so, and the best one is taken.
        target_ess, max_seconds, max_memory: for "auto", the ESS to be reached; the time of the search; and the memory
            of the sums over later rows, in MB.
        single_precision: draw with matrix products in single precision, about 1.4 times as fast; the sums over later
            rows are computed in double precision all the same. log q stays exactly that of the sampler.
        common: `bias`, `spin_flip_symmetric`, `seed` and the others as in `AbstractModel`. The bias is that of a
            Hamiltonian at a temperature; without one, all configurations are equally probable. The symmetry of the
            Hamiltonian is kept exactly, so that `spin_flip_symmetric` changes nothing. With the bias of a disorder and
            `n_condition_maps=2` the couplings are the condition of each configuration.

    Raises:
        ValueError: for a bond dimension below 1, a bias that has no such sum or is for many temperatures, or a
            condition other than couplings.

    References:
        Frias-Perez et al., "Collective Monte Carlo updates through tensor network renormalization" (2023), arXiv
        2104.13264, for drawing from boundary matrix products.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> ising = Ising((8, 8))
        >>> model = TensorNetwork((8, 8), bias=ising.bias(2.269), bond_dimension=16)
        >>> samples = model.sample(100, seed=1)
        >>> log_w = -ising.token_energy(samples.tokens) / 2.269 - samples.log_q
        >>> bool(log_w.std() < 0.01)
        True
    """

    name: ClassVar[str] = "tensor_network"
    block: ClassVar[dict[str, int]] = {"cpu": 1024, "cuda": 4096}
    training_defaults: ClassVar[dict[str, Any]] = {
        "objective": "reverse-kl",
        "steps": 1,
        "batch_size": 512,
        "ema_decay": 0.0,
        "anneal": 0.0,
    }
    has_weights: ClassVar[bool] = False
    holds_phases: ClassVar[bool] = False  # there is nothing to learn
    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**22, "cuda": 2**20}

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        bond_dimension: int | Literal["auto"] = 16,
        target_ess: float = 0.9,
        max_seconds: float = 600.0,
        max_memory: float = 4000.0,
        single_precision: bool = False,
        **common: Unpack[Common],
    ) -> None:
        bias = common.get("bias")
        if bond_dimension == "auto":
            found = searched(bias, Limits(target_ess, max_seconds, max_memory))
            if not found.reached:
                warnings.warn(str(found), stacklevel=3)  # a call of the class has a frame of its own
            bias, bond_dimension = found.bias, found.bond_dimension
        self.bond_dimension = check_integer("bond_dimension", bond_dimension, least=1)
        self.target_ess, self.max_seconds, self.max_memory = target_ess, max_seconds, max_memory
        Limits(target_ess, max_seconds, max_memory).check()
        if not isinstance(single_precision, bool):
            raise ValueError(f"single_precision must be True or False, got {single_precision!r}")
        self.single_precision = single_precision
        common["bias"] = _looking_ahead(bias, self.bond_dimension, single_precision)
        super().__init__(shape, n_tokens, **common)
        if (self.n_condition, self.n_condition_maps) != (0, 0 if self.bias is None else self.bias.n_maps):
            raise ValueError(
                "a tensor network takes no condition but the couplings of the bias of a disorder: build one for each "
                "temperature or system"
            )
        self._set_rank(raster_rank(self.shape, self.shape[1]))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return torch.zeros(len(tokens), self.n_tokens, *self.shape, dtype=torch.float64, device=tokens.device)

    @torch.no_grad()
    def draw_block(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers `(B, H W)`; sites held fixed keep their tokens."""
        if not isinstance(self.bias, LookaheadBias):
            drawn = draw_front(u.new_zeros(*u.shape, self.n_tokens), u, given, 1)
            return drawn._replace(tokens=drawn.tokens.view(-1, *self.shape))
        parts = (u, None, None) if given is None else (u, *given)
        sweep = self.bias.sweep(len(u), u.device, self.bias.strengths(len(u), condition).couplings)
        swept = sweep.run(*(part if part is None else part.view(-1, *self.shape) for part in parts))
        return Drawn(swept.tokens, swept.log_q, swept.log_q_given)


def searched(bias: BoltzmannBias | None, limits: Limits, progress: Progress | None = None) -> Found:
    """The bond dimension that a system at a temperature, given by its bias, needs within some limits."""
    if bias is None:
        raise ValueError('bond_dimension "auto" needs a bias: give that of a Hamiltonian at a temperature')
    if bias.n_maps:
        raise ValueError('bond_dimension "auto" is for one system, not for all couplings: give a number, such as 16')
    return find_bond_dimension(
        bias,
        lambda each: TensorNetwork(each.shape, each.n_tokens, bias=each, bond_dimension=each.bond_dimension),
        limits,
        progress,
    )


def _looking_ahead(bias: BoltzmannBias | None, bond_dimension: int, single_precision: bool) -> BoltzmannBias | None:
    """The bias of the same Hamiltonian and temperature with a bond dimension, and the number type of its products."""
    if bias is None:
        return None
    if not isinstance(bias, LookaheadBias) or bias.bond_dimension != bond_dimension:
        bias = hamiltonian_from_dict(bias.description).bias(bias.temperature, bond_dimension=bond_dimension)
    assert isinstance(bias, LookaheadBias)
    return bias.with_products_in(torch.float32 if single_precision else torch.float64)
