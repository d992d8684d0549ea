"""The progress of a training that Python calls: a bar in a terminal or a notebook, elsewhere a line a minute."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, Protocol

from latticear.workflows.line_a_minute import LineAMinute, duration

__all__ = ["Progress"]

NOTEBOOK_INTERVAL = 0.3
"""Seconds between two updates of a notebook, which takes some time to show each."""


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


class _Notebook:
    """A bar of HTML that is replaced in place; it needs nothing but IPython."""

    def __init__(self, unit: str) -> None:
        self._unit, self._t_next, self._t_start = unit, 0.0, time.monotonic()
        self._first: int | None = None
        self._handle: Any = None

    def show(self, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now < self._t_next and done < total:
            return
        self._t_next = now + NOTEBOOK_INTERVAL
        from IPython.display import HTML, display  # a notebook has it

        line = html.escape(f"{done} of {total} {self._unit}{self._left(done, total)}: {text}")
        bar: Any = HTML(f"<progress value='{done}' max='{total}' style='width: 20em'></progress> <code>{line}</code>")
        if self._handle is None:
            self._handle = display(bar, display_id=True)
        else:
            self._handle.update(bar)

    def _left(self, done: int, total: int) -> str:
        """The time left at the rate so far, as text; empty as long as there is none."""
        first = done if self._first is None else self._first
        if done <= first or done >= total:
            return ""
        return f", {duration((time.monotonic() - self._t_start) / (done - first) * (total - done))} left"

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
        self.show = LineAMinute(_write_line, unit=unit)

    def close(self) -> None:
        pass


def _write_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
