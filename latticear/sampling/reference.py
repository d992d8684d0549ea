"""Drawing sites rank by rank with the whole network: the reference with which all faster samplers are compared.

The rank of a site is its position in the autoregressive order of a model; sites of equal rank are drawn together.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from latticear.lattice import configuration_size
from latticear.random_numbers import categorical
from latticear.sampling.composition import Remaining, draw_in_turn

__all__ = ["Autoregressive", "Drawer", "Drawn", "Given", "draw_front", "draw_reference"]


class Autoregressive(Protocol):
    """The attributes and methods of a model that a sampler uses."""

    shape: tuple[int, int]
    n_tokens: int
    n_components: int
    composition: tuple[int, ...] | None
    spin_flip_symmetric: bool
    rank: Tensor

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor: ...

    def own_drawer(self) -> Drawer | None: ...


class Given(NamedTuple):
    """Sites that are held fixed.

    Attributes:
        tokens: int64 `(B, C H W)`, the tokens that are held fixed; arbitrary at the other sites.
        where: bool `(B, C H W)`, True where the token is held fixed.
    """

    tokens: Tensor
    where: Tensor


class Drawn(NamedTuple):
    """A block of drawn configurations.

    Attributes:
        tokens: int64 `(B, H, W)`, or `(B, C, H, W)` for C > 1.
        log_q: float64 `(B,)`, log-probability of the drawn sites, each conditioned on the sites of lower rank.
        log_q_given: float64 `(B,)`, log-probability of the sites held fixed, each conditioned on the sites of lower
            rank; zero if no site is held fixed.
    """

    tokens: Tensor
    log_q: Tensor
    log_q_given: Tensor


class Drawer(Protocol):
    """Draws configurations, a block at a time."""

    @property
    def block(self) -> int:
        """How many are drawn in one call, at most."""

    @property
    def padded(self) -> bool:
        """True if the rounding depends on how many are drawn, so that a block must always be full."""

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw from uniform numbers, float64 `(B, C H W)`, but for the sites held fixed."""


def draw_front(logits: Tensor, u: Tensor, given: Given | None, dim: int, remaining: Remaining | None = None) -> Drawn:
    """Draw conditionally independent sites; sites held fixed keep their tokens.

    With a fixed composition the sites of the front are drawn one after the other.

    Args:
        logits: `(..., q)`.
        u: float64 `(...)`, uniform in [0, 1).
        given: tokens held fixed and their mask, `(...)` each, or None.
        dim: the dimension of the sites, over which log-probabilities are summed.
        remaining: what is left of a fixed composition, which is brought up to date; None without one.
    """
    if remaining is not None:
        tokens, chosen = draw_in_turn(logits, u, remaining, dim, *((None, None) if given is None else given))
    else:
        tokens, log_p = categorical(logits, u)
        if given is not None:
            tokens = torch.where(given.where, given.tokens, tokens)
        chosen = log_p.gather(-1, tokens[..., None])[..., 0]
    if given is None:
        log_q = chosen.sum(dim)
        return Drawn(tokens, log_q, torch.zeros_like(log_q))
    held = torch.where(given.where, chosen, 0)
    return Drawn(tokens, torch.where(given.where, 0, chosen).sum(dim), held.sum(dim))


@torch.no_grad()
def draw_reference(
    model: Autoregressive, u: Tensor, condition: Tensor | None = None, given: Given | None = None
) -> Drawn:
    """Draw configurations with one pass of the whole network for each rank and component: slow, but simple.

    Args:
        model: the network.
        u: float64 `(B, C * H * W)`, uniform in [0, 1); entry `(b, c * H * W + site)` determines the token of component
            c of the site in configuration b.
        condition: `(B, k)` or None.
        given: sites held fixed, or None.
    """
    n_components = model.n_components
    shape = (len(u), *configuration_size(model.shape, n_components))
    tokens = torch.zeros(shape, dtype=torch.long, device=u.device)
    flat_bcs = tokens.view(len(u), n_components, -1)  # a view: writing here writes tokens
    u_bcs = u.view(flat_bcs.shape)
    held = None if given is None else Given(*(part.view(flat_bcs.shape) for part in given))
    log_q, log_q_given = (torch.zeros(len(u), dtype=torch.float64, device=u.device) for _ in range(2))
    remaining = None
    if model.composition is not None:
        composition = torch.tensor(model.composition, device=u.device)
        remaining = Remaining.at_first(composition, len(u), *((None, None) if given is None else given))
    rank = model.rank.flatten()
    for r in rank.unique().tolist():
        sites = (rank == r).nonzero()[:, 0]
        for c in range(n_components):
            logits_bqcs = model.logits(tokens, condition).flatten(-2).view(len(u), model.n_tokens, n_components, -1)
            held_bs = None if held is None else Given(*(part[:, c, sites] for part in held))
            front = draw_front(logits_bqcs[:, :, c, sites].transpose(1, 2), u_bcs[:, c, sites], held_bs, 1, remaining)
            flat_bcs[:, c, sites] = front.tokens
            log_q += front.log_q
            log_q_given += front.log_q_given
    return Drawn(tokens, log_q, log_q_given)
