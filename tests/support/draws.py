"""Samples and estimates in Python, which several processes make together."""

import json
import os
from pathlib import Path

import torch

import latticear as la
from latticear.processes import Processes, together
from latticear.workflows import report
from latticear.workflows.report import report_run

N = 3001


def estimated(processes: Processes) -> dict:
    """Estimates of a small model, with an observable of one's own, as JSON values."""
    ising = la.Ising((3, 3), field=0.1)
    model = la.PixelCNN((3, 3), width=4, depth=2, bias=ising.bias(2.0))
    batches = model.sample_batches(N, seed=2, start=100, processes=processes)
    corner = {"corner": lambda spins: spins[:, 0, 0]}
    results = la.estimate(batches, ising, 2.0, observables=corner, processes=processes)
    return {name: torch.as_tensor(estimate.value).tolist() for name, estimate in results.items()} | {
        name: torch.as_tensor(estimate.error).tolist() for name, estimate in results.items()
    }


def items(processes: Processes) -> list[list[int] | str]:
    """What comes of numbers that are dealt out in turn: all of them, none, and those before an interruption."""
    found: list[list[int] | str] = []
    for n in (0, 1, 2, 7, 8, 9, 100):
        found.append(list(processes.in_turn(processes.deal(range(n)))))
    got: list[int] = []
    try:
        for number in processes.in_turn(_until(23, processes.deal(range(100)))):
            got.append(number)
    except KeyboardInterrupt:
        found += [got, "interrupted"]
    return found


def _until(stop, numbers):
    for number in numbers:
        if number == stop:
            raise KeyboardInterrupt
        yield number


def refusals(processes: Processes) -> list[str]:
    """What is said of processes that do not fit together."""
    from latticear.sampling.stream import common_block
    from latticear.workflows.shared import check_alike

    class Sampler:
        block = 256 + processes.rank

    def alike() -> None:
        check_alike(processes, "this", str(processes.rank // 2))

    said = []
    for attempt in (alike, lambda: common_block(Sampler, processes)):
        try:
            attempt()
        except ValueError as error:
            said.append(str(error))
    return said


def reported() -> None:
    """Write the page of the run `range` from few samples, in one of several processes or in one alone."""
    report.MAX_SITES, report.N_POINTS = 16, 3
    with together():
        list(report_run(Path("range"), device="cpu"))


def run_all() -> None:
    """Do all of it in one of several processes; write what it has found in a file of its own."""
    with together() as processes:
        found = {"estimates": estimated(processes), "items": items(processes), "refusals": refusals(processes)}
    Path(f"{os.environ['WORLD_SIZE']}-{os.environ['RANK']}.json").write_text(json.dumps(found), encoding="utf-8")
