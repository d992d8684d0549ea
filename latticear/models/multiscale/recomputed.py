"""Gradients of log-probabilities in little memory: activations are recomputed, one piece of the network at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latticear.threads import side_by_side

__all__ = ["with_gradient"]

Part = Callable[[Tensor | None], Iterator[Tensor]]
"""A function that yields log-probabilities `(B,)` of some sites, given the tensor that all parts share."""


def with_gradient(log_q: Tensor, parts: Sequence[tuple[nn.Module, Part]], shared: Tensor | None = None) -> Tensor:
    """The values `log_q`, with the gradient of the sum over all parts attached to them.

    The backward pass computes each piece once more and frees it before the next one, so that it stays in the cache: a
    network of many small parts is trained in little memory, and parts without parameters are not computed at all.

    Args:
        log_q: float64 `(B,)`, the values, computed before.
        parts: pairs of a module and a function whose results depend on the parameters of this module and on `shared`,
            but on no other parameters. The functions are called in the backward pass, in parallel, with gradients
            enabled.
        shared: a tensor that all functions take, which gets a gradient too; None if there is none.
    """
    learning = [(list(_trained(module)), part) for module, part in parts if any(True for _ in _trained(module))]
    result: Tensor = _Recomputed.apply(learning, log_q, shared, *(weight for own, _ in learning for weight in own))
    return result


def _trained(module: nn.Module) -> Iterator[Tensor]:
    return (weight for weight in module.parameters() if weight.requires_grad)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, learning: list[tuple[list[Tensor], Part]], log_q: Tensor, shared: Tensor | None, *weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*weights)
        ctx.learning, ctx.shared = learning, shared
        return log_q.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises if the weights have changed since the forward pass

        def of_part(item: tuple[list[Tensor], Part]) -> list[Tensor]:
            own, part = item
            leaf = None if ctx.shared is None else ctx.shared.detach().requires_grad_()
            of = own if leaf is None else [*own, leaf]
            total = [torch.zeros_like(tensor) for tensor in of]
            with torch.enable_grad():
                for log_q in part(leaf):
                    for sum_, term in zip(total, torch.autograd.grad(log_q, of, gradients[0]), strict=True):
                        sum_ += term
            return total

        parts = side_by_side(of_part, ctx.learning, gradients[0].device)
        shared = None if ctx.shared is None else sum((part.pop() for part in parts), torch.zeros_like(ctx.shared))
        return (None, None, shared, *(gradient for part in parts for gradient in part))
