"""`latticear sample`: writes samples of a run to a file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, one_line_errors, open_console
from latticear.cli.launched import continued_by, status_of_interruption
from latticear.cli.options import (
    Condition,
    Device,
    File,
    Given,
    InstanceFile,
    InstanceIndex,
    Number,
    Run,
    Seed,
    instance_of,
    number_of,
)
from latticear.cli.verb import Verb

__all__ = ["sample"]


@app.command(cls=Verb, sharing="together")
def sample(
    run: Run,
    out: File,
    n: Number = 10_000,
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue an existing file, up to N configurations in total.")] = False,
    given: Given = None,
    temperature: Annotated[
        Any,
        typer.Option(parser=number_of, metavar="T", help="T, for a run that covers a range of temperatures."),
    ] = None,
    condition: Condition = None,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    device: Device = "auto",
) -> None:
    """Write independent configurations and their log-probabilities to a file."""
    from latticear.runs.pretrained import located
    from latticear.workflows import sample_run

    with one_line_errors():
        console = open_console()
        try:
            with continued_by("--append"), Progress(console, unit="samples") as progress:
                written = sample_run(
                    located(run),
                    out,
                    n,
                    seed=seed,
                    append=append,
                    given=given,
                    temperature=temperature,
                    condition=condition,
                    instance=instance_of(instance, index),
                    device=device,
                    report=progress,
                    say=console.print,
                )
        except KeyboardInterrupt as stop:
            kept = str(stop) or f"{out} keeps its samples; continue with the same command and --append"
            console.print(f"interrupted: {kept}")
            raise typer.Exit(status_of_interruption()) from None
        console.print(f"{out}: {written} configurations")
