"""The example of docs/scaling.md runs, and finds what it shows and what is exact."""

import contextlib
import io
import re
from pathlib import Path

from latticear.exact import T_C

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_example_of_the_page():
    code, shown = re.search(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL).groups()
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    limit, collapsed = names["crossed"].critical_temperature, names["collapsed"]
    for (value, error), exact in (
        (limit[:2], T_C),
        (collapsed.critical_temperature, T_C),
        (collapsed.inverse_nu, 1.0),
        (names["tops"].growth[:2], 1.75),
    ):
        assert abs(value - exact) < 4 * error
        assert error < 0.2
    number = re.compile(r"\d+(\.\d+)?(e-\d+)?")
    assert [number.sub("", line).split() for line in printed.getvalue().splitlines()] == [
        number.sub("", line).split() for line in shown.splitlines()
    ]
