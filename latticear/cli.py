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

    from latticear.config import RunConfig
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
    if not (value >= 1 and value.is_integer()):
        raise ValueError(f"-n must be a whole number of at least 1 (1e6 works too), got {text!r}")
    return int(value)


def _seed(text: str | int) -> int:
    """A seed that every file and generator takes."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise typer.BadParameter(f"must be a whole number from 0 to 2^63 - 1, got {text!r}")
    return value


def _size(text: str | None) -> dict[str, Any]:
    """L, or HxW, as the config has it."""
    if text is None:
        return {}
    parts = text.lower().split("x")
    if not (1 <= len(parts) <= 2 and all(part.isdecimal() for part in parts)):
        raise ValueError(f"--size must be L or HxW, e.g. 16 or 8x16, got {text!r}")
    height, width = int(parts[0]), int(parts[-1])
    if len(parts) == 1 and height < 2:
        raise ValueError(f"--size must be at least 2, got {height}: one site is no lattice")
    return {"shape": [height, width]}


def _temperatures(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--temperature must be a number or several, e.g. 2.2,2.3, got {text!r}") from error


Size = Annotated[str | None, typer.Option(metavar="L|HxW", help="Lattice size.")]
Temperature = Annotated[
    float | None,
    typer.Option(help="T, with k_B = 1 and in units of the coupling. Default: T_c of the square lattice."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory to make.")]
File = Annotated[Path, typer.Option("--out", "-o", help="HDF5 file to write.")]
Seed = Annotated[Any, typer.Option("--seed", parser=_seed, metavar="N", help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any config key: section.key=value.")
]
Number = Annotated[str, typer.Option("-n", "--number", metavar="N", help="Configurations (1e6 works).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else.")]
Given = Annotated[Path | None, typer.Option(metavar="FILE", help="HDF5: hold its /spins fixed where its /where is 1.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, as train makes it.")]


@app.callback(invoke_without_command=True)
def main(
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

    if objective is None and data is not None:
        objective = "forward-kl"
    with _one_line_errors():
        if out is None:
            raise ValueError("train needs --out, the run directory to make")
        values = {
            **_given(temperature=temperature, seed=seed, device=device),
            "hamiltonian": _size(size),
            "training": _given(objective=objective, data=None if data is None else str(data)),
        }
        console = _console()
        with _Progress(console) as progress:
            finished = train_run(out, config, sets or [], values, resume=resume, report=progress)
        if progress.text:
            console.print(progress.text)
        if not finished:
            console.print(f"interrupted: saved in {out}; continue with: latticear train --out {out} --resume")
            raise typer.Exit(INTERRUPTED)
        console.print(f"finished: {out}; now: latticear estimate {out}")


@app.command()
def estimate(
    run: Run,
    n: Number = "10000",
    temperature: Annotated[str | None, typer.Option(help="Others, e.g. 2.2,2.3: the same samples, reweighted.")] = None,
    method: Annotated[str, typer.Option(help="is (importance sampling) or mcmc (neural Metropolis chains).")] = "is",
    data: Annotated[Path | None, typer.Option(help="Monte Carlo configurations, for the forward ESS.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Free energy and observables of a run with error bars, beside exact results where there are any."""
    from latticear.workflows import estimate_run, save_estimates

    with _one_line_errors():
        console = _console(stderr=as_json)
        with _Progress(console, unit="samples") as progress:
            results = estimate_run(
                run,
                _count(n),
                temperatures=_temperatures(temperature),
                method=method,
                data=data,
                seed=seed,
                device=device,
                report=progress,
            )
        if as_json:
            content = [result.to_dict() for result in results]
            typer.echo(json.dumps(content[0] if len(content) == 1 else {"estimates": content}))
        else:
            for result in results:
                _print_estimates(console, result)
        save_estimates(run, results, seed=seed)


@app.command()
def sample(
    run: Run,
    out: File,
    n: Number = "10000",
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue the file up to N configurations in all.")] = False,
    given: Given = None,
    device: Device = "auto",
) -> None:
    """Draw independent configurations with their log-probabilities into an HDF5 file."""
    from latticear.workflows import sample_run

    with _one_line_errors():
        console = _console()
        try:
            with _Progress(console, unit="samples") as progress:
                written = sample_run(
                    run, out, _count(n), seed=seed, append=append, given=given, device=device, report=progress
                )
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
        try:
            with _Progress(console, unit="configurations") as progress:
                result = monte_carlo_run(
                    out,
                    _system(size, temperature, sets),
                    _count(n),
                    method=method,
                    seed=seed,
                    device=device,
                    schedule=_given(n_chains=chains, thermalization=thermalization, thinning=thinning),
                    report=progress,
                )
        except KeyboardInterrupt:
            console.print(f"interrupted: {out} keeps what it has")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(json.dumps({} if result is None else result.to_dict()))
        elif result is not None:
            _print_estimates(console, result)
        console.print(f"{out}: {_count(n)} configurations")


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
        for path in report_run(run, seed=seed, device=device):
            console.print(str(path))


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or an HDF5/NPY file.")],
) -> None:
    """Say what a run directory or a data file holds."""
    from latticear.workflows import describe

    with _one_line_errors():
        typer.echo(json.dumps(describe(path), indent=2))


def _system(size: str | None, temperature: float | None, sets: list[str] | None) -> RunConfig:
    """The system that `--size`, `--temperature` and `--set` describe, as a run config."""
    from latticear.config import load_config

    return load_config(None, sets or [], {**_given(temperature=temperature), "hamiltonian": _size(size)})


def _given(**values: Any) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in values.items() if value is not None}


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
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    typer.echo(f"error: {' '.join(text.split())}", err=True)
    raise typer.Exit(1)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 120
    return console


class _Progress:
    """A progress bar on a terminal; silent when piped. Call it with how much is done and what to show."""

    def __init__(self, console: Console, unit: str = "steps") -> None:
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
        self._task = self._bar.add_task("", total=None)
        self.text = ""

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        self.text = text
        self._bar.update(self._task, completed=done, total=total, description=text)


def _print_estimates(console: Console, result: Estimates) -> None:
    from rich.table import Table

    table = Table(title=f"T = {result.temperature:g}, n = {result.n}")
    for heading in ("quantity", "value", "exact", "deviation"):
        table.add_column(heading, justify="left" if heading == "quantity" else "right")
    for name, estimate_ in result.items():
        if isinstance(estimate_.value, float):
            sigma = None if estimate_.deviation is None else float(estimate_.deviation)
            table.add_row(
                name,
                f"{estimate_.value:.2f}" if name == "pareto_k" else str(estimate_).removesuffix(" (unreliable)"),
                "" if estimate_.exact is None else f"{estimate_.exact:.8g}",
                "" if sigma is None else "differs" if abs(sigma) >= 1000 else f"{sigma:+.1f} sigma",
            )
    console.print(table)
    others = {key: value for key, value in result.diagnostics.items() if key not in (*result, "n")}
    console.print(", ".join(f"{key} = {value:.3g}" for key, value in others.items()))
    if result.warnings:
        reasons = "".join(f"\n  - {reason}" for reason in result.warnings)
        console.print(f"WARNING: do not trust these error bars:{reasons}", style="bold red")


def _print_exact(console: Console, result: ExactResult, title: str) -> None:
    from rich.table import Table

    table = Table("quantity", "exact", title=f"{title}, T = {result.temperature:g} ({result.method})")
    for name, value in result.to_dict().items():
        table.add_row(name, f"{value:.12g}")
    console.print(table)
