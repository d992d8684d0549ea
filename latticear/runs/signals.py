"""Signals: Ctrl-C or the end of a batch job stops a computation at a point where no work is lost."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["NUMBERS", "OF_QUEUES", "StopSignals", "forget", "interrupt", "received"]

OF_QUEUES = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""The signals by which queues announce the end of a job; Windows has no SIGUSR1."""

NUMBERS = (signal.SIGINT, *OF_QUEUES)
"""Ctrl-C, and the signals of queues."""

_received: list[int] = []


def received() -> int | None:
    """The number of the last signal that asked this process to stop; None if there was none."""
    return _received[-1] if _received else None


def forget() -> None:
    """Forget the signals of earlier computations."""
    _received.clear()


def interrupt(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does by default; `received` tells the signals apart."""
    _received.append(number)
    raise KeyboardInterrupt


class StopSignals:
    """A context in which the first signal of `NUMBERS` sets `requested`; a second one raises KeyboardInterrupt.

    The code in the context tests `requested` and stops where its results are saved.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self.requested:
            interrupt(number, frame)
        _received.append(number)
        self.requested = True
