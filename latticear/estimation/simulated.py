"""Checked input of the estimators: the batches of samples of a simulation, with their records and provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from latticear.hamiltonians import same_temperature
from latticear.samples import Samples

__all__ = ["Simulated", "counted"]


class Simulated:
    """Iterates over the batches of a simulation, and checks that they are of the kind that an estimator needs.

    Args:
        samples: one batch of samples or many.
        temperature: temperature T of the target.
        method: required value of `method` in the provenance of the samples.
        needs: required key in the `records` or the `provenance` of the samples.
        source: name of the function that makes such samples, for the error message.

    Attributes:
        provenance: provenance of the batch that was yielded last; before the iteration, of the first batch.

    Raises:
        ValueError: if the samples were made by another method or at another temperature.
    """

    def __init__(
        self, samples: Samples | Iterable[Samples], temperature: float, *, method: str, needs: str, source: str
    ) -> None:
        batches = iter([samples] if isinstance(samples, Samples) else samples)
        first = next(batches, None)
        if first is None or first.provenance.get("method") != method or needs not in first.records | first.provenance:
            raise ValueError(f"this estimator takes unmodified samples made by {source}")
        self.provenance = first.provenance
        if not same_temperature(self.provenance["temperature"], temperature):
            made_at = self.provenance["temperature"]
            raise ValueError(f"these samples were made at temperature {made_at:g}, got {temperature:g}")
        self._batches = chain([first], batches)

    def __iter__(self) -> Iterator[Samples]:
        for batch in self._batches:
            self.provenance = batch.provenance
            yield batch


def counted(batches: Iterable[Samples], n: int, report: Callable[[int, int], None] | None) -> Iterator[Samples]:
    """Yield the batches; before each, call `report` with the number of configurations so far and n."""
    done = 0
    for batch in batches:
        done += len(batch)
        if report is not None:
            report(done, n)
        yield batch
