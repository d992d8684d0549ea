"""Does Python cost as much processor time as the command line for the same work, alone and beside a busy neighbour?

Measured are processor and wall seconds of short trainings and a draw, in fresh processes that import PyTorch before
latticear, or latticear before PyTorch, or run the commands `latticear train` and `latticear sample`; first with nothing
else of this benchmark running, then beside processes that keep some of the cores busy. All use as many threads as there
are by default. Best possible: the processor time of the same work with one thread, alone. With `--against`, the same of
another version of the package (a folder that holds it, with its kernels built). Processor seconds can be compared on a
machine that others use as well, wall seconds only where it is idle. The last line is JSON.

    python benchmarks/overhead.py [--steps 5] [--neighbours 1] [--against FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]

TRAININGS: dict[str, tuple[str, int, dict[str, Any], int]] = {
    "4x4, train": ("pixelcnn", 4, {"width": 16}, 10),
    "6x6, train gated": ("gated", 6, {}, 1),
    "8x8, train": ("pixelcnn", 8, {}, 1),
    "8x8, train multiscale": ("multiscale", 8, {}, 10),
}
"""Name of the network, extent, its arguments, and how many times `--steps` steps are made."""

N_SAMPLES = 2000
"""Number of samples in a draw, of the last network trained."""

ROUTES = {"one thread": "torch", "torch first": "torch", "latticear first": "latticear", "command line": "commands"}
"""What is measured, with the way in which it runs."""


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Processor and wall seconds of a piece of work in this process."""
    before, t_start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    elapsed, after = time.perf_counter() - t_start, resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall": elapsed}


def in_python(steps: int) -> dict[str, dict[str, float]]:
    import latticear as la

    row = {}
    for name, (network, size, options, times) in TRAININGS.items():
        ising = la.Ising((size, size))
        model = la.MODELS[network]((size, size), spin_flip_symmetric=True, bias=ising.bias(la.T_C), **options)
        fit = la.fit(model, ising, temperature=la.T_C, steps=steps * times, objective="reverse-kl")
        row[name] = measured(lambda fit=fit: list(fit))
    return row | {"8x8, sample": measured(lambda: model.sample(N_SAMPLES))}


def by_commands(steps: int) -> dict[str, dict[str, float]]:
    from latticear.cli import app

    def command(*words: object) -> None:
        app([str(word) for word in words], standalone_mode=False)

    row = {}
    with tempfile.TemporaryDirectory() as folder:
        command("exact", "--size", 2, "--json")  # imports what a command needs
        for name, (network, size, options, times) in TRAININGS.items():
            keys = {f"model.{key}": value for key, value in options.items()}
            keys |= {"model.name": network, "training.steps": steps * times, "training.objective": "reverse-kl"}
            sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
            run = Path(folder) / name
            row[name] = measured(
                lambda size=size, run=run, sets=sets: command("train", "--size", size, "-o", run, *sets)
            )
        draw = ("sample", run, "-n", N_SAMPLES, "-o", Path(folder) / "samples.h5")
        return row | {"8x8, sample": measured(lambda: command(*draw))}


def serve(way: str, steps: int) -> None:
    """Measure everything in this process; the last line printed is JSON."""
    if way == "torch":
        import torch  # noqa: F401
    row = by_commands(steps) if way == "commands" else in_python(steps)
    print(json.dumps(row))


def run(folder: Path, route: str, steps: int) -> dict[str, Any]:
    """Measure a route of a version of the package in a fresh process; OpenMP is told nothing by the environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    environment |= {"PYTHONPATH": str(folder.resolve()), "PYTHONWARNINGS": "ignore"}
    if route == "one thread":
        environment |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--serve", ROUTES[route], f"--steps={steps}"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Beside n processes that keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="training steps, or a tenth of them")
    parser.add_argument("--neighbours", type=int, default=1, help="processes that keep a core busy")
    parser.add_argument("--against", type=Path, help="the folder of another version of the package")
    parser.add_argument("--serve", choices=set(ROUTES.values()), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.steps)
        return
    folders = {"here": HERE} | ({options.against.name: options.against} if options.against else {})
    rows = []
    for beside in (0, options.neighbours):
        with busy(beside):
            for route in ROUTES if not beside else list(ROUTES)[1:]:
                for version, folder in folders.items():
                    row = {
                        "route": route,
                        "neighbours": beside,
                        "version": version,
                        **run(folder, route, options.steps),
                    }
                    rows.append(row)
                    report(row, first=len(rows) == 1)
    given = {"steps": options.steps, "n_samples": N_SAMPLES, "cores": os.cpu_count()}
    print(json.dumps({"rows": rows, **given, "python": platform.python_version(), "machine": platform.machine()}))


def report(row: dict[str, Any], *, first: bool) -> None:
    """Print a line of the table for people, after its head if it is the first."""
    work = [name for name, value in row.items() if isinstance(value, dict)]
    if first:
        print("processor seconds / wall seconds")
        print(f"{'':30s}{'neighbours':>11s}" + "".join(f"{name:>23s}" for name in work))
    label = f"{row['version']}, {row['route']}"
    times = "".join(f"{row[name]['cpu']:14.2f} / {row[name]['wall']:6.2f}" for name in work)
    print(f"{label:30s}{row['neighbours']:11d}{times}", flush=True)


if __name__ == "__main__":
    main()
