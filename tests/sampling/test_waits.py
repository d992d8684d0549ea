"""What a draw waits for: on a GPU every number that Python looks at costs the time of many kernels."""

import pytest
import torch
from support.fake_device import fake_device

import latticear as la
from latticear.models import MODELS


def _model(name, extent):
    ising = la.Ising((extent, extent), field=0.1)
    if name == "tensor_network":
        return la.TensorNetwork(ising.shape, bias=ising.bias(2.3), bond_dimension=2)
    what, _, later = name.partition(" ")
    return MODELS[what](ising.shape, 2, bias=ising.bias(2.3, bond_dimension=2 if later else None))


def _waits(name, extent, **options):
    """Waits of the second block that a network draws on a device; the first one builds what draws."""
    with fake_device() as device:
        batches = _model(name, extent).cuda().sample_batches(128, seed=1, **options)
        next(batches)
        device.waits.clear()
        next(batches)
        return dict(device.waits)


@pytest.mark.parametrize("name", [*MODELS, "pixelcnn with later sites"])
def test_no_block_waits_for_the_device(name):
    """Neither for a site nor for a front nor for a phase: all of a block is queued at once."""
    if name == "mean_field":  # the plain loop, with a single rank for all sites
        assert sum(_waits(name, 3).values()) == sum(_waits(name, 4).values()) == 3
    else:
        assert _waits(name, 3) == {}


def test_conditions_and_held_sites_are_moved_once_not_for_each_block():
    where = torch.rand(3, 3) < 0.5
    assert _waits("pixelcnn", 3, given=torch.zeros(3, 3, dtype=torch.long), where=where) == {}
    assert _waits("multiscale", 3, given=torch.zeros(3, 3, dtype=torch.long), where=where) == {}


def test_the_plain_loop_waits_for_each_rank():
    """It is for comparison; and shows that waits are seen."""
    assert sum(_waits("pixelcnn", 3, method="reference").values()) > 9


@pytest.mark.parametrize(("name", "recorded"), [("pixelcnn", 1), ("gated", 1), ("transformer", 0), ("multiscale", 0)])
def test_what_is_recorded_as_a_graph(name, recorded):
    with fake_device() as device:
        model = _model(name, 3).cuda()
        model.sample(200, seed=1)
        assert device.captured == recorded
