"""Where the time of a training step goes: sampling, forward pass, backward pass, optimiser.

Ceiling: the arithmetic of the live taps at the rate of a plain matrix product of the layer's shape in the same run.
The last line is JSON.

    python benchmarks/training_step.py [--sizes 8 16] [--batch 256] [--width 32] [--depth 6] [--threads 2] [--compile]
"""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

import torch
from timing import best_of, product_rate

import latticear as la
from latticear.training.objectives import reverse_kl


def measure(size: int, batch: int, width: int, depth: int, symmetric: bool, compiled: bool) -> dict[str, float]:
    ising = la.Ising((size, size))
    bias = ising.bias(la.T_C)
    model = la.PixelCNN((size, size), 2, width=width, depth=depth, spin_flip_symmetric=symmetric, bias=bias)
    optimizer = torch.optim.Adam(model.parameters())
    samples = model.sample(batch)
    network: Any = torch.compile(model) if compiled else model

    def forward_and_backward() -> None:
        reverse_kl(network, ising, 1 / la.T_C, samples)[0].backward()

    sampling = best_of(lambda: model.sample(batch), 3)
    forward = best_of(lambda: reverse_kl(network, ising, 1 / la.T_C, samples))
    both = best_of(forward_and_backward)
    adam = best_of(optimizer.step)
    passes = 2 if symmetric else 1
    rows = batch * size**2 * passes
    first, *others = model.layers[::2]
    work = rows * (len(first.offsets) * 2 * width + sum(len(layer.offsets) for layer in others) * width**2 + 2 * width)
    return {
        "size": size,
        "sampling": sampling,
        "forward": forward,
        "backward": both - forward,
        "optimizer": adam,
        "step": sampling + both + adam,
        "network_passes_to_sample": len(model.rank.unique()),
        "forward_ceiling": work / product_rate(min(rows, 32768), width, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-spin-flip", action="store_true")
    parser.add_argument("--compile", action="store_true", help="the passes of the network by torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [
        measure(size, options.batch, options.width, options.depth, not options.no_spin_flip, options.compile)
        for size in options.sizes
    ]
    print("milliseconds a step; 'ceiling' is the forward pass at the rate of a plain matrix product")
    print("   L  sampling   forward  backward  optimiser      step   ceiling  passes to sample")
    for row in rows:
        times = [row[k] * 1e3 for k in ("sampling", "forward", "backward", "optimizer", "step", "forward_ceiling")]
        print(f"{row['size']:4d}" + "".join(f"{t:10.1f}" for t in times) + f"{row['network_passes_to_sample']:18d}")
    machine = {"threads": options.threads, "torch": torch.__version__, "machine": platform.machine()}
    print(json.dumps({"rows": rows, **vars(options), **machine}))


if __name__ == "__main__":
    main()
