"""Logits of configurations that have just been drawn are not computed again."""

import pytest
import torch

import latticear as la
from latticear.hamiltonians.remembered import Remembered

Q = 3


def _block(n: int, n_sites: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(Q, (n, n_sites), generator=generator)
    return tokens, torch.randn(n, n_sites, Q, generator=generator, dtype=torch.float64)


def _noted(*blocks: tuple[torch.Tensor, torch.Tensor]) -> Remembered:
    remembered = Remembered()
    for tokens, logits in blocks:
        for site in range(tokens.shape[1]):
            remembered.note(site, tokens, logits[:, site])
    return remembered


def test_what_was_drawn_is_found_by_its_tokens():
    first, second = _block(6, 12, 0), _block(6, 12, 1)
    remembered = _noted(first, second)
    mixed = torch.cat([second[0][2:4], _block(2, 12, 2)[0], first[0][:1]])
    known, logits = remembered.find(mixed)
    assert known.tolist() == [True, True, False, False, True]
    assert torch.equal(logits, torch.cat([second[1][2:4], first[1][:1]]))
    other_end = first[0].clone()
    other_end[:, -1] = (other_end[:, -1] + 1) % Q  # no site comes after the last one
    assert torch.equal(remembered.find(other_end)[1], first[1])
    assert remembered.find(_block(4, 12, 3)[0]) is None
    assert remembered.find(_block(4, 9, 0)[0]) is None


def test_equal_keys_are_no_equal_configurations(monkeypatch):
    monkeypatch.setattr("latticear.hamiltonians.remembered._keys", lambda tokens: tokens.sum(1) * 0)
    tokens, logits = _block(5, 12, 0)
    known, found = _noted((tokens, logits)).find(tokens)
    assert torch.equal(found, logits[known])
    assert known.sum() == 1


def test_a_drawing_that_was_not_finished_is_forgotten():
    tokens, logits = _block(5, 12, 0)
    remembered = Remembered()
    for site in (*range(4), *range(2, 12)):
        remembered.note(site, tokens, logits[:, site])
    assert remembered.find(tokens) is None


def test_old_blocks_make_room(monkeypatch):
    blocks = [_block(6, 12, seed) for seed in range(3)]
    monkeypatch.setattr("latticear.hamiltonians.remembered.ROOM", 2 * blocks[0][1].nbytes)
    remembered = _noted(*blocks)
    assert [remembered.find(tokens) is not None for tokens, _ in blocks] == [False, True, True]


@pytest.mark.parametrize("spin_flip_symmetric", [False, True])
def test_a_training_step_sweeps_once(monkeypatch, spin_flip_symmetric):
    ising = la.Ising((4, 4))
    bias = ising.bias(2.0, bond_dimension=2)
    model = la.PixelCNN((4, 4), width=4, depth=2, bias=bias, spin_flip_symmetric=spin_flip_symmetric)
    samples, others = model.sample(300, seed=0), model.sample(300, seed=1)
    fresh = la.PixelCNN((4, 4), width=4, depth=2, bias=bias, spin_flip_symmetric=spin_flip_symmetric)
    expected = fresh.log_prob(samples.tokens)
    monkeypatch.setattr(model.bias, "sweep", None)
    found = model.log_prob(samples.tokens)
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(model.log_prob(others.tokens), others.log_q, atol=1e-6)
