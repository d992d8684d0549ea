"""What a GPU makes of the package: tests on it, draws against its own ceilings, and minutes of training at L = 64, 128.

Three parts, each a process with a limit of its time; what a part has found is in the results file as soon as it is
known, so that a part that is cut off loses nothing:
- `tests`: the tests marked `gpu`, on the device;
- `drawing`: configurations a second, at L = 16, 32, 64, 128, of `pixelcnn` (six 3x3 layers of 32 and 64 channels) and
  `multiscale`; `/ forward` is the time of a draw over that of one `log_prob` of the same configurations; `of product`
  its multiply-adds a second over those of a plain matrix product of the layer's shape, `of memory` the bytes that it
  must move at least (each hidden value written and read once) over those of a plain copy, on the same device in the
  same run; `few` are the milliseconds of a draw of 512, a batch of a training, of which a whole block is drawn all the
  same; `first` are the seconds of the first draw, in which the engine is built and recorded;
- `training`: the ESS of `multiscale` at T_c after fixed minutes of training, smaller lattices and data included.

Best possible: 1 for `/ forward` and for the larger of the two shares; ESS 1. Speeds are in float32 with PyTorch's
default precision of products. The last line is JSON.

    python benchmarks/gpu.py [--device cuda] [--parts tests drawing training] [--quick] [--out FILE]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from timing import best_of, product_rate, waited_for

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.sampling import drawer

HERE = Path(__file__).parent
LIMITS = {"tests": 150, "drawing": 140, "training": 180}
"""Seconds for each part; 7.8 minutes together."""

SIZES, DEPTH, KERNEL, FEW = (16, 32, 64, 128), 6, 3, 512
NETWORKS = (("pixelcnn", 32), ("pixelcnn", 64), ("multiscale", 32))
MINUTES = {64: 1.0, 128: 1.4}
"""Of training, by size."""

Row = dict[str, Any]
Say = Callable[[str], None]


def ceilings(device: str, quick: bool) -> Row:
    """Bytes a second of a copy, and multiply-adds a second of a large square product in float32."""
    n = 2**20 if quick else 2**28
    source, target = torch.randn(2, n, device=device)
    copied = best_of(waited_for(lambda: target.copy_(source), device), 5)
    size = 256 if quick else 8192
    return {"bytes_per_second": 8 * n / copied, "products_per_second": product_rate(size, size, 1, device)}


@torch.no_grad()
def draw(name: str, width: int, size: int, device: str, limits: Row, quick: bool) -> Row:
    """A row of the table of draws."""
    ising = la.Ising((size, size))
    if name == "pixelcnn":
        options: Row = {"width": width, "depth": DEPTH, "kernel_size": KERNEL}
    else:
        options = {"width": width, "bias": ising.bias(la.T_C), "spin_flip_symmetric": True}
    model = la.MODELS[name]((size, size), 2, **options).to(device).eval()
    batch = 16 if quick else drawer(model).block
    t_start = time.perf_counter()
    samples = model.sample(batch, seed=1)
    waited_for(lambda: None, device)()
    first = time.perf_counter() - t_start
    repeats = 1 if quick else 5
    engine = best_of(waited_for(lambda: model.sample(batch, seed=1), device), repeats)
    forward = best_of(waited_for(lambda: model.log_prob(samples.tokens), device), repeats)
    few = best_of(waited_for(lambda: model.sample(min(FEW, batch), seed=1), device), repeats)
    off = float((model.log_prob(samples.tokens) - samples.log_q).abs().max())
    row: Row = {"model": name, "width": width, "size": size, "batch": batch, "first_seconds": first}
    row |= {"configurations_per_second": batch / engine, "over_forward": engine / forward, "log_q_off": off}
    row["few_seconds"] = few
    if name == "pixelcnn":
        taps, sites = (KERNEL * KERNEL + 1) // 2, batch * size**2
        work = sites * (2 * (taps - 1) * width + (DEPTH - 1) * taps * width**2 + 2 * width)
        rate = product_rate(min(sites, 2**20), width, taps, device)
        row["of_product"] = work / rate / engine
        row["of_memory"] = sites * DEPTH * width * 4 * 2 / limits["bytes_per_second"] / engine
    return row


def drawing(device: str, quick: bool, say: Say) -> Iterator[Row]:
    limits = ceilings(device, quick)
    copied, products = limits["bytes_per_second"] / 1e9, limits["products_per_second"] / 1e12
    say(f"a copy moves {copied:.0f} GB/s; a square product in float32 makes {products:.2f}e12 multiply-adds a second")
    yield {"ceilings": limits}
    say(
        "model       width    L   batch  configurations/s / forward of product of memory   few ms  first s log q off by"
    )
    for size in (4,) if quick else SIZES:
        for name, width in NETWORKS:
            try:
                row = draw(name, width, size, device, limits, quick)
            except torch.OutOfMemoryError as error:
                say(f"{name:10s}{width:7d}{size:5d}  does not fit: {str(error).partition('.')[0]}")
                continue
            shares = [f"{row[key]:.2f}" if key in row else "-" for key in ("of_product", "of_memory")]
            say(
                f"{name:10s}{width:7d}{size:5d}{row['batch']:8d}{row['configurations_per_second']:18.0f}"
                f"{row['over_forward']:10.2f}{shares[0]:>11}{shares[1]:>10}"
                f"{1e3 * row['few_seconds']:8.1f}{row['first_seconds']:8.1f}{row['log_q_off']:13.1e}"
            )
            yield row


def training(device: str, quick: bool, say: Say) -> Iterator[Row]:
    import critical

    from latticear.runs.config import load_config

    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    for size, minutes in ({4: 0.01} if quick else MINUTES).items():
        sets = [f"training.n_monte_carlo={2000 if quick else 5000}", f"training.batch_size={64 if quick else 512}"]
        config = load_config(critical.CONFIG, sets, {"hamiltonian": {"shape": [size, size]}})
        critical.WARM_UP = min(critical.WARM_UP, 4 * minutes)
        t_start = time.perf_counter()
        model, stages = critical.train(config, 60 * minutes, False, device)
        elapsed, n = time.perf_counter() - t_start, 500 if quick else 20_000
        t_start = time.perf_counter()
        ising, temperature = config.target.system, config.target.temperature
        estimates = la.estimate(model.sample_batches(n, seed=1), ising, temperature)
        drawn, log_z = time.perf_counter() - t_start, estimates["log_z"]
        say(
            f"multiscale at T_c, L = {size}: ESS {estimates['ess']} over {n} after {elapsed:.0f} s ("
            + ", ".join(f"{stage['size']}: {stage['steps']} steps" for stage in stages)
            + f"); ln Z {log_z.deviation:+.1f} errors off; {drawn / n * 1e3:.3f} ms a configuration with estimates"
        )
        yield {
            "training": size,
            "seconds": elapsed,
            "ess": estimates["ess"].value,
            "n": n,
            "log_z_deviation": log_z.deviation,
            "stages": stages,
        }


PARTS: dict[str, Callable[[str, bool, Say], Iterator[Row]]] = {"drawing": drawing, "training": training}


def command(part: str, options: argparse.Namespace, rows: Path) -> list[str]:
    if part != "tests":
        quick = ["--quick"] if options.quick else []
        return [sys.executable, __file__, "--only", part, "--rows", str(rows), "--device", options.device, *quick]
    workers = ["-n", "4"] if importlib.util.find_spec("xdist") else []
    marked = ["-m", "gpu", "--tb", "short", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", "-q", *marked, *workers, str(HERE.parent / "tests")]


def run(part: str, options: argparse.Namespace, rows: Path, say: Say) -> str:
    """Run a part in a process of its own, within its limit; returns how it ended."""
    if part == "tests" and not all(importlib.util.find_spec(name) for name in ("pytest", "hypothesis")):
        return "not run: needs pytest and hypothesis"
    limit, t_start = LIMITS[part], time.perf_counter()
    process = subprocess.Popen(
        command(part, options, rows), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HERE.parent
    )
    stop = [
        threading.Timer(limit, process.send_signal, [signal.SIGINT]),  # pytest then says what has failed
        threading.Timer(limit + 5, process.kill),
    ]
    for timer in stop:
        timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        say(line.rstrip())
    code = process.wait()
    for timer in stop:
        timer.cancel()
    elapsed = time.perf_counter() - t_start
    return f"cut off after {limit} s" if elapsed >= limit else f"{'done' if code == 0 else 'FAILED'} in {elapsed:.0f} s"


def about(device: str) -> Row:
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or "cpu",
        "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or torch.version.hip,
        "latticear": la.__version__,
        "python": platform.python_version(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "kernels": instruction_sets()[-1:],
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--parts", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script; without the tests")
    parser.add_argument("--out", type=Path, help="results file; by default in benchmarks/results, or none if --quick")
    parser.add_argument("--only", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU: PyTorch sees no CUDA device; nothing was measured (to try it: --device cpu --quick)")
    if options.only:
        with options.rows.open("a") as file:
            for row in PARTS[options.only](options.device, options.quick, lambda line: print(line, flush=True)):
                print(json.dumps(row), file=file, flush=True)
        return
    whole = about(options.device)
    slug = re.sub(r"\W+", "_", whole["device"].lower()).strip("_")
    out = options.out or (None if options.quick else HERE / "results" / f"gpu_{slug}_{whole['date']}.txt")
    lines = None if out is None else out.open("w")

    def say(line: str) -> None:
        for file in (sys.stdout, lines):
            if file is not None:
                print(line, file=file, flush=True)

    say(", ".join(f"{name} {value}" for name, value in whole.items() if value))
    ends, rows = {}, []
    for part in options.parts:
        if part == "tests" and options.quick:
            continue
        with tempfile.NamedTemporaryFile() as file:
            ends[part] = run(part, options, Path(file.name), say)
            rows += [json.loads(line) for line in Path(file.name).read_text(encoding="utf-8").splitlines()]
        say(f"{part}: {ends[part]}")
    say(json.dumps(whole | {"parts": ends, "rows": rows}))
    if lines is not None:
        lines.close()
        print(f"written to {out}")
    if any("FAILED" in end for end in ends.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
