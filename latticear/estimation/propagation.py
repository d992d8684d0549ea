"""A user's function of averages: its value, its gradient, and how it varies with blocks of configurations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from latticear.arguments import described, did_you_mean
from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Value
from latticear.estimation.replicates import Replicates, jackknife_error

__all__ = ["Averages", "Function", "Propagation"]

Function = Callable[..., Any]
Values = Mapping[str, Value]
Key = tuple[int, str]

STEP = 0.1
"""Step of the central differences, in errors of the average: small enough for the gradient, large against rounding."""


class Averages(Mapping[str, Any]):
    """What a function of averages is given: the averages of one set of estimates by name.

    Attributes:
        used: names that have been asked for, in this order.
    """

    def __init__(self, values: Values, estimates: Estimates, convert: Callable[[Value, str], Any]) -> None:
        self._values, self._estimates, self._convert = values, estimates, convert
        self.used: dict[str, None] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            if name in self._estimates:
                raise ValueError(f"{name!r} has no covariances with other quantities; there are {list(self._values)}")
            hint = did_you_mean(name, self._values) or f"; there are {list(self._values)}"
            raise ValueError(f"there is no quantity {name!r}{hint}")
        self.used[name] = None
        return self._convert(self._values[name], name)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _as_numpy(value: Value, name: str) -> Any:
    return np.float64(value) if np.ndim(value) == 0 else np.array(value)


def _as_tensor(value: Value, name: str) -> Any:
    return torch.tensor(value, dtype=torch.float64)


class Propagation:
    """A function of the averages of one or several sets of estimates.

    The function may consist of operations of torch or of NumPy: it is called with tensors first, and with NumPy numbers
    if it does not return a tensor with a gradient.

    Attributes:
        value: the function of the averages, of any shape.
        used: the averages that it uses: the position of the set, and the name.
        is_torch: whether its gradient is found by automatic differentiation.

    Raises:
        ValueError: if the function returns anything but finite real numbers, uses no average, or one that there is not.
    """

    def __init__(self, sets: Sequence[Estimates], replicates: Sequence[Replicates], fn: Function) -> None:
        self._sets, self._replicates, self._fn = sets, replicates, fn
        self._center: list[Values] = [
            {name: estimates[name].value for name in each.values if name in estimates}
            for estimates, each in zip(sets, replicates, strict=True)
        ]
        self._leaves: dict[Key, torch.Tensor] = {}
        self.used: list[Key] = []
        self._graph = self._differentiable()
        self._convert = _as_tensor if self._graph is not None else self._kind()
        self.value = self._called(self._center)
        if not self.used:
            raise ValueError("fn uses none of the averages that it is given")
        if not np.isfinite(self.value).all():
            raise ValueError(f"fn must be finite at the measured averages, got {self.value.tolist()}")
        self.is_torch = False

    def varied(self, members: Sequence[int]) -> Array:
        """The function without each of the blocks, `(n_blocks, ...)`, where some sets vary together.

        Args:
            members: positions of these sets, which have the same blocks.
        """
        blocks = []
        for b in range(self._replicates[members[0]].n_blocks):
            values = list(self._center)
            for i in members:
                left = self._replicates[i].values
                values[i] = {name: left[name][b] for name in values[i]}
            blocks.append(self._called(values))
        if len({block.shape for block in blocks} | {self.value.shape}) > 1:
            raise ValueError("fn must return numbers of one shape, whatever the averages are")
        return np.stack(blocks)

    def error_of(self, key: Key) -> Array:
        """The jackknife error of an average."""
        return jackknife_error(self._replicates[key[0]].values[key[1]])

    def gradients(self) -> dict[Key, Array]:
        """The derivative by each average, `(K, k)`, for K numbers returned and k in the average.

        That of automatic differentiation is kept if a difference confirms it: a function that takes its numbers out of
        tensors hides a part of it.
        """
        if self._graph is not None:
            found = self._by_torch(self._graph)
            if self._confirmed(found):
                self.is_torch = True
                return found
        return {key: self._by_differences(key) for key in self.used}

    def _kind(self) -> Callable[[Value, str], Any]:
        """NumPy numbers, or tensors if the function cannot do with NumPy numbers."""
        self._convert = _as_numpy
        try:
            self._called(self._center)
        except (TypeError, AttributeError):
            return _as_tensor
        return _as_numpy

    def _arguments(self, values: Sequence[Values], convert: Callable[[int], Any]) -> list[Averages]:
        return [Averages(each, self._sets[i], convert(i)) for i, each in enumerate(values)]

    def _called(self, values: Sequence[Values]) -> Array:
        arguments = self._arguments(values, lambda i: self._convert)
        with torch.no_grad(), np.errstate(all="ignore"):
            found = _numbers(self._fn(*arguments))
        for i, argument in enumerate(arguments):
            self.used += [(i, name) for name in argument.used if (i, name) not in self.used]
        return found

    def _differentiable(self) -> torch.Tensor | None:
        """What the function returns for tensors, with its graph; None if it is not made of operations of torch."""

        def leaf(i: int) -> Callable[[Value, str], torch.Tensor]:
            return lambda value, name: self._leaves.setdefault(
                (i, name), torch.tensor(value, dtype=torch.float64, requires_grad=True)
            )

        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                found = self._fn(*self._arguments(self._center, leaf))
                if isinstance(found, (list, tuple)):
                    found = torch.stack([torch.as_tensor(each, dtype=torch.float64) for each in found])
        except Exception:  # whatever NumPy raises for tensors; what is wrong with the function it raises again below
            return None
        return found if isinstance(found, torch.Tensor) and found.requires_grad else None

    def _by_torch(self, graph: torch.Tensor) -> dict[Key, Array]:
        flat, keys = graph.reshape(-1), [key for key in self.used if key in self._leaves]
        leaves = [self._leaves[key] for key in keys]
        rows = [torch.autograd.grad(each, leaves, retain_graph=True, allow_unused=True) for each in flat]
        found: dict[Key, Array] = {}
        for j, (key, leaf) in enumerate(zip(keys, leaves, strict=True)):
            parts = [torch.zeros_like(leaf) if row[j] is None else row[j] for row in rows]
            found[key] = torch.stack([part.reshape(-1) for part in parts]).numpy()
        return found

    def _confirmed(self, gradients: Mapping[Key, Array]) -> bool:
        if set(gradients) != set(self.used):
            return False
        steps = {key: self.error_of(key) * STEP**3 for key in self.used}
        expected = sum((gradients[key] @ steps[key].ravel() for key in self.used), np.zeros(self.value.size))
        size = sum((np.abs(gradients[key]) @ steps[key].ravel() for key in self.used), np.zeros(self.value.size))
        found = (self._moved(steps, 1.0) - self._moved(steps, -1.0)) / 2
        return bool((np.abs(found - expected) <= 0.01 * size + 1e-13 * np.abs(self.value.ravel())).all())

    def _by_differences(self, key: Key) -> Array:
        errors = self.error_of(key)
        columns = np.zeros((self.value.size, errors.size))
        for k in np.flatnonzero(errors):
            step = np.zeros(errors.size)
            step[k] = STEP * errors.flat[k]
            steps = {key: step.reshape(errors.shape)}
            columns[:, k] = (self._moved(steps, 1.0) - self._moved(steps, -1.0)) / (2 * step[k])
        return columns

    def _moved(self, steps: Mapping[Key, Array], sign: float) -> Array:
        values = [dict(each) for each in self._center]
        for (i, name), step in steps.items():
            values[i][name] = values[i][name] + sign * step
        return self._called(values).ravel()


def _numbers(returned: Any) -> Array:
    """What a function returned, as float64."""
    if isinstance(returned, torch.Tensor):
        returned = returned.detach().cpu().numpy()
    elif isinstance(returned, (list, tuple)):
        returned = [_numbers(each) for each in returned]
    try:
        values = np.asarray(returned)
        if values.dtype.kind not in "fiub":
            raise ValueError("not real")
    except ValueError as error:
        raise ValueError(f"fn must return a real number or a vector of them, got {described(returned)}") from error
    return values.astype(np.float64)
