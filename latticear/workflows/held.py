"""Conditional samples, with sites held fixed: a boundary, a defect, or a part of a measured configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latticear.data.fingerprint import fingerprint_of
from latticear.data.reading import read_given, read_metadata
from latticear.models import AbstractModel
from latticear.processes import ALONE, Processes
from latticear.samples import Samples
from latticear.sampling import drawer
from latticear.sampling.stream import common_block
from latticear.spaces import ConfigurationSpace

__all__ = ["Held", "read_held"]


class Held(NamedTuple):
    """K configurations whose tokens are held fixed at some sites. Sample i is drawn given configuration i modulo K.

    Attributes:
        tokens: `(K, H, W)` or `(K, C, H, W)`; arbitrary where the token is not held fixed.
        where: bool of the same shape, True where the token is held fixed.
        origin: file and provenance of the configurations, as JSON values.
        condition: `(K, k)`, the condition of each configuration, for a model with a condition; or None.
    """

    tokens: Tensor
    where: Tensor
    origin: dict[str, Any]
    condition: Tensor | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the sites and tokens held fixed, and of the conditions: 16 hexadecimal digits."""
        held = torch.where(self.where, self.tokens.long() + 1, 0)
        return fingerprint_of(held, None if self.condition is None else self.condition.double())

    def sample_batches(
        self, model: AbstractModel, n: int, *, seed: int, start: int = 0, processes: Processes = ALONE
    ) -> Iterator[Samples]:
        """Draw samples start .. start + n - 1 of the random stream of this seed, batch by batch, in constant memory.

        Several processes get their own batches, which are dealt out in turn.
        """
        block, stop = common_block(drawer(model), processes), start + n
        for begin in processes.deal(range(start - start % block, stop, block)):
            first, last = max(start, begin), min(stop, begin + block)
            rows = torch.arange(first, last) % len(self.tokens)
            yield from model.sample_batches(
                last - first,
                seed=seed,
                start=first,
                given=self.tokens[rows],
                where=self.where[rows],
                condition=None if self.condition is None else self.condition[rows],
            )


def read_held(path: Path, hamiltonian: ConfigurationSpace, n: int) -> Held:
    """Read the configurations whose tokens are held fixed in n samples.

    Args:
        path: a file that `read_given` reads.
        hamiltonian: the Hamiltonian or grid of the samples.
        n: number of samples.

    Raises:
        ValueError: if n is not a multiple of the number of configurations, so that some would be used more often than
            others; and as `read_given`.
        OSError: as `read_given`.
    """
    tokens, where = read_given(path, hamiltonian)
    k = len(tokens)
    if n % k:
        raise ValueError(f"{path} gives {k} configurations: n must be a multiple of {k}, got {n}")
    provenance = read_metadata(path)["attributes"].get("provenance")
    return Held(tokens, where, {"path": str(path.resolve()), "n": k, "provenance": provenance})
