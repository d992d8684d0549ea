"""The chains of a scan: sequences of points, each of which starts from the weights of the one before.

A chain goes from high to low temperature. The chains are independent of one another and follow from the grid alone, so
that the results do not depend on the number of processes that work on them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from latticear.data.couplings import Instance
from latticear.models import AbstractModel, transfer_weights
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.trees import Tree
from latticear.workflows.grow import stage_training
from latticear.workflows.scan.instances import InstancesOfSizes
from latticear.workflows.scan.point import Point, Shape, record_of, run_of

__all__ = ["chains_of", "groups_of", "segments_of", "training_of"]

LENGTH = 8
"""Largest number of temperatures in a chain by default."""

STEPS_SHARE = 0.25
"""Number of training steps of the later points of a chain, as a fraction of the steps of the first point."""


Numbers = Mapping[tuple[Shape, float], int]
"""The position in the table of each size and temperature."""


def chains_of(
    out: Path, groups: list[list[RunConfig]], segments: list[list[float]], instances: InstancesOfSizes
) -> list[list[Point]]:
    """All points of the grid.

    Without instances, or with a network for all of them, the networks of a size start from the weights of the next
    smaller size if those fit. Where each instance has networks of its own, each size of it has chains of its own.

    Args:
        out: folder of the scan.
        groups: the config of the first point of each size, in groups of sizes that start from one another.
        segments: the temperatures of each chain.
        instances: the instances of each size; empty for one system of each size.
    """
    bases = list(itertools.chain(*groups))
    sizes, temperatures = [base.target.space.shape for base in bases], list(itertools.chain(*segments))
    numbers = {key: k for k, key in enumerate(itertools.product(sizes, temperatures))}
    make = _one_network if bases[0].target.covers_range else _cooled
    if instances.have_own_networks:
        return [
            make(out, [each.config], segment, numbers, each.instance)
            for shape in sizes
            for each in instances.by_size[shape]
            for segment in segments
        ]
    chains = [make(out, group, segment, numbers) for group in groups for segment in segments]
    if instances.by_size:
        return [[each for point in chain for each in _of_instances(out, point, instances)] for chain in chains]
    return chains


def _of_instances(out: Path, point: Point, instances: InstancesOfSizes) -> Iterator[Point]:
    """The estimates of each instance by the network of a point."""
    for _, instance, _ in instances.by_size[point.shape]:
        record = record_of(out, point.shape, point.temperature, instance)
        yield point._replace(record=record, instance=instance)


def segments_of(temperatures: list[float], n_chains: int | None) -> list[list[float]]:
    """Divide ascending temperatures into contiguous parts of as equal length as possible, one for each chain."""
    count = -(-len(temperatures) // LENGTH) if n_chains is None else n_chains
    if not 1 <= count <= len(temperatures):
        raise ValueError(f"--chains must be from 1 to the {len(temperatures)} temperatures, got {count}")
    return [part.tolist() for part in np.array_split(temperatures, count)]


def groups_of(bases: list[RunConfig]) -> list[list[RunConfig]]:
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


def _cooled(
    out: Path, group: list[RunConfig], temperatures: list[float], numbers: Numbers, instance: Instance | None = None
) -> list[Point]:
    """A chain with one run for each point; the first run of a size starts from the first run of the previous size."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        source = chain[-len(temperatures)].run if chain else None
        for k, t in enumerate(reversed(temperatures)):
            shape = base.target.space.shape
            config = parse_config(base.to_dict() | {"temperature": t, "training": training_of(base, stage, k > 0)})
            run, record = run_of(out, shape, t, instance), record_of(out, shape, t, instance)
            chain.append(Point(numbers[shape, t], shape, t, run, config, source, record, instance))
            source = run
    return chain


def _one_network(
    out: Path, group: list[RunConfig], temperatures: list[float], numbers: Numbers, instance: Instance | None = None
) -> list[Point]:
    """A chain with one run for each size, which its points share."""
    chain: list[Point] = []
    for stage, base in enumerate(group):
        shape, source = base.target.space.shape, chain[-1].run if chain else None
        config, run = replace(base, training=training_of(base, stage, False)), run_of(out, shape, None, instance)
        for t in temperatures:
            record = record_of(out, shape, t, instance)
            chain.append(Point(numbers[shape, t], shape, t, run, config, source, record, instance))
    return chain


def training_of(base: RunConfig, stage: int, has_neighbour: bool) -> Tree:
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
