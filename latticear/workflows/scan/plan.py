"""The plan of a scan: a grid of sizes and temperatures, divided into chains of points.

A chain goes from high to low temperature; the network of each point starts from the weights of the previous point. The
chains are independent of one another and follow from the grid alone, so that the results do not depend on the number of
processes that work on them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from latticear.estimation.goals import Wanted, goals_of
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.limits import limits_of
from latticear.estimation.named.request import Request
from latticear.files import check_folder
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel, transfer_weights
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.trees import Tree, config_tree
from latticear.targets.networks import NetworkChoice
from latticear.workflows.grow import stage_training
from latticear.workflows.scan.records import stored_settings

__all__ = ["Plan", "Point", "Shape", "Share", "plan_scan", "refined_point", "size_name"]

Shape = tuple[int, int]

LENGTH = 8
"""Largest number of temperatures in a chain by default."""

UNASKED = "correlation_length_per_size"
"""What is measured unasked if there are several sizes."""

STEPS_SHARE = 0.25
"""Number of training steps of the later points of a chain, as a fraction of the steps of the first point."""


class Point(NamedTuple):
    """One size and temperature of a scan.

    Attributes:
        number: position of the point in the table.
        shape: (H, W).
        temperature: T, in units of the coupling.
        run: directory of the run whose network draws the samples; several points may share a network.
        config: config of that run.
        source: directory of the run that gives the initial weights; None for random initial weights.
        record: file with the results of the point; it exists if and only if the point is finished.
    """

    number: int
    shape: Shape
    temperature: float
    run: Path
    config: RunConfig
    source: Path | None
    record: Path

    def __str__(self) -> str:
        return f"{size_name(self.shape)} T = {self.temperature:g}"


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

    @property
    def points(self) -> list[Point]:
        """All points of the grid, in the order of the table: by size, then by ascending temperature."""
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
            unasked if there are several sizes and the system has it, since its curves cross at a critical point.
        error: wanted errors by name, as in `la.estimate`: each point draws samples until they are reached.
        minutes: with `error`, the largest time for each point; None for no limit.

    Raises:
        ValueError: for an invalid config or grid.
        OSError: if the config cannot be read.
    """
    check_folder(out)
    temperatures = _distinct("temperature", sorted(map(check_temperature, temperatures)))
    if error is not None:
        goals_of(error)
        limits_of(n, minutes)
    elif n is None or n < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {n}")
    stored = {size: tree["model"] for size, tree in stored_settings(out).get("configs", {}).items()}
    bases = _bases(config_tree(config_path, overrides, values), temperatures, shapes, one_network, stored)
    target = bases[0].target
    if target.covers_range:
        if n_chains is not None:
            raise ValueError("--chains divides the temperatures, and one network for a range covers all of them")
        segments = [temperatures]
    else:
        segments = _segments(temperatures, n_chains)
    groups = _groups(bases)
    settings: Tree = {
        "temperatures": temperatures,
        "sizes": [size_name(_shape(base)) for base in bases],
        "n": n,
        "chains": len(segments),
        "configs": {size_name(_shape(base)): base.to_dict(with_places=False) for base in bases},
    }
    numbers = {key: k for k, key in enumerate(itertools.product(map(_shape, bases), temperatures))}
    make = _one_network if target.covers_range else _cooled
    chains = [make(out, group, segment, numbers) for group in groups for segment in segments]
    more = {"observables": list(observables), "error": error, "minutes": minutes}
    settings |= {key: value for key, value in more.items() if value}
    later = {_shape(base): _later(base, stage) for group in groups for stage, base in enumerate(group)}
    by_size = {_shape(base): later[_shape(base)] for base in bases}
    measured = _measured(observables, [base.target.system for base in bases])
    return Plan(out, n, chains, settings, bases[0].choice, by_size, measured, error, minutes)


def _measured(observables: Sequence[str], systems: Sequence[AbstractHamiltonian]) -> list[str]:
    """The observables that a user names, which all systems must have, and the one that is measured unasked."""
    for system in systems:
        Request.of(observables, system)
    if len(systems) == 1 or UNASKED in observables:
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
    config, record = plan.later[shape], _record(plan.out, shape, temperature)
    nearest = min(
        (point for point in neighbours if point.shape == shape),
        key=lambda point: (abs(point.temperature - temperature), -point.temperature),
    )
    if config.target.covers_range:
        return nearest._replace(number=number, temperature=temperature, record=record)
    config = parse_config(config.to_dict() | {"temperature": temperature})
    return Point(number, shape, temperature, _run(plan.out, shape, temperature), config, nearest.run, record)


def _later(base: RunConfig, stage: int) -> RunConfig:
    """The config of a point of a size that begins with the weights of a neighbour, or of the network of all of them."""
    return base if base.target.covers_range else replace(base, training=_training(base, stage, True))


def size_name(shape: Shape) -> str:
    """HxW, the name of a size in folders and tables."""
    return f"{shape[0]}x{shape[1]}"


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
    name = _digits if what == "temperature" else size_name
    for a, b in itertools.pairwise(values):
        if name(a) == name(b):
            raise ValueError(f"{what} {name(a)} is given twice")
    return values


def _digits(temperature: float) -> str:
    """A temperature as text in the names of folders and files."""
    return f"{temperature:.12g}"


def _shape(config: RunConfig) -> Shape:
    return config.target.space.shape


def _segments(temperatures: list[float], n_chains: int | None) -> list[list[float]]:
    """Divide ascending temperatures into contiguous parts of as equal length as possible, one for each chain."""
    count = -(-len(temperatures) // LENGTH) if n_chains is None else n_chains
    if not 1 <= count <= len(temperatures):
        raise ValueError(f"--chains must be from 1 to the {len(temperatures)} temperatures, got {count}")
    return [part.tolist() for part in np.array_split(temperatures, count)]


def _groups(bases: list[RunConfig]) -> list[list[RunConfig]]:
    """Divide ascending sizes into groups in which each size can start from the weights of the previous one."""
    groups: list[list[RunConfig]] = []
    before: AbstractModel | None = None
    for base in bases:
        model = build_model(_without_search(base))  # raises ValueError for an invalid network, before any training
        if before is not None and _fit(model, before):
            groups[-1].append(base)
        else:
            groups.append([base])
        before = model
    return groups


def _without_search(config: RunConfig) -> RunConfig:
    """The config with a number in place of the bond dimension "auto", which is searched when a point is trained."""
    if config.model.get("bond_dimension") != "auto":
        return config
    return replace(config, model=config.model | {"bond_dimension": 1})


def _fit(model: AbstractModel, source: AbstractModel) -> bool:
    try:
        transfer_weights(model, source)
    except ValueError:
        return False
    return True


def _cooled(out: Path, group: list[RunConfig], temperatures: list[float], numbers: dict[Any, int]) -> list[Point]:
    """A chain with one run for each point; the first run of a size starts from the first run of the previous size."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        source = chain[-len(temperatures)].run if chain else None
        for k, t in enumerate(reversed(temperatures)):
            shape = _shape(base)
            config = parse_config(base.to_dict() | {"temperature": t, "training": _training(base, stage, k > 0)})
            run = _run(out, shape, t)
            chain.append(Point(numbers[shape, t], shape, t, run, config, source, _record(out, shape, t)))
            source = run
    return chain


def _one_network(out: Path, group: list[RunConfig], temperatures: list[float], numbers: dict[Any, int]) -> list[Point]:
    """A chain with one run for each size, which its points share."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        shape, source = _shape(base), chain[-1].run if chain else None
        config = replace(base, training=_training(base, stage, False))
        run = out / size_name(shape)
        chain += [Point(numbers[shape, t], shape, t, run, config, source, _record(out, shape, t)) for t in temperatures]
    return chain


def _training(base: RunConfig, stage: int, has_neighbour: bool) -> Tree:
    """The training options of a point; a network with initial weights of another run is not annealed from beta = 0.

    Args:
        base: config of the first point of this size.
        stage: number of the size in its group, from 0.
        has_neighbour: whether the initial weights are those of another temperature of the same size.
    """
    training = base.training | stage_training(base.training, stage)
    if has_neighbour:
        training["steps"] = math.ceil(STEPS_SHARE * training["steps"])
    if has_neighbour or stage:
        training["anneal"] = 0.0
    return training


def _run(out: Path, shape: Shape, temperature: float) -> Path:
    return out / size_name(shape) / f"T{_digits(temperature)}"


def _record(out: Path, shape: Shape, temperature: float) -> Path:
    return out / "points" / f"{size_name(shape)}-T{_digits(temperature)}.json"
