"""Levels of a quantity: does a mixture of discretised logistics learn them from fewer configurations than a softmax?

The data is a scalar phi^4 field on the 8x8 torus, held at 64 levels by definition,

    p(phi) = exp(-S) / Z,   S = lam sum_x phi_x^4 - 2 sum_bonds phi phi',   phi = 1.4 (2 t / 63 - 1),  t = 0..63,

with lam = 6.008: at m^2 = -4 the squares of the lattice action cancel; the correlation length is about 2 (Albergo,
Kanwar, Shanahan, arXiv 1904.12072, table I, E2). Independent chains of exact heat baths are annealed from uncoupled
sites, which gives ln Z besides (Jarzynski's equality), and sweep on at the target. So the entropy of p, the ceiling of
every model, is known, and on the test set too: the mean of S + ln Z.

A PixelCNN++ is trained by maximum likelihood with either head on the same body; the softmax has up to 2 % more
parameters. A data set of n configurations is four fifths training and one fifth validation; the latter chooses the
learning rate and the step, for each head by itself. Seeds differ in data set and initial weights, and the errors are
those of the mean over them; the test set is one. Beside them, sites alike and independent: the histogram of the n
configurations, one count added to each level. The last line is JSON.

    python benchmarks/ordinal.py [--sizes 50 100 200 500 1000] [--seeds 4] [--figure docs/figures/ordinal.png]
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
SIZE, N_LEVELS, RANGE, LAM = 8, 64, 1.1, 6.008
PHI: Array = RANGE * (2 * np.arange(N_LEVELS) / (N_LEVELS - 1) - 1)
HEADS = {"softmax": "categorical", "mixture": "logistic"}
BODIES = ((24, 1), (12, 2))  # width, depth
BATCH, EVERY = 32, 25


class Data(NamedTuple):
    """Independent configurations, and how probable they are.

    Attributes:
        tokens: `(n, 8, 8)`, levels.
        log_p: their exact log-probabilities, up to the error of ln Z.
        error: of ln Z.
    """

    tokens: Tensor
    log_p: Array
    error: float


def neighbours(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the levels of the four neighbours."""
    return sum(np.roll(tokens, shift, axis) for shift in (1, -1) for axis in (1, 2))


def bonds(tokens: NDArray[np.int64]) -> Array:
    """Sum over bonds of 2 phi phi', each bond once: `(n,)`."""
    phi = PHI[tokens]
    return 2 * sum((phi * np.roll(phi, 1, axis)).sum((1, 2)) for axis in (1, 2))


def heat_bath(tokens: NDArray[np.int64], coupling: float, rng: np.random.Generator) -> None:
    """Draw every site given its neighbours, black ones first; a table holds all that neighbours can sum up to."""
    fields = RANGE * (2 * np.arange(4 * N_LEVELS - 3) / (N_LEVELS - 1) - 4)
    table = np.exp(2 * coupling * fields[:, None] * PHI - LAM * PHI**4).cumsum(1)
    table = table / table[:, -1:] + np.arange(len(table))[:, None]  # rows one after the other, ascending throughout
    for colour in (0, 1):
        where = np.indices((SIZE, SIZE)).sum(0) % 2 == colour
        row = neighbours(tokens)[:, where]
        drawn = np.searchsorted(table.ravel(), row + rng.random(row.shape), side="right")
        tokens[:, where] = drawn - N_LEVELS * row


def simulate(n: int, *, annealing: int = 400, sweeps: int = 400, seed: int = 0) -> Data:
    """One configuration from each of n chains."""
    rng = np.random.default_rng(seed)
    single = np.exp(-LAM * PHI**4)
    tokens = rng.choice(N_LEVELS, (n, SIZE, SIZE), p=single / single.sum())
    log_w = np.full(n, SIZE**2 * math.log(single.sum()))
    for step in range(annealing):
        log_w += bonds(tokens) / annealing
        heat_bath(tokens, (step + 1) / annealing, rng)
    for _ in range(sweeps):
        heat_bath(tokens, 1.0, rng)
    w = np.exp(log_w - log_w.max())
    log_z, error = log_w.max() + math.log(w.mean()), w.std() / w.mean() / math.sqrt(n)
    log_p = bonds(tokens) - LAM * (PHI[tokens] ** 4).sum((1, 2)) - log_z
    return Data(torch.from_numpy(tokens), log_p, error)
