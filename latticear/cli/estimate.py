"""`latticear estimate`: estimates the free energy and observables from samples of a run."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, one_line_errors, open_console, print_estimates, print_likelihood
from latticear.cli.options import (
    AsJson,
    Data,
    DatasetName,
    Device,
    EstimationMethod,
    InstanceFile,
    InstanceIndex,
    Number,
    Run,
    Seed,
    Temperatures,
    count_of,
    instance_of,
    one_file,
    temperatures_of,
)
from latticear.cli.verb import SeveralTemperatures

__all__ = ["estimate"]


@app.command(cls=SeveralTemperatures)
def estimate(
    run: Run,
    n: Number = "10000",
    temperature: Temperatures = None,
    method: EstimationMethod = None,
    data: Data = None,
    dataset: DatasetName = None,
    check: Annotated[bool, typer.Option(help="Compare with independent configurations, for the verdict.")] = True,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Estimate free energy and observables of a run with error bars, or the held-out likelihood of a run on a grid."""
    from latticear.runs.config import stored_config
    from latticear.runs.directory import RunDirectory
    from latticear.workflows import estimate_run, likelihood_run, save_estimates

    with one_line_errors():
        console = open_console(stderr=as_json)
        file = one_file(data)
        if not stored_config(RunDirectory(run).config_path).target.has_energy:
            if temperature is not None or method is not None or instance is not None:
                raise ValueError(
                    f"{run} is a run on a grid, which has no energy: leave --temperature, --method and --instance out"
                )
            likelihood = likelihood_run(run, n=count_of(n), data=file, device=device, dataset=dataset)
            typer.echo(json.dumps(likelihood)) if as_json else print_likelihood(console, likelihood)
            return
        couplings = instance_of(instance, index)
        with Progress(console, unit="samples") as progress:
            results = estimate_run(
                run,
                count_of(n),
                temperatures=temperatures_of(temperature),
                method=method,
                data=file,
                dataset=dataset,
                check=check,
                instance=couplings,
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
        save_estimates(run, results, seed=seed, instance=couplings, say=(lambda _: None) if as_json else console.print)
