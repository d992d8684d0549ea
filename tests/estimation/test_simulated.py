"""A simulation makes samples that carry what its estimator needs; one call for both gives the same numbers."""

import inspect
from dataclasses import replace

import pytest
import torch

import latticear as la
from latticear.samples import Samples

pytestmark = pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # small runs

ISING, TEMPERATURE = la.Ising((4, 4), field=0.1), 3.0
TEMPERED = {"n": 130, "n_chains": 20, "thermalization": 30, "thinning": 2, "seed": 3}
COOLED = {"n": 205, "n_sweeps": 1, "seed": 3}
DRAWN = {"n": 101, "n_islands": 10, "n_pilot": 100, "seed": 3}
REDRAWN = {"n": 130, "n_chains": 6, "thermalization": 5, "seed": 3}


@pytest.fixture(scope="module")
def model() -> la.MultiscalePixelCNN:
    return la.MultiscalePixelCNN((4, 4), width=4, bias=ISING.bias(TEMPERATURE))


def _pairs(model):
    """By name: samples of the simulation, their estimator, and the call that does both."""
    target, by_model = (ISING, TEMPERATURE), (model, ISING, TEMPERATURE)
    e = la.estimation
    return {
        "tempering": (
            lambda: la.monte_carlo(*target, method="parallel-tempering", **TEMPERED),
            e.estimate_tempering,
            lambda **more: la.parallel_tempering(*target, **TEMPERED, **more),
        ),
        "population": (
            lambda: [la.montecarlo.annealed_population(*target, **COOLED)],
            e.estimate_population,
            lambda **more: la.population_annealing(*target, **COOLED, **more),
        ),
        "particles": (
            lambda: e.resampled_particles(*by_model, **DRAWN),
            e.estimate_particles,
            lambda **more: la.sequential_monte_carlo(*by_model, **DRAWN, **more),
        ),
        "blocks": (
            lambda: e.block_chains(*by_model, **REDRAWN),
            e.estimate_blocks,
            lambda **more: la.block_mcmc(*by_model, **REDRAWN, **more),
        ),
    }


NAMES = ["tempering", "population", "particles", "blocks"]
N = {"tempering": 130, "particles": 100, "blocks": 126}


@pytest.mark.parametrize("name", NAMES)
def test_samples_can_be_had_and_estimated_apart(name, model):
    simulate, estimate, both = _pairs(model)[name]
    more = {"observables": {"first": lambda spins: spins[:, 0]}, "exact": la.exact.enumerate_states(ISING, TEMPERATURE)}
    kept = []
    apart = estimate((kept.append(batch) or batch for batch in simulate()), ISING, TEMPERATURE, **more)
    done = []
    together = both(report=lambda *counts: done.append(counts), **more)
    assert str(together.to_dict()) == str(apart.to_dict())  # a string, in which nan is equal to itself
    assert together.method == apart.method
    assert done[-1] == (N.get(name, done[-1][1]),) * 2
    assert all(batch.log_q is None and batch.tokens.dtype == torch.uint8 for batch in kept)
    last = kept[-1].provenance  # what is known at the end
    assert apart.diagnostics.get("round_trips") == last.get("round_trips")
    if name == "blocks":
        assert (
            apart.diagnostics["acceptance_all"] == last["acceptance"]["all"] != kept[0].provenance["acceptance"]["all"]
        )
    again = estimate(iter(kept), ISING, TEMPERATURE, **more)  # nothing depends on where the simulation stands by then
    assert str(again.to_dict()) == str(apart.to_dict())


@pytest.mark.parametrize("name", NAMES)
def test_other_samples_are_refused(name, model):
    simulate, estimate, _ = _pairs(model)[name]
    for others in (model.sample(50), la.monte_carlo(ISING, TEMPERATURE, n=50), []):
        with pytest.raises(ValueError, match=r"this estimator takes unmodified samples made by la\."):
            estimate(others, ISING, TEMPERATURE)
    bare = (replace(batch, records={}, provenance={"method": batch.provenance["method"]}) for batch in simulate())
    with pytest.raises(ValueError, match="this estimator takes unmodified samples made by"):
        estimate(bare, ISING, TEMPERATURE)
    with pytest.raises(ValueError, match=r"made at temperature 3, got 2\.5"):
        estimate(simulate(), ISING, 2.5)


def test_some_of_the_islands_are_refused(model):
    drawn = next(la.estimation.resampled_particles(model, ISING, TEMPERATURE, **DRAWN))
    with pytest.raises(ValueError, match="10 islands of 10 particles were drawn, got 90 particles"):
        la.estimation.estimate_particles(drawn[:90], ISING, TEMPERATURE)
    few = la.montecarlo.annealed_population(ISING, TEMPERATURE, n=90, n_sweeps=1)
    assert len(few) == 90
    with pytest.raises(ValueError, match="n_islands must be at least 10, got 9"):
        la.estimation.estimate_population(few, ISING, TEMPERATURE)


def test_one_call_takes_the_same_keywords_everywhere(model):
    for run in (la.parallel_tempering, la.population_annealing, la.block_mcmc, la.sequential_monte_carlo):
        parameters = inspect.signature(run).parameters
        keywords = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
        common = ["n", "seed", "device", "observables", "exact", "report"]
        assert [name for name in keywords if name in common] == common
        target = [name for name in parameters if name not in keywords]
        assert target[-2:] == ["hamiltonian", "temperature"]
        assert target[:-2] in ([], ["model"])
    for estimate in (getattr(la.estimation, f"estimate_{name}") for name in NAMES):
        parameters = [name for name in inspect.signature(estimate).parameters if name != "until"]
        assert parameters == ["samples", "hamiltonian", "temperature", "observables", "exact"]
    found = la.block_mcmc(model, ISING, TEMPERATURE, device="cpu", **REDRAWN)
    assert found.n == 126


@pytest.mark.parametrize("name", ["particles", "blocks"])
def test_a_model_is_in_evaluation_mode_only_while_it_draws(name, model, monkeypatch):
    seen, redraw = [], model.redraw
    monkeypatch.setattr(model, "redraw", lambda *args: seen.append(model.training) or redraw(*args))
    model.train()
    for _ in _pairs(model)[name][0]():
        assert model.training
    assert seen
    assert not any(seen)
    model.eval()


def test_callbacks_and_names_of_before(model):
    parts = []
    with pytest.warns(
        DeprecationWarning, match="the argument `each` will be removed; get the batches from la.monte_carlo"
    ) as said:
        found = la.parallel_tempering(ISING, TEMPERATURE, each=parts.append, **TEMPERED)
    assert said[0].filename == __file__
    pairs = _pairs(model)
    assert found.to_dict() == pairs["tempering"][2]().to_dict()
    assert torch.equal(Samples.cat(parts).tokens, Samples.cat(list(pairs["tempering"][0]())).tokens)
    parts.clear()
    old = {"n_replicas": COOLED["n"]} | {name: value for name, value in COOLED.items() if name != "n"}
    with pytest.warns(DeprecationWarning) as said:  # noqa: PT030
        found = la.population_annealing(ISING, TEMPERATURE, each=parts.append, **old)
    old_names = [warning for warning in said if warning.category is DeprecationWarning]
    assert [str(warning.message).split(" will be removed")[0] for warning in old_names] == [
        "the argument n_replicas of population_annealing is now n; the old name",
        "the argument `each`",
    ]
    assert {warning.filename for warning in old_names} == {__file__}
    assert found.to_dict() == pairs["population"][2]().to_dict()
    (weighted,) = pairs["population"][0]()
    assert torch.equal(parts[0].tokens, la.montecarlo.equally_weighted(weighted).tokens)
    assert parts[0].provenance == weighted.provenance
