"""The verbs of the command line.

Heavy imports happen inside them, so that --help and --version answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latticear.cli.display import (
    Progress,
    notes,
    one_line_errors,
    open_console,
    print_comparison,
    print_estimates,
    print_exact,
    print_likelihood,
    print_point,
)
from latticear.cli.options import (
    AsJson,
    Condition,
    Device,
    EstimationMethod,
    File,
    Given,
    Grid,
    InstanceFile,
    InstanceIndex,
    Levels,
    MonteCarloMethod,
    Number,
    Out,
    Run,
    Seed,
    Sets,
    SeveralTemperatures,
    Size,
    Sizes,
    Temperature,
    TemperatureOrRange,
    Temperatures,
    count_of,
    grid_of,
    grid_temperatures_of,
    shape_of,
    shapes_of,
    temperatures_of,
)

if TYPE_CHECKING:
    from latticear.config import RunConfig
    from latticear.workflows import Instance

__all__ = ["app"]

app = typer.Typer(
    help="Autoregressive neural samplers of lattice spin systems: train, sample, estimate with honest error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130


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
    temperature: TemperatureOrRange = None,
    out: Out = None,
    seed: Seed = None,
    objective: Annotated[
        str | None, typer.Option(help="reverse-kl, forward-kl or forward-reverse-kl. Default: that of the network.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Configurations for forward-kl: HDF5 or NPY. Default: Monte Carlo draws them.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Begin with the weights (and the config) of a run, of any size."),
    ] = None,
    grow: Annotated[bool, typer.Option(help="Train on smaller lattices first, each half the next.")] = False,
    levels: Levels = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out, or begin it if it is not there.")] = False,
    sets: Sets = None,
) -> None:
    """Train a model at a temperature, or on a grid of integers; Ctrl-C saves, --resume continues."""
    from latticear.workflows import grow_run, train_run

    with one_line_errors():
        if out is None:
            raise ValueError("train needs --out, the run directory to make")
        if grow and source is not None:
            raise ValueError("--grow begins with a small lattice of its own; leave out --from")
        values = {
            **_given(temperature=_number_or_text(temperature), seed=seed, device=device),
            **grid_of(size, levels),
            "training": _given(objective=objective, data=None if data is None else str(data)),
        }
        console = open_console()
        with notes(console), Progress(console) as progress:
            if grow:
                finished = grow_run(out, config, sets or [], values, resume=resume, report=progress)
            else:
                finished = train_run(out, config, sets or [], values, resume=resume, report=progress, source=source)
        if progress.text:
            console.print(progress.text)
        if not finished:
            again = "the same command and --resume" if grow else f"latticear train --out {out} --resume"
            console.print(f"interrupted: saved in {out}; continue with: {again}")
            raise typer.Exit(INTERRUPTED)
        console.print(f"finished: {out}; now: latticear estimate {out}")


@app.command()
def compare(
    configs: Annotated[list[Path] | None, typer.Argument(metavar="CONFIG...", help="TOML files of the runs.")] = None,
    minutes: Annotated[float, typer.Option(help="Time to train each of them; 0.1 works too.")] = 5.0,
    n: Number = "10000",
    size: Size = None,
    temperature: Temperature = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run directories.")] = Path("runs/compare"),
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train configs for the same time; quality, speed and size side by side. The same command continues."""
    from latticear.workflows import compare_runs

    rows: list[dict[str, Any]] = []
    with one_line_errors():
        values = {**_given(temperature=temperature, seed=seed, device=device), "hamiltonian": shape_of(size)}
        console = open_console(stderr=as_json)
        options: dict[str, Any] = {"minutes": minutes, "n": count_of(n)}
        try:
            with notes(console), Progress(console, unit="") as progress:
                for row in compare_runs(configs or [], out, sets or [], values, **options, report=progress):
                    rows.append(row)
        except KeyboardInterrupt:
            if not as_json:
                print_comparison(console, rows, **options)
            console.print(f"interrupted: {len(rows)} of {len(configs or [])} are done; the same command goes on")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(json.dumps({"rows": rows}))
        else:
            print_comparison(console, rows, **options)
        if any("error" in row for row in rows):
            raise typer.Exit(1)


@app.command(cls=SeveralTemperatures)
def scan(
    config: Annotated[Path | None, typer.Argument(help="TOML file of the runs; see configs/.")] = None,
    temperature: Grid = None,
    size: Sizes = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the runs and the table.")] = None,
    n: Number = "10000",
    one_network: Annotated[
        bool,
        typer.Option(
            "--one-network", help="One network of a size for all temperatures, as where the config has a range."
        ),
    ] = False,
    chains: Annotated[
        int | None,
        typer.Option(help="Parts of the temperatures that are trained independently. Default: at most 8 in each."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, started by torchrun.")] = 1,
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the scan in --out, or begin it if it is not there.")] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train along a grid of temperatures and sizes, each from its neighbour; one table, one figure."""
    from latticear.workflows.scan import finish_scan, open_scan, scan_run
    from latticear.workflows.scanplan import Share, plan_scan

    with one_line_errors():
        if out is None:
            raise ValueError("scan needs --out, the folder to make")
        console = open_console(stderr=as_json)
        with notes(console):
            plan = plan_scan(
                out,
                config,
                sets or [],
                _given(seed=seed, device=device),
                temperatures=grid_temperatures_of(temperature),
                shapes=shapes_of(size),
                n=count_of(n),
                n_chains=chains,
                one_network=one_network,
            )
        share = Share.of_environment()
        if workers > 1 and share.world == 1:
            open_scan(plan, resume=resume, share=share)  # mistakes show before there are several to make them
            _become_torchrun(workers)
        try:
            with Progress(console, unit="", alone=share.world == 1) as progress:
                for point in scan_run(plan, resume=resume, report=progress, share=share):
                    print_point(console, point)
                table = finish_scan(plan, report=progress, share=share)
        except KeyboardInterrupt:
            done = sum(point.record.exists() for point in plan.points)
            console.print(
                f"interrupted: {done} of {len(plan.points)} points are done; the same command and --resume go on"
            )
            raise typer.Exit(INTERRUPTED) from None
        if table is None:
            console.print(f"{out}: this process has done its share; the last one writes the table")
        elif as_json:
            typer.echo(json.dumps({"rows": table.rows()}))
        else:
            console.print(f"finished: {out}/table.h5, table.csv and scan.png")


def _become_torchrun(workers: int) -> None:
    """Go on as so many processes with the same command line; the folder is there."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", "latticear", *sys.argv[1:], "--resume"])


@app.command(cls=SeveralTemperatures)
def estimate(
    run: Run,
    n: Number = "10000",
    temperature: Temperatures = None,
    method: EstimationMethod = None,
    data: Annotated[Path | None, typer.Option(help="Configurations: for the forward ESS, or of a grid.")] = None,
    check: Annotated[bool, typer.Option(help="Without data, a forward ESS from a short cluster Monte Carlo.")] = True,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Free energy and observables of a run with error bars, beside exact ones; of a grid, the held-out likelihood."""
    from latticear.workflows import estimate_run, is_grid_run, likelihood_run, save_estimates

    with one_line_errors():
        console = open_console(stderr=as_json)
        if is_grid_run(run):
            if temperature is not None or method is not None or instance is not None:
                raise ValueError(
                    f"{run} is a run on a grid, which has no energy: leave --temperature, --method and --instance out"
                )
            likelihood = likelihood_run(run, n=count_of(n), data=data, device=device)
            typer.echo(json.dumps(likelihood)) if as_json else print_likelihood(console, likelihood)
            return
        served = _instance(instance, index)
        with Progress(console, unit="samples") as progress:
            results = estimate_run(
                run,
                count_of(n),
                temperatures=temperatures_of(temperature),
                method=method,
                data=data,
                check=check,
                instance=served,
                seed=seed,
                device=device,
                report=progress,
                say=(lambda _: None) if as_json else console.print,
            )
        if as_json:
            content = [result.to_dict() for result in results]
            typer.echo(json.dumps(content[0] if len(content) == 1 else {"estimates": content}))
        else:
            for result in results:
                print_estimates(console, result)
        save_estimates(run, results, seed=seed, instance=served)


@app.command()
def sample(
    run: Run,
    out: File,
    n: Number = "10000",
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue the file up to N configurations in all.")] = False,
    given: Given = None,
    temperature: Annotated[float | None, typer.Option(help="T, of a run that serves a range.")] = None,
    condition: Condition = None,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    device: Device = "auto",
) -> None:
    """Draw independent configurations with their log-probabilities into an HDF5 file."""
    from latticear.workflows import sample_run

    with one_line_errors():
        console = open_console()
        try:
            with Progress(console, unit="samples") as progress:
                written = sample_run(
                    run,
                    out,
                    count_of(n),
                    seed=seed,
                    append=append,
                    given=given,
                    temperature=temperature,
                    condition=condition,
                    instance=_instance(instance, index),
                    device=device,
                    report=progress,
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
    method: MonteCarloMethod = "metropolis",
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

    with one_line_errors():
        console = open_console(stderr=as_json)
        try:
            with Progress(console, unit="configurations") as progress:
                result = monte_carlo_run(
                    out,
                    _system(size, temperature, sets),
                    count_of(n),
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
            print_estimates(console, result)
        console.print(f"{out}: {count_of(n)} configurations")


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
    from latticear.workflows import single_temperature

    with one_line_errors():
        config = _system(size, temperature, sets)
        hamiltonian = build_hamiltonian(config)
        t = single_temperature(config)
        result = exact_result(hamiltonian, t)
        if result is None:
            raise ValueError(
                f"no exact method reaches {hamiltonian} at T = {t:g}; a smaller lattice has one, or one "
                "without fields, at a higher temperature if it is frustrated"
            )
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        print_exact(open_console(), result, str(hamiltonian))


@app.command()
def report(run: Run, seed: Seed = 0, device: Device = "auto") -> None:
    """Write figures of a run: training curve, samples, histograms, correlation function, weights."""
    from latticear.report import report_run

    with one_line_errors():
        console = open_console()
        for path in report_run(run, seed=seed, device=device):
            console.print(str(path))


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or an HDF5/NPY file.")],
) -> None:
    """Say what a run directory or a data file holds."""
    from latticear.workflows import describe

    with one_line_errors():
        typer.echo(json.dumps(describe(path), indent=2))


def _system(size: str | None, temperature: float | None, sets: list[str] | None) -> RunConfig:
    """The system that `--size`, `--temperature` and `--set` describe, as a run config."""
    from latticear.config import load_config

    return load_config(None, sets or [], {**_given(temperature=temperature), "hamiltonian": shape_of(size)})


def _instance(path: Path | None, index: int | None) -> Instance | None:
    from latticear.workflows import Instance

    if path is None:
        if index is not None:
            raise ValueError("--index says which instance of a file: give the file by --instance, or leave it out")
        return None
    return Instance(path, index or 0)


def _number_or_text(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _given(**values: Any) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in values.items() if value is not None}
