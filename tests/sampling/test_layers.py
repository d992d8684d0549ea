"""Layers beyond plain taps: stacks that run ahead of the row, and layers that step front by front by themselves."""

import itertools

import pytest
import torch
from support import contracts
from support.engines import draw_by_all, engines
from support.networks import RowMemory
from torch import nn

import latticear as la
from latticear.models import AbstractModel, MaskedConv2d
from latticear.models.conditions import Conditioning
from latticear.random_numbers import uniforms
from latticear.sampling import Reference, drawer
from latticear.sampling.reference import draw_reference
from latticear.sampling.schedule import raster_rank, schedule_of, wavefront_rank
from latticear.sampling.tracing import NEVER, one_hot


def check_same(model: AbstractModel, n: int = 40, native: bool = True) -> None:
    la.check_autoregressive(model)
    u = uniforms(0, 0, n, model.shape[0] * model.shape[1])
    with torch.no_grad():
        slow, fast = draw_reference(model, u), draw_by_all(model, u, native=native)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    assert len(slow.tokens.unique(dim=0)) > 1


class _DeepStack(AbstractModel):
    """The vertical stack of a gated network: each layer reaches further to the right in the rows above."""

    name = "deep_stack"

    def __init__(self, shape, depth, kernel_size=3):
        super().__init__(shape, 2)
        self.vertical = nn.ModuleList(
            MaskedConv2d(5 if k else 2, 5, kernel_size, "B" if k else "A") for k in range(depth)
        )
        self.vertical[0].mask[-1] = False  # rows above only; from then on both sides
        for layer in self.vertical[1:]:
            layer.mask[-1] = True
        self.across = nn.ModuleList(nn.Conv2d(5, 5, 1) for _ in range(depth))
        self.horizontal = nn.ModuleList(MaskedConv2d(5 if k else 2, 5, 3, "B" if k else "A") for k in range(depth))
        for layer in self.horizontal:
            layer.mask[0] = False
        self.head = nn.Conv2d(5, 2, 1)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        v = h = one_hot(tokens, 2, self.head.weight.dtype)
        for vertical, across, horizontal in zip(self.vertical, self.across, self.horizontal, strict=True):
            v = torch.tanh(vertical(v))
            h = torch.tanh(horizontal(h) + across(v))
        return self.head(h)


def _random(model: AbstractModel) -> AbstractModel:
    torch.manual_seed(0)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.6)
    return model.double()


@pytest.mark.parametrize(
    ("depth", "shape", "slope"),
    [(1, (5, 9), 2), (2, (5, 9), 3), (4, (5, 9), 5), (4, (5, 5), 5), (4, (6, 4), 4), (6, (4, 3), 3), (3, (1, 6), 6)],
)
def test_stacks_that_run_ahead(depth, shape, slope):
    """Depth + 1 is the slope; where the row is shorter, raster order, in which the rows above are known to the end."""
    model = _random(_DeepStack(shape, depth))
    assert schedule_of(model).slope == slope
    check_same(model)


@pytest.mark.parametrize(("depth", "shape"), [(2, (4, 5)), (3, (5, 4)), (6, (4, 3))])
def test_wide_stacks_in_raster_order(depth, shape):
    check_same(_random(_DeepStack(shape, depth, kernel_size=7)))


@pytest.mark.parametrize("width", [3, 4, 6, 9])
def test_ready_times_against_brute_force(width):
    """Site by site: whatever a value reads is computed no later than itself, and is a token drawn before."""
    schedule = schedule_of(_DeepStack((5, width), 4))
    graph, rank = schedule.graph, raster_rank((5, width), schedule.slope)
    rows = width * torch.arange(5)[:, None].expand(5, width)
    when = {name: (rows if name in schedule.by_row else rank) + ready for name, ready in schedule.ready.items()}
    assert bool(schedule.by_row) == (width < 6)
    for node in graph.nodes[1:]:
        for y, x, (dy, dx), source in itertools.product(range(5), range(width), node.offsets, node.inputs):
            if y + dy >= 0 and 0 <= x + dx < width:
                assert when[source][y + dy, x + dx] <= when[node.name][y, x], (node.name, source)
    assert (when[graph.nodes[-1].name] <= rank).all()


class _Mean(nn.Module):
    """The mean over everything up to the site in raster order: what attention does, with equal weights."""

    def forward(self, x):
        return (x.flatten(2).cumsum(2) / (1 + torch.arange(x[0, 0].numel()))).view_as(x)

    def ready(self, time, slope, shape):
        return time if slope == shape[1] and time <= 0 else NEVER

    def begin(self, lanes, like):
        return {"sum": 0, "n": 0}

    def step(self, state, y, x, inputs):
        state["sum"], state["n"] = state["sum"] + inputs, state["n"] + 1
        return state["sum"] / state["n"]


class _WithMemory(la.PixelCNN):
    def __init__(self, shape, memory, early=False):
        super().__init__(shape, 2, width=5, depth=2, kernel_size=3)
        self.memory, self.early = memory, early
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        x = one_hot(tokens, 2, self.head.weight.dtype)
        if self.early:
            return self.head(self.layers(self.memory(x)))
        x = self.layers[1](self.layers[0](x))
        return self.head(self.layers[3](self.layers[2](self.memory(x) + x)))


@pytest.mark.parametrize("shape", [(4, 5), (1, 6), (5, 2)])
@pytest.mark.parametrize("memory", [RowMemory(), _Mean()])
def test_layers_that_remember(shape, memory):
    model = _random(_WithMemory(shape, memory))
    plain = schedule_of(la.PixelCNN(shape, 2, depth=2, kernel_size=3)).slope
    assert schedule_of(model).slope == (shape[1] if isinstance(memory, _Mean) else plain)
    assert len(engines(model, 3)) == 1
    check_same(model, native=False)
    contracts.check_sampler(model)


def test_a_layer_that_is_never_ready_is_drawn_by_the_reference():
    model = _random(_WithMemory((3, 4), _Mean(), early=True))
    assert isinstance(drawer(model), Reference)


class _Conditional(_DeepStack):
    """A condition that enters stacks of both kinds, by addition and as a gate."""

    def __init__(self, shape, depth, flip=False, n=3, n_maps=0):
        super().__init__(shape, depth)
        self.spin_flip_symmetric, self.conditioning = flip, Conditioning(n, n_maps, shape)
        self.first, self.second = self.conditioning.embeddings(5, 2)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        v = h = one_hot(tokens, 2, self.head.weight.dtype)
        for vertical, across, horizontal in zip(self.vertical, self.across, self.horizontal, strict=True):
            v = torch.tanh(vertical(v)) + self.first(condition)
            h = torch.tanh(horizontal(h) + across(v)) * self.second(condition)
        return self.head(h)


@pytest.mark.parametrize(("shape", "depth"), [((4, 6), 2), ((4, 5), 4), ((5, 3), 4), ((1, 4), 2), ((4, 1), 2)])
@pytest.mark.parametrize(("flip", "n", "n_maps"), [(True, 3, 0), (False, 3, 0), (True, 0, 2), (False, 1, 1)])
def test_conditions(shape, depth, flip, n, n_maps):
    """One for each configuration, in wavefront and in raster order."""
    model = _random(_Conditional(shape, depth, flip, n, n_maps))
    size = model.conditioning.size
    condition = torch.randn(40, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = uniforms(0, 0, 40, shape[0] * shape[1])
    with torch.no_grad():
        slow = draw_reference(model, u, condition)
        other = draw_reference(model, u, condition.flip(0))
    fast = draw_by_all(model, u, condition=condition)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    assert not torch.equal(other.tokens, slow.tokens)


def test_a_temperature_for_each_configuration():
    """The bias of both engines follows the condition."""
    model = contracts.peaked(la.PixelCNN((4, 5), depth=2, n_condition=1, bias=la.Ising((4, 5)).bias()), 0.3)
    condition = torch.linspace(0.5, 20, 40, dtype=torch.float64)[:, None]
    u = uniforms(0, 0, 40, 20)
    slow, fast = draw_reference(model, u, condition), draw_by_all(model, u, condition=condition)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    order = slow.tokens.double().mean((1, 2)).sub(0.5).abs()
    assert order[:10].mean() > order[-10:].mean()
    with pytest.raises(ValueError, match="temperature and must be positive, got -1"):
        model.sample(2, condition=torch.tensor([-1.0]))
    with pytest.raises(ValueError, match="finite numbers"):
        model.sample(2, condition=torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="needs n_condition of at least 1"):
        la.PixelCNN((4, 5), bias=la.Ising((4, 5)).bias())


def test_streams_with_a_condition():
    """Cut anywhere, with a condition for each sample."""
    model = _random(_Conditional((4, 6), 2))
    condition = torch.randn(300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = model.sample(300, seed=1, condition=condition)
    part = model.sample(70, seed=1, start=200, condition=condition[200:270])
    assert torch.equal(part.tokens, whole.tokens[200:270])
    assert torch.equal(part.log_q, whole.log_q[200:270])
    with torch.no_grad():
        assert (model.log_prob(whole.tokens, condition) - whole.log_q).abs().max() < 1e-10
