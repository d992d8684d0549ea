"""Numbers with errors in brackets, and what an estimate says of itself."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from latticear.cli.display import print_estimates
from latticear.estimation.estimates import Estimate, Estimates, UnreliableEstimateWarning, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-2.116364, 0.000041, "-2.11636(4)"),
        (1.0, 0.0096, "1.000(10)"),
        (1.23456, 0.0123, "1.235(12)"),
        (1.5, 0.3, "1.5(3)"),
        (12.3456, 1.23, "12.3(1.2)"),
        (1234.5, 40.0, "1230(40)"),
        (1234.5, 3.0, "1234(3)"),
        (0.0, 0.5, "0.0(5)"),
        (-0.001, 0.96, "-0.0(1.0)"),
        (0.25, 0.0, "0.25(0)"),
        (1.0, float("nan"), "1(nan)"),
    ],
)
def test_brackets(value, error, text):
    assert with_error(value, error) == text


def test_deviation_and_text():
    estimate = Estimate(1.0, 0.1, n=100, ess=0.5, exact=1.25)
    assert estimate.deviation == pytest.approx(-2.5)
    assert str(estimate) == "1.00(10)"
    assert str(Estimate(1.0, 0.1, n=100, ess=0.5, reliable=False)) == "1.00(10) (unreliable)"
    assert Estimate(1.0, 0.0, n=100, ess=0.5, exact=1.0).deviation == 0
    assert Estimate(1.0, 0.0, n=100, ess=0.5, exact=1.1).deviation < -1e6
    assert Estimate(1.0, 0.1, n=100, ess=0.5).deviation is None
    assert str(Estimate(np.array([1.0, 2.0]), np.array([0.2, 0.3]), n=9, ess=1.0)) == "[1.0(2), 2.0(3)]"


def test_json_has_no_nan():
    content = Estimate(float("nan"), np.inf, n=1, ess=1.0, exact=2.0).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == {"value": None, "error": None, "exact": 2.0}


def _estimates(own: float, target: float) -> Estimates:
    values = {"ess": Estimate(own, 0.01, n=10, ess=own), "forward_ess": Estimate(target, 0.01, n=10, ess=target)}
    return Estimates(values, temperature=1.0, n=10, diagnostics={"ess": own})


def test_collapse_is_told():
    good, collapsed = _estimates(0.9, 0.85), _estimates(0.9, 0.01)
    good.check_collapse()
    collapsed.check_collapse()
    assert good.reliable
    assert not collapsed.reliable
    assert not collapsed["ess"].reliable
    assert "misses part of the distribution" in str(collapsed)
    with pytest.warns(UnreliableEstimateWarning, match="misses part"):
        collapsed.warn()


@pytest.mark.parametrize(("reasons", "marked"), [((), "0.50(10) (unreliable)"), (("why",), "0.50(10) ")])
def test_a_table_marks_what_no_warning_tells(reasons, marked):
    values = {name: Estimate(0.5, 0.1, n=100, ess=1.0, reliable=name == "a" and not reasons) for name in ("a", "b")}
    console = Console(record=True, width=100, file=io.StringIO())
    print_estimates(console, Estimates(values, temperature=1.0, n=100, diagnostics={}, reasons=reasons))
    rows = console.export_text().splitlines()
    assert [row.count("(unreliable)") for row in rows if "0.50(10)" in row] == ([0, 0] if reasons else [0, 1])
    assert any(marked in row for row in rows)
    assert any("why" in row for row in rows) == bool(reasons)
