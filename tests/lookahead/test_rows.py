"""Rows by the compiled kernels and by PyTorch agree, and so do a row in one call and its sites one by one."""

import pytest
import torch

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.lookahead import Environments, RowWeights, Sweep
from latticear.lookahead.native_row import NativeRow
from latticear.lookahead.torch_row import TorchRow

SYSTEMS = {
    "torus": (la.Ising((5, 6)), 2.0, 20),
    "open": (la.EdwardsAnderson((6, 5), seed=2, periodic=False), 0.7, 9),
    "field, cylinder": (la.Ising((5, 4), field=0.2, periodic=(False, True)), 1.5, 8),
    "diagonals": (la.Ising((4, 5), next_nearest=-0.4), 1.5, 6),
    "potts": (la.Potts((4, 4), q=3), 0.8, 17),
    "one column": (la.Ising((6, 1), periodic=(True, False)), 1.0, 4),
}

ROWS = [TorchRow, NativeRow] if instruction_sets() else [TorchRow]  # without a compiler there is nothing else


def _environments(system, temperature, bond_dimension, factors=None) -> Environments:
    parts = (system.shape, system.bonds, system.bond_energies, system.site_energies)
    return Environments(RowWeights.of_bonds(*parts, temperature, factors), bond_dimension)


def _sweep(environments, n, spin_flip, row, dtype=torch.float64) -> Sweep:
    sweep = Sweep(environments, n, spin_flip=spin_flip)
    sweep._row = row(environments, sweep._tokens, dtype)
    return sweep


def _numbers(n, shape) -> torch.Tensor:
    return torch.rand(n, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("instruction_set", range(len(instruction_sets())))
@pytest.mark.parametrize("name", SYSTEMS)
def test_kernels_draw_as_pytorch(name, instruction_set, monkeypatch):
    monkeypatch.setattr(NativeRow, "instruction_set", instruction_set)
    system, temperature, bond_dimension = SYSTEMS[name]
    environments, u = _environments(system, temperature, bond_dimension), _numbers(150, system.shape)
    compiled = _sweep(environments, 150, system.spin_flip, NativeRow).run(u, with_logits=True)
    plain = _sweep(environments, 150, system.spin_flip, TorchRow).run(u, with_logits=True)
    assert torch.equal(compiled.tokens, plain.tokens)
    assert torch.allclose(compiled.log_q, plain.log_q, atol=1e-9)
    assert torch.allclose(compiled.logits, plain.logits, atol=1e-9)
    few = _sweep(environments, 70, system.spin_flip, NativeRow).run(u[-70:])
    assert torch.equal(few.tokens, compiled.tokens[-70:])
    assert torch.equal(few.log_q, compiled.log_q[-70:])


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_site_by_site(name, row):
    system, temperature, bond_dimension = SYSTEMS[name]
    environments, u = _environments(system, temperature, bond_dimension), _numbers(70, system.shape)
    drawn = _sweep(environments, 70, system.spin_flip, row).run(u, with_logits=True)
    sweep, log_q = _sweep(environments, 70, system.spin_flip, row), 0.0
    for site, token in enumerate(drawn.tokens.flatten(1).T):
        logits = sweep.logits()
        assert torch.allclose(logits, drawn.logits.flatten(1, 2)[:, site], atol=1e-9)
        log_q = log_q + logits.gather(1, token[:, None])[:, 0]
        sweep.take(token)
    assert torch.allclose(log_q, drawn.log_q, atol=1e-9)
    assert torch.equal(drawn.log_q_given, torch.zeros(70, dtype=torch.float64))


@pytest.mark.parametrize("row", ROWS)
def test_sites_held_fixed(row):
    system, temperature, bond_dimension = SYSTEMS["torus"]
    environments, u = _environments(system, temperature, bond_dimension), _numbers(80, system.shape)
    tokens, where = (u < 0.5).flip(0).long(), u.flip(1) < 0.3
    drawn = _sweep(environments, 80, True, row).run(u, tokens, where)
    assert torch.equal(drawn.tokens[where], tokens[where])
    whole = _sweep(environments, 80, True, row).run(tokens=drawn.tokens)
    assert torch.equal(whole.tokens, drawn.tokens)
    assert torch.allclose(whole.log_q_given, drawn.log_q + drawn.log_q_given, atol=1e-12)
    assert torch.equal(whole.log_q, torch.zeros(80, dtype=torch.float64))


@pytest.mark.parametrize("row", ROWS)
def test_single_precision(row):
    system, temperature, bond_dimension = SYSTEMS["torus"]
    environments, u = _environments(system, temperature, bond_dimension), _numbers(200, system.shape)
    drawn = _sweep(environments, 200, True, row, torch.float32).run(u)
    exact = _sweep(environments, 200, True, row).run(tokens=drawn.tokens)
    assert 0 < (exact.log_q_given - drawn.log_q).abs().max() < 1e-3
    again = _sweep(environments, 200, True, row, torch.float32).run(tokens=drawn.tokens)
    assert torch.allclose(again.log_q_given, drawn.log_q, atol=1e-12)


@pytest.mark.parametrize("row", ROWS)
def test_an_instance_for_each_configuration(row):
    glass = la.EdwardsAnderson((4, 5), seed=0)
    signs = torch.randint(0, 2, (70, len(glass.bonds)), generator=torch.Generator().manual_seed(2)).double() * 2 - 1
    together, u = _environments(glass, 1.0, 6, signs), _numbers(70, glass.shape)
    drawn = _sweep(together, 70, True, row).run(u)
    for i in (0, 33, 69):
        alone = _sweep(_environments(glass, 1.0, 6, signs[i : i + 1]), 1, True, row).run(u[i : i + 1])
        assert torch.equal(alone.tokens[0], drawn.tokens[i])
        assert alone.log_q[0].item() == pytest.approx(drawn.log_q[i].item(), abs=1e-6)


def test_a_cold_glass_needs_its_tiny_weights(monkeypatch):
    glass, temperature = la.EdwardsAnderson((8, 8), seed=2), 0.3
    u = _numbers(300, glass.shape)

    def spread() -> float:
        drawn = Sweep(_environments(glass, temperature, 32), 300, spin_flip=True).run(u)
        return float((-glass.token_energy(drawn.tokens) / temperature - drawn.log_q).std())

    assert spread() < 1e-3
    monkeypatch.setattr("latticear.lookahead.product.PRECISE", 0.0)
    assert spread() > 0.1  # with Gram matrices alone


def test_the_cut_of_an_instance_does_not_depend_on_the_others():
    glass, n = la.EdwardsAnderson((6, 6), seed=0), 12
    signs = torch.randint(0, 2, (n, len(glass.bonds)), generator=torch.Generator().manual_seed(3)).double() * 2 - 1
    signs[:4] *= 0.2  # warm ones among cold ones
    environments, u = _environments(glass, 0.4, 12, signs), _numbers(n, glass.shape)
    drawn = Sweep(environments, n, spin_flip=True).run(u)
    for i in range(n):
        alone = Sweep(_environments(glass, 0.4, 12, signs[i : i + 1]), 1, spin_flip=True).run(
            tokens=drawn.tokens[i : i + 1]
        )
        assert alone.log_q_given[0].item() == pytest.approx(drawn.log_q[i].item(), abs=1e-6)


def test_tokens_that_there_are_not():
    system, temperature, bond_dimension = SYSTEMS["open"]
    sweep = Sweep(_environments(system, temperature, bond_dimension), 3)
    tokens = torch.zeros(3, *system.shape, dtype=torch.long)
    for wrong in (-1, 2):
        tokens[1, 2, 3] = wrong
        with pytest.raises(ValueError, match=r"tokens must be 0\.\.1"):
            sweep.run(tokens=tokens)
