"""What docs/distributions.md shows runs, and agrees with what is exact."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
from test_readme import differences

PAGE = Path(__file__).parents[1] / "docs" / "distributions.md"


def test_the_profile_from_plain_samples_is_that_of_fixed_composition():
    code, shown = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    assert differences(shown, printed.getvalue()) == []
    numbers = np.array([[float(x) for x in re.findall(r"-?\d+\.\d+", line)] for line in shown.splitlines()])
    _, value, error, canonical = numbers.T
    assert (np.abs(value - canonical) < 4 * error + 1e-4).all()
