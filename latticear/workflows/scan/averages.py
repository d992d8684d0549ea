"""Averages over the instances of each size and temperature of a scan.

    OUT/points/8x8-T0.5/instance-3.json   results of one instance
        points/8x8-T0.5.json              the averages; written when all instances are finished

The file of averages has the keys of a point, so that tables, pages and analyses take it for one, and besides

    instances   for each instance its `index` and `digest`, the value and error of each quantity, and the `verdict`
    without     for each quantity its value without one instance each, in their order, which tells how the errors at two
                temperatures are correlated: the instances are the same ones
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latticear.estimation.disorder_average import disorder_average
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate, as_json
from latticear.runs.trees import Tree
from latticear.workflows.instance_averages import InstanceEstimates, rows_of_instances
from latticear.workflows.scan.plan import Plan
from latticear.workflows.scan.point import Point, record_of
from latticear.workflows.scan.records import read_point, write_record

__all__ = ["average_at", "records_at"]


def records_at(plan: Plan, point: Point) -> list[Path]:
    """The files with the results of all instances of the size and temperature of a point, in the order of the plan."""
    some = plan.instances.by_size[point.shape]
    return [record_of(plan.out, point.shape, point.temperature, each.instance) for each in some]


def average_at(plan: Plan, point: Point) -> Path | None:
    """The file with the results of the size and temperature of a point, its averages where it is over instances.

    The averages are written if they are not there yet; None if not all instances are finished.

    Raises:
        DamagedError: if a file is damaged.
        OSError: if a file cannot be read or written.
    """
    if point.instance is None:
        return point.record if point.record.exists() else None
    records, file = records_at(plan, point), record_of(plan.out, point.shape, point.temperature)
    if not all(record.exists() for record in records):
        return None
    some = plan.instances.by_size[point.shape]
    if not file.exists() or [row["digest"] for row in read_point(file)["instances"]] != [each.digest for each in some]:
        write_record(file, _averages(plan, point, [read_point(record) for record in records]))
    return file


def _averages(plan: Plan, point: Point, records: Sequence[Tree]) -> Tree:
    """The averages over the results of all instances."""
    some, n_sites = plan.instances.by_size[point.shape], point.shape[0] * point.shape[1]
    each = [Estimates.from_dict(record["estimates"], n_sites) for record in records]
    average = disorder_average(each)
    estimates = average.to_dict()
    for name, value in _exact(each).items():
        estimates[name]["exact"] = as_json(value)
    without = {} if average.replicates is None else average.replicates.values
    found = [InstanceEstimates(of.instance, of.digest, one, True) for of, one in zip(some, each, strict=True)]
    return {
        "shape": list(point.shape),
        "temperature": point.temperature,
        "steps": records[0]["steps"],
        "seconds": records[0]["seconds"] if point.is_for_all else sum(record["seconds"] for record in records),
        "estimates": estimates,
        "monte_carlo": None,
        "instances": rows_of_instances(found),
        "without": {name: as_json(values) for name, values in without.items() if np.ndim(values) == 1},
    }


def _exact(each: Sequence[Estimates]) -> dict[str, Any]:
    """The averages of the exact values of the same instances, of the quantities for which all of them are known."""
    names = [name for name in each[0] if all(name in one and one[name].exact is not None for one in each)]
    known = [
        Estimates(
            {name: _without_error(one[name]) for name in names}, temperature=one.temperature, n=one.n, diagnostics={}
        )
        for one in each
    ]
    return {name: estimate.value for name, estimate in disorder_average(known).items()}


def _without_error(estimate: Estimate) -> Estimate:
    exact: Any = estimate.exact
    return Estimate(exact, np.zeros_like(exact)[()], n=estimate.n, ess=1.0)
