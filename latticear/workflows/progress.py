"""The progress of a training that Python calls: a bar in a terminal or a notebook, elsewhere a line a minute."""

from __future__ import annotations

import html
import sys
import time
from datetime import timedelta
from typing import Any, Protocol

__all__ = ["Progress"]

NOTEBOOK_INTERVAL = 0.3
"""Seconds between two updates of a notebook, which takes some time to show each."""
LINE_INTERVAL = 60.0
"""Seconds between two lines where there is neither a terminal nor a notebook."""


class _Display(Protocol):
    def show(self, done: int, total: int, text: str) -> None:
        """Show the progress."""

    def close(self) -> None:
        """Show nothing more."""


class Progress:
    """Shows how much of some work is done; call it with the work done, the total work and a text.

    Args:
        shown: False to show nothing.
        unit: what is counted.
    """

    def __init__(self, *, shown: bool = True, unit: str = "steps") -> None:
        self._shown, self._unit = shown, unit
        self._display: _Display | None = None

    def __enter__(self) -> Progress:
        if self._shown:
            self._display = _display(self._unit)
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.close()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        if self._display is not None:
            self._display.show(done, total, text)


def _display(unit: str) -> _Display:
    if _in_notebook():
        return _Notebook(unit)
    return _Terminal(unit) if sys.stderr.isatty() else _Lines(unit)


def _in_notebook() -> bool:
    """Whether the caller is a cell of a notebook, whose kernel shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Paced:
    """When the next update is due, and how much time is left.

    Args:
        interval: seconds between two updates.
        at_once: whether the first call is an update.
    """

    def __init__(self, interval: float, *, at_once: bool) -> None:
        self._interval, self._t_next = interval, time.monotonic() + (0.0 if at_once else interval)
        self._first: tuple[int, float] | None = None

    def due(self, done: int, total: int) -> bool:
        """Whether this call is an update; the last one always is."""
        now = time.monotonic()
        self._first = self._first or (done, now)
        if now < self._t_next and done < total:
            return False
        self._t_next = now + self._interval
        return True

    def left(self, done: int, total: int) -> str:
        """The time left at the rate so far, as text; empty as long as there is none."""
        done_first, t_first = self._first or (done, 0.0)
        if done <= done_first:
            return ""
        seconds = (time.monotonic() - t_first) / (done - done_first) * (total - done)
        return f", {timedelta(seconds=round(seconds))} left"


class _Notebook:
    """A bar of HTML that is replaced in place; it needs nothing but IPython."""

    def __init__(self, unit: str) -> None:
        self._unit, self._pace = unit, _Paced(NOTEBOOK_INTERVAL, at_once=True)
        self._handle: Any = None

    def show(self, done: int, total: int, text: str) -> None:
        if not self._pace.due(done, total):
            return
        from IPython.display import HTML, display  # a notebook has it

        line = html.escape(f"{done} of {total} {self._unit}{self._pace.left(done, total)}: {text}")
        bar: Any = HTML(f"<progress value='{done}' max='{total}' style='width: 20em'></progress> <code>{line}</code>")
        if self._handle is None:
            self._handle = display(bar, display_id=True)
        else:
            self._handle.update(bar)

    def close(self) -> None:
        pass


class _Terminal:
    """A bar of the library rich on standard error, which is removed at the end."""

    def __init__(self, unit: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(unit), MofNCompleteColumn(), BarColumn(bar_width=30), TimeRemainingColumn())
        text = TextColumn("{task.description}", markup=False)
        self._bar = Progress(*columns, text, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def show(self, done: int, total: int, text: str) -> None:
        self._bar.update(self._task, completed=done, total=total, description=text)

    def close(self) -> None:
        self._bar.stop()


class _Lines:
    """A line a minute on standard error; nothing for work that takes less than a minute."""

    def __init__(self, unit: str) -> None:
        self._unit, self._pace = unit, _Paced(LINE_INTERVAL, at_once=False)

    def show(self, done: int, total: int, text: str) -> None:
        if self._pace.due(done, total) and done < total:
            sys.stderr.write(f"{done} of {total} {self._unit}{self._pace.left(done, total)}: {text}\n")
            sys.stderr.flush()

    def close(self) -> None:
        pass
