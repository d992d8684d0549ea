"""`latticear info`: describes a run or a file, or verifies its checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors
from latticear.cli.options import AsJson
from latticear.cli.summary import card_lines, file_lines, run_lines, shipped_lines
from latticear.cli.verb import Verb

__all__ = ["info"]


@app.command(cls=Verb)
def info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run directory, a data file or, with --check, a scan; pretrained: lists the runs of the package.",
        ),
    ],
    check: Annotated[bool, typer.Option("--check", help="Verify the checksums of all its files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe a run directory or a data file in a few lines; with --json completely. With --check verify its files."""
    from latticear.runs.pretrained import PREFIX, PRETRAINED, located
    from latticear.workflows import describe

    with one_line_errors():
        if str(path) == PREFIX and not check:
            cards = {name: card.to_dict() for name, card in PRETRAINED.items()}
            typer.echo(json.dumps(cards, indent=2) if as_json else "\n".join(shipped_lines(PRETRAINED)))
            return
        path = located(path)
        if check:
            _check(path, as_json)
            return
        content = describe(path)
        if as_json:
            typer.echo(json.dumps(content, indent=2))
            return
        lines = card_lines if "card" in content else run_lines if path.is_dir() else file_lines
        typer.echo("\n".join(lines(path, content)))


def _check(path: Path, as_json: bool) -> None:
    """Print a line for each file with trouble, and one about all of them; exit with status 1 if any is damaged."""
    from latticear.workflows.check import check, summary_of

    found = list(check(path))
    damaged = [file for file in found if file.problem]
    if as_json:
        files = [file.to_dict() for file in found]
        typer.echo(json.dumps({"files": files, "damaged": len(damaged), "summary": summary_of(found)}, indent=2))
    else:
        for file in damaged:
            typer.echo(f"{file.path}: {file.problem}")
        typer.echo(summary_of(found))
    if damaged:
        raise typer.Exit(1)
