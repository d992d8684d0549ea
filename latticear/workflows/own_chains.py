"""Estimates from chains of one's own: a file, the system and the temperature that it states or a user gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latticear.data.contents import contents_of
from latticear.data.format import space_of
from latticear.data.statements import stated_temperatures
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.own_chain import estimate_chains
from latticear.hamiltonians import AbstractHamiltonian
from latticear.runs.config import RunConfig

__all__ = ["estimate_file"]


def estimate_file(
    path: Path,
    asked: Callable[[], RunConfig] | None,
    *,
    temperature: float | None,
    n_chains: int | None = None,
    skip: int = 0,
    dataset: str | None = None,
    observables: Sequence[str] = (),
) -> Estimates:
    """Averages of the chains in a file, with the verdict on whether they fit.

    Args:
        path: the file, any that `load_configurations` takes.
        asked: gives the config whose Hamiltonian a user asks for; None for the one that the file states.
        temperature: T, in units of the coupling; None for the one that the file states.
        n_chains, skip, dataset, observables: as in `estimate_chains`.

    Raises:
        ValueError: if the file states no system or temperature and none is given; as `estimate_chains`.
        OSError: if the file cannot be read.
    """
    with contents_of(path) as contents:
        name = contents.chosen(dataset)
        if contents.beside(name, "log_q") is not None:
            raise ValueError(
                f"{path} holds samples of a network, which need weights, not a chain: use la.estimate("
                f"la.data.read_batches({str(path)!r}, 1000), hamiltonian, temperature), or estimate RUN"
            )
        stated = None if temperature is not None else stated_temperatures(contents, name)
        attributes = dict(contents.attributes)
    system = _system(path, attributes) if asked is None else asked().target.system
    if temperature is None and stated is not None and stated.values.size == 1:
        temperature = float(stated.as_temperatures.reshape(()))
    if temperature is None:
        held = "" if stated is None else f", which has configurations at {stated.shown}"
        raise ValueError(f"estimate needs the temperature of the chains in {path}{held}: give --temperature T")
    with quiet():
        more: dict[str, Any] = {"n_chains": n_chains, "skip": skip, "dataset": dataset, "observables": observables}
        return estimate_chains(path, system, temperature, **more)


def _system(path: Path, attributes: dict[str, Any]) -> AbstractHamiltonian:
    """The Hamiltonian that a file states."""
    if not isinstance(attributes.get("hamiltonian"), dict):
        raise ValueError(
            f"{path} does not state its system: give --size L (and --hamiltonian NAME or --set hamiltonian.KEY=VALUE)"
        )
    system = space_of(attributes)
    assert isinstance(system, AbstractHamiltonian)
    return system
