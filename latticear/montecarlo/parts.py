"""Random numbers of all chains, of which a process takes those of its own chains and passes over the others.

All processes have generators of the same state; afterwards each is behind the numbers of all chains, so that the
numbers of a chain do not depend on how many processes there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.kernels.library import library

__all__ = ["part_of_stream", "uniform_columns"]

FEW = 4096
"""Up to so many numbers it is faster to draw all of them than to read and write the state of a generator."""

WORDS = 624
"""Words of the state of the Mersenne Twister, the generator of PyTorch on the CPU."""

STATE = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("words", "<u8", WORDS),
        ("normal", "u1", 40),
    ]
)
"""What `torch.Generator.get_state` returns: `left - 1` words have not been given out, `next` is the first of them."""


@contextmanager
def part_of_stream(rng: np.random.Generator, before: int, total: int) -> Iterator[None]:
    """A context in which a generator gives a part of the next `total` numbers; afterwards it is behind all of them.

    Args:
        rng: a generator as `latticear.random_numbers.generator` makes it. Each number must take one step of it, as
            those of `rng.random` do.
        before: how many of the numbers come before the part.
        total: how many there are.
    """
    bits = rng.bit_generator
    assert isinstance(bits, np.random.PCG64)
    start = bits.state
    _move(bits, start, before)
    yield
    _move(bits, start, total)


def uniform_columns(generator: torch.Generator, n_rows: int, width: int, columns: slice) -> Tensor:
    """Some columns of an array of uniform random numbers, float64 `(n_rows, n)`, bit for bit those of `torch.rand`.

    The resolution of float64 is 1e-16; that of float32, 6e-8, would falsify the rate of rare excitations.

    Args:
        generator: the generator; afterwards it is behind all columns.
        n_rows, width: shape of the array.
        columns: which of its columns.
    """
    n, kernels = columns.stop - columns.start, library()
    if n_rows * (width - n) > FEW and kernels is not None and generator.device.type == "cpu":
        state = generator.get_state()
        if state.numel() == STATE.itemsize:
            u = torch.empty(n_rows, n, dtype=torch.float64)
            fields = state.numpy().view(STATE)
            words, used = fields["words"][0].astype(np.uint32), np.array(WORDS + 1 - fields["left"][0], dtype=np.int64)
            place = (n_rows, width, columns.start, n, u.data_ptr())
            kernels.latticear_mersenne_columns(words.ctypes.data, used.ctypes.data, *place)
            fields["words"], fields["next"], fields["left"] = words, used, WORDS + 1 - used
            generator.set_state(state)
            return u
    u = torch.rand((n_rows, width), dtype=torch.float64, generator=generator, device=generator.device)
    return u[:, columns]


def _move(bits: np.random.PCG64, start: Any, steps: int) -> None:
    """Move to some steps after a state, with the half of a number that this state has kept for later."""
    bits.state = start
    bits.advance(steps)
    bits.state = {**bits.state, "has_uint32": start["has_uint32"], "uinteger": start["uinteger"]}
