"""Estimates beside independent configurations: what is missing is found, what is right is trusted."""

import warnings

import numpy as np
import pytest
import torch
from support.table import TableModel, boltzmann

import latticear as la
from latticear.estimation.check import Check, check_of_data, independent_check, size_of_check
from latticear.estimation.judgement import judge
from latticear.exact.tabulated import Tabulated
from latticear.samples import Samples

SYSTEMS = {
    "blume-capel": (la.BlumeCapel((3, 3), crystal_field=1.966), 0.4),
    "j1-j2": (la.Ising((3, 4), next_nearest=-0.6), 0.6),
    "glass": (la.EdwardsAnderson((3, 4), seed=3), 0.6),
    "ising": (la.Ising((3, 4)), 1.5),
}
OWN = {"m": lambda s: s.double().mean((1, 2)), "pair": lambda s: (s[:, 0, 0] * s[:, 0, 1]).double()}


def _without(system, temperature, share: float, least: float = 1e-14) -> TableModel:
    """A model that lacks the configurations of lowest energy, up to a share of the probability."""
    table = Tabulated(system, temperature)
    p = boltzmann(system, temperature)
    order = torch.from_numpy(np.argsort(table.energy, kind="stable"))
    part = order[: 1 + int((p[order].cumsum(0) < share).sum())]
    q = p.clone()
    q[part] *= least
    return TableModel(system.shape, q, system.n_tokens)


def _drawn(model: TableModel, n: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(model.probability, n, replacement=True, generator=generator)
    tokens = la.exact.all_configurations(model.shape, model.n_tokens)[chosen]
    return Samples(tokens, model.probability[chosen].log(), seed)


def _estimate(samples, system, temperature, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        return la.estimate(samples, system, temperature, observables=OWN, **options)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("method", ["parallel-tempering", "enumeration"])
def test_a_missing_phase_is_found(name, method):
    """The weights of the samples are all equal, so that only something independent can tell."""
    system, temperature = SYSTEMS[name]
    model = _without(system, temperature, 0.05)
    samples = _drawn(model, 10_000, 0)
    alone = _estimate(samples, system, temperature, exact=None)
    assert alone["ess"].value > 0.99
    assert alone.verdict != "trusted"
    check = independent_check(system, temperature, n=2000, model=model, observables=OWN, method=method)
    judged = judge(alone, check)
    assert judged.verdict == "not trusted"
    assert judged["forward_ess"].value < 0.1
    assert {estimate.verdict for estimate in judged.values()} == {"not trusted"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_right_estimates_are_trusted(name):
    system, temperature = SYSTEMS[name]
    p = boltzmann(system, temperature)
    noise = torch.randn(len(p), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = TableModel(system.shape, p * (0.1 * noise).exp(), system.n_tokens)
    found = _estimate(_drawn(model, 5000, 0), system, temperature, exact=None, check=model)
    assert found.verdict == "trusted", found
    assert found["m"].verdict == "trusted"
    assert found.verdict.reasons == ("the sum over all configurations",)
    exact = Tabulated(system, temperature)
    for name, fn in OWN.items():
        assert abs(found[name].value - exact.average(fn)) < 4 * found[name].error


def test_a_check_that_cannot_see_what_matters_is_no_evidence():
    """100,000 samples with equal weights have errors far below what 1000 configurations could miss."""
    system, temperature = SYSTEMS["glass"]
    model = TableModel(system.shape, boltzmann(system, temperature))
    samples = _drawn(model, 100_000, 0)
    found = _estimate(samples, system, temperature, exact=None)
    check = independent_check(system, temperature, n=1000, model=model, method="parallel-tempering")
    judged = judge(found, check)
    assert judged["log_z"].verdict == "unchecked"
    assert "may lack a part of probability" in judged["log_z"].verdict.reasons[0]
    assert judged["m"].verdict == "unchecked"  # the check did not measure it


def test_the_exact_ln_z_counts_for_an_observable_of_ones_own():
    system, temperature = SYSTEMS["ising"]
    p = boltzmann(system, temperature)
    model = TableModel(system.shape, p)
    assert _estimate(_drawn(model, 2000, 0), system, temperature)["pair"].verdict == "trusted"
    poor = TableModel(system.shape, p**0.7)  # its errors of ln Z leave room for a part that is missing
    assert _estimate(_drawn(poor, 2000, 0), system, temperature)["pair"].verdict == "unchecked"


def test_chains_need_a_check_as_accurate_as_they_are():
    system, temperature = SYSTEMS["ising"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        batches = list(la.monte_carlo(system, temperature, n=4000, method="heat-bath", n_chains=40, seed=1))
        chains = [la.estimation.estimate_chains(batches, system, temperature, exact=None) for _ in range(2)]
    coarse, fine = (independent_check(system, temperature, n=n, method="swendsen-wang") for n in (200, 8000))
    assert "times as large" in judge(chains[0], coarse)["energy_per_site"].verdict.reasons[0]
    assert judge(chains[1], fine)["energy_per_site"].verdict == "trusted"
    assert 1000 < size_of_check(chains[0], system) <= 4000


def test_a_check_that_disagrees_with_itself_is_no_evidence():
    system, temperature = SYSTEMS["ising"]
    model = TableModel(system.shape, boltzmann(system, temperature))
    check = independent_check(system, temperature, n=1000, method="parallel-tempering")
    check.estimates.distrust("few round trips")
    judged = judge(_estimate(_drawn(model, 2000, 0), system, temperature, exact=None), check)
    assert judged.verdict == "unchecked"
    assert "no evidence themselves: few round trips" in judged.verdict.reasons[0]


@pytest.mark.parametrize("method", ["enumeration", "swendsen-wang"])
def test_what_did_not_vary_agrees_with_what_hardly_ever_varies(method):
    """At T = 0.5 one of 500,000 configurations is not ordered: a thousand show no error, and none is missing."""
    ising = la.Ising((4, 4))
    model = TableModel((4, 4), boltzmann(ising, 0.5))
    samples = _drawn(model, 1000, 0)
    assert len(samples.tokens.unique(dim=0)) == 2
    check = independent_check(ising, 0.5, n=4000, model=model, observables=OWN, method=method)
    judged = judge(_estimate(samples, ising, 0.5, exact=None), check)
    assert judged.verdict != "not trusted"
    assert "not trusted" not in {estimate.verdict for estimate in judged.values()}
    if method == "enumeration":
        assert judged.verdict == "trusted"


def test_what_did_not_vary_differs_from_what_often_varies():
    """At T = 1.5 every eighth configuration is excited: a thousand that are not are wrong in every quantity."""
    ising = la.Ising((4, 4))
    ordered = (boltzmann(ising, 1.5) == boltzmann(ising, 1.5).max()).double() / 2
    samples = _drawn(TableModel((4, 4), ordered), 1000, 0)
    judged = judge(_estimate(samples, ising, 1.5, exact=None), independent_check(ising, 1.5, method="enumeration"))
    names = ["energy_per_site", "heat_capacity_per_site", "susceptibility", "binder_cumulant", "correlation"]
    assert {judged[name].verdict for name in names} == {"not trusted"}


def test_data_of_a_user_can_object_but_are_no_evidence():
    """Both the network and the data may come from chains that were stuck in one phase, which is balanced in itself."""
    system, temperature = SYSTEMS["blume-capel"]
    model = _without(system, temperature, 0.05)
    samples = _drawn(model, 5000, 0)
    same = check_of_data(_drawn(model, 5000, 1).tokens, system, temperature, source="chains.npy", model=model)
    judged = judge(_estimate(samples, system, temperature, exact=None), same)
    assert judged["forward_ess"].value > 0.99
    assert "trusted" not in {estimate.verdict for estimate in judged.values()}
    right = Tabulated(system, temperature).draw(5000, 1)
    right = check_of_data(right, system, temperature, source="chains.npy", model=model)
    judged = judge(_estimate(samples, system, temperature, exact=None), right)
    assert judged.verdict == judged["forward_ess"].verdict == "not trusted"


def test_quantities_that_describe_samples_are_trusted_with_them_alone():
    system, temperature = SYSTEMS["blume-capel"]
    model = _without(system, temperature, 0.05)
    found = _estimate(_drawn(model, 5000, 0), system, temperature)  # the exact values speak against it
    judged = judge(found, check_of_data(_drawn(model, 5000, 1).tokens, system, temperature, source="d", model=model))
    assert {judged[name].verdict for name in ("ess", "pareto_k", "forward_ess")} == {"not trusted"}


@pytest.mark.parametrize("seed", range(4))
def test_an_observable_that_rare_configurations_decide_is_not_trusted_on_those_seen(seed):
    """exp(E / 2) is largest where the probability is smallest, and (1 - |m|)^8 hardly differs from zero elsewhere."""
    ising = la.Ising((4, 4))
    p = boltzmann(ising, 1.0)
    own = {
        "exp": lambda s: (ising.energy(s) / 2).exp(),
        "power": lambda s: (1 - s.double().mean((1, 2)).abs()) ** 8,
        "m": lambda s: s.double().mean((1, 2)),
    }
    found = la.estimate(_drawn(TableModel((4, 4), p), 5000, seed), ising, 1.0, observables=own)
    check = independent_check(ising, 1.0, n=4000, method="swendsen-wang", observables=own)
    for each in (found, judge(found, check)):
        assert each["exp"].verdict == each["power"].verdict == "unchecked"
        assert each["m"].verdict == "trusted"


def test_an_observable_that_is_not_defined_everywhere():
    ising = la.Ising((4, 4))
    samples = _drawn(TableModel((4, 4), boltzmann(ising, 0.5)), 1000, 0)
    found = la.estimate(samples, ising, 0.5, observables={"a": lambda s: 1 / s.double().mean((1, 2)).abs()})
    assert found["a"].value == 1
    assert found["a"].verdict == "unchecked"


def test_an_entry_that_is_constant_by_definition_does_not_count():
    system, temperature = la.Ising((4, 4)), 2.0
    model = TableModel(system.shape, boltzmann(system, temperature))
    samples = _drawn(model, 5000, 0)
    check = independent_check(system, temperature, n=8000, model=model, method="swendsen-wang")
    assert judge(la.estimate(samples, system, temperature, exact=None), check)["correlation"].verdict == "trusted"
    assert la.estimate(samples, system, temperature)["correlation"].verdict == "trusted"


def test_samples_that_are_given_twice_are_no_new_ones():
    system, temperature = SYSTEMS["ising"]
    samples = _drawn(TableModel(system.shape, boltzmann(system, temperature)), 1000, 0)
    assert la.estimate(samples, system, temperature).verdict != "not trusted"
    with pytest.warns(la.UnreliableEstimateWarning, match="2,000 samples were given more than once: draw further ones"):
        la.estimate([samples] * 3, system, temperature)


def test_the_size_of_a_check_follows_from_the_error_and_ends_at_the_budget():
    ising = la.Ising((4, 4), field=0.1)
    model = TableModel((4, 4), boltzmann(ising, 2.0))
    found = _estimate(_drawn(model, 1000, 0), ising, 2.0)
    assert size_of_check(found, ising) == 1000  # for the forward ESS, since all is known exactly
    found = _estimate(_drawn(model, 1000, 0), ising, 2.0, exact=None)
    assert size_of_check(found, ising) == 8000
    assert size_of_check(found, la.EdwardsAnderson((32, 32))) == 0
    assert size_of_check(found, la.Ising((64, 64))) == 1000


def test_bad_input():
    ising = la.Ising((3, 3))
    samples = _drawn(TableModel((3, 3), boltzmann(ising, 2.0)), 100, 0)
    with pytest.raises(ValueError, match="check must be the model that drew the samples"):
        la.estimate(samples, ising, 2.0, check="yes")
    with pytest.raises(ValueError, match="method must be one of"):
        la.independent_check(ising, 2.0, method="guess")
    with pytest.raises(ValueError, match="n must be at least 100"):
        la.independent_check(ising, 2.0, n=3)
    with pytest.raises(ValueError, match="a model and a Hamiltonian of equal shape"):
        la.independent_check(ising, 2.0, model=la.PixelCNN((4, 4), 2))
    assert isinstance(la.independent_check(ising, 2.0), Check)


def test_a_check_of_something_else_is_refused():
    ising = SYSTEMS["ising"][0]
    found = _estimate(_drawn(_without(ising, 1.5, 0.0), 200, 0), ising, 1.5, exact=None)
    before = dict(found)

    def check(system, temperature, observables=OWN):
        return independent_check(system, temperature, n=100, method="enumeration", observables=observables)

    for other, message in (
        (None, "judge compares estimates with a Check, .* got NoneType"),
        (True, "a Check, .* got bool True"),
        (found, "a Check, .* got Estimates"),
        (check(ising, 1.6), "the check is at temperature 1.6, the estimates at 1.5: make the check"),
        (check(la.Ising((2, 3)), 1.5), r"correlation has shape \(2,\) in the check and \(3,\) in the estimates"),
        (check(ising, 1.5, {"m": lambda s: s[:, 0]}), r"m has shape \(4,\) in the check and \(\) in the estimates"),
    ):
        with pytest.raises(ValueError, match=message):
            judge(found, other)
    assert all(found[name] is each for name, each in before.items())
    with pytest.raises(ValueError, match="judge takes the Estimates"):
        judge(None, check(ising, 1.5))
    assert judge(found, check(ising, float(np.float32(1.5)))) is found
