"""Output on the terminal: tables, progress bars, and error messages of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from latticear.cli.launched import say_why, status_of_interruption

if TYPE_CHECKING:
    from rich.console import Console

    from latticear.estimation.estimates import Estimates
    from latticear.estimation.quantity import Estimate
    from latticear.exact import ExactResult
    from latticear.tables import Table

__all__ = [
    "Progress",
    "fail",
    "notes",
    "one_line_errors",
    "open_console",
    "print_comparison",
    "print_estimates",
    "print_exact",
    "print_likelihood",
    "print_point",
    "print_table",
]


OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
"""What PyTorch says where memory does not suffice, on the CPU and on a GPU."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print errors that a user can correct as one line and exit with status 1; other errors keep their traceback."""
    import warnings

    from latticear.checksums import ChangedFileWarning
    from latticear.data import ConversionNote
    from latticear.estimation.estimates import UnreliableEstimateWarning
    from latticear.kernels.library import KernelsWarning
    from latticear.processes import ProcessesError, others_interrupted
    from latticear.sampling.receptive import ReceptiveFieldWarning
    from latticear.training import TrainingError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)  # the table of results has a warning
        warnings.simplefilter("ignore", ReceptiveFieldWarning)  # `notes` prints it for train, once
        _print_once(ConversionNote, ChangedFileWarning, KernelsWarning)
        try:
            yield
        except OverflowError as error:
            fail(ValueError(f"number out of range, for example a temperature too close to zero: {error}"))
        except MemoryError as error:
            fail(_out_of_memory(error))
        except ProcessesError as error:
            if others_interrupted():
                typer.echo("interrupted by a signal to another process", err=True)
                raise typer.Exit(status_of_interruption()) from error
            fail(error)
        except (ValueError, OSError, TrainingError) as error:
            fail(error)
        except RuntimeError as error:
            if not any(words in str(error) for words in OUT_OF_MEMORY):
                raise
            fail(_out_of_memory(error))


def _out_of_memory(error: Exception) -> MemoryError:
    what = next(iter(str(error).splitlines()), "")
    return MemoryError(f"the memory does not suffice{f' ({what})' if what else ''}: make it smaller")


def _print_once(*categories: type[Warning]) -> None:
    """Print each warning of some classes as one line on standard error, until the warnings filters are restored."""
    import warnings

    for category in categories:
        warnings.simplefilter("once", category)
    show = warnings.showwarning

    def note(message: Warning | str, kind: type[Warning], *rest: Any) -> None:
        if issubclass(kind, categories):
            typer.echo(f"note: {message}", err=True)
        else:
            show(message, kind, *rest)

    warnings.showwarning = note  # type: ignore[assignment]


@contextmanager
def notes(console: Console) -> Iterator[None]:
    """Print warnings about the receptive field of a network, and the threads of a run, as lines of text."""
    import warnings

    from latticear.sampling.receptive import ReceptiveFieldWarning
    from latticear.threads import ThreadsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("once", ReceptiveFieldWarning)
        warnings.simplefilter("once", ThreadsWarning)
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, ReceptiveFieldWarning | ThreadsWarning):
                console.print(f"note: {message}")
            else:
                show(message, category, *rest)

        warnings.showwarning = note  # type: ignore[assignment]
        yield


def fail(error: Exception) -> NoReturn:
    """Print an error as one line and exit with status 1; of several processes, the first that has one prints it."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    say_why(f"error: {' '.join(text.split())}")
    raise typer.Exit(1)


def open_console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 120
    return console


class Progress:
    """Progress of a computation; call it with the work done, the total work and a text.

    On a terminal it is a bar with the time left, elsewhere a line a minute on standard error. What would take longer
    than a year ends with a ValueError that says so.

    Args:
        console: where to draw the bar, if it is a terminal.
        unit: what is counted.
        alone: whether this is the only process; several processes on one terminal write lines.
    """

    def __init__(self, console: Console, unit: str = "steps", alone: bool = True) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from latticear.workflows.limits import Forecast
        from latticear.workflows.line_a_minute import LineAMinute

        self._forecast = Forecast(unit)
        self._lines = LineAMinute(lambda line: typer.echo(line, err=True), unit=unit)
        self._bar = Progress(
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(bar_width=30),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not (console.is_terminal and alone),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self.text = ""

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._bar.disable:  # before 14.3 rich ends also a bar that it has not drawn, by an empty line
            self._bar.stop()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        self.text = text
        self._forecast(done, total)
        if self._bar.disable:
            self._lines(done, total, text)
        else:
            self._bar.update(self._task, completed=done, total=total, description=text)


def print_estimates(console: Console, result: Estimates) -> None:
    table = result.table()
    _print_table(console, table)
    for note in (*result.unvaried_notes, *result.remarks, *result.verdict_notes):
        console.print(note)
    unshown = (*result, "n", "left_out", "largest_log_w", "log_z_of_proposals")
    others = {key: value for key, value in result.diagnostics.items() if key not in unshown}
    console.print(", ".join(f"{key} = {value:.3g}" for key, value in others.items()))
    _say_not_finite(console, [name for name, each in result.items() if not _has_numbers(each)])
    if result.warnings:
        reasons = "".join(f"\n  - {reason}" for reason in result.warnings)
        console.print(f"WARNING: do not trust these error bars:{reasons}", style="bold red")


def _has_numbers(estimate: Estimate) -> bool:
    """Whether an estimate is finite; a few bins of a profile, of which a remark tells, may have no value."""
    import numpy as np

    if estimate.labels is None:
        return _is_finite(estimate.value, estimate.error)
    return bool((np.isfinite(estimate.value) & np.isfinite(estimate.error)).any())


def _is_finite(*values: Any) -> bool:
    import numpy as np

    return all(np.isfinite(np.asarray(value, dtype=float)).all() for value in values if value is not None)


def _say_not_finite(console: Console, names: list[str]) -> None:
    """Say of which quantities a number is missing, so that no nan or inf is taken for a result."""
    if names:
        console.print(f"not a finite number, and no result: {', '.join(names)}", style="bold red")


def _print_table(console: Console, table: Table) -> None:
    """Print title, headings and rows; the first column is aligned to the left, the others to the right."""
    from rich import table as rich

    shown = rich.Table(title=table.title)
    for k, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if k else "left")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def _deviation(sigma: float | None) -> str:
    return "" if sigma is None else "differs" if abs(sigma) >= 1000 else f"{sigma:+.1f} sigma"


def print_table(console: Console, table: Table, title: str) -> None:
    """Print a table with its notes under a title."""
    _print_table(console, replace(table, title=title))
    for note in table.notes:
        console.print(note)


def print_comparison(console: Console, rows: list[dict[str, Any]], *, minutes: float, n: int) -> None:
    """Print the rows of `compare_runs` as a table, followed by the errors and warnings."""
    from rich.table import Table

    systems = {_system(row) for row in rows if "error" not in row}
    shared = f", {systems.pop()}" if len(systems) == 1 else ""
    table = Table(title=f"{minutes:g} minutes each{shared}, n = {n}")
    table.add_column("config", overflow="fold")
    if not shared:
        table.add_column("system", overflow="fold")
    headings = ("parameters", "steps", "seconds", "KL(q||p)", "ESS", "error of F/N", "deviation", "samples/s")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "failed")
        else:
            table.add_row(row["name"], *([] if shared else [_system(row)]), *_cells(row))
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['name']} failed: {row['error']}", style="bold red")
        for reason in row.get("warnings", []):
            console.print(f"{row['name']}: {reason}", style="bold red")


def _system(row: dict[str, Any]) -> str:
    height, width = row["hamiltonian"]["shape"]
    return f"{row['hamiltonian']['name']} {height}x{width}, T = {row['temperature']:.5g}"


def _cells(row: dict[str, Any]) -> list[str]:
    from latticear.estimation.estimates import with_error

    kl, ess = row["kl"], row["ess"]
    return [
        str(row["parameters"]),
        str(row["steps"]),
        f"{row['seconds']:.0f}",
        with_error(kl["value"], kl["error"]),
        with_error(ess["value"], ess["error"]),
        f"{row['free_energy_per_site']['error']:.1e}",
        _deviation(row["deviation"]),
        f"{row['samples_per_second']:.0f}",
    ]


def print_exact(console: Console, result: ExactResult, title: str) -> None:
    from rich.table import Table

    table = Table(*result.headings, title=f"{title}, T = {result.temperature:g} ({result.source})")
    for row in result.rows:
        table.add_row(*row)
    console.print(table)
    for note in result.notes if result.errors else []:
        console.print(note, style="" if result.is_exact else "bold red")
    _say_not_finite(console, [name for name, value in result.to_dict().items() if not _is_finite(value)])


def print_likelihood(console: Console, content: dict[str, Any]) -> None:
    from rich.table import Table

    from latticear.estimation.estimates import with_error

    which = "held-out configurations" if content["held_out"] else "configurations"
    table = Table("quantity", "value", "unit", title=f"{content['n']} {which} of {content['data']}")
    for name, quantity in content.items():
        if isinstance(quantity, dict):
            unit = "nats" if name.startswith("nll") else "bits"
            table.add_row(name, with_error(quantity["value"], quantity["error"]), unit)
    console.print(table)


def print_point(console: Console, point: dict[str, Any]) -> None:
    """Print the results of one point of `scan_run` as a line."""
    from latticear.workflows.words import verdict_of

    height, width = point["shape"]
    estimates = point["estimates"]
    verdict = verdict_of(estimates)
    shown = {"free_energy_per_site": "F/N", "abs_magnetization": "|m|"}
    of = ""
    if "instance" in point:
        of = f", instance {point['instance']['index']}"
        shown = {"free_energy_per_site": "F/N", "energy_per_site": "E/N", "overlap_squared": "q^2"}
    numbers = [f"{label} {_with_error(estimates[name])}" for name, label in shown.items() if name in estimates]
    ess = f", ESS {estimates['ess']['value']:.2f}" if "ess" in estimates else f", {estimates['method']}"
    console.print(
        f"{height}x{width} T = {point['temperature']:g}{of}: {', '.join(numbers)}{ess}, {point['seconds']:.0f} s"
        f", {verdict}{'' if verdict.reliable else ': ' + '; '.join(verdict.reasons)}"
    )


def _with_error(entry: dict[str, Any]) -> str:
    """The value of one quantity of a point with its error in brackets."""
    from latticear.estimation.estimates import with_error

    return with_error(entry["value"], entry["error"])
