"""Conditional probabilities within a row by the compiled kernels, on the CPU."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latticear.kernels import structures
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import PADDING
from latticear.lookahead.environments import Environments

__all__ = ["Choice", "NativeRow"]


class Choice(NamedTuple):
    """How the tokens of n configurations are chosen, and what has been found so far; all `(n, H, W)` or `(n,)`.

    Attributes:
        spin_flip, least: as in `Sweep`.
        u: float64 uniform numbers; None: all sites are held fixed.
        where: which sites are held fixed; None: none.
        tokens: int64, holds the given ones.
        turned, settled: of each configuration, for the spin-flip symmetry.
        logits: float64 `(n, H, W, q)`, filled; None: not asked for.
        log_q, log_q_given: float64, log-probabilities of the sites that are drawn and of those held fixed.
    """

    spin_flip: bool
    least: float
    u: Tensor | None
    where: Tensor | None
    tokens: Tensor
    turned: Tensor
    settled: Tensor
    logits: Tensor | None
    log_q: Tensor
    log_q_given: Tensor


class NativeRow:
    """What `TorchRow` computes, bound by its matrix products: `latticear/kernels/rows.c`.

    Configurations that share a matrix are multiplied by it together, in groups whose sums stay in the cache; nothing
    in the result for one depends on the others.

    Args:
        environments, tokens, dtype: as for `TorchRow`.
    """

    instruction_set = -1
    """Index into `instruction_sets()`; by default the last one, which is the fastest."""

    def __init__(self, environments: Environments, tokens: Tensor, dtype: torch.dtype = torch.float64) -> None:
        self._environments, self._tokens, self._dtype = environments, tokens, dtype
        weights, n = environments.weights, len(tokens)
        self._q = weights.n_tokens
        self._n_first = self._q if weights.closed else 1
        self._instances = environments.instances(n).contiguous() if weights.n_instances > 1 else None
        self._shares = torch.empty(n, self._q, dtype=torch.float64)
        self._sums = self._left = torch.empty(0, dtype=dtype)
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._row = structures.Row()
        self._held: tuple[Any, ...] = ()

    def begin(self, y: int, known: Tensor) -> None:
        """As in `TorchRow`."""
        self._prepare(y, known)
        n = len(self._tokens)
        self._sums = _at_least(self._sums, n * self._row.n_sums)
        self._left = _at_least(self._left, n * self._row.most)
        self._row.sums, self._row.left = self._sums.data_ptr(), self._left.data_ptr()
        library().latticear_row_begin(ctypes.byref(self._row), *self._how, self._work(draws=False))

    def shares(self, x: int) -> Tensor:
        """As in `TorchRow`; overwritten by the next call."""
        library().latticear_row_shares(ctypes.byref(self._row), x, *self._how, self._shares.data_ptr())
        return self._shares

    def advance(self, x: int) -> None:
        """As in `TorchRow`."""
        library().latticear_row_advance(ctypes.byref(self._row), x, *self._how, self._memory.data_ptr())

    def draw(self, y: int, known: Tensor, choice: Choice) -> None:
        """Choose the tokens of row y in one call; those above it are known, and `known` is as for `begin`."""
        self._prepare(y, known)
        places = (None if t is None else t[:, y].data_ptr() for t in (choice.u, choice.where, choice.tokens))
        states = (choice.turned.data_ptr(), choice.settled.data_ptr())
        logits = None if choice.logits is None else choice.logits[:, y].data_ptr()
        log_q = (choice.log_q.data_ptr(), choice.log_q_given.data_ptr())
        how = structures.Choice(choice.spin_flip, choice.least, *places, *states, logits, *log_q)
        library().latticear_row_draw(ctypes.byref(self._row), ctypes.byref(how), *self._how, self._work(draws=True))

    def _prepare(self, y: int, known: Tensor) -> None:
        weights, (n, height, width) = self._environments.weights, self._tokens.shape
        offset, columns, matrices, most = 0, [], [], 0
        for chosen in self._environments.matrices(y):
            forward, backward = (_padded(m, self._dtype) for m in (chosen, chosen.mT))
            pointers = forward.data_ptr(), backward.data_ptr()
            columns.append(structures.Column(*chosen.shape[-2:], chosen.shape[1], offset, *pointers))
            matrices += [forward, backward]
            offset += self._q * self._n_first * backward.shape[-1]
            most = max(most, forward.shape[-1], backward.shape[-1])
        records = (structures.Column * width)(*columns)
        bonds, known = weights.right[:, y].contiguous(), known.contiguous()
        self._row = structures.Row(
            n,
            width,
            self._q,
            height * width,
            self._n_first,
            most,
            offset,
            ctypes.addressof(records),
            self._tokens[:, y].data_ptr(),
            self._tokens.data_ptr(),
            None if self._instances is None else self._instances.data_ptr(),
            known.data_ptr(),
            bonds.data_ptr(),
        )
        self._held = matrices, records, bonds, known  # the row points into them

    def _work(self, *, draws: bool) -> int:
        """Working memory of all threads."""
        size = library().latticear_row_size(ctypes.byref(self._row), self._how[1], draws)
        self._memory = _at_least(self._memory, torch.get_num_threads() * size)
        return self._memory.data_ptr()

    @property
    def _how(self) -> tuple[int, int, int]:
        is_double = int(self._dtype == torch.float64)
        return range(len(instruction_sets()))[self.instruction_set], is_double, torch.get_num_threads()


def _at_least(memory: Tensor, size: int) -> Tensor:
    return memory if len(memory) >= size else torch.empty(size, dtype=memory.dtype)


def _padded(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices with rows that are padded with zeros."""
    size = matrices.shape[-1]
    padded = torch.zeros(*matrices.shape[:-1], -(-size // PADDING) * PADDING, dtype=dtype)
    padded[..., :size] = matrices
    return padded
