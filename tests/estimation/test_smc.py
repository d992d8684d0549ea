"""Sequential Monte Carlo: Z without bias whatever the twists, observables, and error bars, against enumeration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.blume_capel import BlumeCapel
from support.contracts import peaked

import latticear as la
from latticear.estimation import estimate_particles
from latticear.estimation.particles import _all_islands, _twists, size_of
from latticear.estimation.twists import Pilot, Twist, _images, fit_twists
from latticear.exact import all_configurations, enumerate_states
from latticear.models.steps import DrawsInSteps
from latticear.montecarlo.resampling import systematic
from latticear.samples import Samples

TEMPERATURE = 3.5


@pytest.fixture(scope="module")
def system() -> la.Ising:
    return la.Ising((4, 4), field=0.1)


@pytest.fixture(scope="module")
def multiscale(system) -> la.MultiscalePixelCNN:
    """Random weights: an importance sampling ESS of about 0.2."""
    return peaked(la.MultiscalePixelCNN((4, 4), width=4, bias=system.bias(TEMPERATURE)), scale=0.2)


def _log_z_of_islands(model, hamiltonian, twists, n_islands, n_particles, seed=0):
    """ln of the mean weight of each island: float64 `(R,)`, and the particles."""
    size = (n_islands, n_particles)
    drawn = Samples.cat(list(_all_islands(model, hamiltonian, TEMPERATURE, twists, size, seed, None)))
    return (drawn.records["log_w"].view(size).logsumexp(1) - np.log(n_particles)).numpy(), drawn


def _z_scores(log_z_r, log_z):
    """How far the mean of Z / Z_exact is from one, in its errors."""
    ratio = np.exp(log_z_r - log_z)
    return (ratio.mean() - 1) / (ratio.std() / np.sqrt(len(ratio)))


def _wrong(step, scale=1.5):
    """A twist that knows nothing: a random function of the tokens drawn so far, and of their probability."""
    slope = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(step)) * scale
    return lambda tokens, log_q: tokens.double() @ slope + 0.3 * log_q


def _fitted(model, hamiltonian, n=400):
    return _twists(model, hamiltonian, TEMPERATURE, n, None, 5, None)


def test_draws_in_steps(multiscale):
    assert isinstance(multiscale, DrawsInSteps)
    assert not isinstance(la.PixelCNN((4, 4)), DrawsInSteps)
    sites = torch.cat([step.sites for step in multiscale.steps])
    assert sites.sort().values.tolist() == list(range(16))
    levels = [step.level for step in multiscale.steps]
    assert levels == sorted(levels, reverse=True)
    assert [len(step.sites) for step in multiscale.steps] == [1, 1, 2, 12]  # exact ones belong to the step before


@pytest.mark.parametrize("twists", ["fitted", "wrong", "none"])
def test_z_is_without_bias(system, multiscale, twists):
    """1500 islands of 8 particles, 4 errors: a false alarm in 16,000."""
    chosen = {
        "fitted": _fitted(multiscale, system),
        "wrong": [_wrong(k) for k in range(3)],
        "none": [lambda tokens, log_q: 0 * log_q] * 3,
    }[twists]
    log_z_r, drawn = _log_z_of_islands(multiscale, system, chosen, 1500, 8)
    assert abs(_z_scores(log_z_r, enumerate_states(system, TEMPERATURE).log_z)) < 4
    assert np.exp(log_z_r - log_z_r.mean()).std() > 0.05  # there is something to get wrong
    if twists == "wrong":
        assert drawn.records["resampled"].double().mean() > 0.5
        assert len(drawn.records["ancestor"].unique()) < 1500 * 6


def test_ideal_twists_leave_nothing_to_chance(monkeypatch):
    """With f = ln p(x) / q(x) the particles of a step stand for p, and only the last step's weights vary."""
    monkeypatch.setattr("latticear.estimation.particles.THRESHOLD", 1.0)
    ising = la.Ising((2, 2), field=0.3)
    model = peaked(la.MultiscalePixelCNN((2, 2), width=4), scale=0.2)
    every = all_configurations((2, 2), 2).flatten(1)
    log_p = -ising.token_energy(every.view(-1, 2, 2)) / TEMPERATURE
    known = torch.zeros(4, dtype=torch.bool)
    twists = []
    for step in model.steps[:-1]:
        known = known.index_fill(0, step.sites, True)
        twists.append(lambda tokens, log_q, known=known: _marginal(every, log_p, tokens, known) - log_q)
    ideal, _ = _log_z_of_islands(model, ising, twists, 400, 16)
    plain, _ = _log_z_of_islands(model, ising, [lambda tokens, log_q: 0 * log_q] * len(twists), 400, 16)
    assert len(twists) == 2
    assert abs(_z_scores(ideal, enumerate_states(ising, TEMPERATURE).log_z)) < 4
    assert ideal.std() < plain.std()


def _marginal(every, log_p, tokens, known):
    """ln of the sum of exp(log_p) over all configurations that agree with these where they are known."""
    same = ((every == tokens[:, None]) | ~known).all(2)
    return torch.where(same, log_p, -torch.inf).logsumexp(1)


def test_agrees_with_enumeration(system, multiscale):
    exact = enumerate_states(system, TEMPERATURE)
    row = {"row": lambda spins: spins[:, 0].mean(1), "pair": lambda spins: spins[:, :2, 0]}
    estimates = la.sequential_monte_carlo(
        multiscale, system, TEMPERATURE, n=12_800, n_pilot=400, observables=row, exact=exact, seed=1
    )
    assert estimates.reliable, estimates.warnings
    for name in exact.to_dict():
        assert abs(estimates[name].deviation) < 4, name
    weighed = la.estimate(multiscale.sample(20_000, seed=2), system, TEMPERATURE, observables=row)
    for name in ("row", "pair", "correlation"):
        gap = np.abs(estimates[name].value - weighed[name].value)
        assert (gap <= 4 * np.hypot(estimates[name].error, weighed[name].error) + 1e-12).all(), name
    assert set(weighed) == set(estimates)
    assert estimates.method == estimates.to_dict()["method"] == "smc"
    assert estimates.diagnostics["r_squared_2"] > 0.2
    log_z = estimates["log_z"]
    assert 0.67 < log_z.jackknife_error / log_z.error < 1.5
    # the effective number of samples is the one that the error of Z belongs to
    assert (1 / estimates["ess"].value - 1) / estimates.n == pytest.approx(log_z.error**2, rel=1e-6)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_error_bars_cover(system, multiscale, monkeypatch):
    """120 repeats of 32 islands of 8 particles: the variance of z has an error of sqrt(2 / 119) = 0.13."""
    exact, repeats = enumerate_states(system, TEMPERATURE), 120
    monkeypatch.setattr("latticear.estimation.particles.THRESHOLD", 0.9)
    twists = [_wrong(k, 0.2) for k in range(3)]
    _, drawn = _log_z_of_islands(multiscale, system, twists, repeats * 32, 8, seed=4)
    assert drawn.records["resampled"].double().mean() > 0.5  # particles of an island are related
    z = {"log_z": [], "energy_per_site": [], "abs_magnetization": []}
    origin = drawn.provenance | {"n_islands": 32, "r_squared": []}
    for first in range(0, len(drawn), 32 * 8):
        part = replace(drawn[first : first + 32 * 8], provenance=origin)
        found = estimate_particles(part, system, TEMPERATURE, exact=exact)
        for name, values in z.items():
            values.append(found[name].deviation)
    for name, values in z.items():
        assert 0.55 < np.var(values) < 1.6, name
        assert abs(np.mean(values)) < 0.4, name


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_copies_of_a_particle_count_once(system, multiscale):
    """Islands of ten copies of one sample have the errors of the samples alone."""
    samples = multiscale.sample(60, seed=1)
    alone = la.estimate(samples, system, TEMPERATURE)
    log_w = -system.token_energy(samples.tokens) / TEMPERATURE - samples.log_q
    tokens, log_w = samples.tokens.repeat_interleave(10, 0), log_w.repeat_interleave(10)
    origin = {"method": "smc", "n_islands": 60, "n_particles": 10, "temperature": TEMPERATURE, "r_squared": []}
    records = {"log_w": log_w, "history": log_w[:, None], "ancestor": log_w, "resampled": 0 * log_w}
    copies = Samples(tokens, None, 0, provenance=origin, records=records)
    found = estimate_particles(copies, system, TEMPERATURE)
    for name in ("log_z", "energy_per_site", "susceptibility", "correlation"):
        assert np.allclose(found[name].error, alone[name].error, rtol=1e-9), name
        assert np.allclose(found[name].value, alone[name].value, rtol=1e-9), name
    assert found["log_z"].jackknife_error == pytest.approx(alone["log_z"].jackknife_error)


def test_islands_depend_on_seed_and_index_alone(system, multiscale, monkeypatch):
    twists = [_wrong(k) for k in range(3)]
    together, _ = _log_z_of_islands(multiscale, system, twists, 6, 20)
    monkeypatch.setattr(type(multiscale), "sites_at_once", {"cpu": 1})
    apart, _ = _log_z_of_islands(multiscale, system, twists, 6, 20)
    assert np.allclose(together, apart, atol=1e-12)
    assert np.unique(together).size == 6
    other, _ = _log_z_of_islands(multiscale, system, twists, 6, 20, seed=1)
    assert not np.isclose(together, other).any()


def test_systematic_resampling_is_fair():
    """Each particle gets the floor or the ceiling of P w places, P w on average; other islands stay."""
    log_w = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    poor = torch.tensor([True, False])
    wanted = 7 * log_w[0].softmax(0)
    counts = []
    for lot in torch.linspace(0, 1, 1001)[:-1].double():
        rows = systematic(log_w, lot.expand(2), poor)
        assert rows[7:].tolist() == list(range(7, 14))
        counts.append(torch.bincount(rows[:7], minlength=7))
    counts = torch.stack(counts)
    assert ((counts - wanted).abs() < 1).all()
    assert (counts.double().mean(0) - wanted).abs().max() < 0.01


@pytest.mark.parametrize("periodic", [True, (False, True)])
def test_features_by_brute_force(periodic):
    """Pairs at offset (1, 2) and plaquettes of two tokens, summed site by site over what is known."""
    shape, around = (6, 8), (periodic, periodic) if isinstance(periodic, bool) else periodic
    known = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.7
    tokens = torch.randint(2, (5, *shape), generator=torch.Generator().manual_seed(1))
    twist = Twist(0, known.flatten(), shape, around, 2)
    spins = (2.0 * tokens - 1) * known

    def at(y, x):
        out = [not wraps and not 0 <= place < size for place, size, wraps in zip((y, x), shape, around, strict=True)]
        return torch.zeros(5) if any(out) else spins[:, y % 6, x % 8]

    sites = [(y, x) for y in range(6) for x in range(8)]
    pairs = sum(at(y, x) * at(y + dy, x + dx) for y, x in sites for dy, dx in ((1, 2), (2, 1), (1, -2), (2, -1)))
    cells = sum(at(y, x) * at(y + 1, x) * at(y, x + 1) * at(y + 1, x + 1) for y, x in sites)
    found = twist.features(tokens.flatten(1).to(torch.uint8))
    assert torch.equal(found[:, 2 + 3], pairs.double())
    assert torch.equal(found[:, 2 + 6], cells.double())
    assert torch.equal(found[:, 0], spins.sum((1, 2)).double())
    hidden = torch.where(known, tokens, 1 - tokens)
    assert torch.equal(twist.features(hidden.flatten(1)), found)


def test_images_of_an_offset():
    assert _images((0, 1)) == {(0, 1), (1, 0)}
    assert _images((2, 2)) == {(2, 2), (2, -2)}
    assert len(_images((1, 3))) == 4


def test_twists_find_what_is_linear():
    """A log weight that is a nearest-neighbour energy minus log_q is explained entirely."""
    model = la.MultiscalePixelCNN((8, 8))
    pilots = []
    for k in range(2):
        generator = torch.Generator().manual_seed(k)
        tokens = torch.randint(2, (300, 64), generator=generator)
        spins = (2.0 * tokens - 1).view(-1, 8, 8)[:, ::2, ::2]
        bonds = (spins * spins.roll(1, 1) + spins * spins.roll(1, 2)).sum((1, 2)).double()
        log_q = torch.randn(300, len(model.steps), dtype=torch.float64, generator=generator)
        pilots.append(Pilot(tokens, log_q, 0.3 * bonds - log_q[:, 4]))
    twists = fit_twists(model.steps, *pilots, shape=(8, 8), periodic=(True, True), n_tokens=2)
    assert len(twists) == len(model.steps) - 1
    assert twists[4].r_squared > 0.999  # the sites of even coordinates are known
    assert twists[2].r_squared < 0.6
    f = twists[4](pilots[0].tokens, pilots[0].log_q[:, 4])
    assert (f - f.mean() - pilots[0].log_w + pilots[0].log_w.mean()).abs().max() < 0.05


def test_three_states_and_open_boundaries():
    """Metropolis pilots, indicators in place of spins."""
    hamiltonian = BlumeCapel((2, 4), field=0.5, periodic=(True, False))
    model = peaked(la.MultiscalePixelCNN((2, 4), 3, width=4, periodic=(True, False)), scale=0.2)
    exact = enumerate_states(hamiltonian, TEMPERATURE)
    estimates = la.sequential_monte_carlo(model, hamiltonian, TEMPERATURE, n=6400, n_pilot=200, exact=exact)
    for name in ("log_z", "energy_per_site", "magnetization_squared"):
        assert abs(estimates[name].deviation) < 4, name


def test_a_condition_and_a_pilot_of_ones_own(system):
    ising = la.Ising((4, 4))
    model = peaked(la.MultiscalePixelCNN((4, 4), width=4, n_condition=1, bias=ising.bias()), scale=0.2)
    pilot = Samples.cat(list(la.monte_carlo(ising, 2.5, n=150, method="wolff"))).tokens
    done = []
    estimates = la.sequential_monte_carlo(
        *(model, ising, 2.5),
        n=3200,
        n_pilot=150,
        pilot=pilot,
        condition=torch.tensor([2.5]),
        exact=enumerate_states(ising, 2.5),
        report=lambda *counts: done.append(counts),
    )
    assert abs(estimates["log_z"].deviation) < 4
    assert done[-1] == (3200, 3200)


def test_islands_that_disagree_are_told(system):
    model = peaked(la.MultiscalePixelCNN((4, 4), width=4), scale=2.0)
    with pytest.warns(la.UnreliableEstimateWarning, match="islands disagree about Z"):
        la.sequential_monte_carlo(model, system, 0.5, n=320, n_pilot=100)


def test_bad_input(system, multiscale):
    with pytest.raises(ValueError, match="PixelCNN does not: use importance sampling"):
        la.sequential_monte_carlo(la.PixelCNN((4, 4)), system, TEMPERATURE, n=1000)
    with pytest.raises(ValueError, match="at least 20 particles, 10 islands of 2, got n = 19"):
        la.sequential_monte_carlo(multiscale, system, TEMPERATURE, n=19)
    with pytest.raises(ValueError, match="at least 2 particles on each island, got n = 40 on 32 islands"):
        la.sequential_monte_carlo(multiscale, system, TEMPERATURE, n=40, n_islands=32)
    with pytest.raises(ValueError, match="the model is for shape"):
        la.sequential_monte_carlo(multiscale, la.Ising((4, 6)), TEMPERATURE, n=1000)
    with pytest.raises(ValueError, match="at least 100 pilot"):
        la.sequential_monte_carlo(multiscale, system, TEMPERATURE, n=1000, n_pilot=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1000.5}, "n must be an integer, got 1000.5"),
        ({"n_islands": 10.5}, "n_islands must be an integer, got 10.5"),
        ({"n_islands": -3}, "n_islands must be at least 10, got -3"),
        ({"n_pilot": 200.0}, "n_pilot must be an integer, got 200.0"),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\^64\), got -1"),
    ],
)
def test_numbers_out_of_range(system, multiscale, options, message):
    with pytest.raises(ValueError, match=message):
        la.sequential_monte_carlo(multiscale, system, TEMPERATURE, **{"n": 1000, **options})


@pytest.mark.parametrize(
    ("pilot", "message"),
    [
        (torch.full((100, 4, 4), -1), "values -1..-1; convert spins to tokens"),
        (torch.full((100, 4, 4), 2, dtype=torch.uint8), "values 2..2"),
        (torch.zeros(100, 4, 4), "dtype torch.float32"),
        (torch.zeros(100, 4, 6, dtype=torch.long), r"shape \(100, 4, 6\)"),
        (torch.zeros(100, 16, dtype=torch.long), r"shape \(100, 16\)"),
        (np.zeros((100, 4, 4), int), "ndarray"),
    ],
)
def test_a_pilot_is_checked(system, multiscale, pilot, message):
    wanted = r"pilot must be an integer tensor of shape \(n, 4, 4\) with tokens 0..1, got "
    with pytest.raises(ValueError, match=wanted + message):
        la.sequential_monte_carlo(multiscale, system, TEMPERATURE, n=1000, n_pilot=100, pilot=pilot)


def test_islands_by_default():
    sizes = [size_of(n, None) for n in (20, 50, 100, 256, 3200)]
    assert sizes == [(10, 2), (10, 5), (12, 8), (32, 8), (32, 100)]


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
@pytest.mark.parametrize("n", [20, 50])
def test_few_particles_will_do(system, multiscale, n):
    estimates = la.sequential_monte_carlo(multiscale, system, TEMPERATURE, n=n, n_pilot=100)
    assert estimates.n == n
    assert 0 < estimates["log_z"].error < 1
