"""The receptive field from the taps is the one found by replacing tokens; what `info` says about it is counted anew."""

import warnings

import pytest
import torch
from support import contracts, tiny
from support.networks import Leaky, Residual, TwoStacks
from support.verbs import succeed

import latticear as la
from latticear.models import AbstractModel
from latticear.sampling.receptive import ReceptiveFieldWarning, dependences, field_of, summary
from latticear.sampling.schedule import raster_rank


def _sites(model):
    return [divmod(site, model.shape[1]) for site in range(model.shape[0] * model.shape[1])]


def check_same(model: AbstractModel) -> None:
    """Ten sets of weights: a unit that is dead in one is alive in another."""
    fields = [field_of(model, site) for site in _sites(model)]
    from_taps = torch.stack([(field.seen | field.known).flatten() for field in fields])
    assert torch.equal(from_taps, dependences(model, n_trials=10))


def _model(shape, n_tokens=2, **options):
    return la.PixelCNN(shape, n_tokens, **{"width": 6, "depth": 3, **options})


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (7, 3), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, (7, 3, 1), (3, 1, 5), None])
def test_taps_and_replaced_tokens_agree(shape, kernel_size):
    check_same(_model(shape, kernel_size=kernel_size))


@pytest.mark.parametrize("n_tokens", [2, 3])
@pytest.mark.parametrize("flip", [True, False])
def test_tokens_and_symmetry(n_tokens, flip):
    check_same(_model((4, 6), n_tokens, depth=2, kernel_size=3, spin_flip_symmetric=flip))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sums_and_gates(depth):
    check_same(Residual((4, 6), 3, width=6, depth=3, kernel_size=(3, 1, 3)))


def test_stacks():
    check_same(TwoStacks((5, 6)))


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (5, 3)])
@pytest.mark.parametrize("periodic", [True, False, (True, False), (False, True)])
def test_the_bias_knows_its_bonds_to_lower_ranks(shape, periodic):
    ising = la.Ising(shape, periodic=periodic)
    model = _model(shape, depth=1, kernel_size=1, bias=ising.bias(2.0))
    for y, x in _sites(model):
        field = field_of(model, (y, x))
        assert not field.seen.any()  # kernels of 1 see nothing
        assert set(map(tuple, field.known.nonzero().tolist())) == _lower_neighbours(ising, model, y, x)
    check_same(_model(shape, depth=2, kernel_size=3, spin_flip_symmetric=True, bias=ising.bias(2.0)))


def _lower_neighbours(ising, model, y, x):
    width = model.shape[1]
    pairs = [tuple(divmod(end, width) for end in bond) for bond in ising.bonds.tolist()]
    neighbours = {b for a, b in pairs if a == (y, x)} | {a for a, b in pairs if b == (y, x)}
    return {site for site in neighbours if model.rank[site] < model.rank[y, x]}


def test_a_field_alone_tells_nothing_about_the_neighbours():
    ising = la.Ising((3, 4), coupling=0.0, field=0.3)
    assert not any(field_of(_model((3, 4), bias=ising.bias(2.0)), site).known.any() for site in [(0, 0), (2, 3)])


def test_a_wider_network_is_seen_as_wider():
    """Negative control: the field of one network is not that of another."""
    wide, narrow = _model((4, 5), kernel_size=5), _model((4, 5), kernel_size=3, depth=2)
    assert not torch.equal(dependences(wide, n_trials=10), dependences(narrow, n_trials=10))
    assert (dependences(wide, n_trials=10) | dependences(narrow, n_trials=10)).equal(dependences(wide, n_trials=10))


def test_the_blind_spot_of_small_kernels():
    """Two 3x3 layers: type A never steps straight to the right, so one row up there is one column less on that side."""
    field = field_of(_model((6, 9), depth=2, kernel_size=3), (4, 4))
    expected = torch.zeros(6, 9, dtype=torch.bool)
    expected[2, 2:7] = True
    expected[3, 2:6] = True
    expected[4, 2:4] = True
    assert torch.equal(field.seen, expected)
    assert torch.equal(field.earlier, raster_rank((6, 9), 9) < 4 * 9 + 4)
    assert torch.equal(field.blind_spot, field.earlier & ~expected)
    assert int(field.blind_spot.sum()) == 40 - 11


def test_the_default_network_has_no_blind_spot():
    model = _model((5, 4), kernel_size=None)
    assert not any(field_of(model, site).blind_spot.any() for site in _sites(model))


@pytest.mark.parametrize("site", [(4, 0), (0, 5), (-1, 0), (0, -1)])
def test_a_site_outside_the_lattice_is_refused(site):
    with pytest.raises(ValueError, match=r"site must be \(y, x\) on the 4 x 5 lattice"):
        field_of(_model((4, 5)), site)


def test_a_network_that_cannot_be_traced_has_no_field_but_a_summary():
    model = Leaky((3, 4), 2, width=4, depth=2)
    assert field_of(model, (0, 0)) is None
    assert summary(model) == {"slope": 4, "ticks": 12, "sees": None, "blind_spot": None, "reaches_across": None}
    assert dependences(model).any()


def test_dependences_leave_the_model_as_it_is():
    model = contracts.peaked(_model((3, 3)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    dependences(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_summary_in_numbers():
    small = summary(_model((6, 9), depth=2, kernel_size=3))
    # from the last site: its row 2 to the left, two rows of 3 above
    assert small == {"slope": 2, "ticks": 19, "sees": 8 / 53, "blind_spot": 31 - 11, "reaches_across": False}
    whole = summary(_model((6, 9), kernel_size=None))
    assert whole == {"slope": 9, "ticks": 54, "sees": 1.0, "blind_spot": 0, "reaches_across": True}


@pytest.mark.parametrize(
    ("shape", "periodic", "depth", "expected"),
    [
        ((4, 4), True, 1, True),  # the bias knows what the network does not see
        ((4, 4), False, 1, False),
        ((4, 4), (True, False), 1, False),
        ((4, 4), (False, True), 1, False),
        ((4, 4), False, 3, True),  # three layers reach three columns and rows
        ((4, 5), False, 3, False),
        ((5, 4), False, 3, False),
        ((1, 4), False, 3, True),
        ((1, 5), False, 3, False),
        ((4, 1), False, 3, True),
    ],
)
def test_reach_across_the_boundaries(shape, periodic, depth, expected):
    bias = la.Ising(shape, periodic=periodic).bias(2.0)
    assert summary(_model(shape, depth=depth, kernel_size=3, bias=bias))["reaches_across"] is expected


def test_summary_of_a_single_site():
    assert summary(_model((1, 1))) == {"slope": 1, "ticks": 1, "sees": 0.0, "blind_spot": 0, "reaches_across": True}


@pytest.mark.parametrize(
    ("model", "ticks"),
    [
        (la.MultiscalePixelCNN((8, 8), width=4), 1 + 3 + 8 + 12),
        (la.MultiscalePixelCNN((8, 8), width=4, bias=la.Ising((8, 8)).bias(2.0)), 1 + 3 + 8 + 6),
        (la.MultiscalePixelCNN((1, 6), width=4), 1 + 1 + 1 + 2),
        (la.MeanField((3, 4)), 1),
    ],
)
def test_an_order_of_its_own_has_no_slope(model, ticks):
    found = summary(model)
    assert (found["slope"], found["ticks"]) == (None, ticks)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: la.PixelCNN((6, 8), depth=3, kernel_size=3),
            r"CNN: .* 6x8 covers 4 of 6 rows and 4 of 8 columns;",
        ),
        (lambda: la.PixelCNN((4, 8), depth=3, kernel_size=3), r"covers 4 of 4 rows and 4 of 8 columns;"),
        (
            lambda: la.PixelCNN((6, 6), depth=2, kernel_size=3, bias=la.Ising((6, 6)).bias(2.0)),
            r"3 of 6 rows and 3 of 6 columns, apart from the neighbours whose bonds are in the bias;",
        ),
    ],
)
def test_a_network_that_cannot_see_across_says_so(build, words):
    with pytest.warns(ReceptiveFieldWarning, match=words) as caught:
        build()
    assert caught[0].filename == __file__  # points at who built it


@pytest.mark.parametrize(
    "build",
    [
        lambda: la.PixelCNN((6, 8)),
        lambda: la.PixelCNN((4, 4), depth=3, kernel_size=3),
        lambda: la.PixelCNN((1, 8), depth=1, kernel_size=15),
        lambda: la.MODELS["recurrent"]((6, 8), 2),
    ],
)
def test_others_say_nothing(build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()


def test_train_notes_it_once(tmp_path):
    options = [*tiny.OPTIONS[2:], "--size", "6", "--set", "model.kernel_size=3"]
    words = succeed("train", *options, "--out", tmp_path / "run")
    (note,) = [line for line in words.splitlines() if line.startswith("note: ")]
    assert "covers 3 of 6 rows" in note
    assert "note" not in succeed("estimate", tmp_path / "run", "-n", "100")
