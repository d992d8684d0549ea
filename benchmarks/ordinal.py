"""Levels of a quantity: does a mixture of discretised logistics learn them from fewer configurations than a softmax?

The data are scalar fields on the 8x8 torus, held at 64 evenly spaced levels by definition,

    p(phi) = exp(-S) / Z,   S = sum_x [(4 + m^2) phi_x^2 + lam phi_x^4] - 2 sum_bonds phi phi'.

"phi^4" has m^2 = -4 and lam = 6.008, a correlation length of about 2 (Albergo, Kanwar, Shanahan, arXiv 1904.12072,
table I, E2); given its neighbours a site still spreads over 10 levels (rms). "free" has lam = 0 and m^2 = 0.01, a
correlation length of 10, and spreads over 3. Independent chains of exact heat baths are annealed from uncoupled sites,
which gives ln Z besides (Jarzynski's equality), and sweep on at the target. So the ceiling of every model is known, on
the very test set: its mean of -ln p, "floor".

A PixelCNN++ is trained by maximum likelihood with either head on the same body. The softmax reads tokens as names, the
mixture as numbers, as published; so the softmax has 10 % more parameters. Of n configurations four fifths are trained
on and one fifth chooses the learning rate and the step, for each head by itself. Seeds differ in data set and initial
weights; errors are those of the mean over the seeds, the test set being one for all, and of three seeds they are rough.
"histogram": sites alike and independent, one count added to each level. Positive differences are in favour of the
mixture. The last line is JSON.

    python benchmarks/ordinal.py [--fields phi^4 free] [--sizes 50 100 200 500 1000] [--seeds 3] [--figure FILE.png]
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import latticear as la
from latticear.models.layers import MaskedConv2d
from latticear.plotting import EXACT, MODEL, REFERENCE

Array = NDArray[np.float64]
Levels = NDArray[np.int64]
SIZE, N_LEVELS = 8, 64
HEADS = {"softmax": "categorical", "mixture": "logistic"}
BODY = {"width": 12, "depth": 2, "first_kernel_size": 3, "dropout": 0.3}
RATES = (2e-3, 6e-3)
BATCH, EMA, STEPS, EVERY, PATIENCE = 16, 0.97, 1500, 25, 5  # patience in evaluations, one every 25 steps


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


def train(
    model: la.models.AbstractModel, tokens: Tensor, valid: Tensor, rate: float
) -> tuple[float, int, torch.nn.Module]:
    """The least validation NLL, its step, and the network there, its weights averaged."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    best: tuple[float, int, torch.nn.Module] = (math.inf, 0, model)
    for step in range(1, STEPS + 1):
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


def build(head: str, seed: int = 0) -> la.models.AbstractModel:
    return la.PixelCNNPlusPlus((SIZE, SIZE), N_LEVELS, output=HEADS[head], seed=seed, **BODY)


def n_parameters(model: torch.nn.Module) -> int:
    """Those that have an influence: masked weights have none."""
    layers = [m for m in model.modules() if isinstance(m, MaskedConv2d)]
    masked = sum(int((~layer.mask).sum()) * layer.weight[..., 0, 0].numel() for layer in layers)
    return sum(p.numel() for p in model.parameters()) - masked


def histogram(tokens: Tensor, test: Tensor) -> float:
    """NLL of independent sites, all alike, with one count added to each level."""
    counts = 1 + torch.bincount(tokens.flatten(), minlength=N_LEVELS).double()
    return -(counts / counts.sum()).log()[test].mean().item()


def measure(head: str, n: int, seed: int, tokens: Tensor, test: Tensor) -> dict[str, Any]:
    """One head on one data set: its held-out NLL, at the rate and the step that the validation part chose."""
    torch.set_num_threads(1)
    t_start, n_valid, runs = time.perf_counter(), n // 5, {}
    for rate in RATES:
        torch.manual_seed(seed)
        runs[rate] = train(build(head, seed), tokens[n_valid:], tokens[:n_valid], rate)
    rate = min(runs, key=lambda r: runs[r][0])
    valid, step, model = runs[rate]
    row = {"head": head, "n": n, "seed": seed, "rate": rate, "step": step, "valid": valid}
    return row | {"nll": nll(model, test), "seconds": time.perf_counter() - t_start}


def mean(values: Sequence[float]) -> list[float]:
    """With its error."""
    return [float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))]


def summary(n: int, rows: list[dict[str, Any]], baselines: list[float]) -> dict[str, Any]:
    """Means over seeds, and that of the differences seed by seed; rows alternate between the heads."""
    values = {head: [row["nll"] for row in rows if row["head"] == head] for head in HEADS}
    values["histogram"] = baselines
    values["difference"] = [a - b for a, b in zip(values["softmax"], values["mixture"], strict=True)]
    return {"n": n} | {name: mean(v) for name, v in values.items()}


def show(point: dict[str, Any], floor: float) -> None:
    """A line in nats and one in bits."""
    for unit, scale in (("nats", 1.0), ("bits", math.log(2))):
        cells = [[v / scale for v in point[k]] for k in ("histogram", "softmax", "mixture", "difference")]
        print(f"{point['n']:6d}  {unit}{floor / scale:9.4f}", *(f"{v:9.4f} +- {e:.4f}" for v, e in cells), flush=True)


def study(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All sizes, seeds and heads on one field; the data sets of different seeds share nothing."""
    largest = max(options.sizes)
    data = simulate(FIELDS[name], options.test + options.seeds * largest, annealing=200, sweeps=200)
    test, *pools = data.tokens.split([options.test, *[largest] * options.seeds])
    floor, error = -data.log_p[: options.test].mean() / SIZE**2, data.error / SIZE**2
    entropy = mean(-data.log_p / SIZE**2)
    print(f"\n{name}: entropy {entropy[0]:.4f} +- {math.hypot(entropy[1], error):.4f} nats per site; ", end="")
    print(f"floor of this test set {floor:.4f} +- {error:.4f}")
    print("     n  unit    floor          histogram            softmax            mixture  softmax - mixture")
    points, runs = [], []
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        jobs = [(head, n, i, x[:n], test) for n in options.sizes for i, x in enumerate(pools) for head in HEADS]
        done = pool.map(measure, *zip(*jobs, strict=True))
        for n in options.sizes:
            rows = list(islice(done, options.seeds * len(HEADS)))
            points.append(summary(n, rows, [histogram(x[:n], test) for x in pools]))
            show(points[-1], floor)
            runs += rows
    return {"entropy": entropy, "floor": floor, "floor_error": error, "points": points, "runs": runs}


def draw(studies: dict[str, Any], path: str) -> None:
    """One panel a field: held-out NLL against the number of configurations."""
    figure = Figure(figsize=(4.6 * len(studies), 4.4), layout="constrained")
    for ax, (name, found) in zip(figure.subplots(1, len(studies), squeeze=False)[0], studies.items(), strict=True):
        n = [point["n"] for point in found["points"]]
        for head, label, colour in (("softmax", "softmax", REFERENCE), ("mixture", "mixture of logistics", MODEL)):
            value, error = np.transpose([point[head] for point in found["points"]])
            ax.errorbar(n, value, error, color=colour, marker="o", ms=4, capsize=3, label=label)
        histograms = [point["histogram"][0] for point in found["points"]]
        ax.plot(n, histograms, color="0.6", ls=":", label="histogram of a site")
        ax.axhline(found["floor"], color=EXACT, lw=1, ls="--", label="floor: the field itself")
        ax.set(title=f"{name} field, 8x8, 64 levels", xscale="log")
        ax.set(xlabel="configurations, training and validation", ylabel="held-out NLL / nats per site")
        ax.set_xticks(n, [str(i) for i in n])
        ax.minorticks_off()
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", nargs="+", choices=FIELDS, default=list(FIELDS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200, 500, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--figure")
    options = parser.parse_args()
    parameters = {head: n_parameters(build(head)) for head in HEADS}
    excess = parameters["softmax"] / parameters["mixture"] - 1
    print(f"body {BODY}, rates {RATES}, parameters {parameters}: {excess:+.1%}")
    studies = {name: study(name, options) for name in options.fields}
    if options.figure:
        draw(studies, options.figure)
    print(json.dumps({"studies": studies, "parameters": parameters, **vars(options), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
