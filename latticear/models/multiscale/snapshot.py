"""What a network is made of besides its weights, kept to be compared at every call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

from torch import Tensor, nn

__all__ = ["Snapshot"]

_OF_TORCH = frozenset(vars(nn.Module()))
"""What every module has: parameters, buffers and children, which are seen otherwise, and the mode."""


class Snapshot:
    """Children, buffers, plain attributes and hooks of a network and of modules within it.

    Each must still be the very object that it was, and a buffer must not have been written to; that takes microseconds
    to see. What an attribute holds inside is not looked at.

    Args:
        network: which is not kept alive.
        parts: modules within it.
        but: a value among its attributes that does not count, and is not kept either.
    """

    def __init__(self, network: nn.Module, parts: Iterable[nn.Module], but: object = None) -> None:
        parts = list(parts)
        modules = [network, *parts]
        self._network = ref(network)
        self._own_children = dict(network._modules)
        self._own_values = [(name, value) for name, value in _values(network) if value is not but]
        self._children = [(part._modules, dict(part._modules)) for part in parts]
        self._values = [(vars(part), *item) for part in parts for item in _values(part)]
        self._buffers = [
            (module._buffers, name, buffer, _state(buffer))
            for module in modules
            for name, buffer in module._buffers.items()
        ]
        self._hooks = [hooks for module in modules for hooks in (module._forward_hooks, module._forward_pre_hooks)]
        self._n_hooks = sum(map(len, self._hooks))

    def shows(self, network: nn.Module) -> bool:
        """Whether it is this network that it shows, as it is now."""
        own = vars(network)
        return (
            network is self._network()
            and network._modules == self._own_children
            and all(own.get(name) is value for name, value in self._own_values)
            and all(now == then for now, then in self._children)
            and all(values.get(name) is value for values, name, value in self._values)
            and all(
                buffers.get(name) is buffer and _state(buffer) == state
                for buffers, name, buffer, state in self._buffers
            )
            and sum(map(len, self._hooks)) == self._n_hooks
        )


def _values(module: nn.Module) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if name not in _OF_TORCH]


def _state(buffer: Tensor | None) -> tuple[int, int] | None:
    """Where a buffer lies, and how often it was written to."""
    if buffer is None:
        return None
    return buffer.data_ptr(), 0 if buffer.is_inference() else buffer._version
