"""Draw the free energy of a spin glass from one network beside the Pfaffian one: `python docs/glass.py RUN [-n 5000]`.

latticear train --size 8 --temperature 0.5:3 --set hamiltonian.name=edwards_anderson --set model.name=multiscale \
    --set training.steps=800 --set training.batch_size=256 --out runs/glass_range
python docs/glass.py runs/glass_range
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import latticear as la
from latticear.workflows import trained

FIGURES = Path(__file__).parent / "figures"
N_POINTS = 11
N_CURVE = 101


def main() -> None:
    """Weigh samples all along the range of a run, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=5000)
    options = parser.parse_args()
    run = trained(options.run, "cpu")
    target, model, glass = run.target, run.model, run.target.system
    if not target.covers_range:
        raise SystemExit(f"{options.run} must be a run for a range of temperatures, got {target}")
    curve = [(t, la.exact.kasteleyn(glass, t).free_energy_per_site) for t in target.along(N_CURVE)]
    points = []
    for k, (t, setting) in enumerate(target.along(N_POINTS).items()):
        batches = model.sample_batches(options.n, seed=1, start=k * options.n, condition=setting.condition)
        found = la.estimate(batches, glass, t, exact=la.exact.kasteleyn(glass, t))
        points.append((t, found["free_energy_per_site"], found["ess"].value))
        print(f"T = {t:.3f}  F/N {points[-1][1]}  {points[-1][1].deviation:+.1f} errors  ESS {points[-1][2]:.3f}")
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    size = "x".join(map(str, glass.shape))
    figure.suptitle(rf"Edwards-Anderson $\pm J$, {size} torus: one network for all temperatures", fontsize=10)
    left.plot(*zip(*curve, strict=True), color="0.5", label="Pfaffians")
    at = [t for t, _, _ in points]
    left.plot(at, [f.value for _, f, _ in points], "o", color="C0", ms=4, label="network, weighted")
    left.set(xlabel="temperature / J", ylabel="free energy per site / J")
    left.legend(frameon=False)
    middle.axhline(0, color="0.5")
    off = [1e4 * (f.value - f.exact) for _, f, _ in points]
    middle.errorbar(at, off, [1e4 * f.error for _, f, _ in points], fmt="o", color="C0", ms=4)
    middle.set(xlabel="temperature / J", ylabel=r"difference from exact / $10^{-4} J$")
    right.plot(at, [ess for _, _, ess in points], "o-", color="C0", ms=4)
    right.set(xlabel="temperature / J", ylabel=f"ESS over {options.n}", ylim=(0, 1.02))
    figure.savefig(FIGURES / "glass.png", dpi=150)


if __name__ == "__main__":
    main()
