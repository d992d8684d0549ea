"""Taps on lattices with an odd periodic extent: the known sites truly nearest to each target."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

import latticear as la
from latticear.models import model_from_dict
from latticear.models.multiscale.nearest import has_seam, with_nearest_taps
from latticear.models.multiscale.order import multiscale_phases, rank_of
from latticear.runs.config import brought_up_to_date, parse_config

BOTH = (True, True)


def _squared(a: int, b: int, shape: tuple[int, int], periodic: tuple[bool, bool]) -> int:
    """The squared distance of two sites, around the boundary where it is periodic."""
    apart = [abs(p - q) for p, q in zip(divmod(a, shape[1]), divmod(b, shape[1]), strict=True)]
    return sum(min(d, n - d) ** 2 if wraps else d**2 for d, n, wraps in zip(apart, shape, periodic, strict=True))


@pytest.mark.parametrize(
    ("shape", "periodic"), [((5, 5), BOTH), ((7, 4), BOTH), ((3, 8), (True, False)), ((9, 6), (False, True))]
)
def test_taps_are_the_nearest_sites_of_earlier_phases(shape, periodic):
    phases, n_taps = multiscale_phases(shape, periodic, 6), 6
    groups = with_nearest_taps(phases, shape, periodic, n_taps)
    assert sorted(torch.cat([group.sites for group in groups]).tolist()) == list(range(math.prod(shape)))
    rank = rank_of(phases, shape).flatten()
    for group in groups[1:]:
        for site, taps in zip(group.sites.tolist(), group.taps.T.tolist(), strict=True):
            known = (rank < rank[site]).nonzero()[:, 0].tolist()
            distances = sorted(_squared(site, other, shape, periodic) for other in known)
            bound = distances[min(n_taps, len(known)) - 1]
            wanted = {other for other in known if _squared(site, other, shape, periodic) <= bound}
            assert len(taps) == len(set(taps))
            assert set(taps) == wanted
            apart = [_squared(site, tap, shape, periodic) for tap in taps]
            assert apart == sorted(apart)  # the first one, to which spins are compared, is the nearest


def test_targets_share_a_perceptron_where_and_only_where_their_surroundings_are_equal():
    shape = (21, 21)
    groups = with_nearest_taps(multiscale_phases(shape, BOTH, 8), shape, BOTH, 8)
    for group in groups[1:]:
        dy = (group.taps // 21 - group.sites // 21) % 21
        dx = (group.taps % 21 - group.sites % 21) % 21
        assert (dy == dy[:, :1]).all()
        assert (dx == dx[:, :1]).all()
    assert len(groups) < 21 * 21 / 2  # far from the seam they are
    assert max(len(group.sites) for group in groups) > 4


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 4)])
def test_a_network_on_an_odd_torus_is_autoregressive_and_draws_what_it_states(shape):
    ising = la.Ising(shape)
    model = la.MultiscalePixelCNN(shape, width=5, depth=1, spin_flip_symmetric=True, bias=ising.bias(2.0)).double()
    assert model.taps == "nearest"
    la.check_autoregressive(model)
    samples = model.sample(200, seed=3)
    assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-10


def test_probabilities_on_an_odd_torus_sum_to_one():
    model = la.MultiscalePixelCNN((3, 3), width=5, depth=1, bias=la.Ising((3, 3), field=0.2).bias(2.0)).double()
    every = torch.tensor(list(product((0, 1), repeat=9)), dtype=torch.uint8).view(-1, 3, 3)
    assert model.log_prob(every).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_far_from_the_seam_conditionals_follow_from_the_energy():
    shape = (9, 9)
    phases = la.MultiscalePixelCNN(shape, spin_flip_symmetric=True, bias=la.Ising(shape).bias(2.0)).phases.values()
    exact = sum(len(phase.sites) for phase in phases if phase.network is None)
    assert exact > 81 / 2  # a regular order has one exact site on this lattice, the first


@pytest.mark.parametrize(
    ("shape", "periodic", "taps"),
    [((8, 6), True, "regular"), ((8, 5), True, "nearest"), ((8, 5), (True, False), "regular")],
)
def test_taps_follow_from_the_boundary(shape, periodic, taps):
    around = (periodic, periodic) if isinstance(periodic, bool) else periodic
    assert la.MultiscalePixelCNN(shape, periodic=periodic).taps == taps
    assert has_seam(shape, around) == (taps == "nearest")
    tree = {"hamiltonian": {"shape": list(shape), "periodic": list(around)}, "model": {"name": "multiscale"}}
    assert parse_config(tree).model["taps"] == taps


def test_networks_of_earlier_versions_keep_their_order():
    model = la.MultiscalePixelCNN((5, 5), taps="regular")
    described = model.to_dict()
    del described["taps"]
    assert list(model_from_dict(described).state_dict()) == list(model.state_dict())
    tree = parse_config({"hamiltonian": {"shape": [5, 5]}, "model": {"name": "multiscale"}}).to_dict()
    assert tree["model"].pop("taps") == "nearest"
    assert parse_config(brought_up_to_date(tree)).model["taps"] == "regular"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taps": "nearby"}, r"taps must be one of \['regular', 'nearest'\], got 'nearby'"),
        ({"taps": "nearest", "cell": (2, 2)}, "taps must be regular with a unit cell of several sites"),
    ],
)
def test_wrong_taps_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        la.MultiscalePixelCNN((4, 4), **options)
