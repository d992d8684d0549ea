"""Monte Carlo against enumeration, transfer matrix and known finite-size results.

Seeds are fixed, so a test passes or fails for good. A chi-square fails for a right sampler with probability
1e-4, and there are 75 of them: a fresh set of seeds would raise a false alarm once in 130.
"""

from __future__ import annotations

import itertools
import math
from functools import cache, partial

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from support.disorder import RandomTwoState

import latticear as la
from latticear.estimation.autocorrelation import mean_error
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.blume_capel import BlumeCapel
from latticear.hamiltonians.ising import Ising
from latticear.montecarlo.simulation import CHAIN_METHODS, ChainSchedule, default_schedule, method_for, monte_carlo
from latticear.samples import Samples

METHODS = [method for method in CHAIN_METHODS if method != "kawasaki"]
"""Those for systems of any composition; the other one has tests of its own."""

T_C = 2 / math.log(1 + math.sqrt(2))


CASES = {
    "even torus": (partial(Ising, (2, 4), field=0.1), 2.5),
    "doubled bonds": (partial(Ising, (2, 2), field=0.1), 4.0),
    "odd torus": (partial(Ising, (3, 3)), 2.5),
    "odd and even": (partial(Ising, (3, 4), field=0.05), 2.8),
    "field up": (partial(Ising, (3, 3), field=0.3), 3.0),
    "field down": (partial(Ising, (3, 3), field=-0.3), 3.0),
    "field alone": (partial(Ising, (2, 3), coupling=0.0, field=1.0), 1.5),
    "open": (partial(Ising, (3, 3), field=0.1, periodic=False), 1.8),
    "cylinder": (partial(Ising, (3, 3), field=0.1, periodic=(True, False)), 2.2),
    "open chain": (partial(Ising, (5, 1), field=-0.2, periodic=False), 1.0),
    "frustrated": (partial(Ising, (3, 3), coupling=-1.0), 1.2),
    "frustrated in a field": (partial(Ising, (3, 3), coupling=-1.0, field=1.0), 1.5),
    "random": (partial(RandomTwoState, (3, 3)), 1.2),
}
WITHOUT_FIELD = {
    "odd torus": CASES["odd torus"],
    "frustrated": CASES["frustrated"],
    "doubled bonds": (partial(Ising, (2, 4)), 4.5),
    "cylinder": (partial(Ising, (3, 4), periodic=(True, False)), 3.0),
    "open chain": (partial(Ising, (1, 6), periodic=False), 1.5),
    "random": (partial(RandomTwoState, (3, 3), field=0.0), 1.2),
}
PAIRS = [(case, method) for method in METHODS for case in (WITHOUT_FIELD if method == "wolff" else CASES)]


def system(case: str, method: str) -> tuple[AbstractHamiltonian, float]:
    """Hamiltonian and temperature, without a field for the method that serves none."""
    make, temperature = (WITHOUT_FIELD if method == "wolff" else CASES)[case]
    return make(), temperature


def all_tokens(hamiltonian: AbstractHamiltonian) -> torch.Tensor:
    """Every configuration; number k has the digits of k in base q, first site first."""
    states = itertools.product(range(hamiltonian.n_tokens), repeat=hamiltonian.n_sites)
    return torch.tensor(list(states), dtype=torch.uint8).view(-1, *hamiltonian.shape)


def exact_probabilities(hamiltonian: AbstractHamiltonian, temperature: float) -> np.ndarray:
    """Energies bond by bond from the tables; the sampler sees them from the sites."""
    flat = all_tokens(hamiltonian).flatten(1).long()
    energy = sum(
        table[flat[:, i], flat[:, j]]
        for (i, j), table in zip(hamiltonian.bonds.tolist(), hamiltonian.bond_energies, strict=True)
    )
    energy = energy + sum(hamiltonian.site_energies[s, flat[:, s]] for s in range(hamiltonian.n_sites))
    return torch.softmax(-energy / temperature, 0).numpy()


def counts(tokens: torch.Tensor, q: int) -> np.ndarray:
    """How often each configuration came, in the order of `all_tokens`."""
    flat = tokens.flatten(1).long()
    weights = q ** torch.arange(flat.shape[1] - 1, -1, -1)
    return np.bincount(flat @ weights, minlength=q ** flat.shape[1])


def p_value(observed: np.ndarray, probability: np.ndarray) -> float:
    """Chi-square of counts; configurations that should come fewer than 10 times share bins of about 10."""
    order = np.argsort(-probability)
    expected = observed.sum() * probability[order]
    bins = np.floor(np.cumsum(np.minimum(expected, 10.0)) / 10 - 1e-9).astype(int)
    bins = np.unique(np.minimum(bins, bins.max() - 1), return_inverse=True)[1]
    expected, observed = np.bincount(bins, expected), np.bincount(bins, observed[order])
    return chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


def independent(hamiltonian: AbstractHamiltonian, temperature: float, method: str, n: int = 8000, sweeps: int = 50):
    """One measurement of n chains."""
    (samples,) = monte_carlo(hamiltonian, temperature, n=n, n_chains=n, method=method, thermalization=sweeps, seed=1)
    return samples.tokens


@cache
def drawn(case: str, method: str) -> torch.Tensor:
    """Measurements of a case, which several tests look at."""
    return independent(*system(case, method), method)


def magnetization(tokens: torch.Tensor) -> np.ndarray:
    return (tokens.double().mean((-2, -1)) * 2 - 1).numpy()


@pytest.mark.parametrize(("case", "method"), PAIRS)
def test_histogram_is_that_of_the_enumeration(case, method):
    hamiltonian, temperature = system(case, method)
    probability = exact_probabilities(hamiltonian, temperature)
    assert probability.max() > 10 * probability.min()
    assert p_value(counts(drawn(case, method), 2), probability) > 1e-4


@pytest.mark.parametrize("method", ["metropolis", "heat-bath"])
def test_three_states(method):
    hamiltonian = BlumeCapel((2, 3), crystal_field=0.7, field=0.2)
    probability = exact_probabilities(hamiltonian, 1.5)
    tokens = independent(hamiltonian, 1.5, method)
    assert p_value(counts(tokens, 3), probability) > 1e-4


@pytest.mark.parametrize(
    ("case", "method"),
    [pair for pair in PAIRS if pair[0] in ("odd torus", "frustrated in a field", "field up", "random")],
)
def test_a_temperature_off_by_15_percent_is_noticed(case, method):
    hamiltonian, temperature = system(case, method)
    assert p_value(counts(drawn(case, method), 2), exact_probabilities(hamiltonian, 1.15 * temperature)) < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_both_kinds_of_start_forget_it(method):
    hamiltonian = Ising((3, 3), field=0 if method == "wolff" else 0.1)
    probability = exact_probabilities(hamiltonian, 3.0)
    tokens = independent(hamiltonian, 3.0, method)
    for half in (tokens[::2], tokens[1::2]):
        assert p_value(counts(half, 2), probability) > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_hot_chains_forget_their_start(method):
    # At beta -> 0 all states are equally likely, and plain Metropolis would flip every spin in every sweep.
    batches = list(
        monte_carlo(Ising((3, 3)), 1e6, n=20_000, n_chains=10_000, method=method, thermalization=30, thinning=31)
    )
    first, second = (torch.cat([b.tokens.flatten(1).double() * 2 - 1]) for b in batches)
    assert p_value(counts(batches[1].tokens, 2), np.full(512, 1 / 512)) > 1e-4
    for product in (first * second, first.prod(1) * second.prod(1)):
        z = product.mean(0) * math.sqrt(10_000)
        assert z.abs().max() < 4.5  # false alarm over five methods: 4e-4


@pytest.fixture(scope="module")
def exact_energy_8x8() -> float:
    """Energy of the periodic 8x8 Ising model at T_c: -d ln Z / d beta from a transfer matrix of rows."""
    rows = np.array(list(itertools.product([-1, 1], repeat=8)))
    within, between = (rows * np.roll(rows, 1, axis=1)).sum(1), rows @ rows.T

    def log_z(beta: float) -> float:
        row = np.exp(beta * within / 2)
        eigenvalues = np.linalg.eigvalsh(row[:, None] * np.exp(beta * between) * row)
        return 8 * math.log(eigenvalues[-1]) + math.log(((eigenvalues / eigenvalues[-1]) ** 8).sum())

    return -(log_z(1 / T_C + 1e-4) - log_z(1 / T_C - 1e-4)) / 2e-4


@pytest.mark.parametrize(
    ("method", "thinning"), [("metropolis", 4), ("heat-bath", 6), ("swendsen-wang", 2), ("wolff", 1)]
)
def test_critical_8x8(method, thinning, exact_energy_8x8):
    hamiltonian = Ising((8, 8))
    batches = monte_carlo(
        hamiltonian, T_C, n=40_000, n_chains=200, method=method, thermalization=150, thinning=thinning, seed=2
    )
    tokens = torch.stack([batch.tokens for batch in batches])
    m = magnetization(tokens)
    energy = hamiltonian.token_energy(tokens.flatten(0, 1)).view(m.shape).numpy()
    # False alarm over the sixteen comparisons: 1e-3.
    for series, exact in (
        (np.abs(m), 0.777331092787),
        (m**2, 0.646911574994),
        (m**4, 0.485815234126),
        (energy, exact_energy_8x8),
    ):
        mean, error, tau = mean_error(series)
        assert abs(mean - exact) < 4 * error
        assert error < 0.005 * abs(exact)
        assert tau.reliable


def same(a: list[Samples], b: list[Samples]) -> bool:
    return all(torch.equal(x.tokens, y.tokens) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_is_reproduced_bit_for_bit(method):
    def run(seed: int) -> list[Samples]:
        return list(monte_carlo(Ising((4, 5)), 2.3, n=60, n_chains=20, method=method, thermalization=20, seed=seed))

    first = run(3)
    assert same(first, run(3))
    assert not same(first, run(4))


def test_methods_with_one_seed_start_apart():
    starts = [independent(Ising((4, 4)), 2.0, method, n=200, sweeps=0) for method in METHODS]
    assert (starts[0] != starts[1])[::2].double().mean().item() == pytest.approx(0.5, abs=0.05)


def test_even_chains_start_random_and_odd_ones_at_lowest_energy():
    start = magnetization(independent(Ising((8, 8)), 2.0, "metropolis", n=400, sweeps=0))
    assert np.abs(start[::2]).max() < 0.7
    assert set(start[1::2]) == {-1.0, 1.0}  # both ground states
    in_field = magnetization(independent(Ising((8, 8), field=-0.1), 2.0, "swendsen-wang", n=400, sweeps=0))
    assert set(in_field[1::2]) == {-1.0}


@pytest.mark.parametrize("method", METHODS)
def test_batches_hold_measurements_and_n_in_all(method):
    batches = list(
        monte_carlo(Ising((3, 5)), 2.0, n=25, n_chains=10, method=method, thermalization=7, thinning=3, seed=5)
    )
    assert [tuple(b.tokens.shape) for b in batches] == [(10, 3, 5), (10, 3, 5), (5, 3, 5)]
    assert all(b.tokens.dtype == torch.uint8 and b.log_q is None and b.seed == 5 for b in batches)
    assert [b.provenance["sweep"] for b in batches] == [7, 10, 13]
    schedule = {"n_chains": 10, "thermalization": 7, "thinning": 3}
    origin = {"method": method, **schedule, "temperature": 2.0, "sweep": 7}
    assert origin.items() <= batches[0].provenance.items()
    assert set(batches[0].records) == ({"ladder"} if method == "parallel-tempering" else set())
    assert not torch.equal(batches[0].tokens, batches[1].tokens)  # a batch is not a view of what moves on


def test_default_schedules_are_what_a_run_uses():
    ising = Ising((4, 16))
    assert default_schedule(ising, "metropolis", 10_000) == ChainSchedule(100, 1024, 32)
    assert default_schedule(ising, "swendsen-wang", 10_000) == ChainSchedule(100, 116, 10)
    assert default_schedule(ising, "wolff", 10_000) == ChainSchedule(100, 116, 5)
    assert default_schedule(ising, "swendsen-wang", 95).n_chains == 10
    assert default_schedule(ising, "swendsen-wang", 1).n_chains == 1
    batch = next(monte_carlo(ising, 2.0, n=95, method="swendsen-wang"))
    assert (batch.provenance["n_chains"], batch.provenance["thermalization"]) == (10, 116)
    assert len(batch) == 10


class Biased(RandomTwoState):
    """Bonds that prefer one state."""

    @property
    def bond_energies(self) -> torch.Tensor:
        return torch.tensor([[-1.0, 0.0], [0.0, 0.0]], dtype=torch.float64).expand(len(self.bonds), 2, 2)


@pytest.mark.parametrize(
    ("hamiltonian", "changes", "message"),
    [
        (
            Ising((2, 2)),
            {"method": "wolf"},
            "method must be one of metropolis, heat-bath, swendsen-wang, wolff, parallel-tempering, kawasaki, "
            "got 'wolf'",
        ),
        (Ising((2, 2)), {"n": 0}, "n must be at least 1, got 0"),
        (Ising((2, 2)), {"n": 1e4}, "n must be an integer, got 10000.0"),
        (Ising((2, 2)), {"n_chains": 0}, "n_chains must be at least 1"),
        (Ising((2, 2)), {"thermalization": -1}, "thermalization must be at least 0, got -1"),
        (Ising((2, 2)), {"thinning": 0}, "thinning must be at least 1"),
        (Ising((2, 2)), {"seed": -1}, "seed must be an integer in"),
        (Ising((2, 2)), {"temperature": -1.0}, "temperature must be positive"),
        (BlumeCapel((2, 2)), {"method": "swendsen-wang"}, "needs two states .* with 3 states"),
        (Biased((2, 2)), {"method": "swendsen-wang"}, "unchanged when both ends flip"),
        (BlumeCapel((2, 2)), {"method": "wolff"}, "wolff needs two states .* with 3 states"),
        (Ising((2, 2), field=0.1), {"method": "wolff"}, "wolff requires zero field, .* use method='swendsen-wang'"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_measurement(hamiltonian, changes, message):
    with pytest.raises(ValueError, match=message):
        monte_carlo(hamiltonian, **{"temperature": 2.0, "n": 10, **changes})


NO_CLUSTERS = "since there are no clusters to flip"


@pytest.mark.parametrize(
    ("hamiltonian", "choice"),
    [
        (Ising((3, 4), field=0.3), "swendsen-wang, since nothing is frustrated and clusters can be flipped"),
        (la.Potts((3, 4)), "swendsen-wang, since nothing is frustrated and clusters can be flipped"),
        (
            la.EdwardsAnderson((4, 4)),
            "parallel-tempering, since there are no clusters to flip, and replicas cross barriers",
        ),
        (BlumeCapel((3, 3)), "heat-bath, since there are no clusters to flip, and sites have 3 states"),
        (
            la.Components(la.AshkinTeller((2, 3))),
            "heat-bath, since there are no clusters to flip, and sites have 4 states",
        ),
    ],
)
def test_the_method_suits_the_system(hamiltonian, choice):
    assert str(method_for(hamiltonian)) == choice
    options = {"n": 20, "thermalization": 4, "thinning": 1}
    given = list(monte_carlo(hamiltonian, 2.0, method=choice.partition(",")[0], **options))
    default = list(monte_carlo(hamiltonian, 2.0, **options))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(default, given, strict=True))
    assert default[0].provenance["method"] == choice.partition(",")[0]


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_histogram_on_the_gpu(method):
    hamiltonian = Ising((3, 3), field=0 if method == "wolff" else 0.1)
    (samples,) = monte_carlo(
        hamiltonian, 2.5, n=10_000, n_chains=10_000, method=method, thermalization=60, device="cuda"
    )
    assert samples.tokens.device.type == "cuda"
    assert p_value(counts(samples.tokens.cpu(), 2), exact_probabilities(hamiltonian, 2.5)) > 1e-4
