"""A lattice with its boundary held fixed: free energies and an interface from a network trained without it.

A network learns the open LxL Ising lattice at T > T_c. Then its boundary is held fixed, all up (`++`) or up in the
upper half and down in the lower (`+-`), and the rest drawn. Importance weights make the free energies of both exact;
their difference is that of the interface which `+-` forces through the lattice. The judge is the transfer matrix of the
inner lattice, on which the boundary acts as a field. The last line is JSON.

    python benchmarks/fixed_boundary.py [--sizes 8 16] [--temperature 2.6] [--steps 400] [-n 100000]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import cached_property

import torch
from torch import Tensor

import latticear as la
from latticear.exact import transfer_matrix


class Surrounded(la.Ising):
    """The inner lattice of an open one whose boundary spins are fixed.

    Args:
        spins: `(L, L)`, the fixed ones at the boundary.
    """

    def __init__(self, spins: Tensor) -> None:
        super().__init__((len(spins) - 2, len(spins) - 2), periodic=False)
        ring = spins.double().clone()
        ring[1:-1, 1:-1] = 0
        self._fields = ring[:-2, 1:-1] + ring[2:, 1:-1] + ring[1:-1, :-2] + ring[1:-1, 2:]
        bonds = (ring[:, :-1] * ring[:, 1:]).sum() + (ring[:-1] * ring[1:]).sum()
        self.constant = -bonds.item()  # energy of the boundary alone

    @cached_property
    def site_energies(self) -> Tensor:
        return -self._fields.flatten()[:, None] * self.states


def boundaries(size: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The mask of the boundary, and the tokens on it."""
    where = torch.ones(size, size, dtype=torch.bool)
    where[1:-1, 1:-1] = False
    upper = torch.arange(size)[:, None].expand(size, size) < size // 2
    return where, {"++": torch.ones(size, size, dtype=torch.long), "+-": upper.long()}


def measure(size: int, temperature: float, steps: int, n: int) -> dict[str, object]:
    ising = la.Ising((size, size), periodic=False)
    model = la.PixelCNN(
        (size, size),
        depth=4,
        kernel_size=(7, 3, 3, 3),
        spin_flip_symmetric=True,
        bias=ising.bias(temperature),
    )
    start = time.perf_counter()
    for _ in la.fit(model, ising, temperature=temperature, steps=steps, batch_size=128):
        pass
    row: dict[str, object] = {"size": size, "training_seconds": time.perf_counter() - start}
    where, tokens = boundaries(size)
    values = []
    for seed, (name, given) in enumerate(tokens.items()):
        estimates = la.estimate(model.sample_batches(n, seed=seed, given=given, where=where), ising, temperature)
        around = Surrounded(ising.states[given])
        exact = transfer_matrix(around, temperature).log_z - around.constant / temperature
        log_z = estimates["log_z"]
        values.append((log_z.value, log_z.error, exact))
        row[name] = {"log_z": log_z.value, "error": log_z.error, "exact": exact, "ess": estimates["ess"].value}
        print(
            f"{size:4d}  {name}   ln Z = {log_z.value:.4f} +- {log_z.error:.4f}, exact {exact:.4f}, "
            f"{(log_z.value - exact) / log_z.error:+.1f} errors, ESS {estimates['ess'].value:.3f}, "
            f"k-hat {estimates['pareto_k'].value:.2f}",
            flush=True,
        )
    (a, error_a, exact_a), (b, error_b, exact_b) = values
    interface, error = temperature * (a - b), temperature * math.hypot(error_a, error_b)
    row["interface"] = {"value": interface, "error": error, "exact": temperature * (exact_a - exact_b)}
    print(f"{size:4d}  interface {interface:.3f} +- {error:.3f}, exact {temperature * (exact_a - exact_b):.3f}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--temperature", type=float, default=2.6)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("-n", type=int, default=100_000)
    options = parser.parse_args()
    rows = [measure(size, options.temperature, options.steps, options.n) for size in options.sizes]
    print(json.dumps({"rows": rows, **vars(options), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
