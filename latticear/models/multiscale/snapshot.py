"""A record of everything in a network except its weights, to find out whether the network has been changed since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

from torch import Tensor, nn

__all__ = ["Snapshot"]

_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes of every module, which are not compared as plain values: parameters, buffers, children and the mode."""


class Snapshot:
    """Children, buffers, plain attributes and hooks of a network and of modules within it.

    A network matches its snapshot if all of these are still the same objects and no buffer has been written to; the
    comparison takes microseconds. Changes inside an attribute's value are not detected.

    Args:
        network: the network; the snapshot does not keep it alive.
        parts: modules within the network.
        but: the value of an attribute of the network that is left out of the comparison and not kept alive.
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

    def matches(self, network: nn.Module) -> bool:
        """Whether the snapshot was made of this network, and the network has not changed since."""
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
    """The address of a buffer in memory and the number of in-place changes to it."""
    if buffer is None:
        return None
    return buffer.data_ptr(), 0 if buffer.is_inference() else buffer._version
