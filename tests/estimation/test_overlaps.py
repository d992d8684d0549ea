"""Averages over pairs against sums over all pairs of configurations; |z| < 4 in all: false alarms below 1 in 200."""

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.estimates import quiet
from latticear.estimation.named.overlaps import Overlaps
from latticear.estimation.pairs.overlap import Overlap
from latticear.estimation.pairs.weighted import TILE, WeightedPairs
from latticear.exact import all_configurations, enumerate_states

GLASS = la.EdwardsAnderson((3, 3), seed=1)


def _by_sums(system, temperature):
    """<s_i s_j> from the sum over all configurations of spins -1, +1."""
    tokens = all_configurations(system.shape, 2)
    spins = system.spins(tokens).flatten(1).numpy()
    p = np.exp(-system.token_energy(tokens).numpy() / temperature)
    p /= p.sum()
    return np.einsum("c,ci,cj->ij", p, spins, spins)


def test_exact_values_are_squares_of_correlations():
    exact = Overlaps().exact(GLASS, 1.0, enumerate_states(GLASS, 1.0))
    pairs = _by_sums(GLASS, 1.0)
    i, j = GLASS.bonds.T.numpy()
    assert exact["overlap_squared"] == pytest.approx((pairs**2).sum() / 81)
    assert exact["link_overlap"] == pytest.approx((pairs[i, j] ** 2).mean())
    x = np.arange(9) % 3
    along = [np.cos(2 * np.pi / 3 * (r[:, None] - r[None])) for r in (x, np.arange(9) // 3)]
    assert exact["glass_susceptibility_k"] == pytest.approx(np.mean([(pairs**2 * c).sum() / 9 for c in along]))
    q = Overlap(GLASS).levels
    assert exact["overlap_distribution"] @ q**4 == pytest.approx(exact["overlap_fourth"])


def test_pairs_are_those_of_different_samples_with_their_weights():
    tokens = torch.from_numpy(np.random.default_rng(0).integers(2, size=(2 * TILE + 7, 3, 3)))
    log_w = np.random.default_rng(1).normal(size=len(tokens))
    pairs = WeightedPairs(Overlap(GLASS))
    for part in (slice(0, 5), slice(5, TILE + 30), slice(TILE + 30, None)):
        pairs.add(tokens[part], log_w[part])
    spins = GLASS.spins(tokens).flatten(1).numpy()
    q = spins @ spins.T / 9
    w = np.outer(np.exp(log_w), np.exp(log_w)) * (1 - np.eye(len(q)))
    found = dict(zip(pairs.overlap.scalars, pairs.result().value[len(pairs.overlap.levels) :], strict=True))
    assert found["overlap_squared"] == pytest.approx((w * q**2).sum() / w.sum())
    assert found["overlap_fourth"] == pytest.approx((w * q**4).sum() / w.sum())
    i, j = GLASS.bonds.T.numpy()
    bonds = spins[:, i] * spins[:, j]
    assert found["link_overlap"] == pytest.approx((w * (bonds @ bonds.T / len(i))).sum() / w.sum())


@pytest.mark.parametrize(
    "system",
    [
        GLASS,
        la.EdwardsAnderson((3, 4), seed=2, distribution="gaussian", periodic=False),
        la.Potts((2, 3), q=3),
        la.BlumeCapel((2, 3), crystal_field=0.5),
        la.SherringtonKirkpatrick((3, 3)),
    ],
    ids=lambda system: type(system).__name__,
)
def test_weighted_samples_agree_with_exact_values(system):
    model = la.MADE(system.shape, n_tokens=system.n_tokens, bias=system.bias(2.5), seed=0)
    with quiet():
        found = la.overlaps(model.sample(1500, seed=3), system, 2.0)
    for name in ("overlap_squared", "overlap_fourth", "glass_susceptibility", "link_overlap"):
        assert found[name].exact is not None
        assert abs(found[name].deviation) < 4, name
    distribution = found["overlap_distribution"]
    assert distribution.largest_deviation < 4.5
    assert distribution.value.sum() == pytest.approx(1)
    assert distribution.labels["q"] @ distribution.value == pytest.approx(found["overlap"].value)


def test_errors_are_those_of_repeats_and_kept_for_derived_quantities():
    model = la.MADE((3, 3), n_tokens=2, bias=GLASS.bias(1.3), seed=0)
    samples = model.sample(25 * 200, seed=5)
    values, errors = [], []
    with quiet():
        for k in range(25):
            found = la.overlaps(samples[k * 200 : (k + 1) * 200], GLASS, 1.0, exact=None)
            values.append(found["overlap_squared"].value)
            errors.append((found["overlap_squared"].error, la.derived(found, lambda a: a["overlap_squared"]).error))
    ratio = np.sqrt(np.mean(np.square(errors), 0)) / np.std(values, ddof=1)  # known to 14 %
    assert ((ratio > 0.6) & (ratio < 1.8)).all()


def test_chains_are_paired_with_other_chains_at_the_same_time():
    with quiet():
        batches = la.monte_carlo(
            GLASS, 1.5, n=800, n_chains=4, method="heat-bath", thermalization=20, thinning=2, seed=1
        )
        found = la.overlaps(batches, GLASS, 1.5)
        cold = la.monte_carlo(
            GLASS, 1.5, n=400, n_chains=4, method="parallel-tempering", thermalization=64, thinning=2, seed=1
        )
        tempered = la.overlaps(cold, GLASS, 1.5)
        model = la.MADE((3, 3), n_tokens=2, bias=GLASS.bias(1.5), seed=0)
        held = la.neural_mcmc(model.sample(800, seed=2), GLASS, 1.5, observables=["overlap"], n_chains=4)
    for each in (found, tempered, held):
        assert abs(each["overlap_squared"].deviation) < 4
        assert abs(each["link_overlap"].deviation) < 4
    assert "log_z" in tempered


def test_what_has_no_independent_pairs_is_refused():
    plain = next(iter(la.monte_carlo(GLASS, 1.5, n=4, n_chains=4, method="heat-bath")))
    with pytest.raises(ValueError, match="a single batch does not say which of them are independent"):
        la.overlaps(plain, GLASS, 1.5)
    with pytest.raises(ValueError, match="different chains, got 1 chain"):
        la.overlaps(la.monte_carlo(GLASS, 1.5, n=4, n_chains=1, method="heat-bath"), GLASS, 1.5)
    with pytest.raises(ValueError, match="descend from one another"):
        la.population_annealing(GLASS, 1.5, n=100, observables=["overlap"])
    with pytest.raises(ValueError, match="samples must be"):
        la.overlaps(3, GLASS, 1.5)
