"""Several tokens a site: every engine draws what the reference draws, and computes every channel once."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from support import contracts
from support.engines import draw_by_all, engines
from support.networks import NETWORKS, WIDEST, Mixed, OwnGroup, RowMemory, Sum
from torch import nn

from latticear.kernels.library import instruction_sets
from latticear.models import AbstractModel, GatedPixelCNN, MaskedConv2d, PixelCNN, check_autoregressive
from latticear.random_numbers import uniforms
from latticear.sampling import Engine, NativeEngine, Reference, drawer
from latticear.sampling.lowering import lower, steps_of
from latticear.sampling.probe import random_condition
from latticear.sampling.reference import Given, draw_reference
from latticear.sampling.schedule import schedule_of, wavefront_rank
from latticear.sampling.tracing import one_hot


def check_same(model: AbstractModel, n: int = 20, seed: int = 0, engine: type = NativeEngine) -> None:
    """Token for token, by every engine, free, and with tokens held fixed; with a condition if the model takes one."""
    n_components, (height, width) = model.n_components, model.shape
    u, generator = uniforms(seed, 0, n, n_components * height * width), torch.Generator().manual_seed(seed)
    condition = random_condition(model, n, generator)
    held = Given(
        torch.randint(model.n_tokens, u.shape, generator=generator), torch.rand(u.shape, generator=generator) < 0.3
    )
    found = engines(model, n)
    assert type(found[-1]) is engine or not instruction_sets()
    for fixed in (None, held):
        slow = draw_reference(model, u, condition, fixed)
        assert slow.tokens.shape == (n, n_components, height, width)
        for each in found:
            fast = each.draw(u, condition, fixed)
            assert torch.equal(fast.tokens, slow.tokens)
            assert (fast.log_q - slow.log_q).abs().max() < 1e-10
            assert (fast.log_q_given - slow.log_q_given).abs().max() < 1e-10
        with torch.no_grad():
            stated = model.log_prob(slow.tokens, condition)
        assert (stated - slow.log_q - slow.log_q_given).abs().max() < 1e-10
    assert len(slow.tokens.unique(dim=0)) > 1


def _peaked(network, shape, q, **options):
    return contracts.peaked(network(shape, q, **{"width": 6, "depth": 2, WIDEST[network]: 3, **options}), 0.7)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("shape", "q", "n_components"),
    [((3, 8), 2, 3), ((3, 8), 8, 2), ((4, 3), 3, 2), ((4, 3), 8, 3), ((1, 6), 3, 3), ((6, 1), 2, 2), ((2, 2), 8, 2)],
)
def test_shapes(network, shape, q, n_components):
    """In wavefront and, where the lattice is narrow, in raster order."""
    check_same(_peaked(network, shape, q, n_components=n_components))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kernel_size", [1, None])
def test_first_kernels(network, kernel_size):
    check_same(_peaked(network, (4, 7), 3, n_components=2, **{WIDEST[network]: kernel_size}))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(2, 7), (3, 2)])
def test_symmetry_and_condition(network, shape):
    check_same(_peaked(network, shape, 3, n_components=3, spin_flip_symmetric=True, n_condition=2, n_condition_maps=1))


@settings(max_examples=8)
@given(
    st.sampled_from(NETWORKS),
    st.tuples(st.integers(1, 5), st.integers(1, 7)).filter(lambda shape: shape != (1, 1)),
    st.integers(2, 5),
    st.integers(2, 4),
    st.integers(1, 3),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
)
def test_any_network(network, shape, q, n_components, depth, kernel_size, flip):
    options = {"depth": depth, "width": 2 * n_components, "spin_flip_symmetric": flip, WIDEST[network]: kernel_size}
    check_same(_peaked(network, shape, q, n_components=n_components, **options), seed=depth)


@pytest.mark.parametrize("network", NETWORKS)
def test_components_take_no_more_ticks(network):
    plain, three = (_peaked(network, (4, 12), 2, n_components=n) for n in (1, 3))
    assert torch.equal(plain.rank, three.rank)
    assert plain.rank.max() < 4 * 12 - 1


@pytest.mark.skipif(not instruction_sets(), reason="the kernels were not built: there was no C compiler")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_channel_is_computed_once(network):
    schedule = schedule_of(model := _peaked(network, (4, 7), 3, n_components=3))
    nodes = lower(schedule, model.head.weight)
    computed = [torch.zeros(lowered.node.channels) for lowered in nodes]
    for step in steps_of(schedule, nodes):
        computed[step.node][step.first : step.stop] += 1
    assert computed[0].sum() == 0  # the tokens
    assert all((channels == 1).all() for channels in computed[1:])


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set(name, dtype):
    """Groups of 11 channels, which fill no vector."""
    model = _peaked(GatedPixelCNN, (3, 6), 5, width=33, depth=2, n_components=3, spin_flip_symmetric=True)
    u = uniforms(1, 0, 37, 54)
    expected = draw_reference(model, u)
    engine = drawer(model.to(dtype))
    assert isinstance(engine, NativeEngine)
    engine.instruction_set = instruction_sets().index(name)
    drawn = engine.draw(u)
    assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < (1e-10 if dtype == torch.float64 else 1e-3)
    assert (drawn.tokens != expected.tokens).flatten(1).any(1).sum() <= (dtype == torch.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_streams_may_be_cut_anywhere(network):
    """In float32, bit for bit."""
    model = network((5, 6), 3, width=12, n_components=2)
    whole = model.sample(70, seed=3)
    assert whole.tokens.shape == (70, 2, 5, 6)
    for start, n in ((0, 1), (15, 2), (33, 37)):
        part = model.sample(n, seed=3, start=start)
        assert torch.equal(part.tokens, whole.tokens[start : start + n])
        assert torch.equal(part.log_q, whole.log_q[start : start + n])


def test_more_indicator_channels_than_tokens_are_allowed():
    """600 tokens of three components are 1800 channels; the kernels limit the tokens."""
    check_same(contracts.peaked(PixelCNN((2, 2), 600, width=6, depth=2, kernel_size=3, n_components=3), 0.5), n=5)


class _Shuffled(PixelCNN):
    """A layer whose input has its groups in another order, some twice; the mask knows which is which."""

    def __init__(self, shape, **options):
        super().__init__(shape, 2, width=6, depth=2, kernel_size=3, n_components=2, **options)
        self.layers[2] = MaskedConv2d(12, 6, 3, "B", n_components=2)
        of_input, of_output = torch.tensor([1, 0, 1, 0]).repeat_interleave(3), torch.tensor([0, 1]).repeat_interleave(3)
        self.layers[2].own_site = of_input <= of_output[:, None]
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        x = torch.tanh(self.layers[0](one_hot(tokens, self.n_tokens, self.head.weight.dtype)))
        first, second = torch.chunk(x, 2, 1)
        return self.head(torch.relu(self.layers[2](torch.cat([second, x, first], 1))))


@pytest.mark.parametrize("shape", [(3, 7), (4, 3)])
def test_groups_in_another_order(shape):
    model = _random(_Shuffled(shape))
    check_autoregressive(model)
    check_same(model)


@pytest.mark.skipif(not instruction_sets(), reason="the kernels were not built: there was no C compiler")
def test_what_memory_held_before_does_not_matter():
    """Channels that are not known yet are read, times zero: they must be numbers."""
    engine, u = drawer(_random(_Shuffled((4, 6)))), uniforms(0, 0, 20, 48)
    expected = engine.draw(u)
    engine._memory.fill_(255)  # not a number, in any type
    drawn = engine.draw(u)
    assert torch.equal(drawn.tokens, expected.tokens)
    assert torch.equal(drawn.log_q, expected.log_q)


def test_functions_of_groups():
    """Pieces of groups put together anew."""
    check_same(_random(Mixed((3, 5))))


def _random(model: AbstractModel) -> AbstractModel:
    """In float64, with weights that matter; of a network that no config can name."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.double().parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.6)
    return model.eval()


@pytest.mark.parametrize("head", [nn.Conv2d(4, 4, 1), Sum()])
def test_what_mixes_components_is_refused(head):
    model = _random(Mixed((3, 4), head=head))
    with pytest.raises(ValueError, match="not autoregressive"):
        check_autoregressive(model)
    with pytest.raises(ValueError, match="Mixed is not autoregressive"):
        drawer(model)


def test_a_leak_is_refused():
    with pytest.raises(ValueError, match="OwnGroup is not autoregressive"):
        drawer(OwnGroup((3, 4), n_components=2))


class _WithMemory(PixelCNN):
    """Has a layer that steps once a tick, which cannot wait for the components of its own site."""

    def __init__(self, shape, remembered):
        super().__init__(shape, 2, width=6, depth=2, kernel_size=3, n_components=2)
        self.memory, self.remembered = RowMemory(), remembered
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        x = F.relu(self.layers[0](one_hot(tokens, 2, self.head.weight.dtype)))
        first, second = torch.chunk(x, 2, 1)
        if self.remembered == "first":
            return self.head(self.layers[2](torch.cat([self.memory(first), second], 1)))
        return self.head(self.layers[2](torch.cat([first, self.memory(second)], 1)))


def test_layers_that_remember():
    check_same(_random(_WithMemory((3, 6), "first")), engine=Engine)
    model = _random(_WithMemory((3, 6), "second"))
    check_autoregressive(model)
    assert isinstance(drawer(model), Reference)


def test_memory_grows_with_the_row_not_with_the_lattice():
    def numbers(size):
        model = PixelCNN((size, size), 2, width=6, depth=3, kernel_size=3, n_components=3)
        portable, *compiled = engines(model, 4)
        return [sum(ring.data.numel() for ring in portable.rings.values()), *(e._n_rings for e in compiled)]

    for small, large in zip(numbers(16), numbers(32), strict=True):
        assert large < 2.1 * small


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
def test_cuda_is_the_cpu(network):
    model = _peaked(network, (4, 7), 3, n_components=3, spin_flip_symmetric=True)
    u = uniforms(0, 0, 40, 84)
    here = draw_by_all(model, u)
    there = draw_by_all(model.cuda(), u.cuda(), native=False)
    assert torch.equal(there.tokens.cpu(), here.tokens)
    assert (there.log_q.cpu() - here.log_q).abs().max() < 1e-10
