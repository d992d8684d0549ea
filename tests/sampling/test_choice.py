"""What may draw from a network: an engine that knows it as it is now, or nobody."""

import types

import pytest
import torch
from torch import nn

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.models import MODELS, MaskedConv2d
from latticear.sampling import NativeEngine, drawer
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
