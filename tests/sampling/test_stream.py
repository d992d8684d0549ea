"""Streams of samples come from the distribution that the model states, however they are drawn and cut."""

import pytest
import torch
from support import contracts
from support.statistics import counts_of, p_value

import latticear as la
from latticear.exact import all_configurations
from latticear.models import PixelCNN
from latticear.random_numbers import categorical, uniforms
from latticear.sampling import drawer
from latticear.sampling.stream import draw


@pytest.mark.parametrize(("shape", "q"), [((3, 3), 2), ((2, 3), 3)])
def test_frequencies_are_the_stated_probabilities(shape: tuple[int, int], q: int):
    # one fixed seed a case; p < 1e-4 in one of 10,000 seeds
    model = contracts.peaked(PixelCNN(shape, q, width=8, depth=2))
    probability = model.log_prob(all_configurations(shape, q)).exp().detach()
    tokens = model.sample(20_000, seed=1).tokens
    assert p_value(counts_of(tokens, q), probability) > 1e-4
    other = contracts.peaked(PixelCNN(shape, q, width=8, depth=2), scale=0.9)
    wrong = other.log_prob(all_configurations(shape, q)).exp().detach()
    assert p_value(counts_of(tokens, q), wrong) < 1e-4  # the negative control: the test sees a small error


@pytest.mark.parametrize("method", ["wavefront", "reference"])
def test_cuts_change_nothing_bit_for_bit(method):
    model = PixelCNN((4, 4), 2, width=8, depth=3)  # float32, where the number of rows changes the rounding
    block = drawer(model, method).block
    whole = model.sample(3 * block + 5, seed=9, method=method)
    for start, n in ((0, 1), (1, block), (block - 1, 2), (150, 47)):
        part = model.sample(n, seed=9, start=start, method=method)
        assert torch.equal(part.tokens, whole.tokens[start : start + n])
        assert torch.equal(part.log_q, whole.log_q[start : start + n])


def test_batches_are_the_sample():
    model = PixelCNN((3, 3), 2, width=4, depth=2)
    batches = list(model.sample_batches(100, seed=2))
    assert sum(map(len, batches)) == 100
    assert torch.equal(torch.cat([b.tokens for b in batches]), model.sample(100, seed=2).tokens)


def test_small_probabilities_are_drawn_in_float64():
    """A float32 uniform would draw p = 1e-8 never or far too often."""
    logits = torch.tensor([[0.0, -18.420680743952367]]).expand(2, 2)  # p = 1e-8
    u = torch.tensor([1 - 1.01e-8, 1 - 0.99e-8], dtype=torch.float64)
    tokens, log_p = categorical(logits, u)
    assert tokens.tolist() == [0, 1]
    assert abs(log_p[1, 1].item() + 18.42068) < 1e-4


@pytest.mark.parametrize("method", ["wavefront", "reference"])
def test_sites_held_fixed(method):
    """What is held stays; both parts of log_q add up to the teacher-forced one; no site of the rest is touched."""
    model = contracts.peaked(PixelCNN((4, 5), 3, width=6, depth=2), scale=0.7)
    given = torch.randint(3, (4, 5), generator=torch.Generator().manual_seed(1))
    where = torch.zeros(4, 5, dtype=torch.bool)
    where[1], where[:, 2] = True, True
    samples = model.sample(100, seed=2, given=given, where=where, method=method)
    assert (samples.tokens[:, where] == given[where]).all()
    assert (samples.tokens[:, ~where] != given[~where]).any()
    total = samples.log_q + samples.log_q_given
    assert (model.log_prob(samples.tokens) - total).abs().max() < 1e-10
    assert samples.log_q_given.std() > 0  # given sites after drawn ones depend on them
    part = model.sample(30, seed=2, start=70, given=given, where=where, method=method)
    assert torch.equal(part.tokens, samples.tokens[70:])
    assert torch.equal(part.log_q_given, samples[70:].log_q_given)


def test_nothing_or_everything_held_fixed():
    model = contracts.peaked(PixelCNN((3, 3), 2, width=6, depth=2), scale=0.7)
    free = model.sample(50, seed=1)
    assert free.log_q_given is None
    tokens = torch.randint(2, (50, 3, 3))
    none = model.sample(50, seed=1, given=tokens, where=torch.zeros(3, 3, dtype=torch.bool))
    assert torch.equal(none.tokens, free.tokens)
    assert torch.equal(none.log_q, free.log_q)
    everything = model.sample(50, seed=1, given=tokens, where=torch.ones(3, 3, dtype=torch.bool))
    assert torch.equal(everything.tokens.long(), tokens)
    assert (everything.log_q == 0).all()
    assert (everything.log_q_given - model.log_prob(tokens)).abs().max() < 1e-10


def test_importance_weights_make_a_fixed_boundary_exact():
    """ln Z and averages of the Boltzmann distribution with the top row and one site fixed, by enumeration."""
    ising, temperature = la.Ising((3, 4)), 2.2
    model = contracts.peaked(PixelCNN((3, 4), 2, width=4, depth=2, bias=ising.bias(temperature)), scale=0.3)
    given = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    where = torch.zeros(3, 4, dtype=torch.bool)
    where[0], where[2, 2] = True, True
    every = all_configurations((3, 4), 2)
    allowed = every[(every[:, where] == given[where]).all(1)]
    log_p = -ising.token_energy(allowed) / temperature
    exact_log_z = log_p.logsumexp(0).item()
    exact_energy = (log_p.softmax(0) * ising.token_energy(allowed)).sum().item() / 12
    estimates = la.estimate(model.sample(20_000, seed=3, given=given, where=where), ising, temperature)
    assert estimates.reliable, estimates.warnings
    assert abs(estimates["log_z"].value - exact_log_z) < 4 * estimates["log_z"].error
    assert estimates["log_z"].error < 0.05
    assert abs(estimates["energy_per_site"].value - exact_energy) < 4 * estimates["energy_per_site"].error


@pytest.mark.parametrize(
    ("given", "where", "message"),
    [
        (torch.zeros(3, 3, dtype=torch.long), None, "must be given together"),
        (None, torch.ones(3, 3, dtype=torch.bool), "must be given together"),
        (torch.zeros(3, 4, dtype=torch.long), torch.ones(3, 3, dtype=torch.bool), "given must have shape"),
        (torch.zeros(3, 3, dtype=torch.long), torch.ones(7, 3, 3, dtype=torch.bool), "where must have shape"),
        (torch.zeros(3, 3, dtype=torch.long), torch.ones(3, 3), "where must be a mask of dtype bool"),
        (torch.zeros(3, 3), torch.ones(3, 3, dtype=torch.bool), "given must hold integer tokens"),
        (torch.full((3, 3), -1), torch.ones(3, 3, dtype=torch.bool), "given must hold tokens in 0..1"),
    ],
)
def test_bad_given(given, where, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN((3, 3), 2, width=4, depth=2).sample(5, given=given, where=where)


def test_training_mode_is_restored_and_dropout_is_off():
    model = PixelCNN((3, 3), 2, width=4, depth=2)
    model.layers.append(torch.nn.Dropout(0.5))
    model.train()
    samples = model.sample(50, seed=0)
    assert model.training
    model.eval()
    assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "wave"}, "method must be one of"),
        ({"seed": -1}, "seed must be an integer"),
        ({"n": 0}, "n must be at least 1"),
        ({"start": -1}, "must not be negative"),
    ],
)
def test_bad_arguments(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PixelCNN((3, 3), 2, width=4, depth=2).sample(**{"n": 3, **options})


@pytest.mark.gpu
def test_cuda_draws_the_same_tokens_in_float64():
    model = contracts.peaked(PixelCNN((5, 6), 3, width=8, depth=3))
    here = model.sample(500, seed=5)
    there = model.cuda().sample(500, seed=5)
    assert torch.equal(there.tokens.cpu(), here.tokens)
    assert (there.log_q.cpu() - here.log_q).abs().max() < 1e-10
    assert torch.equal(uniforms(1, 2, 3, 4, device="cuda").cpu(), uniforms(1, 2, 3, 4))


def test_draw_is_lazy():
    model = PixelCNN((3, 3), 2, width=4, depth=2)
    first = next(draw(model, 10**9, seed=0))
    assert len(first) == drawer(model).block
