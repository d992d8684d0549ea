"""What a configuration of the multiscale network costs as the lattice grows: draw, teacher-forced pass, training step.

Sites cost the same on every lattice and the phases are O(log L), so the exponent of the time in L should be 2. Ceiling:
a draw at the price of a teacher-forced pass. Times are processor time of all threads. The last line is JSON.

    python benchmarks/depth.py [--sizes 16 32 64 128] [--width 32] [--repeats 5] [--pytorch]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial

import torch
from timing import best_of

import latticear as la

SITES = 2**18
"""In a batch, on every lattice."""


def measured(size: int, width: int, repeats: int) -> dict[str, float]:
    ising = la.Ising((size, size))
    model = la.MultiscalePixelCNN((size, size), width=width, spin_flip_symmetric=True, bias=ising.bias(la.T_C))
    n = max(64, SITES // ising.n_sites)
    samples = model.sample(n, seed=1)
    assert samples.log_q is not None

    def passed() -> None:
        with torch.no_grad():
            model.log_prob(samples.tokens)

    steps = la.fit(model, ising, temperature=la.T_C, objective="reverse-kl", steps=10**6, batch_size=n)
    cost = partial(best_of, repeats=repeats, clock=time.process_time)
    row = {
        "draw": cost(lambda: model.sample(n, seed=2)),
        "pass": cost(passed),
        "step": cost(lambda: next(steps)),
    }
    steps.close()
    return {"size": size, "n": n, "phases": int(model.rank.max()) + 1} | {k: v / n for k, v in row.items()}


def exponent(rows: list[dict[str, float]], key: str) -> float:
    """Least squares of ln t against ln L."""
    x, y = ([math.log(row[name]) for row in rows] for name in ("size", key))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pytorch", action="store_true", help="without the compiled kernels")
    options = parser.parse_args()
    if options.pytorch:
        la.MultiscalePixelCNN.kernels = lambda self: None
    rows = []
    print("   L phases     draw     pass     step   (microseconds of the processor a configuration; /site)")
    for size in options.sizes:
        row = measured(size, options.width, options.repeats)
        rows.append(row)
        times = [1e6 * row[key] for key in ("draw", "pass", "step")]
        per_site = ", ".join(f"{t / size**2:.3f}" for t in times)
        print(f"{size:4d} {row['phases']:6d} " + " ".join(f"{t:8.1f}" for t in times) + f"   ({per_site})", flush=True)
    exponents = {key: exponent(rows, key) for key in ("draw", "pass", "step")} if len(rows) > 1 else {}
    if exponents:
        print("exponent in L: " + ", ".join(f"{key} {value:.2f}" for key, value in exponents.items()))
    print(json.dumps({"rows": rows, "exponents": exponents, **vars(options)}))


if __name__ == "__main__":
    main()
