"""Dropout whose noise is a function of the seed, the layer and the number of the configuration.

PyTorch's is a function of how many numbers were drawn before, so that it depends on how a batch is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from latticear.random_numbers import uniforms

__all__ = ["dropout_of", "of_configurations"]

_active: list[_Noise] = []


def dropout_of(model: nn.Module, seed: int, first: int) -> AbstractContextManager[Any]:
    """A context in which the dropout layers of a model draw their noise for the configurations of one batch.

    Args:
        model: the model; without dropout nothing happens.
        seed: seed of the noise, in [0, 2^64).
        first: number of the first configuration that is passed through the model.
    """
    has_dropout = any(isinstance(module, nn.Dropout) and module.p for module in model.modules())
    return _drawing(_Noise(seed, first)) if has_dropout else nullcontext()


def of_configurations(start: int, n: int) -> None:
    """Say that the next pass is of n configurations, from number `start` of its batch on."""
    for noise in _active:
        noise.begin(start, n)


@contextmanager
def _drawing(noise: _Noise) -> Iterator[None]:
    _active.append(noise)
    try:
        with noise:
            yield
    finally:
        _active.remove(noise)


class _Noise(TorchFunctionMode):
    """Replaces `torch.nn.functional.dropout`."""

    def __init__(self, seed: int, first: int) -> None:
        super().__init__()
        self._seed, self._first, self._start, self._n, self._layer = seed, first, first, 0, 0

    def begin(self, start: int, n: int) -> None:
        self._start, self._n, self._layer = self._first + start, n, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._dropped(*args, **kwargs or {}) if func is F.dropout else func(*args, **kwargs or {})

    def _dropped(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """The values of x, `(m n, ...)` for m images of each of the n configurations, without a share p of them."""
        if not training or not p:
            return x
        self._layer += 1
        u = uniforms(self._seed, self._start, self._n, x.numel() // self._n, stream=self._layer, device=x.device)
        u = u.view(self._n, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
        return x * (u >= p) / (1 - p)
