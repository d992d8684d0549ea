"""The logistic mixture: normalised and differentiable at any parameters, and right to the last digits."""

import itertools
from decimal import Decimal, localcontext

import pytest
import torch
from support import contracts
from support.engines import draw_by_all, engines
from torch import Tensor, nn

from latticear.models import PixelCNN, PixelCNNPlusPlus, check_autoregressive
from latticear.models.heads import LevelValues, LogisticMixture
from latticear.random_numbers import uniforms
from latticear.sampling import Reference, drawer
from latticear.sampling.reference import draw_reference
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot


def _extreme(head: LogisticMixture, n: int = 20000) -> Tensor:
    """Means up to 1e8, scales from 1e-9 to 1e9 and absurd, weights down to nothing."""
    k, generator = head.n_mixtures, torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, k, dtype=torch.float64, generator=generator)

    signs = torch.sign(uniform(-1, 1))
    corners = torch.tensor(list(itertools.product((-1e8, -1.5, -1.0, 0.0, 1.0), (-1000, -18.5, 0, 18.5, 1000))))
    same = torch.cat([torch.zeros(len(corners), k), *(column[:, None].expand(-1, k) for column in corners.T)], 1)
    wide = torch.cat([uniform(-1, 1) * 10 ** uniform(-2, 3), signs * 10 ** uniform(-4, 8), uniform(-21, 21)], 1)
    return torch.cat([wide, same.double()])


@pytest.mark.parametrize(("n_tokens", "n_mixtures"), [(2, 1), (2, 3), (3, 2), (7, 3), (64, 2)])
def test_normalised_with_finite_gradients_at_any_parameters(n_tokens: int, n_mixtures: int):
    head = LogisticMixture(n_tokens, n_mixtures)
    parameters = _extreme(head, 100000 // n_tokens).requires_grad_()
    log_p = head(parameters)
    assert log_p.isfinite().all()
    assert log_p.min() < -1e10
    assert log_p.logsumexp(1).abs().max() < 1e-12
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(n_tokens, (len(log_p), 1), generator=generator)
    log_p.gather(1, chosen).sum().backward()
    assert parameters.grad.isfinite().all()


def test_float32_is_normalised_to_rounding_with_finite_gradients():
    head = LogisticMixture(7, 3)
    parameters = _extreme(head).float().requires_grad_()
    log_p = head(parameters)
    assert log_p.logsumexp(1).abs().max() < 1e-5
    log_p.sum().backward()
    assert parameters.grad.isfinite().all()


def _exact(weights: list[float], means: list[float], log_scales: list[float], q: int) -> list[float]:
    """The definition, in 200 digits."""
    with localcontext() as context:
        context.prec = 200
        w, mu, s = ([Decimal(x) for x in part] for part in (weights, means, log_scales))
        total = sum(x.exp() for x in w)
        edges = [Decimal(2 * t + 1 - (q - 1)) / (q - 1) for t in range(q - 1)]
        levels = [Decimal(0)] * q
        for k in range(len(w)):
            below = [Decimal(0), *(1 / (1 + ((mu[k] - edge) / s[k].exp()).exp()) for edge in edges), Decimal(1)]
            for t in range(q):
                levels[t] += w[k].exp() / total * (below[t + 1] - below[t])
        return [float(level.ln()) for level in levels]


@pytest.mark.parametrize("n_tokens", [2, 3, 6])
def test_the_definition_in_200_digits(n_tokens: int):
    """To 1e-13, tails of e^-150 included, where the plain difference of two sigmoids has none."""
    generator = torch.Generator().manual_seed(n_tokens)
    parameters = torch.randn(12, 3, 2, dtype=torch.float64, generator=generator)
    parameters[6:, 2] = -4  # narrow: the far levels lie in the tails
    parameters[8, 2] = torch.tensor([12.0, 15.0])  # broad: the inner bins are tiny
    expected = torch.tensor([_exact(*row, n_tokens) for row in parameters.tolist()], dtype=torch.float64)
    found = LogisticMixture(n_tokens, 2)(parameters.flatten(1))
    assert ((found - expected).abs() / (1 + expected.abs())).max() < 1e-13
    assert n_tokens == 2 or expected.min() < -40


def test_a_plain_difference_of_sigmoids_fails_in_the_tail():
    """The negative control: what the head computes is out of its reach."""
    parameters = torch.tensor([[0.0, -3.0, -4.0]], dtype=torch.float64)
    sharpness = torch.tensor(4.0, dtype=torch.float64).exp()
    lower, upper = torch.sigmoid(sharpness * (torch.tensor([0.0, 2 / 3], dtype=torch.float64) + 3))
    assert (upper - lower).log() == -torch.inf
    assert abs(LogisticMixture(4, 1)(parameters)[0, 2] + 3 * sharpness) < 1e-12


@pytest.mark.parametrize("n_tokens", [2, 3, 8])
def test_a_tiny_scale_puts_all_on_the_nearest_level(n_tokens: int):
    head, levels = LogisticMixture(n_tokens, 1), torch.linspace(-1, 1, n_tokens, dtype=torch.float64)
    means = torch.linspace(-1.7, 1.63, 40, dtype=torch.float64)
    nearest = (levels - means[:, None]).abs().argmin(1)
    found = []
    for log_scale in (2.0, 0.0, -1.0, -2.0, -4.0, -8.0, -18.0):
        log_p = head(torch.stack([0 * means, means, 0 * means + log_scale], 1))
        found.append(log_p[torch.arange(40), nearest].exp())
    for narrow, narrower in itertools.pairwise(found):
        assert (narrower >= narrow - 1e-15).all()
    assert (1 - found[-1]).max() < 1e-12


def test_a_huge_scale_leaves_the_tails():
    log_p = LogisticMixture(5, 1)(torch.tensor([[0.0, 0.3, 18.0]], dtype=torch.float64))[0]
    assert (log_p[[0, -1]].exp() - 0.5).abs().max() < 1e-7
    assert (log_p[1:-1] - (2 / 4 / 4 * torch.tensor(-18.0).double().exp()).log()).abs().max() < 1e-7


def test_mirrored_means_mirror_the_levels():
    parameters = torch.randn(50, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mirrored = parameters * torch.tensor([1.0, -1.0, 1.0])[:, None]
    head = LogisticMixture(5, 2)
    assert (head(parameters.flatten(1)) - head(mirrored.flatten(1)).flip(1)).abs().max() < 1e-13


def test_gradients_against_differences():
    parameters = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(LogisticMixture(5, 2), parameters)


def test_sites_are_independent_and_a_row_is_a_site():
    parameters = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    head = LogisticMixture(7, 2)
    by_rows = head(parameters.permute(0, 2, 3, 1).reshape(-1, 6)).view(3, 4, 5, 7).permute(0, 3, 1, 2)
    assert head(parameters).shape == (3, 7, 4, 5)
    assert (head(parameters) - by_rows).abs().max() < 1e-14


@pytest.mark.parametrize(("n_tokens", "n_mixtures"), [(2, 1), (3, 1), (4, 5), (16, 5), (64, 10)])
def test_the_initial_parameters_are_broad(n_tokens: int, n_mixtures: int):
    head = LogisticMixture(n_tokens, n_mixtures)
    log_p = head(head.broad()[None])[0]
    assert (log_p.exp() * log_p).sum() + torch.tensor(float(n_tokens)).log() < 0.03


@pytest.mark.parametrize("arguments", [(1, 3), (4, 0)])
def test_bad_arguments(arguments: tuple[int, int]):
    with pytest.raises(ValueError, match="n_tokens >= 2 and n_mixtures >= 1 are needed"):
        LogisticMixture(*arguments)


class _WithHead(PixelCNN):
    def __init__(self, shape, n_tokens):
        super().__init__(shape, n_tokens, width=5, depth=2, kernel_size=3)
        self.mixture = LogisticMixture(n_tokens, 2)
        self.last = nn.Conv2d(5, self.mixture.n_parameters, 1)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        return self.mixture(self.last(self.layers(one_hot(tokens, self.n_tokens, self.last.weight.dtype))))


def test_the_engine_takes_a_module_that_declares_to_act_on_sites():
    """PyTorch's engine, not the compiled one; without the declaration, the reference."""
    torch.manual_seed(0)
    model = _WithHead((4, 5), 4)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.6)
    model.double()
    check_autoregressive(model)
    assert len(engines(model, 3)) == 1
    u = uniforms(0, 0, 60, 20)
    slow, fast = draw_reference(model, u), draw_by_all(model, u, native=False)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    model.mixture.acts_on_sites = False
    assert isinstance(drawer(model), Reference)


def test_level_values_are_those_of_the_mixture_and_a_one():
    values = LevelValues(5).double()
    tokens = torch.arange(5).view(1, 1, 5)
    out = values(one_hot(tokens, 5, torch.float64))
    assert torch.equal(out[0, 0, 0], torch.linspace(-1, 1, 5, dtype=torch.float64))
    assert (out[0, 1] == 1).all()


def test_a_network_that_reads_levels_orders_them():
    """With a kernel of one tap the logits are affine in the value of the neighbour, for any weights."""
    model = contracts.peaked(PixelCNNPlusPlus((1, 4), 9, output="logistic", width=4))
    tokens = torch.tensor([[[t, 0, 0, 0]] for t in range(9)])
    with torch.no_grad():
        read = model.left(model.values(one_hot(tokens, 9, torch.float64)))[:, :, 0, 1]
    assert (read[2:] - 2 * read[1:-1] + read[:-2]).abs().max() < 1e-12
    assert read.std(0).min() > 1e-3
