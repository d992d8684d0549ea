"""Several processes in threads of one process, which exchange numbers without `torch.distributed`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from latticear.processes import Processes

__all__ = ["Threaded", "side_by_side"]

Result = TypeVar("Result")


class Meeting:
    """Where k threads wait for each other with their numbers."""

    def __init__(self, k: int) -> None:
        self.barrier, self.brought = threading.Barrier(k, timeout=60), [Tensor()] * k


@dataclass(frozen=True)
class Threaded(Processes):
    """One of several threads that stand for processes; `add` counts how often it was called."""

    meeting: Meeting = field(default_factory=lambda: Meeting(1))
    added: list[int] = field(default_factory=list)

    def add(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self.added.append(tensor.numel())
            self.meeting.brought[self.rank] = tensor.clone()
            self.meeting.barrier.wait()
            total = sum(self.meeting.brought[1:], self.meeting.brought[0].clone())
            self.meeting.barrier.wait()
            tensor.copy_(total)


def side_by_side(k: int, work: Callable[[Threaded], Result]) -> list[Result]:
    """What each of k processes returns; the first exception of one of them."""
    meeting, results, errors = Meeting(k), {}, []

    def run(rank: int) -> None:
        try:
            results[rank] = work(Threaded(rank, k, meeting))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(k)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[rank] for rank in range(k)]
