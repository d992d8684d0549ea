"""Samples of a simulation as its estimator takes them: one batch after the other, each with what it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from latticear.samples import Samples

__all__ = ["Simulated", "counted"]


class Simulated:
    """The batches of a simulation as they pass.

    Args:
        samples: one batch or many.
        temperature: T of the target.
        method: what their provenance must name.
        needs: what they must carry, in `records` or `provenance`.
        source: what makes such samples, for the message.

    Attributes:
        provenance: of the last batch that has passed, to begin with of the first one.

    Raises:
        ValueError: for samples that are made otherwise, or at another temperature.
    """

    def __init__(
        self, samples: Samples | Iterable[Samples], temperature: float, *, method: str, needs: str, source: str
    ) -> None:
        batches = iter([samples] if isinstance(samples, Samples) else samples)
        first = next(batches, None)
        if first is None or first.provenance.get("method") != method or needs not in first.records | first.provenance:
            raise ValueError(f"this estimator takes the samples of {source} as they come from it")
        self.provenance = first.provenance
        if self.provenance["temperature"] != temperature:
            made_at = self.provenance["temperature"]
            raise ValueError(f"these samples were made at temperature {made_at:g}, got {temperature:g}")
        self._batches = chain([first], batches)

    def __iter__(self) -> Iterator[Samples]:
        for batch in self._batches:
            self.provenance = batch.provenance
            yield batch


def counted(batches: Iterable[Samples], n: int, report: Callable[[int, int], None] | None) -> Iterator[Samples]:
    """The batches, each reported before it passes: how many of n configurations there are."""
    done = 0
    for batch in batches:
        done += len(batch)
        if report is not None:
            report(done, n)
        yield batch
