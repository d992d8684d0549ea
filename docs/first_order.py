"""Draw the two phases of a Potts model at its transition: `python docs/first_order.py`, half a minute of one core.

P(E) from multicanonical chains at equal weight of the phases and at equal height of its maxima, the profile
-T ln P(E), and what the chains did: all energies equally often.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import latticear as la

FIGURES = Path(__file__).parent / "figures"
Q, SIZE, WINDOW = 20, 16, (0.56, 0.62)


def main() -> None:
    """Simulate, find the phases and draw them."""
    potts, exact = la.Potts((SIZE, SIZE), q=Q), la.exact.potts_transition(Q)
    drawn = la.multicanonical(potts, WINDOW, n=400_000, seed=1)
    found = la.coexistence(drawn, potts, ratio=Q)
    print(found)
    n, values = potts.n_sites, found.values
    per_site, low, high = found.energy / n, found.maxima[0] / n, found.maxima[1] / n
    log_p = np.log(found.probability)
    shift = 1 / values["temperature_equal_height"] - 1 / values["temperature"]  # of 1/T, to equal weight
    weighted = np.exp(log_p + shift * (found.energy - found.energy.mean()))
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    figure.suptitle(f"Potts model with {Q} states, {SIZE}x{SIZE} torus, at the transition of first order", fontsize=10)
    left.plot(per_site, found.probability, ".", color="C0", ms=2, label="equal height")
    left.plot(per_site, found.smooth, color="C0", lw=1)
    left.plot(per_site, weighted / weighted.sum(), color="C1", lw=1, label=f"ordered {Q} times the disordered")
    for e in (values["energy_ordered"], values["energy_disordered"]):
        left.axvline(e, color="C1", ls=":", lw=1)
    left.set(xlabel="E / N", ylabel="P(E)", ylim=(None, 1.4 * weighted.max() / weighted.sum()))
    left.legend(frameon=False, fontsize=8)
    t = values["temperature_equal_height"]
    middle.plot(per_site, -t * (log_p - np.log(found.smooth.max())), ".", color="C0", ms=2)
    middle.plot(per_site, -t * np.log(found.smooth / found.smooth.max()), color="C0", lw=1)
    middle.hlines([0, t * values["barrier"]], low, high, color="0.5", lw=1)
    expected = 2 * SIZE * exact.interface_tension
    middle.hlines(expected, low, high, color="C3", ls="--", lw=1, label=r"exact $2 L \sigma$")
    middle.set(xlabel="E / N", ylabel=r"$-T \ln P(E) + $const", ylim=(-0.3, 1.6 * t * values["barrier"]))
    middle.legend(frameon=False, fontsize=8)
    right.plot(np.arange(20_000), drawn.energies[:20_000, 0] / n, color="C0", lw=0.3)
    right.set(xlabel="sweep", ylabel="E / N of one chain")
    figure.savefig(FIGURES / "first_order.png", dpi=110)


if __name__ == "__main__":
    main()
