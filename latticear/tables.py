"""Tables of text: what terminals and notebooks show of a result."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Table", "brief"]

MAX_SHOWN = 8
"""Number of entries of a list up to which `brief` shows them."""


@dataclass(frozen=True)
class Table:
    """A table with a title, remarks below it, and warnings below those; all cells are text.

    The first column is aligned to the left, the others to the right.

    Attributes:
        title: the line above the table.
        headings: names of the columns; empty texts for a table without a heading.
        rows: cells of each row, one for each column.
        notes: remarks, one line each.
        warnings: reasons not to trust the table, one line each.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def text(self) -> str:
        """The table in a font of fixed width."""
        shown = [self.headings, *self.rows] if any(self.headings) else list(self.rows)
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [self.title] if self.title else []
        for row in shown:
            others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
        return "\n".join([*lines, *self.notes, *(f"WARNING: {reason}" for reason in self.warnings)])

    def html(self) -> str:
        """The table in HTML, escaped, without a colour of its own: it is readable on light and dark pages alike."""
        caption = f"<caption style='{_CAPTION}'>{html.escape(self.title)}</caption>" if self.title else ""
        heading = f"<thead>{_row('th', self.headings)}</thead>" if any(self.headings) else ""
        body = "".join(_row("td", row) for row in self.rows)
        below = "".join(f"<div style='opacity: 0.8'>{html.escape(note)}</div>" for note in self.notes)
        below += "".join(f"<div><b>WARNING: {html.escape(reason)}</b></div>" for reason in self.warnings)
        return f"<div><table style='{_TABLE}'>{caption}{heading}<tbody>{body}</tbody></table>{below}</div>"


_TABLE = "border-collapse: collapse; font-variant-numeric: tabular-nums"
_CAPTION = "caption-side: top; text-align: left; font-weight: bold; color: inherit"
_CELL = "padding: 2px 8px; border-bottom: 1px solid rgba(128, 128, 128, 0.4)"


def _row(tag: str, cells: Sequence[str]) -> str:
    def cell(k: int, text: str) -> str:
        side = "left" if k == 0 else "right"
        return f"<{tag} style='{_CELL}; text-align: {side}'>{html.escape(text)}</{tag}>"

    return f"<tr>{''.join(cell(k, text) for k, text in enumerate(cells))}</tr>"


def brief(value: Any) -> str:
    """The repr of a value; of an array, or of nested lists with more than eight entries, its shape alone.

    Example:
        >>> brief([1, 2]), brief([[0.5] * 6] * 4)
        ('[1, 2]', '<4 x 6 values>')
    """
    shape = tuple(getattr(value, "shape", ())) or _shape_of(value)
    if isinstance(value, list | tuple) and math.prod(shape) <= MAX_SHOWN:
        return repr(value)
    return f"<{' x '.join(map(str, shape))} values>" if shape else repr(value)


def _shape_of(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return (len(value), *_shape_of(value[0])) if value else (0,)
