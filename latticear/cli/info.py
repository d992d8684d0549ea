"""`latticear info`: describes a run or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors
from latticear.cli.options import AsJson
from latticear.cli.summary import file_lines, run_lines
from latticear.cli.verb import Verb

__all__ = ["info"]


@app.command(cls=Verb)
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or a data file.")],
    as_json: AsJson = False,
) -> None:
    """Describe a run directory or a data file in a few lines; with --json completely."""
    from latticear.workflows import describe

    with one_line_errors():
        content = describe(path)
        if as_json:
            typer.echo(json.dumps(content, indent=2))
        else:
            typer.echo("\n".join(run_lines(path, content) if path.is_dir() else file_lines(path, content)))
