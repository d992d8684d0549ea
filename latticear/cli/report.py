"""`latticear report`: writes the figures of a run."""

from __future__ import annotations

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console
from latticear.cli.options import (
    Device,
    Run,
    Seed,
)
from latticear.cli.verb import Verb

__all__ = ["report"]


@app.command(cls=Verb)
def report(run: Run, seed: Seed = 0, device: Device = "auto") -> None:
    """Write the figures of a run: training curve, samples, histograms, correlation function, weights."""
    from latticear.workflows.report import report_run

    with one_line_errors():
        console = open_console()
        for path in report_run(run, seed=seed, device=device):
            console.print(str(path))
