"""`latticear exact`: computes exact results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console, print_exact, print_table
from latticear.cli.options import (
    AsJson,
    BondDimension,
    ExactMethod,
    GroundStateFlag,
    HamiltonianName,
    Seed,
    Sets,
    Size,
    Temperature,
    system_of,
)
from latticear.cli.verb import Verb

if TYPE_CHECKING:
    from latticear.exact import ExactResult
    from latticear.runs.config import RunConfig

__all__ = ["exact"]


@app.command(cls=Verb)
def exact(
    size: Size = None,
    temperature: Temperature = None,
    hamiltonian: HamiltonianName = None,
    method: ExactMethod = None,
    bond_dimension: BondDimension = None,
    ground_state: GroundStateFlag = False,
    seed: Seed = 0,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Compute exact results by the method that gives most quantities in a few seconds, or by one that you choose."""
    from latticear.exact import exact_result, result_by

    with one_line_errors():
        if ground_state:
            _ground_state(system_of(size, None, hamiltonian, sets), temperature, method, bond_dimension, seed, as_json)
            return
        system, t, _ = system_of(size, temperature, hamiltonian, sets).target.single
        if method is None and bond_dimension is None:
            result = exact_result(system, t)
        else:
            result = result_by(method or "tensor-network", system, t, bond_dimension=bond_dimension)
        if result is None and system.composition is not None:
            raise ValueError(
                f"there is no exact method for {system} at T = {t:g}; at fixed composition a small lattice can be "
                f"summed, or a larger one of two states by its transfer matrix, up to about 10x10"
            )
        if result is None:
            raise ValueError(
                f"there is no exact method for {system} at T = {t:g}; use a smaller lattice, or no field, and a "
                f"higher temperature if the couplings are frustrated; or --method tensor-network, which takes longer "
                f"and states its error"
            )
        if as_json:
            typer.echo(json.dumps(result.to_dict() | _of_network(result)))
            return
        print_exact(open_console(), result, str(system))


def _ground_state(
    config: RunConfig, temperature: float | None, method: str | None, bond_dimension: int | None, seed: int, json_: bool
) -> None:
    """Print the ground state of a system."""
    from latticear.estimation.ground_state import ground_state

    if temperature is not None or bond_dimension is not None:
        option = "--bond-dimension" if temperature is None else "--temperature"
        raise ValueError(f"a ground state has no {option[2:].replace('-', ' ')}: leave {option} out")
    system = config.target.single[0]
    found = ground_state(system, method, seed=seed)
    if json_:
        typer.echo(json.dumps(found.to_dict()))
        return
    print_table(open_console(), found.table(), title=f"{system}: {found.table().title}")


def _of_network(result: ExactResult) -> dict[str, Any]:
    """The keys of a result that has errors: whether it counts as exact, the bond dimension, and the errors."""
    if not result.errors:
        return {}
    errors = {f"{name}_error": error for name, error in result.errors.items()}
    return {"is_exact": result.is_exact, "bond_dimension": result.bond_dimension, **errors}
