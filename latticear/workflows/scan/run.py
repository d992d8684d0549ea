"""Runs a scan: trains the networks, computes the estimates of all points, and writes one table and one figure.

    OUT/scan.json                     the settings of the scan
        8x8/T2.269/                   run directory of a point; with one network for all temperatures, 8x8/
        points/8x8-T2.269.json        results of a point; written when the point is finished
        refined.json                  further temperatures, chosen from the results of the grid (`scan.refined`)
        table.h5  table.csv  scan.png  SHA256SUMS  report.html   written when all points are finished

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
from latticear.workflows.page.scan import scan_page
from latticear.workflows.scan.figure import scan_figure
from latticear.workflows.scan.plan import Plan, Point, Share, size_name
from latticear.workflows.scan.records import SETTINGS, read_point, read_record, stored_settings, write_record
from latticear.workflows.scan.refined import all_points, check_number, choose_round, read_refinement, want
from latticear.workflows.scan.table import ScanTable, table_of
from latticear.workflows.train import train_run
from latticear.workflows.trained import Report, Say

__all__ = ["finish_scan", "is_scan", "open_scan", "report_scan", "scan_run"]

N_REFERENCE = 4000
"""Number of Monte Carlo configurations at a point where an exact value is missing."""

N_CURVE = 61
"""Number of temperatures of the exact curves."""

PATIENCE = 300.0
"""Time in seconds that a process waits for the first process to make the folder."""

TABLE = "table.csv"
"""The file that is written last; if it exists, all other files have been written."""

FIGURE, PAGE = "scan.png", "report.html"

ANALYSIS, ANALYSED = "analysis.json", ("crossing", "collapse", "peaks", "thermodynamics")
"""The file and the figures of an analysis, which the page shows if there is one."""


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
    for key, (new, old) in differences(settings, stored_settings(plan.out)).items():
        raise ValueError(f"{plan.out} holds another scan: {key} is {old!r} there, got {new!r}; name another --out")
    if refine is not None:
        with _locked(plan.out):
            want(plan, refine)


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
        `monte_carlo`, the corresponding estimates of Markov chains, or None if all quantities have exact values.

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
    temperatures = [point.temperature for point in points if point.shape == shapes[0]]
    table = table_of(shapes, temperatures, [read_point(point.record) for point in points])
    with _locked(plan.out):
        if all((plan.out / name).exists() for name in (FIGURE, "table.h5", TABLE)):
            return table if share.world == 1 else None
        _draw(plan, table, report)
        write_atomically(plan.out / "table.h5", table.to_hdf5(plan.settings))
        report_scan(plan.out)
        results = {name: plan.out / name for name in (FIGURE, "table.h5")}
        write_atomically(plan.out / SUMS, sums_of({**results, TABLE: table.to_csv()}))
        write_atomically(plan.out / TABLE, table.to_csv())
    return table


def is_scan(folder: Path) -> bool:
    """Whether a folder is that of a scan."""
    return (folder / SETTINGS).is_file()


def report_scan(folder: Path) -> Path:
    """Write the page of a scan, `report.html`, from its points that are finished; returns its path.

    Args:
        folder: the folder of the scan.

    Raises:
        ValueError: if a file in it is damaged.
        OSError: if a file cannot be read or written.
    """
    settings = read_record(folder / SETTINGS, ("configs", "sizes", "temperatures", "n", "chains"))
    settings["temperatures"] = sorted([*settings["temperatures"], *read_refinement(folder).temperatures])
    points = [read_point(file) for file in (folder / "points").glob("*.json")]
    order = {size: k for k, size in enumerate(settings["sizes"])}
    points.sort(key=lambda point: (order[size_name(point["shape"])], point["temperature"]))
    figure = folder / FIGURE
    page = scan_page(folder, settings, points, figure if figure.exists() else None, *_analysis_of(folder, len(points)))
    write_atomically(folder / PAGE, page.encode())
    return folder / PAGE


def _analysis_of(folder: Path, n_points: int) -> tuple[list[Path], str]:
    """The figures of the analysis of a scan, none if there is none, and how many points it has."""
    if not (folder / ANALYSIS).exists():
        return [], ""
    analysed = read_record(folder / ANALYSIS, ("points",), "make it again with latticear analyse")["points"]
    figures = [path for name in ANALYSED if (path := folder / f"{name}.png").exists()]
    again = "" if analysed == n_points else f"; there are {n_points} now: latticear analyse {folder} takes them all"
    return figures, f"From {analysed} points by latticear analyse{again}. The numbers are in {ANALYSIS}."


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
    return row


def _is_trained(point: Point) -> bool:
    return point.run.exists() and "finished" in RunDirectory(point.run).read_json("environment.json")


def _evaluated(point: Point, plan: Plan, report: Report) -> Tree:
    """The results of a point whose network is trained."""
    is_range = point.config.target.covers_range
    seed = (point.config.seed + point.number) % 2**63  # another seed for each point, so that errors are independent
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
    )
    if not is_range:
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
        "monte_carlo": None if is_exact else _monte_carlo(point, seed),
    }


def _monte_carlo(point: Point, seed: int) -> Tree:
    hamiltonian, t = point.config.target.system, point.temperature
    chains = monte_carlo(hamiltonian, t, n=N_REFERENCE, method=default_method(hamiltonian), seed=seed)
    with quiet():
        return estimate_chains(chains, hamiltonian, t, exact=None).to_dict()


def _draw(plan: Plan, table: ScanTable, report: Report) -> None:
    hamiltonians = [config.target.system for config in {p.shape: p.config for p in plan.points}.values()]
    curves = [list(_curve(h, table.temperatures, report)) for h in hamiltonians]
    sizes = " to ".join(dict.fromkeys(size_name(shape) for shape in (table.shapes[0], table.shapes[-1])))
    one = ", one network" if plan.points[0].config.target.covers_range else ""
    drawing = (12.5, 6.6), lambda figure: scan_figure(figure, table, curves)
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
