"""The command line: the only file that prints.

Heavy imports happen inside commands, so that --help and --version answer at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from latticear.estimates import Estimates
    from latticear.exact import ExactResult

__all__ = ["app"]

app = typer.Typer(
    help="Autoregressive neural samplers of lattice spin systems: train, sample, estimate with honest error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130


def _count(text: str) -> int:
    """A whole number that may be written 1e7."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 1 or value != int(value):
        raise typer.BadParameter(f"must be a whole number of at least 1 (1e6 works too), got {text!r}")
    return int(value)


def _size(text: str) -> tuple[int, int]:
    """L, or HxW."""
    parts = text.lower().split("x")
    if not (1 <= len(parts) <= 2 and all(part.isdigit() for part in parts)):
        raise typer.BadParameter(f"must be L or HxW, e.g. 16 or 8x16, got {text!r}")
    height, width = int(parts[0]), int(parts[-1])
    if len(parts) == 1 and height < 2:
        raise typer.BadParameter(f"must be at least 2, got {height}: one site is no lattice")
    return height, width


Size = Annotated[Any, typer.Option("--size", parser=_size, metavar="L|HxW", help="Lattice size.")]
Temperature = Annotated[
    float | None,
    typer.Option(help="T, with k_B = 1 and in units of the coupling. Default: T_c of the square lattice."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory to make.")]
File = Annotated[Path, typer.Option("--out", "-o", help="HDF5 file to write.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any config key: section.key=value.")
]
Number = Annotated[Any, typer.Option("-n", "--number", parser=_count, metavar="N", help="Configurations (1e6 works).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, as train makes it.")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    # OpenMP threads that spin while they wait make a busy machine ten times slower; PyTorch reads this at its import
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if show_version:
        typer.echo(f"latticear {version('latticear')}")
        raise typer.Exit


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="TOML file of the run; see configs/.")] = None,
    size: Size = None,
    temperature: Temperature = None,
    out: Out = None,
    seed: Seed = None,
    objective: Annotated[str | None, typer.Option(help="reverse-kl (needs no data) or forward-kl.")] = None,
    data: Annotated[Path | None, typer.Option(help="Configurations for forward-kl: HDF5 or NPY.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out, or begin it if it is not there.")] = False,
    sets: Sets = None,
) -> None:
    """Train a model at a temperature; Ctrl-C saves, --resume continues."""
    from latticear.workflows import train_run

    values: dict[str, Any] = {"hamiltonian": {}, "training": {}}
    for tree, key, value in (
        (values["hamiltonian"], "shape", None if size is None else list(size)),
        (values["training"], "objective", objective),
        (values["training"], "data", None if data is None else str(data.resolve())),
        (values, "temperature", temperature),
        (values, "seed", seed),
        (values, "device", device),
    ):
        if value is not None:
            tree[key] = value
    if objective is None and data is not None:
        values["training"]["objective"] = "forward-kl"
    with _one_line_errors():
        if out is None:
            raise ValueError("train needs --out, the run directory to make")
        console = _console()
        with _Progress(console) as progress:
            finished = train_run(out, config, sets or [], values, resume=resume, report=progress)
        if not finished:
            console.print(f"interrupted: saved in {out}; continue with: latticear train --out {out} --resume")
            raise typer.Exit(INTERRUPTED)
        console.print(f"finished: {out}; now: latticear estimate {out}")


@app.command()
def estimate(
    run: Run,
    n: Number = "10000",
    temperature: Annotated[
        str | None, typer.Option(help="Other temperatures, e.g. 2.2,2.3: reweights the same samples.")
    ] = None,
    method: Annotated[str, typer.Option(help="is (importance sampling) or mcmc (neural Metropolis chains).")] = "is",
    data: Annotated[Path | None, typer.Option(help="Monte Carlo configurations, for the forward ESS.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Free energy and observables of a run with error bars, beside exact results where there are any."""
    from latticear.workflows import estimate_run

    with _one_line_errors():
        console = _console(stderr=as_json)
        temperatures = [float(part) for part in temperature.split(",")] if temperature else None
        with _Progress(console, total=n, unit="samples") as progress:
            results = estimate_run(
                run,
                n,
                temperatures=temperatures,
                method=method,
                data=data,
                seed=seed or 0,
                device=device,
                report=progress,
            )
        if as_json:
            content = [result.to_dict() for result in results]
            typer.echo(json.dumps(content[0] if len(content) == 1 else {"estimates": content}))
            return
        for result in results:
            _print_estimates(console, result)


@app.command()
def sample(
    run: Run,
    out: File,
    n: Number = "10000",
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue the file up to N configurations in all.")] = False,
    device: Device = "auto",
) -> None:
    """Draw independent configurations with their log-probabilities into an HDF5 file."""
    from latticear.workflows import sample_run

    with _one_line_errors():
        console = _console()
        try:
            with _Progress(console, total=n, unit="samples") as progress:
                written = sample_run(run, out, n, seed=seed or 0, append=append, device=device, report=progress)
        except KeyboardInterrupt:
            console.print(f"interrupted: {out} keeps what it has; continue with the same command and --append")
            raise typer.Exit(INTERRUPTED) from None
        console.print(f"{out}: {written} configurations")


@app.command()
def mc(
    out: File,
    size: Size = None,
    temperature: Temperature = None,
    method: Annotated[str, typer.Option(help="metropolis or swendsen-wang.")] = "metropolis",
    n: Number = "10000",
    seed: Seed = 0,
    chains: Annotated[int | None, typer.Option(help="Chains side by side.")] = None,
    thermalization: Annotated[int | None, typer.Option(help="Sweeps left out at the start.")] = None,
    thinning: Annotated[int | None, typer.Option(help="Sweeps from one measurement to the next.")] = None,
    device: Device = "cpu",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Monte Carlo: configurations into an HDF5 file, and averages with autocorrelation times."""
    from latticear.workflows import monte_carlo_run

    with _one_line_errors():
        console = _console(stderr=as_json)
        schedule = {"n_chains": chains, "thermalization": thermalization, "thinning": thinning}
        try:
            with _Progress(console, total=n, unit="configurations") as progress:
                result = monte_carlo_run(
                    out,
                    _system(size, temperature, sets),
                    n,
                    method=method,
                    seed=seed or 0,
                    device=device,
                    schedule={key: value for key, value in schedule.items() if value is not None},
                    report=progress,
                )
        except KeyboardInterrupt:
            console.print(f"interrupted: {out} keeps what it has")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        _print_estimates(console, result)
        console.print(f"{out}: {result.n} configurations")


@app.command()
def exact(
    size: Size = None,
    temperature: Temperature = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Exact results of a system: enumeration, transfer matrix or Kaufman's torus, whichever gives most."""
    from latticear.config import build_hamiltonian
    from latticear.exact import exact_result

    with _one_line_errors():
        config = _system(size, temperature, sets)
        hamiltonian = build_hamiltonian(config)
        result = exact_result(hamiltonian, config.temperature)
        if result is None:
            raise ValueError(f"no exact method reaches {hamiltonian}; a smaller or zero-field periodic lattice has one")
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        _print_exact(_console(), result, str(hamiltonian))


@app.command()
def report(run: Run, seed: Seed = 0, device: Device = "auto") -> None:
    """Write figures of a run: training curve, samples, histograms, correlation function, weights."""
    from latticear.report import report_run

    with _one_line_errors():
        console = _console()
        for path in report_run(run, seed=seed or 0, device=device):
            console.print(str(path))


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or an HDF5/NPY file.")],
) -> None:
    """Say what a run directory or a data file holds."""
    from latticear.workflows import describe

    with _one_line_errors():
        typer.echo(json.dumps(describe(path), indent=2))


def _system(size: Any, temperature: float | None, sets: list[str] | None) -> Any:
    """The system that `--size`, `--temperature` and `--set` describe, as a run config."""
    from latticear.config import load_config

    values: dict[str, Any] = {"hamiltonian": {} if size is None else {"shape": list(size)}}
    if temperature is not None:
        values["temperature"] = temperature
    return load_config(None, sets or [], values)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """What a user can mend becomes one line and exit code 1; anything else is a bug and keeps its traceback."""
    import warnings

    from latticear.estimates import UnreliableEstimateWarning
    from latticear.training import TrainingError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)  # the table says it, loudly
        try:
            yield
        except (ValueError, OSError, TrainingError, MemoryError) as error:
            _fail(error)


def _fail(error: Exception) -> NoReturn:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(1)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


class _Progress:
    """A progress bar on a terminal; silent when piped. Call it with how much is done and what to show."""

    def __init__(self, console: Console, total: int | None = None, unit: str = "steps") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(bar_width=30),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        self._bar.update(self._task, completed=done, total=total, description=text)


def _print_estimates(console: Console, result: Estimates) -> None:
    from rich.table import Table

    table = Table(title=f"T = {result.temperature:g}, n = {result.n}")
    for heading in ("quantity", "value", "exact", "deviation"):
        table.add_column(heading, justify="left" if heading == "quantity" else "right")
    for name, estimate_ in result.items():
        if isinstance(estimate_.value, float):
            sigma = estimate_.deviation
            table.add_row(
                name,
                f"{estimate_.value:.2f}" if name == "pareto_k" else str(estimate_).removesuffix(" (unreliable)"),
                "" if estimate_.exact is None else f"{estimate_.exact:.8g}",
                "" if sigma is None else f"{sigma:+.1f} sigma",
            )
    console.print(table)
    for key, value in result.diagnostics.items():
        console.print(f"  {key} = {value:.4g}")
    for reason in result.warnings:
        console.print(f"WARNING: do not trust these error bars: {reason}", style="bold red")


def _print_exact(console: Console, result: ExactResult, title: str) -> None:
    from rich.table import Table

    table = Table("quantity", "exact", title=f"{title}, T = {result.temperature:g} ({result.method})")
    for name, value in result.to_dict().items():
        table.add_row(name, f"{value:.12g}")
    console.print(table)
