"""Couplings of a user for a run: an instance that the run was not made for, or one to fine-tune it to."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

from latticear.data.couplings import TAKE_A_FILE, Instance, count_instances, couplings_for
from latticear.hamiltonians import EdwardsAnderson, EdwardsAndersonDisorder, PairHamiltonian
from latticear.lattice import Lattice
from latticear.models import TensorNetwork
from latticear.runs.config import RunConfig, build_model, parse_config, to_toml
from latticear.runs.trees import DIGEST, Tree
from latticear.workflows.trained import Trained

__all__ = [
    "config_for_instance",
    "digest_of",
    "file_and_numbers",
    "fine_tuned",
    "instances_in",
    "is_for_any",
    "run_for_instance",
]


def file_and_numbers(text: str) -> tuple[Path, str]:
    """The file and the numbers that `FILE`, `FILE:0-9` or `FILE:0,3,5` name; no numbers stand for all."""
    if not Path(text).exists() and (found := re.fullmatch(r"(.+):([\d,\-\s]+)", text)):
        return Path(found[1]), found[2]
    return Path(text), ""


ALONE = "use --instance FILE --index K for a single one"
"""What to do with one instance of a run."""


def instances_in(text: str, shape: tuple[int, int], alone: str = ALONE) -> list[Instance]:
    """The instances that `FILE`, `FILE:0-9` or `FILE:0,3,5` names.

    Args:
        text: the name of a file, perhaps with a colon and numbers, counted from 0.
        shape: (H, W) of the lattice.
        alone: what a message says to do with a single instance.

    Raises:
        ValueError: for numbers that the file does not have, or fewer than two.
        OSError: if the file cannot be read.
    """
    path, numbers = file_and_numbers(text)
    n = count_instances(path, shape)
    chosen: list[int] = []
    for part in numbers.split(",") if numbers else [f"0-{n - 1}"]:
        ends = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if ends is None:
            raise ValueError(f"--instances must be FILE, FILE:0-9 or FILE:0,3,5, got {text!r}")
        chosen += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    chosen = list(dict.fromkeys(chosen))
    wrong = [k for k in chosen if k >= n]
    if wrong:
        raise ValueError(f"{path} holds instances 0..{n - 1}, got {wrong[0]} in {text!r}")
    if len(chosen) < 2:
        raise ValueError(
            f"--instances averages over instances and needs two or more, got {len(chosen)} in {text!r}: {alone}"
        )
    return [Instance(path, k) for k in chosen]


def digest_of(config: RunConfig, instance: Instance) -> str:
    """The digest of the couplings of an instance, in the layout of the system of a run.

    Raises:
        ValueError: if the file does not fit the system, or the run is for something else than couplings.
        OSError: if the file cannot be read.
    """
    if isinstance(config.target.space, EdwardsAndersonDisorder):
        shape = config.target.space.shape
        return couplings_for(EdwardsAnderson.name, instance.path, Lattice(shape), instance.number).digest
    if config.target.only is None:
        raise ValueError("--instances is for a run of a tensor network, or one for a disorder: leave it out")
    couplings = config_for_instance(config, instance).couplings
    assert couplings is not None
    return couplings.digest


def run_for_instance(run: Trained, instance: Instance | None) -> Trained:
    """A run of a tensor network, in which nothing is trained, for other couplings.

    Args:
        run: the run.
        instance: file of the couplings; None for those of the run.

    Raises:
        ValueError: if the file does not fit the system of the run, or its couplings have no sum over later sites.
        OSError: if the file cannot be read.
    """
    if instance is None:
        return run
    config = config_for_instance(run.config, instance)
    config.model["bond_dimension"] = run.model.to_dict()["bond_dimension"]
    return Trained(config, build_model(config).to(run.model.rank.device))


def is_for_any(run: Trained) -> bool:
    """Whether a run has one system, whose couplings may be replaced since nothing is trained."""
    return isinstance(run.model, TensorNetwork) and run.target.only is not None


def config_for_instance(config: RunConfig, instance: Instance) -> RunConfig:
    """The config of a run for one system, with the couplings of a file in place of its own.

    Raises:
        ValueError: if the file does not fit the system.
        OSError: if the file cannot be read.
    """
    tree = tomllib.loads(to_toml(config))
    section = tree["hamiltonian"]
    if section["name"] not in TAKE_A_FILE:
        raise ValueError(
            f"--instance is for couplings of {', '.join(TAKE_A_FILE)}, this run is for {section['name']}: leave it out"
        )
    section.pop(DIGEST, None)
    section |= {"couplings": str(instance.path), "index": instance.number}
    if section["name"] == PairHamiltonian.name:
        lattice = Lattice(config.target.space.shape)
        if couplings_for(section["name"], instance.path, lattice, instance.number).bonds is not None:
            section.pop("bonds", None)  # the file has them
    return parse_config(tree)


def fine_tuned(base: Tree, source: Path, instance: Instance) -> Tree:
    """The config, unchecked, of a run that fine-tunes the network of another run to one instance.

    The network begins near its target, so that beta does not grow from 0.

    Args:
        base: the config of the other run, without what follows from its target.
        source: its directory.
        instance: file of the couplings.

    Raises:
        ValueError: if the other run has no network that takes couplings.
    """
    section, model = base.get("hamiltonian", {}), base["model"]
    if section.get("name") != EdwardsAndersonDisorder.name and not model.get("n_condition_maps"):
        raise ValueError(
            f"--instance fine-tunes a network for all couplings, a run of {EdwardsAndersonDisorder.name}, which "
            f"{source} is not: give the couplings of a new network by --set hamiltonian.couplings=FILE"
        )
    keys = {*inspect.signature(EdwardsAnderson).parameters, "components"}
    system: dict[str, Any] = {key: value for key, value in section.items() if key in keys}
    system |= {"name": EdwardsAnderson.name, "couplings": str(instance.path.resolve()), "index": instance.number}
    return base | {
        "hamiltonian": system,
        "model": model | {"n_condition_maps": EdwardsAndersonDisorder.n_maps},
        "training": base["training"] | {"anneal": 0.0},
    }
