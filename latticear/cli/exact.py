"""`latticear exact`: exact results."""

from __future__ import annotations

import json

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console, print_exact
from latticear.cli.options import (
    AsJson,
    Sets,
    Size,
    Temperature,
    system_of,
)

__all__ = ["exact"]


@app.command()
def exact(
    size: Size = None,
    temperature: Temperature = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Exact results of a system: enumeration, transfer matrix or Kaufman's torus, whichever gives most."""
    from latticear.exact import exact_result

    with one_line_errors():
        hamiltonian, t, _ = system_of(size, temperature, sets).target.single
        result = exact_result(hamiltonian, t)
        if result is None:
            raise ValueError(
                f"no exact method reaches {hamiltonian} at T = {t:g}; a smaller lattice has one, or one "
                "without fields, at a higher temperature if it is frustrated"
            )
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        print_exact(open_console(), result, str(hamiltonian))
