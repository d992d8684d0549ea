"""`latticear exact`: computes exact results."""

from __future__ import annotations

import json

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console, print_exact
from latticear.cli.options import (
    AsJson,
    HamiltonianName,
    Sets,
    Size,
    Temperature,
    system_of,
)
from latticear.cli.verb import Verb

__all__ = ["exact"]


@app.command(cls=Verb)
def exact(
    size: Size = None,
    temperature: Temperature = None,
    hamiltonian: HamiltonianName = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Compute exact results by enumeration, transfer matrix or Kaufman's solution, whichever gives most quantities."""
    from latticear.exact import exact_result

    with one_line_errors():
        system, t, _ = system_of(size, temperature, hamiltonian, sets).target.single
        result = exact_result(system, t)
        if result is None:
            raise ValueError(
                f"there is no exact method for {system} at T = {t:g}; use a smaller lattice, or no field, and a "
                f"higher temperature if the couplings are frustrated"
            )
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        print_exact(open_console(), result, str(system))
