"""Three words for how far a number is to be trusted, and what each rests on."""

import json

import pytest

import latticear as la
from latticear.estimation.quantity import Estimate
from latticear.estimation.verdict import ALONE, Verdict


def test_a_verdict_is_a_word_with_reasons():
    verdict = Verdict.of(objections=["a", "a"], doubts=["b"], evidence=["c"])
    assert verdict == "not trusted"
    assert verdict.reasons == ("a",)
    assert not verdict.reliable
    assert Verdict.of(doubts=["b"], evidence=["c"]) == "unchecked"
    assert Verdict.of(doubts=["b"], evidence=["c"]).reasons == ("b",)
    assert Verdict.of(evidence=["c"]).reasons == ("c",)
    assert Verdict.of().reasons == (ALONE,)
    assert json.dumps(Verdict.of()) == '"unchecked"'
    with pytest.raises(ValueError, match="a verdict is 'trusted'"):
        Verdict("fine")


@pytest.mark.parametrize(
    ("off", "word"), [(0.5, "trusted"), (-2.9, "trusted"), (3.5, "unchecked"), (-4.5, "not trusted")]
)
def test_an_exact_value_decides(off, word):
    estimate = Estimate(1.0 + 0.1 * off, 0.1, n=100, ess=1.0, exact=1.0)
    assert estimate.verdict == word
    assert "exact value" in estimate.verdict.reasons[0]
    assert estimate.doubt(["few"]).verdict == ("unchecked" if word == "trusted" else word)
    assert estimate.object_to(["few"]).verdict == "not trusted"
    assert estimate.reliable == (word != "not trusted")


def _of(**estimates: Estimate) -> la.Estimates:
    return la.Estimates(estimates, temperature=1.0, n=100, diagnostics={})


def test_the_whole_is_as_good_as_the_quantities_that_decide():
    good = Estimate(1.0, 0.1, n=100, ess=1.0, exact=1.0)
    far, alone = (Estimate(1.0, 0.1, n=100, ess=1.0, exact=exact) for exact in (2.0, None))
    assert _of(log_z=good, energy_per_site=good, mine=alone).verdict == "trusted"
    assert _of(log_z=good, energy_per_site=alone).verdict == "unchecked"
    assert _of(log_z=good, energy_per_site=alone).verdict.reasons == (f"energy_per_site: {ALONE}",)
    assert _of(log_z=good, energy_per_site=far).verdict == "not trusted"
    assert _of(log_z=good, energy_per_site=good, mine=far).verdict == "unchecked"
    estimates = _of(log_z=good, energy_per_site=good)
    estimates.distrust("why")
    assert estimates.verdict.reasons == ("why",)
    assert {estimate.verdict for estimate in estimates.values()} == {"not trusted"}


def test_files_of_0_1_0_have_a_verdict():
    assert Verdict.from_dict({"value": 1.0}) == "unchecked"
    assert Verdict.from_dict({"value": 1.0, "reliable": False}) == "not trusted"
    old = Estimate.from_dict({"value": 1.0, "error": 0.1, "reliable": False}, 100)
    assert old.verdict == "not trusted"
    assert Estimate.from_dict({"value": 1.0, "error": 0.1, "exact": 1.05}, 100).verdict == "trusted"


def test_a_deviation_of_thousands_of_errors_is_evidence_against_everything():
    exact = {"log_z": 5.0, "energy_per_site": -1.0}
    found = _of(log_z=Estimate(2.0, 1e-3, n=100, ess=0.97), mine=Estimate(1.0, 0.1, n=100, ess=0.97)).beside(exact, 16)
    assert found.verdict == "not trusted"
    assert found["mine"].verdict == "not trusted"
    assert "log_z by 3e+03 errors" in found.warnings[0]
