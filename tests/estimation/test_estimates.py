"""Numbers with errors in brackets, and what an estimate says of itself."""

import io
import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import xarray
from rich.console import Console

import latticear as la
from latticear.cli.display import print_estimates
from latticear.estimation.estimates import Estimates, UnreliableEstimateWarning, with_error, with_rarity
from latticear.estimation.numbers import unseen_probability
from latticear.estimation.quantity import Estimate


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
        (0.25, 0.0, "0.25"),
        (-2.0, 1e-15, "-2"),
        (1.0, float("nan"), "1(nan)"),
        (float("nan"), 0.0, "nan"),
        (5.21e-27, 3e-28, "5.2(3)e-27"),
        (0.0, 4e-23, "0(4)e-23"),
        (1.2345e12, 3e9, "1.234(3)e12"),
        (4e-320, 1e-320, "4.0(1.0)e-320"),
        (1e-5, 0.5, "0.0(5)"),
    ],
)
def test_brackets(value, error, text):
    assert with_error(value, error) == text


def test_deviation_and_text():
    estimate = Estimate(1.0, 0.1, n=100, ess=0.5, exact=1.25)
    assert estimate.deviation == pytest.approx(-2.5)
    assert str(estimate) == "1.00(10)"
    assert str(Estimate(1.0, 0.1, n=100, ess=0.5, objections=("why",))) == "1.00(10) (not trusted)"
    assert Estimate(1.0, 0.0, n=100, ess=0.5, exact=1.0).deviation == 0
    assert Estimate(1.0, 0.0, n=100, ess=0.5, exact=1.1).deviation is None
    assert Estimate(1.0, 0.0, n=200, ess=0.5, exact=1.1, exact_spread=0.2).deviation == pytest.approx(-5)
    assert Estimate(1.0, 0.1, n=100, ess=0.5).deviation is None
    assert str(Estimate(np.array([1.0, 2.0]), np.array([0.2, 0.3]), n=9, ess=1.0)) == "[1.0(2), 2.0(3)]"


def test_json_has_no_nan():
    content = Estimate(float("nan"), np.inf, n=1, ess=1.0, exact=2.0).to_dict()
    content = json.loads(json.dumps(content, allow_nan=False))
    assert {key: content[key] for key in ("value", "error", "exact")} == {"value": None, "error": None, "exact": 2.0}
    assert content["verdict"] == "unchecked"


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


@pytest.mark.parametrize(("reasons", "marked"), [((), ["unchecked", "trusted"]), (("why",), ["trusted", "trusted"])])
def test_a_table_says_what_to_trust(reasons, marked):
    objections = {"a": reasons, "b": (*reasons, "few")}
    values = {name: Estimate(0.5, 0.1, n=100, ess=1.0, objections=objections[name]) for name in ("a", "b")}
    console = Console(record=True, width=100, file=io.StringIO())
    print_estimates(console, Estimates(values, temperature=1.0, n=100, diagnostics={}, reasons=reasons))
    rows = console.export_text().splitlines()
    assert [row.split()[-2] for row in rows if "0.50(10)" in row] == marked
    assert any("why" in row for row in rows) == bool(reasons)


def _aligned(n: int, n_up: int) -> la.Samples:
    """n configurations of 4x4 with all spins up or down, as if drawn with equal probabilities."""
    tokens = torch.zeros(n, 4, 4, dtype=torch.uint8)
    tokens[:n_up] = 1
    return la.Samples(tokens, torch.full((n,), -float(np.log(2)), dtype=torch.float64), 0)


def test_a_table_says_why_single_quantities_are_unchecked():
    known = Estimate(1.0, 0.1, n=1000, ess=1.0, exact=1.0)
    rare = with_rarity(Estimate(0.2, 0.1, n=1000, ess=1.0, reach=9.0), 12.0)
    alone = Estimate(np.ones(2), np.ones(2), n=1000, ess=1.0)
    values = {"energy_per_site": known, "susceptibility": rare, "correlation": alone}
    estimates = Estimates(values, temperature=1.0, n=1000, diagnostics={})
    assert estimates.verdict == "trusted"
    assert estimates.verdict_notes == [
        "trusted, in agreement with the exact value",
        "unchecked: susceptibility: the error depends on few rare events, about 12: use 3,000 configurations",
        "unchecked: correlation: nothing independent to compare it with",
    ]
    assert set(estimates.verdict_notes) <= set(str(estimates).splitlines())
    with_rarity(alone, float("nan"))


def test_where_nothing_varied_there_is_a_bound_in_place_of_an_error():
    """At T = 0.5 an excited configuration has a probability of 2e-6: that none of 1000 has one is no contradiction."""
    ising = la.Ising((4, 4))
    found = la.estimate(_aligned(1000, 500), ising, 0.5)
    assert found.verdict == "trusted"
    for name in ("energy_per_site", "abs_magnetization", "heat_capacity_per_site", "log_z"):
        assert found[name].unvaried
        assert found[name].unseen_probability == pytest.approx(3 / 1000, rel=5e-3)
        assert found[name].shown_deviation == "no variation"
        assert not found[name].contradicted
    assert -0.1 < found["energy_per_site"].deviation < 0
    assert found["energy_per_site"].value == -2
    assert found["heat_capacity_per_site"].value == 0
    assert "no variation in 1,000 configurations of free_energy_per_site, energy_per_site" in str(found)
    assert "below 0.003, with 95 % confidence" in str(found)
    assert "(0)" not in str(found)
    assert 0 < found.diagnostics["imbalance"] < 1


def test_a_still_sample_that_the_exact_result_excludes_differs():
    ising = la.Ising((4, 4))
    with pytest.warns(UnreliableEstimateWarning):
        found = la.estimate(_aligned(1000, 1000), ising, 2.0, exact=la.exact_result(ising, 2.0))
    for name in ("free_energy_per_site", "log_z", "energy_per_site", "abs_magnetization", "magnetization_squared"):
        assert found[name].shown_deviation == "differs", name
        assert found[name].contradicted
    assert {row[0]: row[-1] for row in found.table().rows}["abs_magnetization"] == "not trusted"


def test_the_exact_spread_is_that_of_a_configuration():
    ising, t = la.Ising((3, 3), field=0.1), 2.0
    tokens = la.exact.all_configurations(ising.shape, 2)
    energy, m = ising.token_energy(tokens).numpy() / 9, np.abs(ising.magnetization(tokens).numpy())
    p = np.exp(-9 * energy / t)
    p /= p.sum()
    exact = la.exact_result(ising, t)
    blank = {name: Estimate(0.0, 0.0, n=1, ess=1.0) for name in exact.to_dict()}
    found = Estimates(blank, temperature=t, n=1, diagnostics={}).beside(exact.to_dict(), 9)
    for name, values in {"energy_per_site": energy, "abs_magnetization": m, "magnetization_squared": m**2}.items():
        spread = np.sqrt(p @ (values - p @ values) ** 2)
        assert found[name].exact_spread == pytest.approx(spread, rel=1e-9), name
    short = exact.log_z + np.log1p(-0.01)  # a hundredth of the distribution is missing
    lacks = Estimates({"log_z": Estimate(short, 0.0, n=900, ess=1.0)}, temperature=t, n=900, diagnostics={})
    assert lacks.beside(exact.to_dict(), 9)["log_z"].deviation == pytest.approx(-3)


def test_an_unseen_event_has_the_probability_that_it_is_said_to_have():
    for n in (1, 10, 1e6):
        assert (1 - unseen_probability(n)) ** n == pytest.approx(0.05)
    assert unseen_probability(0.0) == pytest.approx(0.95)


def test_a_still_chain_counts_by_the_slowest_quantity_or_by_chains():
    ising, up = la.Ising((4, 4)), torch.ones(8, 4, 4, dtype=torch.uint8)
    still = la.estimation.estimate_chains([la.Samples(up, None, 0)] * 20, ising, 0.2)
    assert still["energy_per_site"].n * still["energy_per_site"].ess == pytest.approx(8)
    assert "160 configurations (8 independent ones)" in str(still)
    one = up.clone()
    one[:, 0, 0] = 0
    moving = [la.Samples(one if (t // 5) % 4 == 0 else up, None, 0) for t in range(400)]
    with pytest.warns(UnreliableEstimateWarning):
        found = la.estimation.estimate_chains(moving, ising, 2.0, exact=None, observables={"one": lambda s: s[:, 1, 1]})
    assert found["one"].unvaried
    assert found["one"].ess == pytest.approx(min(found[name].ess for name in ("energy_per_site", "abs_magnetization")))


def test_estimates_are_rebuilt_from_json():
    ising = la.Ising((4, 4))
    found = la.estimate(_aligned(1000, 500), ising, 0.2)
    assert found.reliable  # nothing that a heat bath could change
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["energy_per_site"]["error"] == 0
    assert content["energy_per_site"]["unvaried_in"] == 1000
    assert "unvaried_in" not in content["ess"]
    again = Estimates.from_dict(content, n_sites=16)
    assert again.to_dict() == content
    assert str(again) == str(found)
    assert again["energy_per_site"].deviation == pytest.approx(found["energy_per_site"].deviation)
    chain = Estimate(1.0, 0.1, n=10, ess=0.25, tau_int=2.0, objections=("few",))
    assert Estimate.from_dict(chain.to_dict(), 10) == chain
    assert np.isnan(Estimate.from_dict({"value": None, "error": 0.0}, 10).value)


def _mixed() -> Estimates:
    values = {
        "energy": Estimate(-1.5, 0.25, n=100, ess=0.5, exact=-1.0, tau_int=1.0),
        "row <b>": Estimate(np.array([1.0, 2.0]), np.array([0.1, 0.2]), n=100, ess=0.5, objections=("few",)),
        "still": Estimate(1.0, 0.0, n=100, ess=0.5),
    }
    return Estimates(values, temperature=2.0, n=100, diagnostics={}, reasons=["a < b"])


def test_a_data_frame_has_a_row_for_each_number():
    frame = _mixed().to_dataframe()
    assert list(frame.index) == ["energy", "row <b>[0]", "row <b>[1]", "still"]
    assert list(frame.columns) == [
        *("value", "error", "exact", "deviation", "verdict", "reliable", "n", "ess", "tau_int")
    ]
    assert frame.loc["energy", "deviation"] == -2
    assert frame.loc["row <b>[1]", "value"] == 2
    assert np.isnan(frame.loc["still", ["exact", "deviation", "tau_int"]].astype(float)).all()
    assert not frame.loc["row <b>[0]", "reliable"]


def test_a_data_set_joins_along_the_temperature():
    found = _mixed().to_xarray()
    assert float(found["energy_error"]) == _mixed()["energy"].error
    assert found["row <b>"].dims == ("row <b>_dim_0",)
    assert list(found["row <b>"].values) == [1, 2]
    assert np.isnan(found["still_exact"])
    assert found["still"].attrs["verdict"] == str(_mixed()["still"].verdict)
    joined = xarray.concat([found, found.assign_coords(temperature=3.0)], "temperature")
    assert joined["energy"].dims == ("temperature",)
    assert list(joined.temperature) == [2.0, 3.0]


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_dataframe needs pandas, which is not installed: pip install pandas"):
        _mixed().to_dataframe()


def test_tables_of_a_notebook_are_escaped_and_bring_no_colour():
    shown = _mixed()._repr_html_()
    assert "a &lt; b" in shown
    assert "row &lt;b&gt;" in shown
    assert "<b>" not in shown.replace("<b>WARNING", "")
    assert not any(word in shown for word in ("background", "black", "white", "#"))
    table = ElementTree.fromstring(shown)
    assert [cell.text for cell in table.iter("th")] == ["quantity", "value", "exact", "deviation", "verdict"]
    assert [[cell.text for cell in row] for row in table.iter("tr")][1] == [
        "energy",
        "-1.5(2)",
        "-1",
        "-2.0 sigma",
        "not trusted",
    ]
    assert repr(_mixed()).splitlines()[0] == "T = 2, n = 100"
    assert repr(_mixed()["energy"]) == "Estimate(-1.5(2) (not trusted), exact -1, -2.0 sigma, n = 100)"


def test_an_error_of_too_few_events_is_no_objection():
    """One event of size 2 in ten thousand was expected and none was seen: the error is that of smaller ones."""
    known = {"energy_per_site": -2 + 2e-4, "heat_capacity_per_site": 4e-4 * 16}
    estimate = Estimate(-2.0 + 1e-8, 1e-7, n=10_000, ess=1.0)
    found = Estimates({"energy_per_site": estimate}, temperature=1.0, n=10_000, diagnostics={}).beside(known, 16)
    assert found["energy_per_site"].largest_deviation > 1000
    assert found.verdict == "unchecked"
    assert "too few rare events" in found.verdict.reasons[0]
    many = Estimate(-2.0 + 1e-8, 1e-7, n=10_000_000, ess=1.0)  # a thousand of them are missing
    found = Estimates({"energy_per_site": many}, temperature=1.0, n=10_000_000, diagnostics={}).beside(known, 16)
    assert found.verdict == "not trusted"


def test_an_error_that_a_part_never_seen_would_exceed_says_so():
    """An open glass in the cold: so even weights that rare configurations decide how accurate ln Z is."""
    glass = la.EdwardsAnderson((12, 12), seed=3, periodic=False)
    model = la.TensorNetwork((12, 12), bias=glass.bias(0.2), bond_dimension=4)
    log_z = la.estimate(model.sample(4000, seed=1), glass, 0.2, exact=None)["log_z"]
    assert log_z.error < 1e-5
    assert log_z.verdict == "unchecked"
    words = r"nothing independent .*, and 4,000 .* may lack a part of probability 0\.0007, which would be .* errors"
    assert re.fullmatch(words, log_z.verdict.reasons[0])
