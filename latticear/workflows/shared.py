"""Work that several processes share: whether they work on the same, and signals that stop all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from latticear.processes import Processes
from latticear.runs.signals import StopSignals

__all__ = ["check_alike", "until_stopped"]

Batch = TypeVar("Batch")


def check_alike(processes: Processes, what: str, fingerprint: str) -> None:
    """Check that all processes have read the same, which is not so if they see different disks.

    Args:
        processes: the processes; each makes this call.
        what: what they have read.
        fingerprint: a hash of it.

    Raises:
        ValueError: if it differs.
    """
    prints = processes.gather(fingerprint)
    other = next((rank for rank, each in enumerate(prints) if each != prints[0]), None)
    if other is not None:
        raise ValueError(f"{what} is not the same for rank 0 and rank {other}: all must see the same files")


def until_stopped(batches: Iterable[Batch], stop: StopSignals) -> Iterator[Batch]:
    """The batches, up to a KeyboardInterrupt after the one during which a signal has requested to stop."""
    for batch in batches:
        yield batch
        if stop.requested:
            raise KeyboardInterrupt
