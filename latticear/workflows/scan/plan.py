"""The plan of a scan: a grid of sizes and temperatures, and of instances, divided into chains of points."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from latticear.estimation.goals import Wanted, check_known, goals_of
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.limits import limits_of
from latticear.estimation.named.request import Request
from latticear.files import check_folder
from latticear.hamiltonians import AbstractDisorder, AbstractHamiltonian, check_temperature
from latticear.runs.config import RunConfig, parse_config
from latticear.runs.trees import Tree, config_tree
from latticear.targets.networks import NetworkChoice
from latticear.workflows.scan.chains import chains_of, groups_of, segments_of, training_of
from latticear.workflows.scan.instances import InstancesOfSizes, check_instances, instances_of_sizes
from latticear.workflows.scan.point import Point, Shape, digits, record_of, run_of, size_name
from latticear.workflows.scan.records import stored_settings

__all__ = ["Plan", "Share", "plan_scan", "refined_point"]

UNASKED = "correlation_length_per_size"
"""What is measured unasked if there are several sizes."""


class Plan(NamedTuple):
    """The plan of a scan.

    Attributes:
        out: folder of all files of the scan.
        n: number of samples at each point; with wanted errors the largest number, None for no limit.
        chains: for each chain, its points in the order in which they are computed; chains are independent.
        settings: all settings that determine the results, as JSON values.
        choice: the network and why it was chosen; None if the user named it.
        later: for each size, by ascending size, the config of a point that begins with the weights of another
            temperature.
        observables: names of `la.OBSERVABLES` to measure at each point.
        error: wanted errors by name, until which each point draws samples; None for n samples.
        minutes: with them, the largest time for each point.
        instances: the instances of each size; none for one system of each size.
    """

    out: Path
    n: int | None
    chains: list[list[Point]]
    settings: Tree
    choice: NetworkChoice | None = None
    later: Mapping[Shape, RunConfig] = MappingProxyType({})
    observables: Sequence[str] = ()
    error: Wanted | None = None
    minutes: float | None = None
    instances: InstancesOfSizes = InstancesOfSizes()

    @property
    def points(self) -> list[Point]:
        """All points of the grid, in the order of the table: by size, then by ascending temperature and by instance."""
        return sorted(itertools.chain.from_iterable(self.chains), key=lambda point: point.number)


class Share(NamedTuple):
    """The share of a process in a scan; process r of k works on the chains r, r + k, r + 2 k, ...

    Attributes:
        rank: number of this process among all processes, from 0.
        world: number of processes.
        local: number of this process among those on the same machine; it uses the GPU of that number.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Share:
        """The share in the environment variables that torchrun sets; the only process if they are not set."""
        return cls(*(int(os.environ.get(key, n)) for key, n in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))


def plan_scan(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: Tree,
    *,
    temperatures: Sequence[float],
    shapes: Sequence[Shape] = (),
    n: int | None = 10_000,
    n_chains: int | None = None,
    one_network: bool = False,
    observables: Sequence[str] = (),
    error: Wanted | None = None,
    minutes: float | None = None,
    instances: Sequence[str] = (),
) -> Plan:
    """Plan a scan of sizes and temperatures; no file is written.

    There is one network for each size and temperature. If the config has a range of temperatures, or with
    `one_network`, there is one network for each size instead; it is trained for the range, or for the range from the
    lowest to the highest temperature, and sampled at each temperature. The networks of a size start from the weights of
    the next smaller size if those fit, and then belong to the same chains.

    The number of training steps in the config is that of the first point of each size in a chain. Later points take a
    quarter of it, and are trained at their own beta from the first step. Larger sizes have the training options of the
    stages of `train --grow`.

    Args:
        out: folder of the scan.
        config_path: TOML file, as for `config_tree`.
        overrides: overrides of single keys, as for `config_tree`.
        values: further keys of the config, as for `config_tree`.
        temperatures: T, in units of the coupling, in any order.
        shapes: lattices (H, W); empty for the lattice of the config.
        n: number of samples at each point; with `error` the largest number, or None for no limit.
        n_chains: number of chains that the temperatures of a size are divided into; None for the smallest number for
            which no chain has more than 8 temperatures.
        one_network: whether to train one network for all temperatures of a size.
        observables: names of `la.OBSERVABLES` to measure at each point. The correlation length divided by L is measured
            unasked if there are several sizes of one system that has it, since its curves cross at a critical point.
        error: wanted errors by name, as in `la.estimate`: each point draws samples until they are reached.
        minutes: with `error`, the largest time for each point; None for no limit.
        instances: files of couplings, one for each size, as `FILE`, `FILE:0-9` or `FILE:0,3,5`: each instance has
            points of its own, trained with its own couplings unless the network is for all instances.

    Raises:
        ValueError: for an invalid config or grid.
        OSError: if the config, or a file of couplings, cannot be read.
    """
    check_folder(out)
    temperatures = _distinct("temperature", sorted(map(check_temperature, temperatures)))
    goals = [] if error is None else goals_of(error)
    if error is not None:
        limits_of(n, minutes)
    elif n is None or n < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {n}")
    stored = {size: tree["model"] for size, tree in stored_settings(out).get("configs", {}).items()}
    tree = config_tree(config_path, overrides, values)
    check_instances(instances, tree.get("hamiltonian", {}))
    bases = _bases(tree, temperatures, shapes, one_network, stored)
    target = bases[0].target
    if target.covers_range:
        if n_chains is not None:
            raise ValueError("--chains divides the temperatures, and one network for a range covers all of them")
        segments = [temperatures]
    else:
        segments = segments_of(temperatures, n_chains)
    groups, of_files = groups_of(bases), instances_of_sizes(instances, bases)
    settings: Tree = {
        "temperatures": temperatures,
        "sizes": [size_name(_shape(base)) for base in bases],
        "n": n,
        "chains": len(segments),
        "configs": {size_name(_shape(base)): base.to_dict(with_places=False) for base in bases},
    }
    chains = chains_of(out, groups, segments, of_files)
    more = {"observables": list(observables), "error": error, "minutes": minutes, "instances": of_files.settings}
    settings |= {key: value for key, value in more.items() if value}
    later = {_shape(base): _later(base, stage) for group in groups for stage, base in enumerate(group)}
    by_size = {_shape(base): later[_shape(base)] for base in bases}
    systems = {point.shape: point.system for point in itertools.chain.from_iterable(chains)}
    measured = _measured(observables, list(systems.values()), unasked=not instances)
    for system in systems.values():
        check_known(goals, Request.of(measured, system).quantities)
    return Plan(out, n, chains, settings, bases[0].choice, by_size, measured, error, minutes, of_files)


def _measured(observables: Sequence[str], systems: Sequence[AbstractHamiltonian], *, unasked: bool) -> list[str]:
    """The observables that a user names, which all systems must have, and perhaps the one that is measured unasked."""
    for system in systems:
        Request.of(observables, system)
    if len(systems) == 1 or UNASKED in observables or not unasked:
        return list(observables)
    try:
        for system in systems:
            Request.of([UNASKED], system)
    except ValueError:
        return list(observables)
    return [*observables, UNASKED]


def refined_point(plan: Plan, shape: Shape, temperature: float, number: int, neighbours: Iterable[Point]) -> Point:
    """A point between those of the grid; it begins with the weights of the nearest temperature of its size.

    Args:
        plan: the plan of the grid.
        shape: (H, W), a size of the plan.
        temperature: T.
        number: number of the point.
        neighbours: points of all sizes that are finished when this one begins.
    """
    config, record = plan.later[shape], record_of(plan.out, shape, temperature)
    nearest = min(
        (point for point in neighbours if point.shape == shape),
        key=lambda point: (abs(point.temperature - temperature), -point.temperature),
    )
    if config.target.covers_range:
        return nearest._replace(number=number, temperature=temperature, record=record)
    config = parse_config(config.to_dict() | {"temperature": temperature})
    return Point(number, shape, temperature, run_of(plan.out, shape, temperature), config, nearest.run, record)


def _later(base: RunConfig, stage: int) -> RunConfig:
    """The config of a point of a size that begins with the weights of a neighbour, or of the network of all of them."""
    return base if base.target.covers_range else replace(base, training=training_of(base, stage, True))


def _bases(
    tree: Tree, temperatures: list[float], shapes: Sequence[Shape], one_network: bool, stored: dict[str, Tree]
) -> list[RunConfig]:
    """The config of the first point of each size, by ascending size.

    Args:
        tree: the config, unchecked.
        temperatures: all temperatures, ascending.
        shapes: all sizes; empty for that of the config.
        one_network: whether one network is trained for all temperatures of a size.
        stored: for each size of a scan to be resumed, by name, the section `[model]` that it was begun with. If the
            config names no network, it goes on with that network, even if another one is the default today.

    Raises:
        ValueError: for an invalid config, or one that cannot be used for these temperatures.
    """
    given = parse_config(_with(tree, shapes[0] if shapes else None, None), needs_energy=True)
    if given.training["data"]:
        raise ValueError("a scan draws its own configurations at each temperature; leave training.data out")
    if not isinstance(given.target.space, AbstractDisorder):
        _ = given.target.system  # raises ValueError for a target whose settings differ in more than the temperature
    temperature: Any = temperatures[-1]
    if given.target.covers_range:
        for t in temperatures:
            given.target.check_temperature(t)
        temperature = given.place["temperature"]
    elif one_network:
        if len(temperatures) == 1:
            raise ValueError("--one-network needs a range of temperatures, got one temperature")
        temperature = [temperatures[0], temperatures[-1]]
    sizes = _distinct("size", sorted(shapes or [_shape(given)], key=lambda shape: (math.prod(shape), shape)))
    trees = {shape: _going_on(tree, stored.get(size_name(shape), {})) for shape in sizes}
    return [parse_config(_with(trees[shape], shape, temperature)) for shape in sizes]


def _going_on(tree: Tree, stored: Tree) -> Tree:
    """A config whose section `[model]` is completed by a stored one, unless it names a network itself."""
    model = tree.get("model", {})
    return tree | {"model": stored | model} if isinstance(model, dict) and "name" not in model else tree


def _with(tree: Tree, shape: Shape | None, temperature: Any) -> Tree:
    """A config with another shape and temperature; None for that of the config."""
    hamiltonian = tree.get("hamiltonian", {})
    if shape is not None and isinstance(hamiltonian, dict):
        tree = tree | {"hamiltonian": hamiltonian | {"shape": list(shape)}}
    return tree if temperature is None else tree | {"temperature": temperature}


def _distinct(what: str, values: list[Any]) -> list[Any]:
    """Return sorted values; raise ValueError if two of them have the same name and so the same folder."""
    name = digits if what == "temperature" else size_name
    for a, b in itertools.pairwise(values):
        if name(a) == name(b):
            raise ValueError(f"{what} {name(a)} is given twice")
    return values


def _shape(config: RunConfig) -> Shape:
    return config.target.space.shape
