"""How fast configurations are drawn: the wavefront engine against its ceiling and against naive sampling.

Ceilings and rivals, in the same run on the same machine:
- `of product`: arithmetic of the live taps at the rate of a plain matrix product of the layer's shape, over the time
  of the engine (1 is the ceiling);
- `/ forward`: time of the engine over one teacher-forced `log_prob` of the same batch;
- `naive /`: time of the reference loop (one pass of the network for each front) over that of the engine; the column
  `sites` is the same for one pass for each site, the loop of most public codes, extrapolated from the passes.
- NetKet's FastARNNConv2D, where `pip install netket` has been run: configurations a second, jitted and warm.

The last line is JSON.

    python benchmarks/sampling.py [--sizes 16 32] [--width 32] [--depth 6] [--kernel 3] [--batch 256]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math

import torch
from timing import best_of, product_rate

import latticear as la


def netket_rate(size: int, width: int, depth: int, kernel: int, batch: int) -> float | None:
    """Configurations a second of NetKet's cached convolutional network, or None without NetKet."""
    if importlib.util.find_spec("netket") is None:
        return None
    import jax
    import netket

    space = netket.hilbert.Spin(0.5, size * size)
    model = netket.models.FastARNNConv2D(
        hilbert=space,
        layers=depth,  # the last gives the logits: a layer less than ours
        features=width,
        kernel_size=(kernel // 2 + 1, kernel),
        activation=jax.nn.relu,
        param_dtype=jax.numpy.float32,
    )
    state = netket.vqs.MCState(netket.sampler.ARDirectSampler(space), model, n_samples=batch)

    def draw() -> None:
        state.reset()
        jax.block_until_ready(state.sample())

    return batch / best_of(draw, 3)


@torch.no_grad()
def measure(size: int, width: int, depth: int, kernel: int, batch: int) -> dict[str, float | None]:
    model = la.PixelCNN((size, size), 2, width=width, depth=depth, kernel_size=kernel).eval()
    tokens = model.sample(batch).tokens
    engine = best_of(lambda: model.sample(batch), 5)
    forward = best_of(lambda: model.log_prob(tokens), 5)
    n_passes = len(model.rank.unique())
    naive = best_of(lambda: model.sample(batch, method="reference"), 1) if size <= 32 else math.nan
    taps = (kernel * kernel + 1) // 2
    work = batch * size**2 * (2 * (taps - 1) * width + (depth - 1) * taps * width**2 + 2 * width)
    ideal = work / product_rate(min(batch * size**2, 65536), width, taps)
    netket = netket_rate(size, width, depth, kernel, batch) if size <= 32 else None
    return {
        "size": size,
        "configurations_per_second": batch / engine,
        "of_product": ideal / engine,
        "over_forward": engine / forward,
        "naive_over_engine": naive / engine,
        "sites_over_engine": naive / engine * size**2 / n_passes,
        "netket_per_second": netket,
        "over_netket": None if netket is None else batch / engine / netket,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--kernel", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("   L  configurations/s  of product  / forward  naive /  sites /  NetKet/s  / NetKet")
    rows = []
    for size in options.sizes:
        row = measure(size, options.width, options.depth, options.kernel, options.batch)
        rows.append(row)
        rival = row["netket_per_second"]
        print(
            f"{size:4d}{row['configurations_per_second']:18.0f}{row['of_product']:12.2f}{row['over_forward']:11.2f}"
            f"{row['naive_over_engine']:9.0f}{row['sites_over_engine']:9.0f}"
            + ("         -         -" if rival is None else f"{rival:10.0f}{row['over_netket']:10.1f}"),
            flush=True,
        )
    print(json.dumps({"rows": rows, **vars(options), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
