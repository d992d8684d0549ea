"""Runs a scan: trains the networks, computes the estimates of all points, and writes one table and one figure.

    OUT/scan.json                     the settings of the scan
        8x8/T2.269/                   run directory of a point; with one network for all temperatures, 8x8/
        points/8x8-T2.269.json        results of a point; written when the point is finished
        refined.json                  further temperatures, chosen from the results of the grid (`scan.refined`)
        table.h5  table.csv  scan.png  SHA256SUMS  report.html   written when all points are finished

A scan over instances has besides them

    OUT/8x8/instance-3/T0.5/          run directory of a point, but for a network for all instances
        points/8x8-T0.5/              results of the instances, `scan.averages`; those beside it are averages over them
        instances.csv                 the table of the instances

Several processes communicate through this folder alone: each process works on its share of the chains, and one that
finds all points finished chooses further temperatures, or writes the table.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from latticear.checksums import SUMS, DamagedError, sums_of
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import quiet
from latticear.exact import ExactResult, exact_result
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, TemperatureRange
from latticear.locks import lock
from latticear.montecarlo.simulation import default_method, monte_carlo
from latticear.plotting import draw_figures
from latticear.runs.config import resolve_device
from latticear.runs.directory import RunDirectory, write_atomically
from latticear.runs.trees import Tree, differences
from latticear.workflows.estimate import estimate_run, save_estimates
from latticear.workflows.scan.averages import average_at
from latticear.workflows.scan.figure import figure_size, scan_figure
from latticear.workflows.scan.instance_table import instance_table_of
from latticear.workflows.scan.instances import check_further, without_instances
from latticear.workflows.scan.plan import Plan, Share
from latticear.workflows.scan.point import Point, size_name
from latticear.workflows.scan.records import SETTINGS, read_point, stored_settings, write_record
from latticear.workflows.scan.refined import all_points, check_number, choose_round, read_refinement, want
from latticear.workflows.scan.report import FIGURE, report_scan
from latticear.workflows.scan.table import ScanTable, table_of
from latticear.workflows.train import train_run
from latticear.workflows.trained import Report, Say

__all__ = ["finish_scan", "open_scan", "scan_run"]

N_REFERENCE = 4000
"""Number of Monte Carlo configurations at a point where an exact value is missing."""

N_CURVE = 61
"""Number of temperatures of the exact curves."""

PATIENCE = 300.0
"""Time in seconds that a process waits for the first process to make the folder."""

TABLE = "table.csv"
"""The file that is written last; if it exists, all other files have been written."""

INSTANCES = "instances.csv"
"""The table of the instances."""


def open_scan(plan: Plan, *, resume: bool, refine: int | None = None, share: Share | None = None) -> None:
    """Make the folder of a scan, or check that an existing folder belongs to the scan.

    The first process makes the folder; the other processes wait for it.

    Args:
        plan: the plan of the scan.
        resume: whether to continue a scan whose folder exists.
        refine: number of further temperatures, those of an earlier call included; None for as many as were wanted.
        share: share of this process; None for the share that torchrun has set.

    Raises:
        FileExistsError: if the folder exists and `resume` is False, or is not the folder of a scan.
        FileNotFoundError: if the first process does not make the folder in time.
        ValueError: if the folder holds a scan with other settings, or for a number of further temperatures that cannot
            be chosen.
    """
    rank = (share or Share.of_environment()).rank
    if refine is not None:
        check_number(plan, refine)
    settings, file = json.loads(json.dumps(plan.settings)), plan.out / SETTINGS
    if rank > 0:
        _wait_for(file)
    elif not file.exists():
        _make(plan.out, settings)
    elif not resume:
        raise FileExistsError(f"{plan.out} already exists; continue it with --resume or name another --out")
    for key, (new, old) in differences(without_instances(settings), stored_settings(plan.out)).items():
        raise ValueError(f"{plan.out} holds another scan: {key} is {old!r} there, got {new!r}; name another --out")
    _add_instances(plan, settings)
    if refine is not None:
        with _locked(plan.out):
            want(plan, refine)


def _add_instances(plan: Plan, settings: Tree) -> None:
    """Note which instances there are, if some are new; what was made of those so far is made again later.

    Raises:
        ValueError: if the scan in the folder has others.
    """
    new, stored = settings.get("instances", {}), stored_settings(plan.out)
    check_further(plan.out, new, stored.get("instances", {}))
    if new == stored.get("instances", {}):
        return
    with _locked(plan.out):
        for name in (TABLE, FIGURE, "table.h5", INSTANCES):
            (plan.out / name).unlink(missing_ok=True)
        write_record(plan.out / SETTINGS, stored | {"instances": new})


def scan_run(
    plan: Plan,
    *,
    resume: bool,
    report: Report,
    refine: int | None = None,
    share: Share | None = None,
    say: Say = lambda _: None,
) -> Iterator[Tree]:
    """Compute the points of a scan that belong to the share of this process; yields the results of each point.

    Further temperatures are computed in rounds: when all points are finished, the next temperatures are chosen from
    their results. So all processes must run at the same time.

    The results of finished points are read from their files. A scan that was interrupted continues with the same
    results, bit for bit, except for the times.

    Args:
        plan: the plan of the scan.
        resume: whether to continue the scan if its folder exists.
        report: called with progress.
        refine: number of further temperatures, those of an earlier call included; None for as many as were wanted.
        share: share of this process; None for the share that torchrun has set.
        say: called with a line when temperatures are chosen, and where none can be.

    Yields:
        `shape`, `temperature`, `steps` and `seconds` of the training, `estimates` as in estimates.json, and
        `monte_carlo`, the corresponding estimates of Markov chains, or None if all quantities have exact values; for an
        instance, `instance` besides, its file and number, and no chains but those of the check.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: as `open_scan`.
        TrainingError: when a loss is not finite.
        KeyboardInterrupt: if a signal stopped the scan; a later call continues it.
    """
    share = share or Share.of_environment()
    open_scan(plan, resume=resume, refine=refine, share=share)
    if resolve_device(plan.points[0].config.device).type == "cuda":
        torch.cuda.set_device(share.local % torch.cuda.device_count())
    for chain in plan.chains[share.rank :: share.world]:
        for point in chain:
            yield _done(point, plan, report)
    for new in _rounds(plan, report, say):
        for point in new[share.rank :: share.world]:
            yield _done(point, plan, report)


def _rounds(plan: Plan, report: Report, say: Say) -> Iterator[list[Point]]:
    """The points of each round of further temperatures, which do not depend on each other."""
    known = {point.record for point in plan.points}
    for k in itertools.count():
        refinement = read_refinement(plan.out)
        if k == len(refinement.rounds):
            if refinement.missing <= 0:
                return
            _wait_for_points(plan, report)
            try:
                _choose(plan, k, say)
            except ArithmeticError as error:
                say(str(error))
                return
        new = [point for point in all_points(plan, k + 1) if point.record not in known]
        known |= {point.record for point in new}
        yield sorted(new, key=lambda point: point.number)


def _wait_for_points(plan: Plan, report: Report) -> None:
    """Wait until other processes have finished their points."""
    points = all_points(plan)
    while left := sum(not point.record.exists() for point in points):
        report(len(points) - left, len(points), f"waiting for {left} points of other processes")
        time.sleep(0.2)


def _choose(plan: Plan, k: int, say: Say) -> None:
    """Choose round k, unless another process has done so; what was made of the points so far is made again later."""
    with _locked(plan.out):
        if len(read_refinement(plan.out).rounds) == k:
            for name in (TABLE, FIGURE, "table.h5"):
                (plan.out / name).unlink(missing_ok=True)
            say(choose_round(plan))


def finish_scan(plan: Plan, *, report: Report, share: Share | None = None) -> ScanTable | None:
    """Write the table and the figure of a scan, if all points are finished and they are not written yet.

    Args:
        plan: the plan of the scan.
        report: called with progress.
        share: share of this process; None for the share that torchrun has set.

    Returns:
        The table; None if other processes have not finished their points, or one of them has written the table.
    """
    points, share = all_points(plan), share or Share.of_environment()
    if not all(point.record.exists() for point in points):
        return None
    shapes = list(dict.fromkeys(point.shape for point in points))
    temperatures = list(dict.fromkeys(point.temperature for point in points))
    with _locked(plan.out):
        places = {(point.shape, point.temperature): point for point in points}
        results = [average_at(plan, point) for point in places.values()]
        table = table_of(shapes, temperatures, [read_point(result) for result in results if result is not None])
        if plan.instances.by_size:
            table = table._replace(instances=instance_table_of(points, [read_point(point.record) for point in points]))
        if all((plan.out / name).exists() for name in (FIGURE, "table.h5", TABLE)):
            return table if share.world == 1 else None
        _draw(plan, table, report)
        write_atomically(plan.out / "table.h5", table.to_hdf5(plan.settings))
        written = {name: plan.out / name for name in (FIGURE, "table.h5")}
        if table.instances is not None:
            write_atomically(plan.out / INSTANCES, table.instances.to_csv())
            written[INSTANCES] = plan.out / INSTANCES
        report_scan(plan.out)
        write_atomically(plan.out / SUMS, sums_of({**written, TABLE: table.to_csv()}))
        write_atomically(plan.out / TABLE, table.to_csv())
    return table


def _wait_for(file: Path) -> None:
    t_start = time.monotonic()
    while not file.exists():
        if time.monotonic() - t_start > PATIENCE:
            raise FileNotFoundError(f"{file} was not made by the first process in {PATIENCE:g} s")
        time.sleep(0.1)


def _make(folder: Path, settings: Tree) -> None:
    """Make the folder of a scan under a temporary name and rename it, so that it is complete when it has its name."""
    if folder.exists():
        raise FileExistsError(f"{folder} already exists and is not the folder of a scan; name another --out")
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "points").mkdir(parents=True)
    write_record(temporary / SETTINGS, settings)
    temporary.rename(folder)


def _done(point: Point, plan: Plan, report: Report) -> Tree:
    """The results of a point, read from its file or computed."""
    if point.record.exists():
        return read_point(point.record)

    def named_report(done: int, total: int, text: str) -> None:
        report(done, total, f"{point}: {text}".removesuffix(": "))

    if not _is_trained(point) and not train_run(
        point.run, None, (), point.config.to_dict(), resume=True, report=named_report, source=point.source
    ):
        raise KeyboardInterrupt
    row = _evaluated(point, plan, named_report)
    write_record(point.record, row)
    with _locked(plan.out):
        average_at(plan, point)
    return row


def _is_trained(point: Point) -> bool:
    return point.run.exists() and "finished" in RunDirectory(point.run).read_json("environment.json")


def _evaluated(point: Point, plan: Plan, report: Report) -> Tree:
    """The results of a point whose network is trained."""
    is_range, seed = point.config.target.covers_range, point.seed
    results = estimate_run(
        point.run,
        plan.n,
        temperatures=[point.temperature] if is_range else None,
        method=None,
        observables=plan.observables,
        error=plan.error,
        minutes=plan.minutes,
        data=None,
        seed=seed,
        device=point.config.device,
        report=report,
        instance=point.instance if point.is_for_all else None,
    )
    if not is_range and not point.is_for_all:
        save_estimates(point.run, results, seed=seed)
    is_exact = all(results[0][name].exact is not None for name in QUANTITIES)
    again = f"remove {point.run} and continue with --resume, which trains it again"
    try:
        logged = RunDirectory(point.run).metrics()
    except DamagedError as error:
        raise DamagedError(f"{error}; or {again}") from error
    if not logged:
        raise ValueError(f"{point.run}/metrics.jsonl is damaged: it has no rows; {again}")
    return {
        "shape": list(point.shape),
        "temperature": point.temperature,
        "steps": logged[-1]["step"],
        "seconds": logged[-1]["elapsed"],
        "estimates": results[0].to_dict(),
        "monte_carlo": None if is_exact or point.instance is not None else _monte_carlo(point, seed),
        **({} if point.instance is None else {"instance": point.instance.to_dict()}),
    }


def _monte_carlo(point: Point, seed: int) -> Tree:
    hamiltonian, t = point.config.target.system, point.temperature
    chains = monte_carlo(hamiltonian, t, n=N_REFERENCE, method=default_method(hamiltonian), seed=seed)
    with quiet():
        return estimate_chains(chains, hamiltonian, t, exact=None).to_dict()


def _draw(plan: Plan, table: ScanTable, report: Report) -> None:
    hamiltonians = [point.system for point in {point.shape: point for point in plan.points}.values()]
    curves: list[list[ExactResult]] = [[] for _ in hamiltonians]
    if not plan.instances.by_size:
        curves = [list(_curve(h, table.temperatures, report)) for h in hamiltonians]
    sizes = " to ".join(dict.fromkeys(size_name(shape) for shape in (table.shapes[0], table.shapes[-1])))
    one = ", one network" if plan.points[0].config.target.covers_range else ""
    one += ", averages over instances" if plan.instances.by_size else ""
    drawing = figure_size(table), lambda figure: scan_figure(figure, table, curves)
    for _ in draw_figures(plan.out, {"scan": drawing}, f"{type(hamiltonians[0].joint).__name__} {sizes}{one}"):
        pass


def _curve(hamiltonian: AbstractHamiltonian, temperatures: list[float], report: Report) -> Iterator[ExactResult]:
    """Exact results between the lowest and the highest temperature; none if there is only one temperature."""
    low, high = temperatures[0], temperatures[-1]
    for k, t in enumerate(TemperatureRange(low, high).spread(N_CURVE) if low < high else []):
        exact = exact_result(hamiltonian, t, closed_form=True)
        if exact is not None:
            yield exact
        report(k + 1, N_CURVE, f"{size_name(hamiltonian.shape)} exact curve")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A context in which no other process can write the table; waits while another process writes it."""
    with (folder / SETTINGS).open("rb") as file:
        lock(file, wait=True)
        yield
