"""What may draw from a network: it itself, an engine that knows it as it is now, or nobody."""

import math
import types

import pytest
import torch
from support import contracts
from torch import nn

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.models import MODELS, MaskedConv2d
from latticear.sampling import InBlocks, NativeEngine, Reference, drawer
from latticear.sampling.reference import Drawn, Given, draw_front
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

NATIVE = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not compiled")


class _Scaled(la.PixelCNN):
    """A network whose code reads what is no weight."""

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens, width=4, depth=2, kernel_size=3)
        self._scale, self.options = 1.0, types.SimpleNamespace(scale=1.0)

    def _logits(self, tokens, condition):
        logits = super()._logits(tokens, condition) * (self._scale * self.options.scale)
        return logits * 3 if self.training else logits


def _error(model) -> float:
    samples = model.sample(50)
    with torch.no_grad():
        return float((model.eval().log_prob(samples.tokens) - samples.log_q).abs().max())


def test_an_engine_follows_whatever_the_network_reads():
    model = _Scaled((4, 4)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight))
    assert _error(model) < 1e-10
    model._scale = 5.0
    assert _error(model) < 1e-10
    model.options.scale = 4.0
    assert _error(model) < 1e-10
    model.train()
    modes = [module.training for module in model.modules()]
    drawer(model)  # traced as it draws, not as it trains
    assert [module.training for module in model.modules()] == modes
    assert _error(model) < 1e-10


@pytest.mark.parametrize("layer", [lambda: MaskedConv2d(2, 4, 3, "B"), lambda: nn.Conv2d(2, 4, 1)])
def test_a_network_that_reads_its_own_site_is_refused(layer):
    model = la.PixelCNN((4, 4), width=4, depth=2, kernel_size=3)
    model.layers[0] = layer()
    with pytest.raises(ValueError, match=r"PixelCNN is not autoregressive: .* la\.check_autoregressive"):
        model.sample(3)


class _Mapped(la.PixelCNN):
    """A condition layer that gives the shape it was built with, whatever the engine expects."""

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens, width=4, depth=1, kernel_size=3, n_condition=1)
        self.embed = _Embed()
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        x = self.layers[0](one_hot(tokens, self.n_tokens, self.head.weight.dtype))
        return self.head(torch.relu(x + self.embed(condition)))


class _Embed(nn.Module):
    reads_condition = True

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.size = (1, 1)

    def forward(self, condition):
        return (condition[:, :1] * self.weight)[:, :, None, None].expand(-1, -1, *self.size)


def test_maps_are_seen_for_what_they_are():
    model = _Mapped((5, 6)).double()
    condition = torch.rand(20, 1, dtype=torch.float64)
    for size in ((1, 1), (5, 6)):
        model.embed.size = size
        fast, slow = (model.sample(20, condition=condition, method=m) for m in ("wavefront", "reference"))
        assert torch.equal(fast.tokens, slow.tokens)


@NATIVE
def test_kernels_refuse_a_value_of_another_size():
    """They would read beyond it."""
    model = _Mapped((5, 6))
    model.embed.size = (5, 6)
    engine = drawer(model)
    assert isinstance(engine, NativeEngine)
    model.embed.size = (1, 1)
    with pytest.raises(ValueError, match=r"_Embed must embed a condition as \(16, 4, 5, 6\), got \(16, 4, 1, 1\)"):
        engine.draw(torch.rand(3, 30, dtype=torch.float64), torch.rand(3, 1))


@NATIVE
@pytest.mark.parametrize("name", ["residual", "gated", "pixelcnn"])
def test_nothing_in_a_draw_depends_on_how_many_are_drawn(name):
    """Conditions included: float32, to the last bit."""
    model = MODELS[name]((9, 9), 2, n_condition=1, n_condition_maps=1)
    condition = torch.rand(100, model.conditioning.size, dtype=torch.float64)
    whole = model.sample(100, condition=condition)
    for lo, hi in ((0, 1), (37, 60), (99, 100)):
        part = model.sample(hi - lo, start=lo, condition=condition[lo:hi])
        assert torch.equal(part.log_q, whole.log_q[lo:hi])


@pytest.mark.parametrize("name", ["pixelcnn", "residual", "gated"])
def test_weights_that_are_no_numbers_give_no_number(name):
    model = MODELS[name]((3, 4), 2)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if n.endswith("bias")).fill_(float("nan"))
    assert model.sample(5).log_q.isnan().all()


class _Backwards(la.models.AbstractModel):
    """The last row first, each given the sums of the rows below: an order of its own, and how to draw in it."""

    name = "backwards"

    def __init__(self, shape, n_tokens=2, **common):
        super().__init__(shape, n_tokens, **common)
        self.row, self.below = (nn.Parameter(torch.randn(n_tokens, *shape)) for _ in range(2))
        self._set_rank(torch.arange(shape[0]).flip(0)[:, None].expand(shape).contiguous())
        self.drawn = 0

    def _logits(self, tokens, condition):
        rows = tokens.sum(2)
        below = (rows.sum(1, keepdim=True) - rows.cumsum(1))[:, None, :, None]
        return self.row + self.below * below

    def draw_block(self, u, condition=None, given=None):
        self.drawn += len(u)
        height, width = self.shape
        below, rows = torch.zeros(len(u), dtype=torch.long), []
        for y in reversed(range(height)):
            here = slice(y * width, (y + 1) * width)
            held = None if given is None else Given(*(part[:, here] for part in given))
            logits_bxq = (self.row[:, y] + self.below[:, y] * below[:, None, None]).transpose(1, 2)
            rows.insert(0, draw_front(logits_bxq, u[:, here], held, 1))
            below = below + rows[0].tokens.sum(1)
        tokens, log_q, log_q_given = zip(*rows, strict=True)
        return Drawn(torch.stack(tokens, 1), sum(log_q), sum(log_q_given))


@pytest.mark.parametrize("n_tokens", [2, 3])
def test_a_network_may_draw_its_own_order_by_blocks(n_tokens):
    torch.manual_seed(0)
    model = _Backwards((3, 4), n_tokens).double()
    assert type(drawer(model)) is InBlocks
    assert (drawer(model).block, drawer(model).padded) == (256, True)
    contracts.check_normalised(model)
    contracts.check_sampler(model)
    contracts.check_held(model)
    assert model.drawn > 0
    model.block = {"cpu": 30}
    assert [len(part) for part in model.sample_batches(70)] == [30, 30, 10]


def test_or_by_the_reference():
    """Which is all that an order of its own needs."""

    class Slowly(_Backwards):
        draw_block = None

    assert isinstance(drawer(Slowly((3, 4))), Reference)
    contracts.check_sampler(Slowly((3, 4)).double())


def test_or_bring_a_drawer():
    class Coins:
        block, padded = 7, False

        def draw(self, u, condition=None, given=None):
            none = torch.zeros(len(u), dtype=torch.float64)
            return Drawn((u.view(-1, 3, 4) < 0.5).long(), none - 12 * math.log(2), none)

    class Tossed(_Backwards):
        def own_drawer(self):
            return Coins()

    model = Tossed((3, 4))
    batches = list(model.sample_batches(20))
    assert [len(batch) for batch in batches] == [7, 7, 6]
    assert all((batch.log_q == -12 * math.log(2)).all() for batch in batches)
    assert isinstance(drawer(model, "reference"), Reference)
