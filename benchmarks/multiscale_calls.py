"""What a call of the multiscale network costs on a small lattice, where the work is little and all around it shows.

Measured are `log_prob` without and with gradients recorded, `redraw` of the finest step, and a draw, in processor time
of one thread. Ceiling: the kernels called directly. With `--against`, the same calls of another version of the package
(a folder that holds it, with its kernels built) are measured in the same run, a burst of calls in turns. The last line
is JSON.

    python benchmarks/multiscale_calls.py [--size 8] [--batch 16] [--repeats 300] [--burst 4] [--against FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import latticear as la

HERE = Path(la.__file__).parents[1]

CEILINGS = {"log_prob": "kernels.log_prob", "redraw": "kernels.redraw"}


def calls(size: int, batch: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    bias = la.Ising((size, size)).bias(la.T_C)
    model = la.MultiscalePixelCNN((size, size), spin_flip_symmetric=True, bias=bias)
    tokens = model.sample(batch, seed=1).tokens.long()
    board, sites = model.board(tokens.flatten(1)), model.steps[-1].sites
    u = torch.rand(batch, len(sites), dtype=torch.float64)
    kernels = model.kernels()
    if kernels is None:
        raise SystemExit("the kernels were not built")

    def weighed() -> object:
        with torch.no_grad():
            return model.log_prob(tokens)

    return {
        "log_prob": weighed,
        "log_prob, recorded": lambda: model.log_prob(tokens),
        "redraw": lambda: model.redraw(board, sites, u),
        "sample": lambda: model.sample(batch, seed=2),
        "kernels.log_prob": lambda: kernels.log_prob(tokens.flatten(1)),
        "kernels.redraw": lambda: kernels.redraw(board.tokens, sites, u),
    }


def serve(size: int, batch: int, burst: int) -> None:
    """Answer each name on standard input with the seconds of a call, the mean of a burst."""
    torch.set_num_threads(1)
    named = calls(size, batch)
    print(json.dumps(list(named)), flush=True)
    for line in sys.stdin:
        work = named[line.strip()]
        t_start = time.process_time()
        for _ in range(burst):
            work()
        print((time.process_time() - t_start) / burst, flush=True)


class Version:
    """A version of the package, in a process of its own."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--serve"]
        command += [f"--{name}={getattr(options, name)}" for name in ("size", "batch", "burst")]
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve()), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.names = json.loads(self._answer())
        self.times: dict[str, list[float]] = {name: [] for name in self.names}

    def measure(self, name: str) -> None:
        assert self._process.stdin is not None
        print(name, file=self._process.stdin, flush=True)
        self.times[name].append(float(self._answer()))

    def row(self) -> dict[str, dict[str, float]]:
        return {name: {"min": min(t), "median": statistics.median(t)} for name, t in self.times.items()}

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=300, help="bursts of each call")
    parser.add_argument("--burst", type=int, default=4, help="calls that are timed together")
    parser.add_argument("--against", type=Path, help="the folder of another version of the package")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.size, options.batch, options.burst)
        return
    folders = {"here": HERE} | ({options.against.name: options.against} if options.against else {})
    versions = {label: Version(folder, options) for label, folder in folders.items()}
    names = versions["here"].names
    in_turn = list(versions.values())
    for _ in range(options.repeats + 1):
        for name in names:
            for version in in_turn:
                version.measure(name)
        in_turn.reverse()
    rows = {}
    for label, version in versions.items():
        version.close()
        version.times = {name: times[1:] for name, times in version.times.items()}  # the first one warms up
        rows[label] = version.row()
    report(rows)
    given = {name: getattr(options, name) for name in ("size", "batch", "repeats", "burst")}
    print(json.dumps({"rows": rows, **given, "torch": torch.__version__, "machine": platform.machine()}))


def report(rows: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a table for people."""
    here, *others = rows.items()
    print("microseconds of the processor a call, least and median of the bursts")
    print(f"{'':20s}{here[0]:>16s}  / kernels" + "".join(f"{label:>16s}  / {here[0]:7s}" for label, _ in others))
    for name, times in here[1].items():
        ceiling = here[1][CEILINGS.get(name, name)]
        line = f"{name:20s}" + _times(times) + (_ratios(times, ceiling) if name in CEILINGS else " " * 11)
        print(line + "".join(_times(row[name]) + _ratios(row[name], times) for _, row in others))


def _times(times: dict[str, float]) -> str:
    return f"{1e6 * times['min']:8.0f}{1e6 * times['median']:8.0f}"


def _ratios(times: dict[str, float], by: dict[str, float]) -> str:
    return f"{times['min'] / by['min']:6.2f}{times['median'] / by['median']:5.2f}"


if __name__ == "__main__":
    main()
