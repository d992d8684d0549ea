"""What a scan does: the grid of sizes and temperatures, and the chains of points that it is divided into.

A chain walks from hot to cold, and each point begins with the weights of the one before. Chains need nothing of each
other, and what they are follows from the grid alone, so the results do not depend on how many processes share them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latticear.estimation.importance import MIN_SAMPLES
from latticear.hamiltonians import check_temperature
from latticear.models import AbstractModel, transfer_weights
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.trees import Tree, config_tree
from latticear.workflows.grow import stage_training

__all__ = ["Plan", "Point", "Share", "plan_scan", "size_name"]

Shape = tuple[int, int]

LENGTH = 8
"""Temperatures of a chain, at most, unless the number of chains is given."""

STEPS_SHARE = 0.25
"""Of the steps of a chain's first point: what a neighbour in temperature takes."""


class Point(NamedTuple):
    """One size and temperature of the grid.

    Attributes:
        number: its place in the table.
        shape: (H, W).
        temperature: T, in units of the coupling.
        run: directory of the run whose network draws it; points of one network share it.
        config: of that run.
        source: run that gives the first weights, or None for fresh ones.
        record: file of its results; a point that has it is finished.
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
    """A whole scan.

    Attributes:
        out: folder of everything that it writes.
        n: samples of each point.
        chains: points in the order in which they are made; a chain needs nothing of another.
        settings: what makes it this scan and no other, as JSON values.
    """

    out: Path
    n: int
    chains: list[list[Point]]
    settings: Tree

    @property
    def points(self) -> list[Point]:
        """All of them, as the table has them: size by size, temperatures ascending."""
        return sorted(itertools.chain.from_iterable(self.chains), key=lambda point: point.number)


class Share(NamedTuple):
    """Which part of the chains is done by this process.

    Attributes:
        rank: number of this process among all.
        world: how many they are.
        local: its number on this machine, and that of its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Share:
        """As torchrun says; the whole without it."""
        return cls(*(int(os.environ.get(key, n)) for key, n in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))


def plan_scan(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: Tree,
    *,
    temperatures: Sequence[float],
    shapes: Sequence[Shape] = (),
    n: int = 10_000,
    n_chains: int | None = None,
    one_network: bool = False,
) -> Plan:
    """Divide a grid into chains; nothing is written.

    Each temperature has a network of its own, unless the config serves a range of temperatures or `one_network` asks
    for one from the lowest to the highest: then each size has one network, trained for the range and sampled at each
    temperature. A size begins with the weights of the next smaller one where they fit, and joins its chains.

    The steps of the config are those of the first point of a chain at each size. The later ones take a quarter of them,
    at their own beta from the first step; larger sizes train as the stages of `train --grow`.

    Args:
        out: folder to make.
        config_path, overrides, values: as of `config_tree`.
        temperatures: T, in units of the coupling, in any order.
        shapes: lattices (H, W); none for that of the config.
        n: samples of each point.
        n_chains: parts that the temperatures are divided into; None for the fewest of at most 8 temperatures.
        one_network: as above.

    Raises:
        ValueError: for a config or a grid that cannot be.
        OSError: if the config cannot be read.
    """
    temperatures = _distinct("temperature", sorted(map(check_temperature, temperatures)))
    if n < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {n}")
    bases = _bases(config_tree(config_path, overrides, values), temperatures, shapes, one_network)
    target = bases[0].target
    if target.covers_range:
        if n_chains is not None:
            raise ValueError("--chains divides the temperatures, and one network for a range serves all of them")
        segments = [temperatures]
    else:
        segments = _segments(temperatures, n_chains)
    groups = _groups(bases)
    settings: Tree = {
        "temperatures": temperatures,
        "sizes": [size_name(_shape(base)) for base in bases],
        "n": n,
        "chains": len(segments),
        "configs": {size_name(_shape(base)): base.to_dict(with_device=False) for base in bases},
    }
    numbers = {key: k for k, key in enumerate(itertools.product(map(_shape, bases), temperatures))}
    make = _one_network if target.covers_range else _cooled
    chains = [make(out, group, segment, numbers) for group in groups for segment in segments]
    return Plan(out, n, chains, settings)


def size_name(shape: Shape) -> str:
    """As folders and tables have it."""
    return f"{shape[0]}x{shape[1]}"


def _bases(tree: Tree, temperatures: list[float], shapes: Sequence[Shape], one_network: bool) -> list[RunConfig]:
    """The config of a first point at each size, ascending."""
    given = parse_config(_with(tree, shapes[0] if shapes else None, None), needs_energy=True)
    if given.training["data"]:
        raise ValueError("a scan draws its own configurations at each temperature; leave training.data out")
    _ = given.target.system  # refuses a target whose settings differ in more than the temperature
    asked: Any = temperatures[-1]
    if given.target.covers_range:
        for t in temperatures:
            given.target.check_temperature(t)
        asked = given.place["temperature"]
    elif one_network:
        if len(temperatures) == 1:
            raise ValueError("--one-network serves a range of temperatures, got one alone")
        asked = [temperatures[0], temperatures[-1]]
    wanted = _distinct("size", sorted(shapes or [_shape(given)], key=lambda shape: (math.prod(shape), shape)))
    return [parse_config(_with(tree, shape, asked)) for shape in wanted]


def _with(tree: Tree, shape: Shape | None, temperature: Any) -> Tree:
    hamiltonian = tree.get("hamiltonian", {})
    if shape is not None and isinstance(hamiltonian, dict):
        tree = tree | {"hamiltonian": hamiltonian | {"shape": list(shape)}}
    return tree if temperature is None else tree | {"temperature": temperature}


def _distinct(what: str, values: list[Any]) -> list[Any]:
    name = _digits if what == "temperature" else size_name
    for a, b in itertools.pairwise(values):
        if name(a) == name(b):  # folders could not tell them apart
            raise ValueError(f"{what} {name(a)} is given twice")
    return values


def _digits(temperature: float) -> str:
    """As folders have it."""
    return f"{temperature:.12g}"


def _shape(config: RunConfig) -> Shape:
    return config.target.space.shape


def _segments(temperatures: list[float], n_chains: int | None) -> list[list[float]]:
    """Neighbouring temperatures together, in parts as equal as can be."""
    count = -(-len(temperatures) // LENGTH) if n_chains is None else n_chains
    if not 1 <= count <= len(temperatures):
        raise ValueError(f"--chains must be from 1 to the {len(temperatures)} temperatures, got {count}")
    return [part.tolist() for part in np.array_split(temperatures, count)]


def _groups(bases: list[RunConfig]) -> list[list[RunConfig]]:
    """Sizes of which each can begin with the weights of the one before."""
    groups: list[list[RunConfig]] = []
    before: AbstractModel | None = None
    for base in bases:
        model = build_model(base)  # shows a network that cannot be before anything is trained
        if before is not None and _fit(model, before):
            groups[-1].append(base)
        else:
            groups.append([base])
        before = model
    return groups


def _fit(model: AbstractModel, source: AbstractModel) -> bool:
    try:
        transfer_weights(model, source)
    except ValueError:
        return False
    return True


def _cooled(out: Path, group: list[RunConfig], temperatures: list[float], numbers: dict[Any, int]) -> list[Point]:
    """A chain in which every point is a run of its own; the first of a size begins with the first of the one before."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        source = chain[-len(temperatures)].run if chain else None
        for k, t in enumerate(reversed(temperatures)):
            shape = _shape(base)
            config = parse_config(base.to_dict() | {"temperature": t, "training": _training(base, stage, k > 0)})
            run = out / size_name(shape) / f"T{_digits(t)}"
            chain.append(Point(numbers[shape, t], shape, t, run, config, source, _record(out, shape, t)))
            source = run
    return chain


def _one_network(out: Path, group: list[RunConfig], temperatures: list[float], numbers: dict[Any, int]) -> list[Point]:
    """A chain in which the points of a size share a run."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        shape, source = _shape(base), chain[-1].run if chain else None
        config = replace(base, training=_training(base, stage, False))
        run = out / size_name(shape)
        chain += [Point(numbers[shape, t], shape, t, run, config, source, _record(out, shape, t)) for t in temperatures]
    return chain


def _training(base: RunConfig, stage: int, has_neighbour: bool) -> Tree:
    """The options of a training: what begins with good weights must not be led back to where beta is zero."""
    training = base.training | stage_training(base.training, stage)
    if has_neighbour:
        training["steps"] = math.ceil(STEPS_SHARE * training["steps"])
    if has_neighbour or stage:
        training["anneal"] = 0.0
    return training


def _record(out: Path, shape: Shape, temperature: float) -> Path:
    return out / "points" / f"{size_name(shape)}-T{_digits(temperature)}.json"
