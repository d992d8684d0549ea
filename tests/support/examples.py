"""The examples of pages: they are run, and what they print is compared with what the page shows."""

import contextlib
import io
import math
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["DOCS", "Example", "differences"]

DOCS = Path(__file__).parents[2] / "docs"


class Example(NamedTuple):
    """An example that was run.

    Attributes:
        names: what it defined.
        printed: what it printed.
        shown: what the page says that it prints, in the block of text right after it; empty if there is none.
    """

    names: dict[str, Any]
    printed: str
    shown: str

    @classmethod
    def run(cls, page: str, after: str = "") -> "Example":
        """Run the first example of a page of docs/, or the first one after some text."""
        text = (DOCS / page).read_text()
        found = re.compile(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL).search(text, text.index(after))
        assert found is not None
        names: dict[str, Any] = {}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(found[1], names)
        return cls(names, printed.getvalue(), found[2] or "")

    def check(self) -> None:
        """What it printed is what the page shows, within the errors."""
        assert self.shown
        assert differences(self.shown, self.printed) == []


NUMBER = re.compile(r"(?:(ESS|F/N) (?:<?= )?)?(-?\d+(?:\.(\d+))?)(?:\((\d+)\))?")
"""What it is, its value with the decimals, and the error in units of the last one."""

DERIVED = re.compile(r"  [+-]\d+\.\d sigma$|(?<=^ess) .*$|(?<=^pareto_k) .*$", re.MULTILINE)
"""What follows from other numbers, or belongs to the weights of the network, which depend on the processor."""

ALLOWED = {"ESS": 0.2, "F/N": 0.05}
"""For the ESS, and the free energies of training: another processor, or version of PyTorch, ends with other weights."""


def differences(shown: str, printed: str) -> list[tuple[str, str]]:
    """Pairs of lines that differ in more than numbers, or in these by more than they may.

    Estimates `v(e)` may differ by four of their joint errors, exact values not at all; a line too many has no partner.
    """
    left, right = (DERIVED.sub("", text).splitlines() for text in (shown, printed))
    pairs = zip_longest(left, right, fillvalue="")
    return [(left, right) for left, right in pairs if not _agree(left, right)]


def _agree(left: str, right: str) -> bool:
    if NUMBER.sub("#", left).split() != NUMBER.sub("#", right).split():
        return False
    return all(_close(a, b) for a, b in zip(NUMBER.finditer(left), NUMBER.finditer(right), strict=True))


def _close(a: re.Match[str], b: re.Match[str]) -> bool:
    off = abs(float(a[2]) - float(b[2]))
    errors = [int(number[4] or 0) / 10 ** len(number[3] or "") for number in (a, b)]
    return a[1] == b[1] and (a[4] is None) == (b[4] is None) and off <= ALLOWED.get(a[1], 4 * math.hypot(*errors))
