"""Data are examined before they are used: right ones pass, in any order; every kind of wrong ones is noticed."""

import warnings

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation import MisfitWarning
from latticear.estimation.data_check import examine
from latticear.exact import all_configurations

ISING, T = la.Ising((6, 6)), 2.5


def chains(system, temperature, n=2000, n_chains=20, thinning=3, seed=0, method="heat-bath"):
    """Tokens `(T, R, ...)`."""
    options = {"n_chains": n_chains, "thinning": thinning, "method": method, "seed": seed}
    return torch.stack(
        [batch.tokens for batch in la.monte_carlo(system, temperature, n=n, thermalization=100, **options)]
    )


def draws(system, temperature, n, seed):
    """Independent configurations, by the sum over all of them."""
    tokens = all_configurations(system.shape, system.n_tokens)
    p = (-system.token_energy(tokens) / temperature).softmax(0)
    return tokens[np.random.default_rng(seed).choice(len(p), n, p=(p / p.sum()).numpy())]


@pytest.fixture(scope="module")
def right():
    return chains(ISING, T).flatten(0, 1)


def test_the_verdict_is_one_line(right):
    found = examine(right, ISING, T)
    assert found.fits
    assert found.line.startswith("these data fit Ising 6x6 at T = 2.5: energy balance ")
    assert found.line.endswith(" errors")


SYSTEMS = [
    (la.Ising((3, 4)), (1.0, 2.3, 5.0)),
    (la.Ising((3, 3), coupling=-1.0, field=0.5), (0.7, 2.0)),
    (la.Potts((3, 3), q=3), (0.7, 1.2)),
    (la.BlumeCapel((3, 3), crystal_field=1.966), (0.4, 1.0)),
    (la.EdwardsAnderson((3, 4), seed=1), (0.5, 1.5)),
]


def test_right_data_are_not_refused():
    """200 sets of independent draws, 30 to 1000 of them, of five systems.

    At a limit of 4.5 errors for some 15 averages that depend on each other, about 3e-5 of the sets would be refused.
    """
    lines = []
    for k in range(40):
        for system, temperatures in SYSTEMS:
            temperature, n = temperatures[k % len(temperatures)], (30, 100, 300, 1000)[k // 3 % 4]
            found = examine(draws(system, temperature, n, seed=k), system, temperature)
            lines += [] if found.fits else [found.line]
    assert lines == []


@pytest.mark.parametrize("method", ["heat-bath", "metropolis"])
@pytest.mark.parametrize("order", ["in turn", "one after the other", "shuffled"])
def test_chains_may_come_in_any_order(method, order):
    """Slow chains, whose measurements follow each sweep; counted as independent they would be refused."""
    for seed in range(4):
        tokens = chains(ISING, 2.0, n=1500, n_chains=15, thinning=1, seed=seed, method=method)
        flat = (tokens.transpose(0, 1) if order == "one after the other" else tokens).flatten(0, 1)
        rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(flat)))
        found = examine(flat[rows] if order == "shuffled" else flat, ISING, 2.0)
        assert found.fits, found.line


def snake(tokens):
    tokens = tokens.clone()
    tokens[:, 1::2] = tokens[:, 1::2].flip(-1)
    return tokens


def mixed(temperatures, n=1000, system=ISING):
    return torch.cat([chains(system, t, n=n, seed=k).flatten(0, 1) for k, t in enumerate(temperatures)])


def shuffled(tokens):
    return tokens[torch.from_numpy(np.random.default_rng(0).permutation(len(tokens)))]


WRONG = {
    "another temperature": (lambda right: chains(ISING, 1.5).flatten(0, 1), r"it would fit T = 1\.\d+\(\d+\)"),
    "a temperature four per cent off": (
        lambda right: chains(ISING, 2.4, 6000).flatten(0, 1),
        r"it would fit T = 2\.\d+",
    ),
    "the other sign of J": (
        lambda right: chains(la.Ising((6, 6), coupling=-1.0), T).flatten(0, 1),
        r"no temperature fits.*with couplings and fields of the other sign T = 2\.\d+",
    ),
    "snake order": (snake, "no temperature fits"),
    "random spins": (
        lambda right: torch.from_numpy(np.random.default_rng(0).integers(2, size=(2000, 6, 6), dtype=np.uint8)),
        "seem to be random spins",
    ),
    "three temperatures, one after the other": (lambda right: mixed((1.9, 2.5, 3.4)), "temperatures .* mixed"),
    "three temperatures, shuffled": (lambda right: shuffled(mixed((1.9, 2.5, 3.4))), "temperatures .* mixed"),
    "nothing varies": (lambda right: torch.ones_like(right), "nothing varies"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_are_noticed(case, right):
    make, message = WRONG[case]
    found = examine(make(right), ISING, T)
    assert not found.fits
    assert found.line.startswith("these data do not fit Ising 6x6 at T = 2.5: ")
    with pytest.raises(ValueError, match=message):
        found.demand("leave them")


def test_a_mixture_whose_averages_fit_is_known_by_the_spread_of_its_energies():
    ising = la.Ising((8, 8))
    found = examine(shuffled(mixed((2.3, 2.5, 2.77), 1500, ising)), ising, T)
    assert "the energies spread more widely than at one temperature" in found.line


def test_a_part_that_does_not_fit_is_named(right):
    """An eighth of the data at another temperature is too little for the average of all to show."""
    other = chains(ISING, 2.1, n=280, seed=5).flatten(0, 1)
    found = examine(torch.cat([right[:1960], other]), ISING, T)
    assert "of 8 parts of equal length the eighth is" in found.line


def test_data_at_many_temperatures_are_compared_with_their_own():
    temperatures = (2.0, 2.4, 3.0)
    tokens = torch.cat([chains(ISING, t, n=600, seed=k).flatten(0, 1) for k, t in enumerate(temperatures)])
    stated = torch.tensor(temperatures).repeat_interleave(600)
    found = examine(tokens, ISING, stated)
    assert found.fits
    assert found.line.startswith("these data fit Ising 6x6 at T = 2 to 3: ")
    assert "temperatures that are 1." in examine(tokens, ISING, stated / 1.2).line
    assert not examine(tokens, ISING, stated.flip(0)).fits


def test_too_few_data_are_taken_as_they_are(right):
    found = examine(right[:2], ISING, T)
    assert found == (
        True,
        "these data are too few to check whether they fit Ising 6x6 at T = 2.5: 2 configurations, taken as they are",
    )


def test_training_on_data_that_do_not_fit_warns(right):
    model = la.PixelCNN((6, 6), width=4, depth=1)
    options = {"steps": 1, "batch_size": 4, "objective": "forward-kl"}
    with pytest.warns(MisfitWarning, match=r"do not fit Ising 6x6 at T = 1\.5: .* it would fit T = 2\.") as caught:
        list(la.fit(model, ISING, temperature=1.5, data=right, **options))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(la.fit(model, ISING, temperature=T, data=right, **options))
        list(la.fit(model, ISING, temperature=1.5, data=right, check_data=False, **options))
        list(la.fit(model, la.Grid((6, 6), 2), data=right, **options))


def test_the_forward_ess_of_data_that_do_not_fit_is_not_reliable(right):
    model = la.PixelCNN((6, 6), width=4, depth=1, bias=ISING.bias(T))
    assert la.forward_ess(model, right, ISING, T).reliable
    with pytest.warns(MisfitWarning, match="do not fit Ising 6x6 at T = 1.5"):
        assert not la.forward_ess(model, right, ISING, 1.5).reliable
