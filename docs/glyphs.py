"""Learn pictures of digits, draw each digit anew and complete half-occluded ones: `python docs/glyphs.py`.

The data are drawn by the package itself; configs/glyphs.toml says what is trained on them, for about four minutes on
one core. Everything stays in runs/; an interrupted training goes on where it was.
"""

import math
from pathlib import Path

import h5py
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

import latticear as la
from latticear.plotting import completions, sample_grid
from latticear.workflows import likelihood_run, train_run

HERE = Path(__file__).parent
RUN, DATA = Path("runs/glyphs"), Path("runs/glyphs.h5")
N, N_HELD_OUT = 40_000, 4_000
DRAWN = 7


def main() -> None:
    """Train, judge, and draw docs/figures/glyphs.png."""
    tokens, labels = la.data.glyphs(N)
    if not DATA.exists():
        DATA.parent.mkdir(exist_ok=True)
        with h5py.File(DATA, "w") as h5:
            h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
    values = {"training": {"data": str(DATA)}}
    train_run(RUN, HERE.parent / "configs" / "glyphs.toml", [], values, resume=True, report=_progress)

    train, tokens = tokens.split([N - N_HELD_OUT, N_HELD_OUT])
    train_labels, labels = labels.split([N - N_HELD_OUT, N_HELD_OUT])
    nll = likelihood_run(RUN, n=N_HELD_OUT, data=None, device="cpu")["nll_per_site"]
    for name, value, error in (
        ("independent sites", *_independent(train, 0 * train_labels, tokens, 0 * labels)),
        ("independent sites, given the class", *_independent(train, train_labels, tokens, labels)),
        ("network, given the class", nll["value"], nll["error"]),
    ):
        print(f"{name:36s} {value:.4f} +- {error:.4f} nats, {value / math.log(2):.4f} bits per site")

    model = la.load_model(RUN)
    found = _log_q_of_classes(model, tokens[:500], torch.ones(16, 16, dtype=torch.bool)).argmax(1)
    print(f"class of the largest likelihood: right for {(found == labels[:500]).double().mean():.1%} of 500 pictures")

    chosen = torch.stack([(labels == digit).nonzero()[0, 0] for digit in range(10)])
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(DRAWN + 2, 8))
    _draw_completions(left, model, tokens[chosen])
    classes = torch.eye(10).repeat_interleave(8, 0)
    samples = model.sample(80, seed=1, condition=classes)
    sample_grid(right, samples.tokens.double().numpy(), 8, "drawn, given the class")
    figure.savefig(HERE / "figures" / "glyphs.png", dpi=120, bbox_inches="tight")


def _draw_completions(ax, model: la.models.AbstractModel, tokens: Tensor) -> None:
    """Lower halves, the class unknown: it is drawn from its exact probability given the upper half."""
    where = torch.zeros(16, 16, dtype=torch.bool)
    where[:8] = True
    posterior = _log_q_of_classes(model, tokens, where).softmax(1)
    generator = torch.Generator().manual_seed(0)
    classes = torch.multinomial(posterior, DRAWN, replacement=True, generator=generator)
    samples = model.sample(
        len(tokens) * DRAWN,
        seed=2,
        given=tokens.repeat_interleave(DRAWN, 0),
        where=where,
        condition=F.one_hot(classes.flatten(), 10).float(),
    )
    drawn = samples.tokens.view(len(tokens), DRAWN, 16, 16).double().numpy()
    mask = where.expand(len(tokens), 16, 16).numpy()
    completions(ax, tokens.double().numpy(), mask, drawn, "lower half drawn, class unknown")


def _log_q_of_classes(model: la.models.AbstractModel, tokens: Tensor, where: Tensor) -> Tensor:
    """Log-probability of the upper part of each picture in each class, `(n, 10)`.

    The sites held precede all others in raster order, so `log_q_given` is their marginal probability.
    """
    columns = [
        model.sample(len(tokens), given=tokens, where=where, condition=condition).log_q_given
        for condition in torch.eye(10)
    ]
    return torch.stack(columns, 1)


def _independent(train: Tensor, train_labels: Tensor, tokens: Tensor, labels: Tensor) -> tuple[float, float]:
    """Likelihood of tokens under independent sites, with frequencies of each class of its own: nats per site."""
    log_q = torch.empty(len(tokens), dtype=torch.float64)
    for label in labels.unique():
        counts = F.one_hot(train[train_labels == label].long(), 4).sum(0) + 1.0
        log_p = (counts / counts.sum(-1, keepdim=True)).double().log()
        rows = labels == label
        each = log_p.expand(int(rows.sum()), -1, -1, -1).gather(-1, tokens[rows].long()[..., None])
        log_q[rows] = each.sum((1, 2, 3))
    nll = -log_q / tokens[0].numel()
    return nll.mean().item(), nll.std().item() / math.sqrt(len(nll))


def _progress(done: int, total: int, text: str) -> None:
    if done % 200 == 0:
        print(f"{done}/{total} {text}", flush=True)


if __name__ == "__main__":
    main()
