"""Draw the figures of the documentation that need no training: `python docs/figures.py`."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import latticear as la
from latticear.estimation.weights import diagnose
from latticear.plotting import receptive_field, wavefront

FIGURES = Path(__file__).parent / "figures"


def main() -> None:
    """Write the figures into the folder beside this file."""
    bias = la.Ising((16, 16)).bias(2.269)
    models = {
        "three 3x3 layers": la.PixelCNN((16, 16), kernel_size=3, bias=bias),
        "default: the first layer sees all": la.PixelCNN((16, 16), bias=bias),
    }
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    for ax, (title, model) in zip(figure.subplots(1, 2), models.items(), strict=True):
        receptive_field(ax, model, (15, 9)).set_title(title)
    figure.savefig(FIGURES / "receptive_field.png", dpi=120, bbox_inches="tight")

    figure = Figure(figsize=(5, 5.5), layout="constrained")
    wavefront(figure.subplots(), la.PixelCNN((12, 12), kernel_size=3))
    figure.savefig(FIGURES / "wavefront.png", dpi=120, bbox_inches="tight")
    weights().savefig(FIGURES / "weights.png", dpi=120, bbox_inches="tight")


def weights() -> Figure:
    """Importance weights of three models of one system: their tails, and what these do to ln Z."""
    temperature, ising = 2.6, la.Ising((8, 8))
    bias = ising.bias(temperature)
    models = {
        "network without training": la.PixelCNN((8, 8), bias=bias, spin_flip_symmetric=True),
        "tensor network, bond dimension 1": la.TensorNetwork((8, 8), bias=bias, bond_dimension=1),
        "tensor network, bond dimension 2": la.TensorNetwork((8, 8), bias=bias, bond_dimension=2),
    }
    exact = la.exact_result(ising, temperature).log_z
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    tail, course = figure.subplots(1, 2)
    for name, model in models.items():
        samples = model.sample(20_000, seed=1)
        log_w = -ising.energy(ising.spins(samples.tokens)).numpy() / temperature - samples.log_q.double().numpy()
        found = diagnose(log_w)
        label = f"{name}:\nESS {found.ess:.2g}, k-hat {found.pareto_k:.2f}"
        descending = np.exp(np.sort(log_w)[::-1] - exact)
        tail.loglog(descending, (np.arange(len(descending)) + 1) / len(descending), label=label)
        n = np.arange(1, len(log_w) + 1)
        course.semilogx(n[99:], np.log(np.exp(log_w - exact).cumsum() / n)[99:])
    tail.set(xlabel="weight w / Z", ylabel="share of samples with a larger one", xlim=(1e-4, None))
    tail.legend(fontsize="x-small", loc="lower left")
    course.axhline(0, color="black", linewidth=0.8)
    course.set(xlabel="number of samples", ylabel="ln Z - exact value")
    return figure


if __name__ == "__main__":
    main()
