"""`latticear cite`: BibTeX of the package, and of what a run used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors
from latticear.cli.options import AsJson
from latticear.cli.verb import Verb

__all__ = ["cite"]


@app.command(cls=Verb)
def cite(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run directory made by train, or pretrained:NAME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print BibTeX of the package and, for a run, of the papers whose networks and methods it used."""
    from latticear.workflows.cite import cite as bibtex, cited

    with one_line_errors():
        if not as_json:
            typer.echo(bibtex(run))
            return
        entries = [{"key": entry.key, "type": entry.kind, **entry.fields, "for": uses} for entry, uses in cited(run)]
        typer.echo(json.dumps({"references": entries}, indent=2))
