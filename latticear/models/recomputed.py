"""Log-probabilities of which only the gradient costs memory: a piece of the network at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["with_gradient"]

Piece = tuple[Tensor, list[Tensor]]
"""Log-probabilities `(B,)` of some sites, and the parameters that they depend on."""


def with_gradient(log_q: Tensor, pieces: Callable[[], Iterator[Piece]], parameters: list[Tensor]) -> Tensor:
    """`log_q` as it is, with the gradient of the sum over pieces.

    In the backward pass each piece is computed once more and let go of before the next, so that it stays in the cache:
    a network of many small parts is trained in little memory, and what has no parameters is not computed at all.

    Args:
        log_q: float64 `(B,)`, the known value.
        pieces: yields what depends on parameters; called in the backward pass with gradients enabled.
        parameters: all of them.
    """
    return _Recomputed.apply(pieces, log_q, *parameters)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pieces: Callable[[], Iterator[Piece]], log_q: Tensor, *parameters: Tensor) -> Tensor:
        ctx.pieces, ctx.parameters = pieces, parameters
        return log_q.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight_b,) = gradients
        total: dict[Tensor, Tensor] = {}
        with torch.enable_grad():
            for log_q_b, own in ctx.pieces():
                for parameter, part in zip(own, torch.autograd.grad(log_q_b, own, weight_b), strict=True):
                    if parameter in total:
                        total[parameter] += part
                    else:
                        total[parameter] = part
        return (None, None, *(total.get(parameter) for parameter in ctx.parameters))
