"""Levels of a quantity: does a mixture of discretised logistics learn them from fewer configurations than a softmax?

The data are two scalar fields on the 8x8 torus, held at 64 evenly spaced levels by definition,

    p(phi) = exp(-S) / Z,   S = sum_x [(4 + m^2) phi_x^2 + lam phi_x^4] - 2 sum_bonds phi phi'.

"phi^4" has m^2 = -4 and lam = 6.008, where the correlation length is about 2 (Albergo, Kanwar, Shanahan, arXiv
1904.12072, table I, E2): a site given its neighbours spreads over a dozen levels and more. "free" has lam = 0 and
m^2 = 0.01, a correlation length of 10: given its neighbours, over about four. Independent chains of exact heat baths
are annealed from uncoupled sites, which gives ln Z besides (Jarzynski's equality), and sweep on at the target. So the
ceiling of every model is known, on the very test set: its mean of -ln p.

A PixelCNN++ is trained by maximum likelihood with either head on the same body; the softmax has up to 2 % more
parameters. Of n configurations four fifths are trained on and one fifth chooses the learning rate and the step, for
each head by itself. Seeds differ in data set and initial weights, and errors are those of the mean over them; the test
set is one. Beside them "histogram": sites alike and independent, one count added to each level. The last line is JSON.

    python benchmarks/ordinal.py [--sizes 50 100 200 500 1000] [--seeds 3] [--figure docs/figures/ordinal.png]
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import latticear as la
from latticear.models.layers import MaskedConv2d

Array = NDArray[np.float64]
Levels = NDArray[np.int64]
SIZE, N_LEVELS = 8, 64
HEADS = {"softmax": "categorical", "mixture": "logistic"}
BATCH, EVERY, PATIENCE, DROPOUT, EMA = 16, 25, 6, 0.3, 0.97


class Field(NamedTuple):
    """A scalar field whose values are 64 levels from -top to top, both included."""

    mass_squared: float
    lam: float
    top: float

    @property
    def levels(self) -> Array:
        return self.top * (2 * np.arange(N_LEVELS) / (N_LEVELS - 1) - 1)

    @property
    def potential(self) -> Array:
        """What a level adds to S by itself."""
        return (4 + self.mass_squared) * self.levels**2 + self.lam * self.levels**4

    def bonds(self, tokens: Levels) -> Array:
        """Sum over bonds of 2 phi phi', each bond once: `(n,)`."""
        phi = self.levels[tokens]
        return 2 * (phi * (np.roll(phi, 1, 1) + np.roll(phi, 1, 2))).sum((1, 2))


FIELDS = {"phi^4": Field(-4.0, 6.008, 1.1), "free": Field(0.01, 0.0, 3.5)}


class Data(NamedTuple):
    """Independent configurations, and how probable they are.

    Attributes:
        tokens: `(n, 8, 8)`.
        log_p: their log-probabilities, exact up to the error of ln Z.
        error: of ln Z.
    """

    tokens: Tensor
    log_p: Array
    error: float


def heat_bath(field: Field, tokens: Levels, coupling: float, rng: np.random.Generator) -> None:
    """Draw every site given its neighbours, one colour of the chessboard after the other.

    Neighbours are read through the sum of their levels alone, so a table holds all distributions.
    """
    sums = field.top * (2 * np.arange(4 * N_LEVELS - 3) / (N_LEVELS - 1) - 4)  # of four values
    log_p = 2 * coupling * sums[:, None] * field.levels - field.potential
    table = np.exp(log_p - log_p.max(1, keepdims=True)).cumsum(1)
    table = table / table[:, -1:] + np.arange(len(table))[:, None]  # one ascending array, row after row
    for colour in (0, 1):
        where = np.indices((SIZE, SIZE)).sum(0) % 2 == colour
        row = sum(np.roll(tokens, shift, axis) for shift in (1, -1) for axis in (1, 2))[:, where]
        tokens[:, where] = np.searchsorted(table.ravel(), row + rng.random(row.shape), side="right") - N_LEVELS * row


def simulate(field: Field, n: int, *, annealing: int, sweeps: int, seed: int = 0) -> Data:
    """One configuration from each of n chains."""
    rng = np.random.default_rng(seed)
    single = np.exp(-field.potential)
    tokens = rng.choice(N_LEVELS, (n, SIZE, SIZE), p=single / single.sum())
    log_w = np.full(n, SIZE**2 * math.log(single.sum()))
    couplings = 1 - np.linspace(1, 0, annealing + 1) ** 2  # slowly where the correlation length grows
    for coupling, step in zip(couplings[1:], np.diff(couplings), strict=True):
        log_w += step * field.bonds(tokens)
        heat_bath(field, tokens, coupling, rng)
    for _ in range(sweeps):
        heat_bath(field, tokens, 1.0, rng)
    w = np.exp(log_w - log_w.max())
    log_z = log_w.max() + math.log(w.mean())
    log_p = field.bonds(tokens) - field.potential[tokens].sum((1, 2)) - log_z
    return Data(torch.from_numpy(tokens), log_p, w.std() / w.mean() / math.sqrt(n))


def nll(model: torch.nn.Module, tokens: Tensor) -> float:
    """Nats per site."""
    model.eval()
    with torch.no_grad():
        return -model(tokens).mean().item() / SIZE**2


def train(model: la.AbstractModel, tokens: Tensor, valid: Tensor, rate: float, steps: int) -> tuple[float, int, Any]:
    """The least validation NLL, its step, and the averaged weights there."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    best: tuple[float, int, Any] = (math.inf, 0, None)
    for step in range(1, steps + 1):
        model.train()
        optimizer.zero_grad()
        (-model(tokens[torch.randint(len(tokens), (BATCH,))]).mean() / SIZE**2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(model)
        if step % EVERY == 0:
            value = nll(average.module, valid)
            if value < best[0]:
                best = value, step, copy.deepcopy(average.module)
            elif step >= best[1] + PATIENCE * EVERY:
                break
    return best
