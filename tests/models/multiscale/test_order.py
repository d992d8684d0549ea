"""The multiscale order: every site once, each given known ones, in as few phases as promised."""

import math
from itertools import pairwise, product

import pytest
import torch

from latticear.models.multiscale.order import Phase, multiscale_phases, rank_of

SHAPES = [*product(range(1, 6), repeat=2), (6, 6), (7, 5), (1, 13), (24, 16), (15, 17), (9, 32)]
BOUNDARIES = [(True, True), (False, False), (True, False)]
MERGED = [frozenset(), frozenset({"edges"}), frozenset({"edges", "faces"})]
N_TAPS = 24
CELLS = [((8, 8), (2, 2)), ((6, 10), (2, 2)), ((6, 6), (3, 3)), ((4, 6), (2, 3)), ((4, 5), (4, 5)), ((7, 1), (7, 1))]


def _places(sites: torch.Tensor, width: int, level: int) -> torch.Tensor:
    """(y, x) on the grid of a level."""
    return torch.stack([sites // width, sites % width], -1) >> level


def _bulk_offsets() -> dict[str, torch.Tensor]:
    """Where the taps of each kind of site lie, `(n_taps, 2)`, from one target in the middle of a large lattice."""
    found = {}
    for phase in multiscale_phases((64, 64), (False, False), N_TAPS):
        if phase.level == 0:
            targets = _places(phase.sites, 64, 0)
            middle = (targets - 32).abs().amax(1).argmin()
            found[phase.name] = _places(phase.taps[:, middle], 64, 0) - targets[middle]
    return found


@pytest.mark.parametrize("merged", MERGED, ids=lambda m: "-".join(sorted(m)) or "none")
@pytest.mark.parametrize("periodic", BOUNDARIES)
def test_every_site_is_drawn_once_after_its_taps(periodic: tuple[bool, bool], merged: frozenset[str]):
    for shape in SHAPES:
        phases = multiscale_phases(shape, periodic, N_TAPS, merged)
        assert torch.cat([phase.sites for phase in phases]).sort().values.tolist() == list(range(math.prod(shape)))
        rank = torch.cat([rank_of(phases, shape).flatten(), torch.tensor([-1])])  # what is not known, last
        assert [rank[phase.sites].unique().tolist() for phase in phases] == [[r] for r in range(len(phases))]
        assert phases[0].taps.shape == (0, 1)
        for phase in phases[1:]:
            assert (rank[phase.taps] < rank[phase.sites]).all()
            if phase.name in merged:
                assert not len(phase.taps)
            else:
                assert (phase.taps[0] < math.prod(shape)).all()
            assert phase.sites.tolist() == sorted(phase.sites.tolist())
        keys = [(phase.level, phase.name) for phase in phases]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("periodic", BOUNDARIES)
def test_taps_are_at_the_same_offsets_on_every_lattice_and_level(periodic: tuple[bool, bool]):
    """A site that is not known there, or beyond an open boundary, is the only difference."""
    offsets = _bulk_offsets()
    assert len(offsets) == 12
    assert all(len(taps) >= N_TAPS for taps in offsets.values())
    for shape in SHAPES:
        phases = multiscale_phases(shape, periodic, N_TAPS)
        rank = rank_of(phases, shape)
        for phase in phases[1:]:
            _check_taps(phase, offsets[phase.name], rank, shape, periodic)


def _check_taps(
    phase: Phase, offsets: torch.Tensor, rank: torch.Tensor, shape: tuple[int, int], periodic: tuple[bool, bool]
) -> None:
    extent = torch.tensor([-(-n // 2**phase.level) for n in shape])
    place_tn = _places(phase.sites, shape[1], phase.level) + offsets[:, None]
    inside = ((place_tn >= 0) & (place_tn < extent) | torch.tensor(periodic)).all(-1)
    y, x = ((place_tn % extent) << phase.level).unbind(-1)
    known = inside & (rank[y, x] < rank.flatten()[phase.sites])
    expected = torch.where(known, y * shape[1] + x, math.prod(shape))
    assert torch.equal(phase.taps, expected)


@pytest.mark.parametrize("cell", [(1, 1), (2, 2), (2, 4)])
def test_taps_are_the_nearest_known_sites(cell: tuple[int, int]):
    """All of them out to some distance, none beyond; the one that is certain comes first, then by distance."""
    n = 64
    phases = multiscale_phases((n, n), (False, False), N_TAPS, cell=cell)
    rank = rank_of(phases, (n, n))
    for phase in phases:
        if phase.level == 0:
            middle = (_places(phase.sites, n, 0) - n // 2).abs().amax(1).argmin()
            offsets = _places(phase.taps[:, middle], n, 0) - _places(phase.sites[middle], n, 0)
            distance = offsets.pow(2).sum(1)
            assert (distance[1:].diff() >= 0).all()
            known = (rank < rank.flatten()[phase.sites[middle]]).nonzero() - _places(phase.sites[middle], n, 0)
            within = known[known.pow(2).sum(1) <= distance.max()]
            assert sorted(within.tolist()) == sorted(offsets.tolist())
            assert (distance < distance.max()).sum() < N_TAPS <= len(distance)


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 16, 31, 64, 100, 128])
def test_phases_are_logarithmic(height: int):
    for width in (1, height, 2 * height):
        doublings = math.ceil(math.log2(max(height, width)))
        assert len(multiscale_phases((height, width), (True, True), N_TAPS)) <= 12 * doublings + 1
    lengths = [len(multiscale_phases((n, n), (True, True), N_TAPS)) for n in (16, 32, 64, 128)]
    assert [b - a for a, b in pairwise(lengths)] == [12, 12, 12]


def test_merged_sites_are_one_phase_of_the_finest_level():
    plain, both = (multiscale_phases((16, 16), (True, True), N_TAPS, merged) for merged in (MERGED[0], MERGED[2]))
    assert [p.name for p in both if p.level == 0] == ["face0", "face1", "face2", "face3", "faces", "edges"]
    assert len(both[-1].sites) == 128
    assert len(both[-2].sites) == 32
    for left, right in zip(plain, both[:-2], strict=False):
        assert left[:2] == right[:2]
        assert torch.equal(left.sites, right.sites)
        assert torch.equal(left.taps, right.taps)


def test_a_cell_orders_its_members_as_a_small_lattice():
    sites = [phase.sites.tolist() for phase in multiscale_phases((2, 4), (True, True), N_TAPS, cell=(2, 4))]
    small = torch.cat([phase.sites for phase in multiscale_phases((2, 4), (False, False), 1)])
    assert sites == [[s] for s in small.tolist()]


@pytest.mark.parametrize("n_last", [0, 1])
@pytest.mark.parametrize("periodic", BOUNDARIES)
@pytest.mark.parametrize(("shape", "cell"), CELLS)
def test_members_of_cells_come_one_after_another(shape, cell, periodic, n_last):
    """Every site once, after its taps; those of a phase are the same member of their cells."""
    phases = multiscale_phases(shape, periodic, N_TAPS, cell=cell, n_last=n_last)
    assert torch.cat([phase.sites for phase in phases]).sort().values.tolist() == list(range(math.prod(shape)))
    rank = torch.cat([rank_of(phases, shape).flatten(), torch.tensor([-1])])
    for k, phase in enumerate(phases):
        y, x = phase.sites // shape[1], phase.sites % shape[1]
        assert len(set(zip((y % cell[0]).tolist(), (x % cell[1]).tolist(), strict=True))) == 1
        assert (rank[phase.taps] < k).all()
        if k and phase.name != "last":
            assert (phase.taps[0] < math.prod(shape)).all()
    assert (phases[-1].name == "last") == bool(n_last)
    assert len({(phase.level, phase.name) for phase in phases}) == len(phases)
