"""What docs/observables.md shows runs, and prints what it says; its table has every name."""

import contextlib
import io
import re
from pathlib import Path

from test_readme import differences

import latticear as la

PAGE = (Path(__file__).parents[1] / "docs" / "observables.md").read_text()


def test_the_example():
    code, shown = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    assert differences(shown, printed.getvalue()) == []
    estimates = names["estimates"]
    assert abs(estimates["heat_capacity_slope"].deviation) < 4
    assert abs(estimates["heat_bath_energy_per_site"].deviation) < 4
    together = (estimates["correlation_length"].error ** 2 + names["along_y"].error ** 2) ** 0.5
    assert abs(names["along_y"].value - estimates["correlation_length"].value) < 4 * together


def test_every_name_is_described():
    assert not [name for name in la.OBSERVABLES if f"`{name}`" not in PAGE]
