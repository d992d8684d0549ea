"""The engine draws what the reference draws: the same tokens for the same numbers, in float64, for every network."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings, strategies as st
from support import contracts
from support.engines import draw_by_all, engines
from support.networks import Residual, TwoStacks

import latticear as la
from latticear.models import AbstractModel
from latticear.random_numbers import uniforms
from latticear.sampling import Reference, drawer
from latticear.sampling.reference import Given, draw_reference
from latticear.sampling.schedule import raster_rank, schedule_of
from latticear.sampling.tracing import trace


def check_same(model: AbstractModel, n: int = 40, seed: int = 0) -> None:
    """Token for token, and served by the engines, not by the fallback."""
    u = uniforms(seed, 0, n, model.shape[0] * model.shape[1])
    with torch.no_grad():
        tokens, log_q, _ = draw_reference(model, u)
        fast, fast_log_q, _ = draw_by_all(model, u)
    assert torch.equal(fast, tokens)
    assert (fast_log_q - log_q).abs().max() < 1e-10
    assert (model.log_prob(tokens) - fast_log_q).abs().max() < 1e-10
    assert len(tokens.unique(dim=0)) > 1


def _model(shape, n_tokens=2, seed=0, **options) -> AbstractModel:
    return contracts.peaked(la.PixelCNN(shape, n_tokens, **{"width": 6, "depth": 3, **options}), 0.7, seed)


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (7, 3), (1, 6), (6, 1), (2, 2), (3, 10)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, (7, 3, 1), (3, 1, 5), None])
def test_shapes_and_kernels(shape, kernel_size):
    check_same(_model(shape, kernel_size=kernel_size))


@settings(max_examples=25)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda shape: shape != (1, 1)),
    st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=4),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_any_pixelcnn(shape, kernels, q, flip, seed):
    model = _model(shape, q, seed, depth=len(kernels), kernel_size=kernels, spin_flip_symmetric=flip)
    u = uniforms(seed, 0, 20, shape[0] * shape[1])
    assert torch.equal(draw_by_all(model, u)[0], draw_reference(model, u)[0])


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_bias_and_symmetry(periodic, flip):
    ising = la.Ising((4, 5), periodic=periodic)
    check_same(_model((4, 5), kernel_size=3, spin_flip_symmetric=flip, bias=ising.bias(2.0)))


def test_residuals_and_gates():
    torch.manual_seed(0)
    model = Residual((4, 5), 3, width=6, depth=3, kernel_size=3).double()
    torch.nn.init.normal_(model.head.weight)
    assert trace(model) is not None
    check_same(model)


def test_stacks_that_are_ready_at_different_ticks():
    model = TwoStacks((5, 6)).double()
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    times = schedule_of(model).ready
    assert len(set(times.values())) > 2  # the tokens, and stacks that are not ready together
    la.check_autoregressive(model)
    check_same(model)


def test_weights_are_read_anew():
    model = _model((4, 4))
    u = uniforms(0, 0, 30, 16)
    before = draw_by_all(model, u)[0]
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-1.5)
    assert not torch.equal(draw_by_all(model, u)[0], before)
    assert torch.equal(draw_by_all(model, u)[0], draw_reference(model, u)[0])


def test_a_network_that_was_changed_is_traced_anew():
    model = _model((4, 4))
    u = uniforms(0, 0, 30, 16)
    before = draw_by_all(model, u).log_q
    model.layers[1] = torch.nn.Tanh()
    after, expected = draw_by_all(model, u).log_q, draw_reference(model, u).log_q
    assert (after - expected).abs().max() < 1e-10
    assert (after - before).abs().max() > 1e-3


def test_threads_draw_one_after_the_other():
    model = _model((5, 5), kernel_size=3)
    expected = [model.sample(300, seed=seed).tokens for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda seed: model.sample(300, seed=seed).tokens, range(4)))
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


def test_a_second_draw_has_forgotten_the_first():
    model = _model((6, 4), kernel_size=3)
    first, second = uniforms(0, 0, 30, 24), uniforms(1, 0, 30, 24)
    draw_by_all(model, first)
    assert torch.equal(draw_by_all(model, second)[0], draw_reference(model, second)[0])


def test_masked_weights_are_never_multiplied():
    model = _model((4, 4), kernel_size=3)
    u = uniforms(0, 0, 30, 16)
    before = draw_by_all(model, u)
    with torch.no_grad():
        for layer in model.layers[::2]:
            layer.weight[:, :, ~layer.mask] = float("nan")
    after = draw_by_all(model, u)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("seed", range(5))
def test_conditional_draws_are_those_of_the_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    model = _model((5, 6), 3, kernel_size=3, spin_flip_symmetric=bool(seed % 2))
    given = Given(
        torch.randint(3, (30, 30), generator=generator), torch.rand(30, 30, generator=generator) < 0.2 * (seed + 0.5)
    )
    u = uniforms(seed, 0, 30, 30)
    slow, fast = draw_reference(model, u, None, given), draw_by_all(model, u, given)
    assert torch.equal(slow.tokens, fast.tokens)
    assert (slow.log_q - fast.log_q).abs().max() < 1e-10
    assert (slow.log_q_given - fast.log_q_given).abs().max() < 1e-10


class _Untraceable(la.PixelCNN):
    """Reads the tokens in a way that offsets do not describe: a sum over the rows above."""

    def _logits(self, tokens, condition):
        above = tokens.cumsum(1) - tokens
        return super()._logits(tokens, condition) + above.sum(2, keepdim=True)[:, None].to(self.head.weight.dtype)


def test_what_cannot_be_traced_is_drawn_by_the_reference():
    torch.manual_seed(0)
    model = _Untraceable((3, 4), 2, width=4, depth=2, kernel_size=3).double()
    assert trace(model) is None
    assert torch.equal(model.rank, raster_rank((3, 4), 4))
    contracts.check_sampler(model)


class _OtherOrder(la.PixelCNN):
    """An order of its own, later than the taps require: right, but not the engine's."""

    def _set_rank(self, rank):
        super()._set_rank(rank * 3)


def test_another_order_is_drawn_by_the_reference():
    model = _OtherOrder((3, 4), 2, width=4, depth=2)
    assert isinstance(drawer(model), Reference)
    contracts.check_sampler(model.double())


@pytest.mark.parametrize("kernels", [(3, 3, 3), (15, 3, 3)])
def test_memory_grows_with_the_row_not_with_the_lattice(kernels):
    """Rings hold what is still read: O(batch x L x channels), in wavefront and (with a wide kernel) in raster order."""

    def numbers(size):
        model = la.PixelCNN((size, size), 2, width=8, depth=3, kernel_size=kernels)
        portable, *compiled = engines(model, 4)
        return [sum(ring.data.numel() for ring in portable.rings.values()), *(e._n_rings for e in compiled)]

    for small, middle, large in zip(numbers(16), numbers(32), numbers(64), strict=True):
        assert middle < 2.1 * small
        assert large < 2.1 * middle


@pytest.mark.gpu
def test_cuda_is_the_cpu():
    model = _model((5, 6), 3, kernel_size=3)
    u = uniforms(0, 0, 40, 30)
    here = draw_by_all(model, u)
    there = draw_by_all(model.cuda(), u.cuda(), native=False)
    assert torch.equal(there[0].cpu(), here[0])
    assert (there[1].cpu() - here[1]).abs().max() < 1e-10
