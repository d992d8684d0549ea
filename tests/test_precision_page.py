"""What docs/precision.md shows runs, and reaches its errors."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "precision.md"


def test_the_example():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    lines = printed.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ("True True", "True")
    assert re.fullmatch(r"log_z to 0\.001: error \S+, reached", lines[1])
    assert lines[3] == "left out: a pilot of 4,000 configurations, which came first"
    found = names["found"]
    assert found["log_z"].error <= found["log_z"].wanted == 1e-3
    assert abs(found["log_z"].deviation) < 4
