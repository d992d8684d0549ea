"""Estimates of a run for many instances of a file of couplings, and their averages."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latticear.data.couplings import Instance
from latticear.estimation.disorder_average import disorder_average
from latticear.estimation.estimates import Estimates, quiet
from latticear.files import write_atomically
from latticear.runs.config import stored_config
from latticear.runs.directory import RunDirectory
from latticear.workflows.estimate import estimate_run
from latticear.workflows.instances import digest_of, instances_in
from latticear.workflows.trained import Report, Say, step_of

__all__ = [
    "InstanceEstimates",
    "averages_of_instances",
    "estimates_of_instances",
    "instances_of",
    "rows_of_instances",
    "save_averages",
]

AVERAGE, TABLE = "average.json", "table.csv"


class InstanceEstimates(NamedTuple):
    """The estimates of one instance.

    Attributes:
        instance: its file and number.
        digest: the digest of its couplings, the name of its file of estimates.
        estimates: its estimates.
        stored: whether they were found on disk.
    """

    instance: Instance
    digest: str
    estimates: Estimates
    stored: bool


def instances_of(text: str, path: Path) -> list[Instance]:
    """The instances that `FILE`, `FILE:0-9` or `FILE:0,3,5` names, for a run.

    Args:
        text: the name of a file, perhaps with a colon and numbers, counted from 0.
        path: run directory, which tells the size of the lattice.

    Raises:
        ValueError: for numbers that the file does not have, or fewer than two.
        OSError: if the file cannot be read.
    """
    return instances_in(text, stored_config(RunDirectory(path).config_path).target.space.shape)


def estimates_of_instances(
    path: Path,
    instances: Sequence[Instance],
    n: int,
    *,
    method: str | None = None,
    observables: Sequence[str] = (),
    seed: int = 0,
    device: str = "cpu",
    check: bool = True,
    report: Report = lambda done, total, text: None,
    say: Say = lambda _: None,
) -> Iterator[InstanceEstimates]:
    """Estimates of each instance, one after the other; those with the same options that are on disk are read.

    Each is written to `instances/DIGEST.json` as soon as it is made, so that an interrupted call continues. Instance K
    is drawn with the seed `seed + K`, so that errors of different instances are independent.

    Args:
        path: directory of a run of a tensor network, or for a disorder.
        instances: files of couplings with numbers.
        n: number of samples of each instance.
        method, observables, seed, device, check, report, say: as in `estimate_run`.

    Raises:
        ValueError: for a run or a file that `estimate_run` refuses.
        OSError: if a file cannot be read.
    """
    run = RunDirectory(path)
    config, folder = stored_config(run.config_path), run.instances
    for k, instance in enumerate(instances):
        digest, own = digest_of(config, instance), seed + instance.number
        name = f"{folder.name}/{digest}.json"
        asked = {"seed": own, "checkpoint": step_of(path), "observables": sorted(observables), "asked_method": method}
        stored = run.readable_json(name)
        if stored.get("n") == n and all(stored.get(key) == value for key, value in asked.items()):
            yield InstanceEstimates(instance, digest, Estimates.from_dict(stored, config.target.n_sites), True)
            continue

        def counted(done: int, total: int, text: str, k: int = k) -> None:
            report(k * n + done, len(instances) * n, text)

        with quiet():
            results = estimate_run(
                path,
                n,
                temperatures=None,
                method=method,
                observables=observables,
                data=None,
                seed=own,
                device=device,
                report=counted,
                say=say,
                check=check,
                instance=instance,
            )
        for result in results:  # none in a process that draws for the first one
            run.write_json(name, result.to_dict() | asked | {"instance": instance.to_dict()})
            yield InstanceEstimates(instance, digest, result, False)


def averages_of_instances(found: Sequence[InstanceEstimates]) -> Estimates:
    """The averages over the instances."""
    return disorder_average([each.estimates for each in found])


def save_averages(path: Path, average: Estimates, found: Sequence[InstanceEstimates]) -> None:
    """Write `instances/average.json` and a table of the instances, `instances/table.csv`, with a row for each."""
    run = RunDirectory(path)
    run.write_json(f"{run.instances.name}/{AVERAGE}", content_of(average, found))
    write_atomically(run.instances / TABLE, table_of(found))


def content_of(average: Estimates, found: Sequence[InstanceEstimates]) -> dict[str, Any]:
    """The averages with the values and errors of each instance as JSON values."""
    return average.to_dict() | {"instances": rows_of_instances(found)}


def rows_of_instances(found: Sequence[InstanceEstimates]) -> list[dict[str, Any]]:
    """The number, the digest, values and errors, and the verdict of each instance as JSON values."""
    return [
        {"index": each.instance.number, "digest": each.digest, **_scalars(each), "verdict": str(each.estimates.verdict)}
        for each in found
    ]


def table_of(found: Sequence[InstanceEstimates]) -> bytes:
    """The scalars of each instance with their errors as CSV."""
    rows = [{"index": each.instance.number, "digest": each.digest, "n": each.estimates.n} for each in found]
    for row, each in zip(rows, found, strict=True):
        row |= _scalars(each) | {"verdict": str(each.estimates.verdict)}
    content = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(content, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue().encode()


def _scalars(each: InstanceEstimates) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, estimate in each.estimates.items():
        if np.ndim(estimate.value) == 0 and math.isfinite(float(estimate.value)):
            numbers |= {name: float(estimate.value), f"{name}_error": float(estimate.error)}
    return numbers
