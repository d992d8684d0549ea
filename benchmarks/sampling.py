"""How fast configurations are drawn: the wavefront engine against its ceiling, a forward pass, naive sampling, NetKet.

All in one run on one machine, warm, the best of some repetitions:
- `of product`: multiply-adds of the live taps a second, over those of a plain matrix product of the layer's shape;
- `/ forward`: time of the engine over one teacher-forced `log_prob` of the same batch; in brackets, at batch 16;
- `naive /`: time of the loop of most public codes, one pass for each site, over that of the engine; the passes of the
  reference (one for each front) are timed, and their number is scaled to one for each site;
- `/ NetKet`: configurations a second over those of NetKet's FastARNNConv2D of the same depth, width and kernel,
  float32, jitted, where `pip install netket` has been run.

`--memory` adds the peak memory of 10,000 configurations of 64x64 in one call. The last line is JSON.

    python benchmarks/sampling.py [--sizes 16 32 64 128] [--width 32] [--depth 6] [--kernel 3] [--batch 256] [--memory]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import subprocess
import sys

import torch
from timing import best_of, keep_memory, product_rate

import latticear as la
from latticear.kernels.library import instruction_sets

NAIVE_UP_TO, NETKET_UP_TO = 32, 32
"""The largest lattices on which the slow rivals are timed."""


def netket_rate(size: int, width: int, depth: int, kernel: int, batch: int) -> float | None:
    """Configurations a second of NetKet's cached convolutional network, or None without NetKet."""
    if size > NETKET_UP_TO or importlib.util.find_spec("netket") is None:
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
    repeats = 10 if size <= 64 else 3
    engine = best_of(lambda: model.sample(batch), repeats)
    forward = best_of(lambda: model.log_prob(tokens), repeats)
    few = best_of(lambda: model.sample(16), repeats) / best_of(lambda: model.log_prob(tokens[:16]), repeats)
    naive = math.nan
    if size <= NAIVE_UP_TO:
        n_passes = len(model.rank.unique())
        naive = best_of(lambda: model.sample(batch, method="reference"), 1) * size**2 / n_passes
    taps = (kernel * kernel + 1) // 2
    work = batch * size**2 * (2 * (taps - 1) * width + (depth - 1) * taps * width**2 + 2 * width)
    ideal = work / product_rate(min(batch * size**2, 65536), width, taps)
    rival = netket_rate(size, width, depth, kernel, batch)
    return {
        "size": size,
        "configurations_per_second": batch / engine,
        "of_product": ideal / engine,
        "over_forward": engine / forward,
        "over_forward_batch_16": few,
        "naive_over_engine": None if math.isnan(naive) else naive / engine,
        "netket_per_second": rival,
        "over_netket": None if rival is None else batch / engine / rival,
    }


def peak_memory() -> float:
    """GB at most while 10,000 configurations of 64x64 are drawn in one call, everything imported included."""
    code = (
        "import resource, latticear as la;"
        "la.PixelCNN((64, 64), 2, width=32, depth=6, kernel_size=3).sample(10_000);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    kilobytes = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return int(kilobytes) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--kernel", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    print(
        f"{options.depth} layers {options.kernel}x{options.kernel} of {options.width} channels, batch {options.batch}, "
        f"{options.threads} threads, kernels {(instruction_sets() or ['not built'])[-1]}"
    )
    print("   L  configurations/s  of product    / forward (16)  naive /  NetKet/s  / NetKet")
    rows = []
    for size in options.sizes:
        row = measure(size, options.width, options.depth, options.kernel, options.batch)
        rows.append(row)
        naive, rival = row["naive_over_engine"], row["netket_per_second"]
        print(
            f"{size:4d}{row['configurations_per_second']:18.0f}{row['of_product']:12.2f}{row['over_forward']:12.2f}"
            f" ({row['over_forward_batch_16']:4.2f}){'-' if naive is None else round(naive):>9}"
            + ("         -         -" if rival is None else f"{rival:10.0f}{row['over_netket']:10.1f}"),
            flush=True,
        )
    result = {"rows": rows, **vars(options), "torch": torch.__version__, "kernels": instruction_sets()[-1:]}
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        ratio = first["configurations_per_second"] / last["configurations_per_second"]
        result["exponent"] = math.log(ratio) / math.log(last["size"] / first["size"])
        print(f"time of a configuration grows as L to the power {result['exponent']:.2f}")
    if options.memory:
        result["peak_memory_gb"] = peak_memory()
        print(f"10,000 configurations of 64x64 in one call: at most {result['peak_memory_gb']:.2f} GB")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
