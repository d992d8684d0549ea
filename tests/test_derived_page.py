"""What docs/derived.md shows runs, and prints what it says."""

import contextlib
import io
import re
from pathlib import Path

from test_readme import differences

PAGE = Path(__file__).parents[1] / "docs" / "derived.md"


def test_the_interface_tension():
    code, shown = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    assert differences(shown, printed.getvalue()) == []
    tension = names["tension"]
    assert tension.verdict == "trusted"
    assert abs(tension.deviation) < 4
    assert 0.7 < tension.delta_error / tension.error < 1.4
