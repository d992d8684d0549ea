"""Layers for ordered tokens, the levels of a quantity: numbers as inputs, mixtures of logistics as outputs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.sampling.tracing import Offset

__all__ = ["LevelValues", "LogisticMixture"]

LOG_SCALES = (-20.0, 20.0)
"""Range to which log-scales are clamped: outside it, the logistic function is a step or a constant on [-1, 1] in
float32."""


class LevelValues(nn.Module):
    """Encodes tokens by two numbers instead of q one-hot channels: `v_t = -1 + 2 t / (q - 1)`, and the constant 1.

    The constant distinguishes a site with the value zero from a place outside the lattice, where convolutions read
    zeros.

    Shapes: one-hot `(B, q, H, W)` to `(B, 2, H, W)`.

    References:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++" (2017), arXiv 1701.05517, and its published code.
    """

    offsets: ClassVar[list[Offset]] = [(0, 0)]
    bias = None
    values: Tensor

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        values = torch.stack([torch.linspace(-1, 1, n_tokens), torch.ones(n_tokens)], 1)
        self.register_buffer("values", values, persistent=False)

    def tap_weights(self) -> Tensor:
        """The weights of the single tap: `(1, q, 2)`."""
        return self.values[None]

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.values.T[:, :, None, None])


class LogisticMixture(nn.Module):
    """Log-probabilities of q ordered levels from a mixture of logistic distributions, cut into q bins.

    Level t lies at `v_t = -1 + 2 t / (q - 1)`. Its bin is the interval of numbers that are closer to it than to any
    other level; the bins of the first and the last level include the tails. The bins cover the whole line, so their
    probabilities sum to one:

        P(t) = sum_k w_k [sigmoid((v_t + d - mu_k) / s_k) - sigmoid((v_t - d - mu_k) / s_k)],    d = 1 / (q - 1)

    Each difference is computed in logarithms, `sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b))`,
    where `b - a = 2 d / s` needs no subtraction. So nothing cancels or underflows for any means and scales, and
    gradients are finite. (The published code replaces the probability of a tiny bin by the density, which is not
    normalised.) The probabilities of the levels sum to one up to rounding, without a softmax.

    The layer acts on each site separately: dimension 1 contains the parameters of a site in the input, and the
    log-probabilities of its levels in the output.

    Args:
        n_tokens: q >= 2.
        n_mixtures: K, number of logistic distributions in the mixture.

    Shapes: `(B, 3 K, ...)`, K logits of the weights w, then K means mu, then K logarithms of the scales s (clamped to
    `LOG_SCALES`), to `(B, q, ...)`.

    Raises:
        ValueError: for q < 2 or K < 1.

    References:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++" (2017), arXiv 1701.05517, eq. 1-2.

    Example:
        >>> head = LogisticMixture(n_tokens=4, n_mixtures=1)
        >>> head(torch.tensor([[0.0, -0.3, -9.0]])).exp()  # a narrow peak next to the level -1/3
        tensor([[0., 1., 0., 0.]])
    """

    acts_on_sites = True

    def __init__(self, n_tokens: int, n_mixtures: int) -> None:
        super().__init__()
        if n_tokens < 2 or n_mixtures < 1:
            raise ValueError(f"n_tokens >= 2 and n_mixtures >= 1 are needed, got {n_tokens} and {n_mixtures}")
        self.n_tokens, self.n_mixtures = n_tokens, n_mixtures

    @property
    def n_parameters(self) -> int:
        """Number of input channels, 3 K."""
        return 3 * self.n_mixtures

    def broad(self) -> Tensor:
        """Initial parameters `(3 K,)` of a nearly uniform distribution, with K different means."""
        k, q = self.n_mixtures, self.n_tokens
        means = (2 * torch.arange(k) + 1) / k - 1
        scale = (1 - 1 / (q - 1)) / math.log(q - 1) if q > 2 else 1.0  # exactly uniform at the ends for K = 1
        return torch.cat([torch.zeros(k), means, torch.full((k,), math.log(scale / math.sqrt(k)))])

    def forward(self, parameters: Tensor) -> Tensor:
        weights, means, log_scales = parameters.unflatten(1, (3, self.n_mixtures)).unbind(1)  # (B, K, ...)
        precision = torch.exp(-log_scales.clamp(*LOG_SCALES)).unsqueeze(2)
        width, ones = 2 / (self.n_tokens - 1), [1] * (means.ndim - 2)
        between_levels = torch.arange(0.5, self.n_tokens - 1, dtype=means.dtype, device=means.device)
        edges = (between_levels * width - 1).view(-1, *ones)
        z = (edges - means.unsqueeze(2)) * precision  # (B, K, q - 1, ...)
        below, above = F.logsigmoid(z), F.logsigmoid(-z)
        inner = below[:, :, 1:] + above[:, :, :-1] + torch.log(-torch.expm1(-width * precision))
        log_p = torch.cat([below[:, :, :1], inner, above[:, :, -1:]], 2)
        return torch.logsumexp(log_p + weights.log_softmax(1).unsqueeze(2), 1)
