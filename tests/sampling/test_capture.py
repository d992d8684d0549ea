"""What a CUDA graph may record: a draw that never waits for the device and works at the same place each time."""

import pytest
import torch
from support import contracts
from torch.utils._python_dispatch import TorchDispatchMode

import latticear as la
from latticear.random_numbers import uniforms
from latticear.sampling import Engine
from latticear.sampling.reference import Given, draw_reference
from latticear.sampling.schedule import schedule_of

HOST = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class _NeverWaits(TorchDispatchMode):
    """Raises at an operator whose result the host has to wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is torch.ops.aten.index.Tensor and any(i.dtype == torch.bool for i in args[1] if i is not None)
        if HOST & set(func.tags) and (by_mask or func is not torch.ops.aten.index.Tensor):
            raise AssertionError(f"the host waits at {func}")
        return func(*args, **(kwargs or {}))


def _model(**options):
    return contracts.peaked(la.PixelCNN((5, 6), 2, width=4, depth=3, kernel_size=3, **options), 0.5)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("holds", [True, False])
def test_a_draw_never_waits_for_the_device(flip, holds):
    model = _model(spin_flip_symmetric=flip, bias=la.Ising((5, 6)).bias(2.0))
    engine = Engine(model, schedule_of(model), 8, next(model.parameters()))
    given = Given(torch.zeros(8, 30, dtype=torch.long), torch.rand(8, 30) < 0.3) if holds else None
    u = uniforms(0, 0, 8, 30)
    expected = engine.draw(u, None, given)
    with torch.no_grad(), _NeverWaits():
        drawn = engine._draw(u, given)
    assert torch.equal(drawn.tokens, expected.tokens)


@pytest.mark.parametrize("wait", [lambda t: t.sum().item(), torch.nonzero, lambda t: t[t > 0]])
def test_the_check_sees_a_wait(wait):
    with pytest.raises(AssertionError, match="the host waits"), _NeverWaits():
        wait(torch.ones(3))


def test_memory_stays_where_it_is():
    model = _model()
    engine = Engine(model, schedule_of(model), 8, next(model.parameters()))

    def places():
        weights = [t.data_ptr() for w in engine.weights.values() for t in (*w.runs, w.bias)]
        return weights + [ring.data.data_ptr() for ring in engine.rings.values()]

    before = places()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-1.3)
    u = uniforms(0, 0, 8, 30)
    assert torch.equal(engine.draw(u).tokens, draw_reference(model, u).tokens)
    assert places() == before


@pytest.mark.gpu
@pytest.mark.parametrize("holds", [True, False])
def test_replays_are_draws(holds):
    model = _model().cuda()
    engine = Engine(model, schedule_of(model), 8, next(model.parameters()))
    for seed in range(3):
        u = uniforms(seed, 0, 8, 30, device="cuda")
        where = torch.rand(8, 30, device="cuda") < 0.3
        given = Given(torch.zeros(8, 30, dtype=torch.long, device="cuda"), where) if holds else None
        slow, fast = draw_reference(model, u, None, given), engine.draw(u, None, given)
        assert torch.equal(fast.tokens, slow.tokens)
        assert (fast.log_q - slow.log_q).abs().max() < 1e-10


@pytest.mark.gpu
def test_a_graph_that_was_recorded_in_inference_mode_serves_in_any_other():
    model = _model().cuda()
    with torch.inference_mode():
        first = model.sample(8, seed=1)
    again = model.sample(8, seed=1)
    assert torch.equal(first.tokens, again.tokens)
