"""A record of numbers by name, and what differs between two of them."""

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["Record", "differing", "plain", "sha256"]

REFUSALS = (ValueError, NotImplementedError)


def sha256(values: Any) -> str:
    """Of the bytes of a tensor or an array, its type and shape included."""
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    content = array.astype("S") if array.dtype.kind in "OU" else np.ascontiguousarray(array)
    return f"{array.dtype}{list(array.shape)} {hashlib.sha256(content.tobytes()).hexdigest()[:24]}"


def plain(value: Any) -> Any:
    """JSON values that compare exactly: numbers as they are, nan and infinities as text, tensors by their hash."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.ndim):
        return sha256(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if isinstance(value, bool | int | float | str) or value is None else repr(value)


class Record:
    """What was made, by name.

    Attributes:
        content: JSON values.
    """

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def __call__(self, name: str, make: Callable[[], Any]) -> None:
        """Record what `make` returns, or the message with which it refuses."""
        if name in self.content:
            raise KeyError(f"{name} is recorded twice")
        torch.manual_seed(0)
        try:
            self.content[name] = plain(make())
        except REFUSALS as error:
            self.content[name] = {"refused": f"{type(error).__name__}: {error}"}


def differing(expected: Any, found: Any) -> list[str]:
    """One line for every entry that is not the same in both, or is in one of them alone."""
    a, b = dict(_leaves(expected)), dict(_leaves(found))
    missing = object()

    def shown(value: Any) -> str:
        return "nothing" if value is missing else repr(value)

    pairs = ((name, a.get(name, missing), b.get(name, missing)) for name in sorted(a.keys() | b.keys()))
    return [f"{name}: {shown(x)} became {shown(y)}" for name, x, y in pairs if type(x) is not type(y) or x != y]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    branches = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not branches:
        yield name, value
    for key, each in branches:
        yield from _leaves(each, f"{name} / {key}" if name else str(key))
