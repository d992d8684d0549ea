"""`latticear info`: describes a run or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors
from latticear.cli.verb import Verb

__all__ = ["info"]


@app.command(cls=Verb)
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or an HDF5/NPY file.")],
) -> None:
    """Describe the content of a run directory or a data file."""
    from latticear.workflows import describe

    with one_line_errors():
        typer.echo(json.dumps(describe(path), indent=2))
