"""The example of disorder averages in docs/spin-glasses.md runs."""

import re
from pathlib import Path

from latticear.estimation.estimates import quiet

PAGE = (Path(__file__).parents[1] / "docs" / "spin-glasses.md").read_text()


def test_disorder_averages_of_the_page(capsys):
    section = PAGE.split("## Averages over instances")[1]
    with quiet():
        exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], names := {})
    assert names["average"].n == 12
    assert abs(names["ratio"].value - names["average"]["overlap_binder_cumulant"].value) < 1e-12
    assert "[chi_SG]" in capsys.readouterr().out
