"""Residual and gated networks: what they see, and that the compiled engine draws from them."""

import math

import pytest
import torch
from support import contracts

from latticear.kernels.library import instruction_sets
from latticear.models import GatedPixelCNN, PixelCNN, ResidualPixelCNN, check_autoregressive
from latticear.sampling import NativeEngine, drawer
from latticear.sampling.receptive import field_of
from latticear.sampling.schedule import schedule_of

NETWORKS = [PixelCNN, ResidualPixelCNN, GatedPixelCNN]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"n_condition": 2}, {"spin_flip_symmetric": True}])
def test_the_compiled_engine_draws(network, options):
    model = network((6, 7), 3, **options)
    assert isinstance(drawer(model), NativeEngine) or not instruction_sets()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("shape", "q"), [((1, 6), 2), ((6, 1), 3), ((2, 2), 8), ((5, 3), 8)])
def test_thin_lattices_and_many_tokens(network, shape, q):
    model = contracts.peaked(network(shape, q))
    check_autoregressive(model)
    contracts.check_sampler(model)


@pytest.mark.parametrize("depth", [2, 4])
def test_two_stacks_leave_no_blind_spot(depth):
    """Within their reach they see every earlier site; masked 3x3 layers alone do not."""
    gated = field_of(GatedPixelCNN((9, 9), 2, width=2, depth=depth, first_kernel_size=3), (8, 4))
    plain = field_of(PixelCNN((9, 9), 2, width=2, depth=depth, kernel_size=3), (8, 4))
    earlier = gated.earlier.nonzero().tolist()
    reach = [[y, x] for y, x in earlier if 8 - y <= depth and abs(x - 4) <= depth]
    assert gated.seen.nonzero().tolist() == reach
    assert plain.seen.sum() < gated.seen.sum()


@pytest.mark.parametrize(("depth", "slope"), [(1, 4), (3, 6), (5, 8)])
def test_the_vertical_stack_runs_ahead(depth, slope):
    """A 7x7 first layer, then one column for each of the others: the slope is depth + 3."""
    assert schedule_of(GatedPixelCNN((4, 20), 2, width=2, depth=depth)).slope == slope


@pytest.mark.parametrize("network", [ResidualPixelCNN, GatedPixelCNN])
def test_the_first_layer_spans_the_lattice_if_asked(network):
    option = "kernel_size" if network is ResidualPixelCNN else "first_kernel_size"
    model = network((5, 6), 2, width=3, depth=2, **{option: None})
    assert model.to_dict()[option] == 11
    assert not field_of(model, (4, 5)).blind_spot.any()


@pytest.mark.parametrize("network", [ResidualPixelCNN, GatedPixelCNN])
@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}, {"n_condition": -1}, {"kernel_size": 4}])
def test_bad_options(network, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        network((4, 4), 2, **options)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_fresh_network_is_close_to_uniform(network):
    """On average over initialisations, log q stays within about a nat of the 11 that 16 sites have."""
    tokens = torch.randint(2, (50, 4, 4), generator=torch.Generator().manual_seed(0))
    deviations = []
    for seed in range(20):
        log_q = network((4, 4), 2, seed=seed).log_prob(tokens)
        deviations.append((log_q + 16 * math.log(2)).abs().max().item())
    assert sum(deviations) / 20 < 1.2


@pytest.mark.parametrize("cls", [ResidualPixelCNN, GatedPixelCNN])
def test_the_head_has_a_width_of_its_own(cls):
    model = cls((3, 4), 2, width=4, head_width=10)
    assert (model.hidden.out_channels, model.head.in_channels) == (10, 10)
    contracts.check_sampler(contracts.peaked(model))
    assert contracts.peaked(model).head_width == 10
    with pytest.raises(ValueError, match="head_width must be at least 1, got 0"):
        cls((3, 4), 2, head_width=0)
    with pytest.raises(ValueError, match="head_width must be divisible by n_components = 2, got 3"):
        cls((3, 4), 2, width=4, head_width=3, n_components=2)
