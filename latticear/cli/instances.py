"""`latticear estimate --instances`: averages over the instances of a file of couplings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from latticear.cli.display import Progress, print_estimates
from latticear.cli.launched import status_of_interruption

if TYPE_CHECKING:
    from rich.console import Console

    from latticear.workflows.instance_averages import InstanceEstimates

__all__ = ["average_instances"]


def average_instances(
    console: Console, run: Path, text: str, n: int, options: dict[str, Any], *, csv: Path | None, as_json: bool
) -> None:
    """Estimate each instance, print a line for each, and print and write their averages.

    Args:
        console: where to print.
        run: run directory.
        text: the value of --instances.
        n: number of samples of each instance.
        options: method, observables, seed, device and check, as of `estimates_of_instances`.
        csv: a new file for the table of the instances; None for none besides that in the run directory.
        as_json: whether to print one JSON object.
    """
    from latticear.files import write_atomically
    from latticear.workflows.instance_averages import (
        averages_of_instances,
        content_of,
        estimates_of_instances,
        instances_of,
        save_averages,
        table_of,
    )

    chosen = instances_of(text, run)
    found: list[InstanceEstimates] = []
    try:
        with Progress(console, unit="samples") as progress:
            for each in estimates_of_instances(run, chosen, n, **options, report=progress):
                found.append(each)
                console.print(_line(each))
    except KeyboardInterrupt:
        console.print(
            f"interrupted: {len(found)} of {len(chosen)} instances are done; the same command continues with the others"
        )
        raise typer.Exit(status_of_interruption()) from None
    if not found:
        return  # this process has drawn samples for the first one
    average = averages_of_instances(found)
    save_averages(run, average, found)
    if as_json:
        typer.echo(json.dumps(content_of(average, found)))
    else:
        print_estimates(console, average)
        console.print(f"{run}/instances: average.json, table.csv, and the estimates of each instance")
    if csv is not None:
        write_atomically(csv, table_of(found))


def _line(each: InstanceEstimates) -> str:
    """One instance as a line: energy, free energy, squared overlap if there is one, and the verdict."""
    names = {"free_energy_per_site": "F/N", "energy_per_site": "E/N", "overlap_squared": "q^2", "ess": "ESS"}
    numbers = [f"{label} {each.estimates[name].bracketed}" for name, label in names.items() if name in each.estimates]
    before = ", from before" if each.stored else ""
    return f"instance {each.instance.number}: {', '.join(numbers)}, {each.estimates.verdict}{before}"
