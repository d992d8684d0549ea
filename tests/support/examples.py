"""The examples of pages, and the cells of notebooks: they are run, and what they print is compared with the page."""

import ast
import contextlib
import io
import json
import linecache
import math
import re
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import pyplot

from latticear import UnreliableEstimateWarning
from latticear.data.loading import ConversionNote

__all__ = ["DOCS", "Example", "Notebook", "differences"]

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


class Notebook(NamedTuple):
    """A page of docs/ with cells, which the site runs at full size, and a test at the sizes of its front matter.

    Attributes:
        page: its path in docs/.
        cells: the code of its cells.
        parameters: the number of the cell that defines the sizes, the one with the tag `parameters`.
        quick: the sizes of a quick run, by name: JSON in the line `latticear` of the front matter.
    """

    page: str
    cells: list[str]
    parameters: int
    quick: dict[str, Any]

    @classmethod
    def read(cls, page: str, text: str | None = None) -> "Notebook":
        """The notebook of a page; of another text, if one is given."""
        text = (DOCS / page).read_text() if text is None else text
        front = re.match(r"---\n(?:.*\n)*?latticear: (.*)\n(?:.*\n)*?---\n", text)
        assert front is not None, f"{page}: the front matter has no line 'latticear: {{\"quick\": {{...}}}}'"
        found = re.findall(r"^```\{code-cell\}.*\n((?::.*\n)*)((?:.*\n)*?)```$", text, re.MULTILINE)
        (tagged,) = [k for k, (options, _) in enumerate(found) if "parameters" in options]
        return cls(page, [code for _, code in found], tagged, json.loads(front[1])["quick"])

    def run(self) -> Example:
        """Run the cells one after the other at the quick sizes; what a cell ends with is shown, and its figures drawn.

        Notes on data, and warnings that so few configurations cannot be trusted, are no errors.
        """
        names: dict[str, Any] = {}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            for said in (UnreliableEstimateWarning, ConversionNote):
                warnings.simplefilter("ignore", said)
            for k, code in enumerate(self.cells):
                self._run_cell(k, code, names)
                if k == self.parameters:
                    unknown = self.quick.keys() - names.keys()
                    assert not unknown, f"{self.page}: the cell of parameters does not define {sorted(unknown)}"
                    names |= self.quick
        return Example(names, printed.getvalue(), "")

    def _run_cell(self, k: int, code: str, names: dict[str, Any]) -> None:
        file = f"<{self.page}, cell {k + 1}>"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)  # for the traceback
        tree = ast.parse(code, file)
        shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, file, "exec"), names)
        if isinstance(shown, ast.Expr):
            value = eval(compile(ast.Expression(shown.value), file, "eval"), names)
            if value is not None:
                print(value._repr_html_() if hasattr(value, "_repr_html_") else repr(value))
        for number in pyplot.get_fignums():
            pyplot.figure(number).canvas.draw()
        pyplot.close("all")


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
