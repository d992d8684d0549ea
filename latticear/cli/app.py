"""The Typer application to which all commands are added."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Annotated

import typer

__all__ = ["INTERRUPTED", "app"]

app = typer.Typer(
    help="Autoregressive neural samplers of lattice spin systems: train, sample, estimate with honest error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM."""


@app.callback(invoke_without_command=True)
def main(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    # with busy waiting, OpenMP threads slow a loaded machine down tenfold; PyTorch reads this variable when imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if show_version:
        typer.echo(f"latticear {version('latticear')}")
        raise typer.Exit
