"""Mean-field theory as a sampler: sites that are independent of each other.

The methods `ready`, `begin` and `step` compute a layer site by site during sampling (see
`latticear.sampling.tracing.Incremental`); lanes are configurations that are drawn together.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.made import Previous
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import NEVER, one_hot

__all__ = ["FlipMixture", "MeanField"]


class MeanField(AbstractModel):
    """An independent distribution at each site, `q(s) = prod_i p_i(s_i)`: the baseline that any network must beat.

    Minimising its variational free energy is mean-field theory; it is exact for spins that do not interact. All sites
    are drawn together. A product of distributions over two tokens that is invariant under spin flip is necessarily
    uniform. Therefore with `spin_flip_symmetric` the model is the equal mixture of the product and its spin-flipped
    image, `(q(s) + q(flip s)) / 2`, in which both signs of the magnetisation have equal weight. The sites of a mixture
    are not independent (earlier sites indicate to which of the two products the others belong), so they are drawn one
    after the other.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`. With
            `spin_flip_symmetric` the model is the mixture. Of a bias only the field enters, not the bonds, because the
            sites of a product do not depend on each other. The condition is embedded and added to the logits.

    Raises:
        ValueError: for q < 2.

    References:
        Bishop, "Pattern recognition and machine learning" (2006), sec. 10.1; Wu, Wang, Zhang, "Solving statistical
        mechanics using variational autoregressive networks" (2019), arXiv 1809.10606, who compare with it.

    Example:
        >>> model = MeanField((4, 6))
        >>> samples = model.sample(5, seed=1)
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "mean_field"
    draws_in_raster_order: ClassVar[bool] = False
    holds_phases: ClassVar[bool] = False  # independent sites: their best bound is that of one phase

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, **common)
        self.embed = self.conditioning.embedding(n_tokens * (1 if self.n_condition_maps else math.prod(self.shape)))
        self._set_rank(torch.zeros(self.shape, dtype=torch.long))  # equal ranks leave only the field of a bias
        if self.spin_flip_symmetric:
            self.previous, self.mixture = Previous(self.shape, n_tokens), FlipMixture(self.shape, n_tokens)
            self._set_rank(wavefront_rank(self))
        else:
            self.field = _small(n_tokens, self.shape)

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        if not self.spin_flip_symmetric:
            return _product(self.field, *self._embedded(condition)).expand(len(tokens), -1, -1, -1)
        before = self.previous(one_hot(tokens, self.n_tokens, self.mixture.field.dtype))
        return self.mixture(before, *self._embedded(condition))  # half the logits: symmetrisation adds the other half

    def _embedded(self, condition: Tensor | None) -> tuple[Tensor, ...]:
        return () if self.embed is None else (self.embed(condition),)


class FlipMixture(nn.Module):
    """Conditional probabilities of the equal mixture of a product p and its spin-flipped image p', in raster order.

    Given the tokens of all earlier sites, p has the odds r against p', `log r = log p(s_<i) - log p'(s_<i)`, and the
    distribution of site i is `sigmoid(log r) p_i + sigmoid(-log r) p'_i`. The layer returns half its logarithm, because
    `AbstractModel.logits` adds the logits of the flipped configuration.

    Args:
        shape: (H, W).
        n_tokens: q.

    Shapes: `(B, q, H, W)`, at each site the one-hot token of the previous site, and optionally a term that is added to
    the logits of the product, `(B, q H W, 1, 1)` or `(B, q, H, W)`; to `(B, q, H, W)`.
    """

    def __init__(self, shape: tuple[int, int], n_tokens: int) -> None:
        super().__init__()
        self.field = _small(n_tokens, shape)

    def forward(self, before: Tensor, embedded: Tensor | None = None) -> Tensor:
        log_p = _product(self.field, embedded).flatten(2).log_softmax(1)
        gain = F.pad((log_p - log_p.flip(1))[..., :-1], (1, 0))  # change of log r by each token of the previous site
        log_r = (before.flatten(2) * gain).sum(1, keepdim=True).cumsum(2)
        return _mixed(log_p, log_r).unflatten(2, before.shape[2:])

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """The output is ready with the input, but in raster order only."""
        return time if slope == shape[1] else NEVER

    def begin(self, lanes: int, like: Tensor) -> dict[str, Any]:
        """The state: number of sites so far, `log r` `(lanes, 1)`, and its change by each last token `(lanes, q)`."""
        return {"n": 0, "log_r": like.new_zeros(lanes, 1), "gain": like.new_zeros(lanes, len(self.field))}

    def step(self, state: dict[str, Any], y: Tensor, x: Tensor, before: Tensor, *embedded: Tensor) -> Tensor:
        """The output at the next site: `(1, lanes, q)`."""
        n, q = state["n"], len(self.field)
        logits = self.field.flatten(1)[None, :, n]
        for value in embedded:  # given for this site, or for all sites in one vector
            logits = logits + (value[0] if value.shape[2] == q else value[0].unflatten(1, (q, -1))[..., n])
        log_p = logits.log_softmax(1)
        state["log_r"] = state["log_r"] + (before[0] * state["gain"]).sum(1, keepdim=True)
        state["n"], state["gain"] = n + 1, log_p - log_p.flip(1)
        return _mixed(log_p, state["log_r"])[None]


def _small(n_tokens: int, shape: tuple[int, int]) -> nn.Parameter:
    """Initial logits, close to the uniform distribution but not at it, where the gradient of a mixture vanishes."""
    return nn.Parameter(0.01 * torch.randn(n_tokens, *shape))


def _product(field: Tensor, embedded: Tensor | None = None) -> Tensor:
    """Logits of the product distribution: `(B, q, H, W)`, or `(1, q, H, W)` without a condition."""
    if embedded is None:
        return field[None]
    return field + (embedded if embedded.shape[1:] == field.shape else embedded.view(-1, *field.shape))


def _mixed(log_p: Tensor, log_r: Tensor) -> Tensor:
    return torch.logaddexp(log_p + F.logsigmoid(log_r), log_p.flip(1) + F.logsigmoid(-log_r)) / 2
