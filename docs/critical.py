"""Draw the picture at the head of the README from a trained run: `python docs/critical.py RUN [-n 20000]`.

latticear train configs/critical.toml --size 64 --grow --out runs/critical_64
python docs/critical.py runs/critical_64
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import latticear as la
from latticear.estimation.estimates import with_error
from latticear.plotting import correlation_function, sample_grid, weight_histogram
from latticear.workflows import trained

FIGURES = Path(__file__).parent / "figures"
SHOWN = 4


def main() -> None:
    """Weigh fresh samples and draw them beside configurations of Monte Carlo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=20_000)
    options = parser.parse_args()
    config, model = trained(options.run, "cpu")
    ising, temperature, _ = config.target.single
    exact = la.kaufman(ising.shape, temperature)
    samples = la.Samples.cat(list(model.sample_batches(options.n, seed=1)))
    weighed = la.estimate(samples, ising, temperature, exact=exact)
    chains = list(la.monte_carlo(ising, temperature, n=4000, method="swendsen-wang", seed=2))
    reference = la.estimation.estimate_chains(chains, ising, temperature)
    log_w = (-ising.token_energy(samples.tokens) / temperature - samples.log_q).numpy()

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplot_mosaic([["mc", "network"], ["correlation", "weights"]], height_ratios=[1.15, 1])
    height, width = ising.shape
    for name, tokens, title in (
        ("mc", chains[-1].tokens, "Swendsen-Wang"),
        ("network", samples.tokens, "network: independent samples, one pass each"),
    ):
        sample_grid(axes[name], ising.spins(tokens[:SHOWN]).numpy(), 2, title)
    correlation_function(axes["correlation"], weighed["correlation"], reference["correlation"])
    ess = weighed["ess"]
    weight_histogram(axes["weights"], log_w, f"ESS {with_error(ess.value, ess.error)} over {options.n}")
    free = weighed["free_energy_per_site"]
    figure.suptitle(
        f"Ising model, {height}x{width}, T = $T_c$: F/N = {with_error(free.value, free.error)}, "
        f"exact (Kaufman) {exact.free_energy_per_site:.8f}"
    )
    figure.savefig(FIGURES / "critical.png", dpi=110)
    print(figure.get_suptitle())


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
