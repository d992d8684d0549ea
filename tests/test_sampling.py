"""Streams of samples come from the distribution that the model states, however they are drawn and cut."""

import contracts
import pytest
import torch
from scipy import stats

from latticear.ancestral import categorical
from latticear.exact import all_configurations
from latticear.models import PixelCNN
from latticear.philox import uniforms
from latticear.sampling import BLOCK, draw


def _counts(tokens: torch.Tensor, q: int) -> torch.Tensor:
    flat = tokens.flatten(1).long()
    powers = q ** torch.arange(flat.shape[1] - 1, -1, -1)
    return torch.bincount((flat * powers).sum(1), minlength=q ** flat.shape[1])


def _p_value(counts: torch.Tensor, probability: torch.Tensor) -> float:
    """Chi-square with states pooled until each bin expects at least ten."""
    order = probability.argsort()
    expected = probability[order] * counts.sum()
    bins = (expected.cumsum(0) / 10).floor()
    _, bins = bins.unique(return_inverse=True)
    n_bins = int(bins.max()) + 1
    seen = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, bins, counts[order].double())
    should = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, bins, expected)
    return float(stats.chisquare(seen, should).pvalue)


@pytest.mark.parametrize(("shape", "q"), [((3, 3), 2), ((2, 3), 3)])
def test_frequencies_are_the_stated_probabilities(shape: tuple[int, int], q: int):
    # one fixed seed a case; p < 1e-4 in one of 10,000 seeds
    model = contracts.peaked(PixelCNN(shape, q, width=8, depth=2))
    probability = model.log_prob(all_configurations(shape, q)).exp().detach()
    tokens = model.sample(20_000, seed=1).tokens
    assert _p_value(_counts(tokens, q), probability) > 1e-4
    other = contracts.peaked(PixelCNN(shape, q, width=8, depth=2), scale=0.9)
    wrong = other.log_prob(all_configurations(shape, q)).exp().detach()
    assert _p_value(_counts(tokens, q), wrong) < 1e-4  # the negative control: the test sees a small error


def test_cuts_change_nothing_bit_for_bit():
    model = PixelCNN((4, 4), 2, width=8, depth=3)  # float32, where the number of rows changes the rounding
    whole = model.sample(3 * BLOCK["cpu"] + 5, seed=9)
    for start, n in ((0, 1), (1, BLOCK["cpu"]), (BLOCK["cpu"] - 1, 2), (150, 47)):
        part = model.sample(n, seed=9, start=start)
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
    assert abs(log_p[1].item() + 18.42068) < 1e-4


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
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
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
    assert len(first) == BLOCK["cpu"]
