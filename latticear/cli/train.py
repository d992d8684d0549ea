"""`latticear train`: trains one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, notes, one_line_errors, open_console
from latticear.cli.launched import continued_by, status_of_interruption
from latticear.cli.options import (
    Data,
    DatasetName,
    HamiltonianName,
    InstanceFile,
    InstanceIndex,
    Levels,
    ModelName,
    Out,
    Seed,
    Sets,
    Size,
    Steps,
    TemperatureOrRange,
    given_options,
    grid_of,
    instance_of,
    network_of,
    number_of,
    number_or_text,
    one_file,
)
from latticear.cli.verb import Verb

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["train"]


@app.command(cls=Verb, sharing="together")
def train(
    config: Annotated[Path | None, typer.Argument(help="TOML file of the run; see configs/.")] = None,
    size: Size = None,
    temperature: TemperatureOrRange = None,
    hamiltonian: HamiltonianName = None,
    model: ModelName = None,
    steps: Steps = None,
    out: Out = None,
    seed: Seed = None,
    objective: Annotated[
        str | None,
        typer.Option(help="reverse-kl, forward-kl or forward-reverse-kl. The default depends on network and target."),
    ] = None,
    data: Data = None,
    dataset: DatasetName = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from the weights (and the config) of a run, or pretrained:NAME; its lattice may differ.",
        ),
    ] = None,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    grow: Annotated[bool, typer.Option(help="Train on smaller lattices first, doubling the extents.")] = False,
    levels: Levels = None,
    minutes: Annotated[
        Any,
        typer.Option(
            parser=number_of,
            metavar="MINUTES",
            help="Train for this time, all included; it gives the number of steps.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out, or begin it if there is none.")] = False,
    sets: Sets = None,
) -> None:
    """Train a model for a Hamiltonian at a temperature, or on data of a grid; Ctrl-C saves, --resume continues."""
    from latticear.runs.pretrained import located
    from latticear.workflows import grow_run, train_run

    with one_line_errors():
        if out is None:
            raise ValueError("train needs --out, the run directory")
        if grow and source is not None:
            raise ValueError("--grow starts from a small lattice that it trains itself; leave out --from")
        if grow and instance is not None:
            raise ValueError("--instance fine-tunes the network of --from RUN; leave out --grow")
        file, couplings = one_file(data), instance_of(instance, index)
        values = {
            **given_options(temperature=number_or_text(temperature), seed=seed, device=device),
            **grid_of(size, levels, hamiltonian),
            **network_of(model, steps),
            "data": given_options(dataset=dataset),
        }
        values["training"] |= given_options(objective=objective, data=None if file is None else str(file))
        console = open_console()
        with _interruption(out, console), continued_by("--resume"), notes(console), Progress(console) as progress:
            options: dict[str, Any] = {"resume": resume, "report": progress, "minutes": minutes, "say": console.print}
            if grow:
                finished = grow_run(out, config, sets or [], values, **options)
            else:
                options |= {"source": None if source is None else located(source), "instance": couplings}
                finished = train_run(out, config, sets or [], values, **options)
        if progress.text:
            console.print(progress.text)
        if not finished:
            again = "the same command and --resume" if grow else f"latticear train --out {out} --resume"
            console.print(f"interrupted: saved in {out}; continue with: {again}")
            raise typer.Exit(status_of_interruption())
        console.print(f"finished: {out}; now: latticear estimate {out}")


@contextmanager
def _interruption(out: Path, console: Console) -> Iterator[None]:
    """Say that nothing was saved if the user interrupts before the run is begun; later the run saves itself."""
    try:
        yield
    except KeyboardInterrupt:
        if not out.exists():
            console.print("interrupted before the first step: nothing was saved")
        raise typer.Exit(status_of_interruption()) from None
