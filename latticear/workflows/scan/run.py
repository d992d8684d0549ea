"""A grid of sizes and temperatures: trained or conditioned along it, weighed, and put into one table and one figure.

    OUT/scan.json                     what was asked for
        8x8/T2.269/                   a run directory for each point; of one network, 8x8/ alone
        points/8x8-T2.269.json        the results of a point, which is finished when it is there
        table.h5  table.csv  scan.png when all are

Processes share the folder and nothing else: each takes its share of the chains, and whichever finds all points finished
writes the table.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from latticear.estimation.chains import estimate_chains
from latticear.exact import ExactResult, exact_result
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, TemperatureRange
from latticear.montecarlo.simulation import default_method, monte_carlo
from latticear.plotting import draw_figures
from latticear.runs.config import resolve_device
from latticear.runs.directory import RunDirectory, write_atomically
from latticear.runs.trees import Tree, differences
from latticear.workflows.estimate import estimate_run, save_estimates
from latticear.workflows.scan.figure import scan_figure
from latticear.workflows.scan.plan import Plan, Point, Share, size_name
from latticear.workflows.scan.table import ScanTable, table_of
from latticear.workflows.train import train_run
from latticear.workflows.trained import Report, quiet

__all__ = ["finish_scan", "open_scan", "scan_run"]

N_REFERENCE = 4000
"""Monte Carlo configurations where not all is known exactly."""

N_CURVE = 61
"""Temperatures of the exact curve."""

PATIENCE = 300.0
"""Seconds that a process waits for the first one to make the folder."""

TABLE = "table.csv"
"""Written last: where it is, all is, unless something was removed."""

ROW = ("shape", "temperature", "steps", "seconds", "estimates", "monte_carlo")
"""What the results of a point have."""


def open_scan(plan: Plan, *, resume: bool, share: Share | None = None) -> None:
    """Make the folder of a scan, or see that it is this one's; the first process makes it and others wait for it.

    Raises:
        FileExistsError: if the folder exists and `resume` is False, or holds no scan.
        FileNotFoundError: if the first process does not make it.
        ValueError: if it holds another scan.
    """
    rank = (share or Share.of_environment()).rank
    asked, file = json.loads(json.dumps(plan.settings)), plan.out / "scan.json"
    if rank > 0:
        _wait_for(file)
    elif not file.exists():
        _make(plan.out, asked)
    elif not resume:
        raise FileExistsError(f"{plan.out} already exists; continue it with --resume or name another --out")
    for key, (here, there) in differences(asked, _read(file, remedy="name another --out")).items():
        raise ValueError(f"{plan.out} holds another scan: {key} is {there!r} there, got {here!r}; name another --out")


def scan_run(plan: Plan, *, resume: bool, report: Report, share: Share | None = None) -> Iterator[Tree]:
    """Do this process's share of a scan, and yield each of its points when it is done.

    A point that is finished is read, not repeated. What was stopped goes on bit for bit as if it had not been, the
    seconds aside.

    Args:
        plan: what is to be done.
        resume: continue the scan in its folder, or begin it if it is not there.
        report: called with progress.
        share: default as torchrun says.

    Yields:
        `shape`, `temperature`, `steps` and `seconds` of the training, `estimates` as estimates.json has them, and
        `monte_carlo`, the same of Markov chains, or None where all is known exactly.

    Raises:
        FileExistsError, ValueError: as `open_scan`.
        TrainingError: when a loss stops being finite.
        KeyboardInterrupt: if a signal stopped it; nothing is lost.
    """
    share = share or Share.of_environment()
    open_scan(plan, resume=resume, share=share)
    if resolve_device(plan.points[0].config.device).type == "cuda":
        torch.cuda.set_device(share.local % torch.cuda.device_count())
    for chain in plan.chains[share.rank :: share.world]:
        for point in chain:
            yield _done(point, plan.n, report)


def finish_scan(plan: Plan, *, report: Report, share: Share | None = None) -> ScanTable | None:
    """Write the table and the figure, once, if all points are finished.

    Args:
        plan, share: as of `scan_run`.
        report: called with progress.

    Returns:
        The table; None if other processes are still at work on their points, or one of them has written it.
    """
    points, share = plan.points, share or Share.of_environment()
    if not all(point.record.exists() for point in points):
        return None
    temperatures, shapes = plan.settings["temperatures"], list(dict.fromkeys(point.shape for point in points))
    table = table_of(shapes, temperatures, [_read(point.record, ROW) for point in points])
    with _locked(plan.out):
        if all((plan.out / name).exists() for name in ("scan.png", "table.h5", TABLE)):
            return table if share.world == 1 else None
        _draw(plan, table, report)
        write_atomically(plan.out / "table.h5", table.to_hdf5(plan.settings))
        write_atomically(plan.out / TABLE, table.to_csv())
    return table


def _wait_for(file: Path) -> None:
    t_start = time.monotonic()
    while not file.exists():
        if time.monotonic() - t_start > PATIENCE:
            raise FileNotFoundError(f"{file} was not made by the first process in {PATIENCE:g} s")
        time.sleep(0.1)


def _make(folder: Path, settings: Tree) -> None:
    """A folder that is complete as soon as it has its name."""
    if folder.exists():
        raise FileExistsError(f"{folder} already exists and is no scan; name another --out")
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "points").mkdir(parents=True)
    _write(beside / "scan.json", settings)
    beside.rename(folder)


def _done(point: Point, n: int, report: Report) -> Tree:
    """The results of a point, made if they are not there."""
    if point.record.exists():
        return _read(point.record, ROW)

    def told(done: int, total: int, text: str) -> None:
        report(done, total, f"{point}: {text}".removesuffix(": "))

    if not _is_trained(point) and not train_run(
        point.run, None, (), point.config.to_dict(), resume=True, report=told, source=point.source
    ):
        raise KeyboardInterrupt
    row = _weighed(point, n, told)
    _write(point.record, row)
    return row


def _is_trained(point: Point) -> bool:
    return point.run.exists() and "finished" in RunDirectory(point.run).read_json("environment.json")


def _weighed(point: Point, n: int, report: Report) -> Tree:
    is_range = point.config.target.covers_range
    seed = (point.config.seed + point.number) % 2**63  # errors of one point say nothing about those of the next
    results = estimate_run(
        point.run,
        n,
        temperatures=[point.temperature] if is_range else None,
        method=None,
        data=None,
        seed=seed,
        device=point.config.device,
        report=report,
    )
    if not is_range:
        save_estimates(point.run, results, seed=seed)
    is_judged = all(results[0][name].exact is not None for name in QUANTITIES)
    logged = RunDirectory(point.run).metrics()
    if not logged:
        raise ValueError(f"{point.run}/metrics.jsonl is damaged; remove {point.run} and go on with --resume")
    return {
        "shape": list(point.shape),
        "temperature": point.temperature,
        "steps": logged[-1]["step"],
        "seconds": logged[-1]["elapsed"],
        "estimates": results[0].to_dict(),
        "monte_carlo": None if is_judged else _monte_carlo(point, seed),
    }


def _monte_carlo(point: Point, seed: int) -> Tree:
    hamiltonian, t = point.config.target.system, point.temperature
    chains = monte_carlo(hamiltonian, t, n=N_REFERENCE, method=default_method(hamiltonian), seed=seed)
    with quiet():
        return estimate_chains(chains, hamiltonian, t).to_dict()


def _draw(plan: Plan, table: ScanTable, report: Report) -> None:
    hamiltonians = [config.target.system for config in {p.shape: p.config for p in plan.points}.values()]
    curves = [list(_curve(h, table.temperatures, report)) for h in hamiltonians]
    sizes = " to ".join(dict.fromkeys(size_name(shape) for shape in (table.shapes[0], table.shapes[-1])))
    one = ", one network" if plan.points[0].config.target.covers_range else ""
    drawing = (12.5, 5.8), lambda figure: scan_figure(figure, table, curves)
    for _ in draw_figures(plan.out, {"scan": drawing}, f"{type(hamiltonians[0].joint).__name__} {sizes}{one}"):
        pass


def _curve(hamiltonian: AbstractHamiltonian, temperatures: list[float], report: Report) -> Iterator[ExactResult]:
    """Exact results all along the temperatures; nothing where there are none, or one temperature alone."""
    low, high = temperatures[0], temperatures[-1]
    for k, t in enumerate(TemperatureRange(low, high).spread(N_CURVE) if low < high else []):
        judge = exact_result(hamiltonian, t)
        if judge is not None:
            yield judge
        report(k + 1, N_CURVE, f"{size_name(hamiltonian.shape)} exact curve")


def _read(path: Path, keys: Iterable[str] = (), remedy: str = "remove it and go on with --resume") -> dict[str, Any]:
    """A JSON object that has these keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds no object but {type(content).__name__}")
        if missing := sorted(set(keys) - content.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    return content


def _write(path: Path, content: Tree) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While it lasts, no other process finishes this scan; waits for one that does."""
    with (folder / "scan.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
