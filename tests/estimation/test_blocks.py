"""Block updates: detailed balance to rounding, and observables against enumeration with a model that is wrong."""

import numpy as np
import pytest
import torch
from support.blume_capel import BlumeCapel
from support.contracts import peaked

import latticear as la
from latticear.estimation.block_updates import BlockUpdates, Kind
from latticear.exact import all_configurations, enumerate_states

TEMPERATURE = 2.5


def _wrong(hamiltonian, n_tokens=2, scale=0.3, periodic=True, **options):
    return peaked(la.MultiscalePixelCNN(hamiltonian.shape, n_tokens, width=4, periodic=periodic, **options), scale)


def _updates(model, hamiltonian, tokens, seed=0):
    return BlockUpdates(model, hamiltonian, TEMPERATURE, tokens, np.random.default_rng(seed))


@torch.no_grad()
def _log_g(model, tokens, sites):
    """Log-probability of some sites given all of lower rank, from a pass of the whole network: `(B,)`."""
    log_p = model.logits(tokens).double().log_softmax(1).flatten(2)
    return log_p.gather(1, tokens.flatten(1).long()[:, None])[:, 0][:, sites].sum(1)


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"bias": True, "cell": (2, 2)}], ids=str)
def test_the_ratio_is_that_of_detailed_balance(options):
    """ln [p(x') g(x | x') / (p(x) g(x' | x))] for every kind of move, each factor from the whole lattice."""
    ising = la.Ising((8, 6), coupling=-0.7, field=0.2, periodic=(True, False))
    model = _wrong(ising, **options | ({"bias": ising.bias(TEMPERATURE)} if "bias" in options else {}))
    tokens = torch.randint(2, (40, 8, 6), generator=torch.Generator().manual_seed(0))
    chains, rng = _updates(model, ising, tokens), np.random.default_rng(0)
    assert [kind.name for kind in chains.kinds] == ["all"] + ["below_2", "below_1"] * ("cell" not in options)
    for kind in chains.kinds:
        for extent in ((8, 6), (2 * kind.unit // 2, 2 * kind.unit // 2)):
            kind.extent = extent
            sites, before = kind.window(rng), chains.tokens.clone()
            ratio = chains.propose(sites)
            after = chains.tokens.clone()
            held = torch.ones(48, dtype=torch.bool).index_fill(0, sites, False)
            assert torch.equal(before.flatten(1)[:, held], after.flatten(1)[:, held])
            assert (before != after).any()
            log_p = [-ising.token_energy(tokens) / TEMPERATURE for tokens in (before, after)]
            log_g = [_log_g(model, tokens, sites) for tokens in (before, after)]
            assert (ratio - (log_p[1] - log_p[0] + log_g[0] - log_g[1])).abs().max() < 1e-9
            assert ratio.std() > 0.1


def test_rejected_chains_stay_and_accepted_ones_move():
    ising = la.Ising((4, 4))
    chains = _updates(_wrong(ising), ising, torch.randint(2, (200, 4, 4)))
    sites, before = chains.kinds[0].window(np.random.default_rng(0)), chains.tokens.clone()
    accepted = chains.move(sites)
    moved = (chains.tokens != before).flatten(1).any(1)
    assert 0.05 < accepted < 0.95
    assert 0 < moved.double().mean() <= accepted
    again = chains._model.board(chains.tokens.flatten(1))
    assert torch.equal(again.inputs[:, :-1], chains._board.inputs[:, :-1])  # what the network sees is what is held


def test_the_boltzmann_distribution_stays():
    """All states of 2x3 with their probabilities times 40,000 stay so distributed in a sweep: chi-square, 64 states.

    p > 1e-4: its quantile is 63 + 48.
    """
    ising = la.Ising((2, 3), field=0.3, periodic=False)
    model = _wrong(ising, scale=0.6)
    every = all_configurations((2, 3), 2)
    p = (-ising.token_energy(every) / TEMPERATURE).softmax(0)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.multinomial(p, 40_000, replacement=True, generator=generator)
    chains = _updates(model, ising, every[chosen])
    chains.settle()
    for _ in range(3):
        chains.sweep()
    code = chains.tokens.flatten(1) @ 2 ** torch.arange(5, -1, -1)
    order = every.flatten(1).long() @ 2 ** torch.arange(5, -1, -1)
    counts = torch.bincount(code, minlength=64)[order].double()
    assert (((counts - 40_000 * p) ** 2) / (40_000 * p)).sum() < 111
    assert (chains.tokens != every[chosen]).flatten(1).any(1).double().mean() > 0.3


@pytest.mark.parametrize("cell", [(0, 0), (2, 5)])
def test_what_the_energy_tells_is_always_accepted(cell):
    """Odd sites of a window, drawn by the heat bath: the ratio is 1 to rounding."""
    ising = la.Ising((8, 8), field=0.1)
    chains = _updates(_wrong(ising, bias=ising.bias(TEMPERATURE)), ising, torch.randint(2, (50, 8, 8)))
    y, x = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    odd = ((y + x) % 2 == 1) & ((y - cell[0]) % 8 < 5) & ((x - cell[1]) % 8 < 4)
    assert chains.propose(odd.flatten().nonzero()[:, 0]).abs().max() < 1e-9
    assert chains.propose(((y + x) % 2 == 0).flatten().nonzero()[:, 0]).abs().max() > 0.1


def test_cost_is_that_of_the_window(monkeypatch):
    """Only targets inside are computed."""
    model = _wrong(la.Ising((16, 16)))
    kind = next(kind for kind in _updates(model, la.Ising((16, 16)), torch.zeros(2, 16, 16)).kinds if kind.unit == 4)
    kind.extent = (4, 4)
    board, sites = model.board(torch.zeros(2, 256, dtype=torch.long)), kind.window(np.random.default_rng(0))
    computed = [len(places) for _, places, _ in model._targets(sites)]
    assert sum(computed) == len(sites) == 5 * 5 - 4
    assert len(model.log_prob_of(board, sites)) == 2


CASES = {
    "field": (la.Ising((4, 4), field=0.2), {"bias": True}),
    "antiferromagnet": (la.Ising((4, 4), coupling=-1.0, field=0.3), {"bias": True}),
    "open": (la.Ising((3, 4), periodic=False), {"bias": False, "periodic": False}),
    "three states": (BlumeCapel((2, 3), field=0.5), {"bias": False, "n_tokens": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_enumeration(case):
    hamiltonian, options = CASES[case]
    options = options | {"bias": hamiltonian.bias(TEMPERATURE) if options["bias"] else None}
    model = _wrong(hamiltonian, scale=0.15, **options)
    exact = enumerate_states(hamiltonian, TEMPERATURE)
    row = {"row": lambda spins: spins[:, 0].mean(1)}
    size = {"n": 10_000, "n_chains": 100, "thermalization": 150}
    found = la.block_mcmc(model, hamiltonian, TEMPERATURE, **size, observables=row, exact=exact, seed=1)
    assert found.reliable, found.warnings
    for name in set(exact.to_dict()) & set(found):
        assert abs(found[name].deviation) < 4, name
    assert "row" in found
    assert "log_z" not in found
    assert found.method == "mcmc"
    assert found["energy_per_site"].tau_int >= 0.5
    assert 0 < found.diagnostics["acceptance_all"] < 0.98  # the ratios matter


def test_windows_shrink_until_they_settle():
    kind = Kind("all", torch.ones(16, 16, dtype=torch.bool), 2, (16, 16))
    assert kind.moves == 1
    assert len(kind.window(np.random.default_rng(0))) == 256
    kind.note(0.1)
    kind.adapt()
    assert kind.extent == (8, 8)
    assert kind.moves == 4
    assert len(kind.window(np.random.default_rng(0))) == 81
    kind.note(0.9)
    kind.note(0.1)
    assert kind.accepted == pytest.approx(0.5)
    kind.adapt()
    assert kind.extent == (8, 8)
    for _ in range(9):
        kind.note(0.0)
        kind.adapt()
    assert kind.extent == (2, 2)
    ising = la.Ising((8, 8))
    chains = _updates(_wrong(ising, scale=1.0), ising, torch.randint(2, (20, 8, 8)))
    chains.sweep()
    chains.settle()
    settled = [kind.extent for kind in chains.kinds]
    assert settled[0] == (4, 4)
    for _ in range(3):
        chains.sweep()
    assert [kind.extent for kind in chains.kinds] == settled


def test_windows_reach_every_site():
    """Any even position, around the boundary; a lattice of odd extent has its last row both ways."""
    kind = Kind("all", torch.ones(5, 4, dtype=torch.bool), 2, (2, 2))
    rng = np.random.default_rng(0)
    seen = torch.zeros(20, dtype=torch.bool)
    for _ in range(50):
        seen[kind.window(rng)] = True
    assert seen.all()


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_the_same_seed_gives_the_same_chains():
    ising = la.Ising((4, 4))
    model = _wrong(ising)
    runs = [
        la.block_mcmc(model, ising, TEMPERATURE, n=200, n_chains=10, thermalization=1, seed=seed) for seed in (1, 1, 2)
    ]
    values = [run["energy_per_site"].value for run in runs]
    assert values[0] == values[1] != values[2]


def test_a_condition_is_passed_on():
    ising = la.Ising((4, 4))
    model = peaked(la.MultiscalePixelCNN((4, 4), width=4, n_condition=1, bias=ising.bias()), 0.1)
    exact, done = enumerate_states(ising, TEMPERATURE), []
    found = la.block_mcmc(
        *(model, ising, TEMPERATURE),
        n=2000,
        n_chains=40,
        condition=torch.tensor([TEMPERATURE]),
        exact=exact,
        report=lambda *counts: done.append(counts),
    )
    assert abs(found["energy_per_site"].deviation) < 4
    assert done[-1] == (2000, 2000)


def test_a_short_thermalization_is_told():
    """As many sweeps as 20 autocorrelation times, or the estimates are unreliable; the untrained model needs more."""
    ising = la.Ising((4, 4), field=0.1)
    model = _wrong(ising, scale=0.15, bias=ising.bias(TEMPERATURE))
    long = la.block_mcmc(model, ising, TEMPERATURE, n=6000, n_chains=100, thermalization=100)
    assert long.reliable, long.warnings
    tau = max(long.diagnostics["tau_int_energy"], long.diagnostics["tau_int_abs_magnetization"])
    assert 5 < 20 * tau < 100
    with pytest.warns(la.UnreliableEstimateWarning, match="thermalization was too short"):
        short = la.block_mcmc(model, ising, TEMPERATURE, n=6000, n_chains=100, thermalization=int(10 * tau))
    assert len(short.warnings) == 1
    assert not short["energy_per_site"].reliable
    with pytest.warns(la.UnreliableEstimateWarning, match="thermalization was too short"):
        la.block_mcmc(la.MultiscalePixelCNN((4, 4), width=4), ising, 2.0, n=2000, n_chains=50)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
@pytest.mark.parametrize(("length", "wanted"), [(20, 100), (480, 120)])
def test_thermalization_by_default(length, wanted, monkeypatch):
    sweeps = []
    monkeypatch.setattr(BlockUpdates, "sweep", lambda chains: sweeps.append(chains))
    ising = la.Ising((4, 4))
    la.block_mcmc(_wrong(ising), ising, TEMPERATURE, n=2 * length, n_chains=2)
    assert len(sweeps) == wanted + length - 1


def test_bad_input():
    ising = la.Ising((4, 4))
    with pytest.raises(ValueError, match="PixelCNN does not: use neural Metropolis"):
        la.block_mcmc(la.PixelCNN((4, 4)), ising, TEMPERATURE, n=1000)
    with pytest.raises(ValueError, match="need at least 2000 measurements"):
        la.block_mcmc(_wrong(ising), ising, TEMPERATURE, n=1000, n_chains=100)
    with pytest.raises(ValueError, match="the model is for shape"):
        la.block_mcmc(_wrong(ising), la.Ising((4, 6)), TEMPERATURE, n=1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thermalization": -1}, "thermalization must be at least 0, got -1"),
        ({"thermalization": 2.5}, "thermalization must be an integer, got 2.5"),
        ({"n_chains": -3}, "n_chains must be at least 1, got -3"),
        ({"n_chains": 0}, "n_chains must be at least 1, got 0"),
        ({"n_chains": 2.5}, "n_chains must be an integer, got 2.5"),
        ({"n": 1000.0}, "n must be an integer, got 1000.0"),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\^64\), got -1"),
    ],
)
def test_numbers_out_of_range(options, message):
    ising = la.Ising((4, 4))
    with pytest.raises(ValueError, match=message):
        la.block_mcmc(_wrong(ising), ising, TEMPERATURE, **{"n": 1000, **options})
