"""Chains that several processes divide, or that are stopped and continued: the same configurations, bit for bit."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
import torch
from support.disorder import RandomTables
from support.threaded import Threaded, side_by_side

import latticear as la
from latticear.hamiltonians.blume_capel import BlumeCapel
from latticear.montecarlo import clusters, heatbath, parts
from latticear.montecarlo.parts import part_of_stream, uniform_columns
from latticear.montecarlo.population import annealed_population
from latticear.montecarlo.simulation import CHAIN_METHODS, Simulation, make_chains, monte_carlo
from latticear.processes import ALONE, Processes
from latticear.random_numbers import generator
from latticear.samples import Samples
from latticear.training.drawn import heated

GLASS = la.EdwardsAnderson((6, 6), distribution="gaussian", seed=3)
FREE = [name for name in CHAIN_METHODS if name != "kawasaki"]  # which needs a fixed composition
CASES = {
    **{f"ising, {method}": (la.Ising((4, 5)), 2.3, method) for method in FREE},
    "lattice gas, kawasaki": (la.FixedComposition(la.Ising((4, 5)), (8, 12)), 2.3, "kawasaki"),
    "in a field, swendsen-wang": (la.Ising((4, 4), field=0.1), 2.3, "swendsen-wang"),
    **{f"glass, {method}": (GLASS, 0.7, method) for method in ("metropolis", "heat-bath", "parallel-tempering")},
    "all with all, parallel-tempering": (la.SherringtonKirkpatrick((3, 4), seed=1), 0.6, "parallel-tempering"),
    "three states, metropolis": (BlumeCapel((3, 4), crystal_field=0.7), 1.1, "metropolis"),
    "three states, parallel-tempering": (BlumeCapel((3, 4), crystal_field=0.7), 1.1, "parallel-tempering"),
    "potts, swendsen-wang": (la.Potts((4, 4), q=4), 1.0, "swendsen-wang"),
    "many states, heat-bath": (RandomTables((3, 3), 9), 1.3, "heat-bath"),
    "many states, parallel-tempering": (RandomTables((3, 3), 9), 1.3, "parallel-tempering"),
    "components, heat-bath": (la.Components(la.AshkinTeller((3, 4))), 2.0, "heat-bath"),
    "hot, parallel-tempering": (la.Ising((3, 3)), 50.0, "parallel-tempering"),
}


def drawn(case: str, processes: Processes = ALONE) -> list[Samples]:
    """25 configurations of 10 chains; the third measurement is cut."""
    hamiltonian, temperature, method = CASES[case]
    lengths = {"n_chains": 10, "thermalization": 20, "thinning": 3}
    return list(monte_carlo(hamiltonian, temperature, n=25, method=method, seed=5, processes=processes, **lengths))


def simulation(case: str, processes: Processes = ALONE) -> Simulation:
    """The simulation of `drawn`."""
    hamiltonian, temperature, method = CASES[case]
    lengths = {"n_chains": 10, "thermalization": 20, "thinning": 3}
    return Simulation(hamiltonian, temperature, n=25, method=method, seed=5, processes=processes, **lengths)


def assert_same(found: list[Samples], expected: list[Samples]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.tokens, b.tokens)
        assert a.tokens.dtype == b.tokens.dtype
        assert a.provenance == b.provenance
        assert a.records.keys() == b.records.keys()
        assert all(torch.equal(a.records[name], b.records[name]) for name in a.records)


@pytest.mark.parametrize("case", CASES)
def test_the_configurations_do_not_depend_on_the_number_of_processes(case):
    expected = drawn(case)
    for k in (2, 3):
        for found in side_by_side(k, lambda processes: drawn(case, processes)):
            assert_same(found, expected)


@pytest.mark.parametrize("case", ["glass, heat-bath", "glass, parallel-tempering", "many states, parallel-tempering"])
def test_blocks_of_the_heat_bath_are_those_of_all_chains(case, monkeypatch):
    monkeypatch.setitem(heatbath.AT_ONCE, "cpu", 4 * 36)
    expected = drawn(case)
    for found in side_by_side(3, lambda processes: drawn(case, processes)):
        assert_same(found, expected)


def test_clusters_without_compiled_kernels(monkeypatch):
    expected = drawn("in a field, swendsen-wang")
    monkeypatch.setattr(clusters, "library_for", lambda device: None)
    assert_same(side_by_side(2, lambda processes: drawn("in a field, swendsen-wang", processes))[0], expected)


@pytest.mark.parametrize("case", CASES)
def test_more_processes_than_chains(case):
    hamiltonian, temperature, method = CASES[case]

    def few(processes: Processes) -> list[Samples]:
        options = {"n": 4, "n_chains": 2, "thermalization": 9, "thinning": 2, "method": method}
        return list(monte_carlo(hamiltonian, temperature, processes=processes, **options))

    assert_same(side_by_side(3, few)[2], few(ALONE))


def test_each_process_updates_its_own_chains_only():
    lengths = {"n_chains": 10, "thermalization": 1, "thinning": 1}
    for method in CHAIN_METHODS:
        ising = la.Ising((4, 4))
        system = ising if method in FREE else la.FixedComposition(ising, (8, 8))
        chains, _ = make_chains(
            system, 2.0, n=10, method=method, seed=0, device="cpu", processes=Threaded(1, 3), **lengths
        )
        assert len(chains.tokens) == len(chains.share) == (10 if method == "wolff" else 3)


@pytest.mark.parametrize(("case", "n"), list(zip(CASES, cycle((7, 30, 35)), strict=False)))
def test_a_state_continues_bit_for_bit_on_another_number_of_processes(case, n):
    expected = list(simulation(case).batches(58))

    def stopped(processes: Processes) -> dict[str, torch.Tensor]:
        whole = simulation(case, processes)
        assert len(list(whole.batches(n))) == whole.measured == -(-n // 10)
        return whole.state()

    state = side_by_side(2, stopped)[0]
    for name, values in stopped(ALONE).items():
        assert torch.equal(state[name], values), name

    def continued(processes: Processes) -> list[Samples]:
        later = simulation(case, processes)
        later.restore(state)
        return list(later.batches(58))

    for found in (continued(ALONE), side_by_side(3, continued)[1]):
        assert_same(found, expected[-(-n // 10) - 1 :])


def test_the_replicas_of_the_hot_case_make_round_trips():
    assert drawn("hot, parallel-tempering")[-1].provenance["round_trips"] > 0


def test_a_state_is_kept_while_the_chains_run_on():
    whole = simulation("glass, metropolis")
    first = next(whole.batches(20))
    state = whole.state()
    whole.chains.sweep()
    assert torch.equal(state["tokens"], first.tokens)


@pytest.mark.parametrize("method", FREE)
def test_a_state_of_other_chains_is_refused(method):
    ising = simulation(f"ising, {method}")
    list(ising.batches(10))
    state = ising.state()
    part = dict(list(state.items())[:2])
    for wrong in ({}, part, {**state, "generator": torch.zeros(3, dtype=torch.uint8)}):
        with pytest.raises(ValueError, match=f"this is no state of 10 chains of {method} on this device"):
            simulation(f"ising, {method}").restore(wrong)
    other = Simulation(la.Ising((3, 5)), 2.3, n=10, method=method, n_chains=10)
    with pytest.raises(ValueError, match="this is no state"):
        other.restore(state)


@pytest.mark.parametrize("case", ["glass, metropolis", "components, heat-bath"])
def test_islands_of_population_annealing(case):
    hamiltonian, temperature, _ = CASES[case]

    def cooled(processes: Processes = ALONE) -> list[Samples]:
        options = {"n": 70, "n_islands": 4, "n_sweeps": 2, "overlap": 0.5, "seed": 3}
        return [annealed_population(hamiltonian, temperature, processes=processes, **options)]

    for k in (3, 5):
        assert_same(side_by_side(k, cooled)[1], cooled())


def test_heated_configurations():
    tokens = torch.cat([batch.tokens for batch in drawn("glass, metropolis")])
    expected = heated(GLASS, 0.7, tokens, 3)
    for found in side_by_side(3, lambda processes: heated(GLASS, 0.7, tokens, 3, processes)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("has_kernels", [True, False])
def test_columns_of_an_array_of_uniform_numbers(has_kernels, monkeypatch):
    """They, and the state of the generator, are those of PyTorch, whose state has room for 624 words."""
    monkeypatch.setattr(parts, "FEW", 0)
    if not has_kernels:
        monkeypatch.setattr(parts, "library", lambda: None)
    whole, part = (torch.Generator().manual_seed(5) for _ in range(2))
    shapes = ((1, 5, 1, 3), (3, 700, 0, 10), (40, 333, 100, 300), (1, 9000, 5000, 5001), (5, 312, 0, 1), (2, 9, 3, 3))
    for n_rows, width, first, stop in (*shapes, (1, 1, 0, 1), (9, 50, 0, 49)):
        expected = torch.rand((n_rows, width), dtype=torch.float64, generator=whole)[:, first:stop]
        assert torch.equal(uniform_columns(part, n_rows, width, slice(first, stop)), expected)
        assert torch.equal(part.get_state(), whole.get_state())


def test_large_arrays_are_passed_over(monkeypatch):
    monkeypatch.setattr(parts, "FEW", 0)
    for case in ("glass, heat-bath", "ising, metropolis", "many states, heat-bath", "glass, parallel-tempering"):
        expected = drawn(case)
        assert_same(side_by_side(3, lambda processes, case=case: drawn(case, processes))[1], expected)


def test_a_part_of_a_stream():
    whole, part = generator(1, "parts"), generator(1, "parts")
    for rng in (whole, part):
        rng.integers(2, size=5, dtype=np.bool_)  # keeps bits for later
    numbers = whole.random(100)
    with part_of_stream(part, 30, 100):
        assert np.array_equal(part.random(20), numbers[30:50])
    assert np.array_equal(part.integers(2, size=99, dtype=np.bool_), whole.integers(2, size=99, dtype=np.bool_))
    assert np.array_equal(part.random(9), whole.random(9))
