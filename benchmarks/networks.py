"""What a draw costs in teacher-forced passes, for every network, and which engine draws it.

A draw of a batch and one `log_prob` of the same configurations, in turns and repeated; of each the fastest counts, by
the processor time of one thread, so that other work on the machine does not decide. Default sizes, then wider networks
as in the papers. Ceiling: a pass computes each value of the network once, and so does a draw; the taps that it leaves
out, since they are masked, can make it cheaper. The bounds are 2.5 passes for the gated and the residual network, 10
for PixelCNN++ and the transformer. The last line is JSON.

    python benchmarks/networks.py [--sizes 16 32] [--batch 256] [--repeats 3] [--only transformer] [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from timing import keep_memory

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.sampling import drawer

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in la.MODELS),
    ("gated", {"first_kernel_size": None}),
    ("gated", {"width": 64}),
    ("residual", {"kernel_size": None}),
    ("residual", {"width": 64}),
    ("pixelcnnpp", {"output": "logistic"}),
    ("pixelcnnpp", {"levels": 2}),
    ("pixelcnnpp", {"levels": 2, "output": "logistic"}),
    ("pixelcnnpp", {"width": 32, "levels": 2, "first_kernel_size": 3}),
    ("transformer", {"width": 128}),
    ("pixelsnail", {"width": 64}),
]
BOUNDS = {"gated": 2.5, "residual": 2.5, "pixelcnnpp": 10.0, "transformer": 10.0}


def in_turns(works: list[Callable[[], object]], repeats: int, seconds: float) -> list[float]:
    """Processor seconds of each work, the fastest of some rounds; the first round warms up, unless it took too long."""
    rounds: list[list[float]] = []
    while len(rounds) <= repeats:
        times = []
        for work in works:
            t_start = time.process_time()
            work()
            times.append(time.process_time() - t_start)
        rounds.append(times)
        if sum(map(sum, rounds)) > seconds:
            break
    return [min(times) for times in zip(*(rounds[1:] or rounds), strict=True)]


@torch.no_grad()
def measure(name: str, arguments: dict[str, Any], size: int, batch: int, repeats: int, seconds: float) -> dict:
    model = la.MODELS[name]((size, size), 2, **arguments).eval()
    model.sample(1)  # builds the engine
    tokens = model.sample(batch).tokens
    draw, forward = in_turns([lambda: model.sample(batch), lambda: model.log_prob(tokens)], repeats, seconds)
    return {
        "network": name,
        **arguments,
        "size": size,
        "engine": type(drawer(model)).__name__,
        "ticks": int(model.rank.max()) + 1,
        "draw_seconds": draw,
        "pass_seconds": forward,
        "over_pass": draw / forward,
        "samples_per_second": batch / draw,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="after so many no further round of a network begins")
    parser.add_argument("--only", nargs="+", choices=list(la.MODELS), default=list(la.MODELS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    print(f"batch {options.batch}, one thread, kernels {(instruction_sets() or ['not built'])[-1]}")
    print(
        "   L  network                                     engine        ticks   draw / s   pass / s  ratio  samples/s"
    )
    rows = []
    for size in options.sizes:
        for name, arguments in VARIANTS:
            if name not in options.only:
                continue
            row = measure(name, arguments, size, options.batch, options.repeats, options.seconds)
            rows.append(row)
            title = " ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
            mark = " over the bound" if row["over_pass"] > BOUNDS.get(name, float("inf")) else ""
            print(
                f"{size:4d}  {title:43s} {row['engine']:12s}{row['ticks']:7d}{row['draw_seconds']:11.4f}"
                f"{row['pass_seconds']:11.4f}{row['over_pass']:7.2f}{row['samples_per_second']:11.0f}{mark}",
                flush=True,
            )
    print(json.dumps({"rows": rows, **vars(options), "torch": torch.__version__, "kernels": instruction_sets()[-1:]}))


if __name__ == "__main__":
    main()
