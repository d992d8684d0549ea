"""Which network to take: all of them trained for the same time on the critical Ising model, 8x8 and 16x16.

Each is a config, trained and weighed by what `latticear compare` runs; at 16x16 a second time without the
known-neighbour term of the Hamiltonian (`boltzmann_bias = false`). The time is processor time of one thread, so that
other work on the machine does not decide. The numbers go into docs/networks.md, between two marks, after each run; the
same command goes on where it was stopped. Ceiling: KL 0, ESS 1. The last line is JSON.

    python benchmarks/choosing.py [--minutes 0.6 0.8] [--networks gated recurrent] [--jobs 1] [--out runs/choosing]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import torch

from latticear.estimation.estimates import with_error
from latticear.workflows import compare_runs

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
BEGIN, END = "<!-- numbers: benchmarks/choosing.py -->", "<!-- end of numbers -->"
N_SAMPLES = {8: 20_000, 16: 10_000}


class Job(NamedTuple):
    """One training: which network, on which lattice, with the bias or without."""

    network: str
    size: int
    bias: bool

    @property
    def folder(self) -> str:
        return f"{self.size}" if self.bias else f"{self.size}-without-bias"


def tree(job: Job) -> dict[str, Any]:
    """The config of a job; kernels of the first layer span the lattice. `multiscale` has its defaults."""
    span = 2 * job.size - 1
    small, fast = ({"batch_size": 64, "learning_rate": rate} for rate in (3e-3, 5e-3))  # many steps in a short time
    model, training = {
        "mean_field": ({}, {"batch_size": 256, "learning_rate": 0.1, "anneal": 0.8}),
        "made": ({"width": 4, "depth": 2}, {"batch_size": 256, "learning_rate": 1e-3}),
        "recurrent": ({"width": 32}, small),
        "pixelcnn": ({"width": 32, "depth": 3, "kernel_size": [span, 3, 3]}, fast),
        "residual": ({"width": 16, "depth": 5, "kernel_size": span}, fast),
        "gated": ({"width": 16, "depth": 4, "first_kernel_size": span}, fast),
        "pixelcnnpp": ({"width": 12, "depth": 1, "first_kernel_size": span}, fast),
        "pixelsnail": ({"width": 16, "depth": 2}, small),
        "transformer": ({"width": 32, "depth": 2, "heads": 4}, small),
        "multiscale": ({}, {}),
    }[job.network]
    return {
        "device": "cpu",
        "hamiltonian": {"shape": [job.size, job.size]},
        "model": {"name": job.network, "boltzmann_bias": job.bias, **model},
        "training": training,
    }


NETWORKS = (
    "mean_field", "made", "recurrent", "pixelcnn", "residual", "gated", "pixelcnnpp", "pixelsnail", "transformer",
    "multiscale",
)  # fmt: skip


def run(job: Job, out: Path, minutes: float) -> dict[str, Any]:
    """The row of a job."""
    torch.set_num_threads(1)
    path = out / "configs" / job.folder / f"{job.network}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(tree(job)))
    rows = compare_runs(
        [path],
        out / job.folder,
        [],
        {},
        minutes=minutes,
        n=N_SAMPLES[job.size],
        report=lambda *_: None,
        clock=time.process_time,
        overrun=math.inf,
    )
    return next(rows)


def table(rows: dict[Job, dict[str, Any]], size: int) -> list[str]:
    """Markdown of one lattice."""
    more = ["steps without bias", "KL without bias", "ESS without bias"] if size == 16 else []
    head = [
        "network",
        "parameters",
        "steps",
        "KL(q\\|p) / nats",
        "ESS",
        "error of F/N",
        "deviation",
        "samples/s",
        *more,
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for network in NETWORKS:
        row, bare = rows.get(Job(network, size, True)), rows.get(Job(network, size, False))
        cells = ["-"] * 7 if row is None else cells_of(row)
        if size == 16:
            cells += ["-"] * 3 if bare is None else [f"{bare['steps']:,}", number(bare, "kl"), number(bare, "ess")]
        lines.append(f"| `{network}` | {' | '.join(cells)} |")
    return lines


def cells_of(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['parameters']:,}",
        f"{row['steps']:,}",
        number(row, "kl"),
        number(row, "ess"),
        f"{row['free_energy_per_site']['error']:.1e}",
        f"{row['deviation']:+.1f}",
        f"{row['samples_per_second']:,.0f}",
    ]


def number(row: dict[str, Any], key: str) -> str:
    """Value(error), with a mark where the diagnostics do not trust the error."""
    return with_error(row[key]["value"], row[key]["error"]) + ("" if row["reliable"] else " !")


def write(rows: dict[Job, dict[str, Any]], minutes: dict[int, float]) -> None:
    """Put the tables between the marks of the page."""
    good = {job: row for job, row in rows.items() if "error" not in row}
    lines = [BEGIN]
    for size in N_SAMPLES:
        lines += ["", f"{size}x{size}, {minutes[size]:g} minutes of one core, n = {N_SAMPLES[size]:,}:", ""]
        lines += table(good, size)
    text = PAGE.read_text() if PAGE.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + "\n".join([*lines, "", END]) + rest.partition(END)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs=2, default=[0.6, 0.8], help="at 8x8 and at 16x16")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/choosing"))
    options = parser.parse_args()
    minutes = dict(zip(N_SAMPLES, options.minutes, strict=True))
    systems = [(8, True), (16, True), (16, False)]
    jobs = [Job(network, *system) for system in systems for network in options.networks]
    rows: dict[Job, dict[str, Any]] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(run, job, options.out, minutes[job.size]): job for job in jobs}
        for done in as_completed(waiting):
            job = waiting[done]
            row = rows[job] = done.result()
            quality = row.get("error") or f"KL {number(row, 'kl')}  ESS {number(row, 'ess')}  {row['steps']} steps"
            print(f"{job.folder:16s} {job.network:12s} {quality}", flush=True)
            write(rows, minutes)
    content = [{**job._asdict(), **row} for job, row in rows.items()]
    print(json.dumps({"rows": content, "minutes": minutes, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
