"""The schedule: slopes and ready times against brute force over all pairs of sites."""

import itertools

import pytest
import torch
from torch import fx

import latticear as la
from latticear.sampling.schedule import raster_rank, schedule_of
from latticear.sampling.tracing import trace


# design: 3x3 layers 2; 7x7 first, then 3x3: 4; all 7x7: 4
@pytest.mark.parametrize(
    ("kernels", "slope"), [((3, 3, 3), 2), ((7, 3, 3), 4), ((7, 7, 7), 4), ((1, 1), 1), ((5, 3), 3)]
)
def test_slope(kernels, slope):
    model = la.PixelCNN((6, 9), 2, width=4, depth=len(kernels), kernel_size=kernels)
    assert schedule_of(model).slope == slope
    assert torch.equal(model.rank, raster_rank((6, 9), slope))
    la.check_autoregressive(model)  # sites of equal rank do not read each other


def test_the_default_network_is_drawn_in_raster_order():
    assert torch.equal(la.PixelCNN((3, 5), 2).rank, raster_rank((3, 5), 5))


@pytest.mark.parametrize("kernels", [(3,), (3, 3), (5, 3), (7, 1, 3)])
def test_no_smaller_slope_would_do(kernels):
    """By brute force: with one slope less, some site would read a token of its own front or a later one."""
    shape = (6, 9)
    model = la.PixelCNN(shape, 2, width=4, depth=len(kernels), kernel_size=kernels)
    slope = schedule_of(model).slope
    read = set(map(tuple, _receptive_field(model)))
    sites = list(itertools.product(range(shape[0]), range(shape[1])))

    def breaks(s):
        return any(
            (y + dy, x + dx) in sites and s * (y + dy) + x + dx >= s * y + x for y, x in sites for dy, dx in read
        )

    assert not breaks(slope)
    assert slope == 1 or breaks(slope - 1)


def _receptive_field(model):
    """Offsets that the logits depend on, from the taps of the layers."""
    field = {(0, 0)}
    for layer in reversed(model.layers[::2]):
        field = {(y + dy, x + dx) for y, x in field for dy, dx in layer.offsets}
    return field


def test_tokens_are_ready_one_tick_after_they_are_drawn():
    schedule = schedule_of(la.PixelCNN((6, 9), 2, width=4, depth=3, kernel_size=3))
    graph, times = schedule.graph, schedule.ready
    assert times[graph.nodes[0].name] == 1
    assert times[graph.nodes[-1].name] == 0
    assert all(time <= 1 for time in times.values())


def test_traces_leave_nothing_behind():
    """What PyTorch keeps of a trace, every later one would pay for: building networks became slower and slower."""
    trace(la.PixelCNN((3, 3), width=4, depth=2))
    kept = len(fx._symbolic_trace._wrapped_fns_to_patch)
    for _ in range(3):
        trace(la.PixelCNN((3, 3), width=4, depth=2))
    assert len(fx._symbolic_trace._wrapped_fns_to_patch) == kept
