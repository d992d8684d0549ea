"""PixelCNN++: its streams, its levels and both outputs, against the contract and against plain pictures of them."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from support import contracts
from support.engines import draw_by_all
from torch import nn

import latticear as la
from latticear.hamiltonians import Ising
from latticear.kernels.library import instruction_sets
from latticear.models import PixelCNNPlusPlus, check_autoregressive, model_from_dict
from latticear.models.pixelcnnpp import ShiftedConv2d, _Spread
from latticear.random_numbers import uniforms
from latticear.sampling import drawer
from latticear.sampling.receptive import dependences, field_of
from latticear.sampling.reference import Given, draw_reference
from latticear.sampling.schedule import schedule_of
from latticear.sampling.torch_engine import Engine
from latticear.sampling.tracing import trace

_small = functools.partial(PixelCNNPlusPlus, width=4, first_kernel_size=3)


def test_contract_of_the_mixture():
    """That of the defaults is in test_contract.py."""
    la.check_model(_small((2, 2), 3, output="logistic", n_mixtures=2))
    contracts.check_plain(functools.partial(_small, output="logistic", n_mixtures=2), (2, 4), 3)
    contracts.check_plain(functools.partial(_small, output="logistic", n_mixtures=1), (3, 3), 2)


@pytest.mark.parametrize(("shape", "levels"), [((3, 4), 2), ((4, 3), 2), ((5, 2), 3)])
def test_contract_of_the_levels(shape: tuple[int, int], levels: int):
    """On lattices of which something is left above the last row of the coarsest level."""
    contracts.check_gradients(_small(shape, 2, levels=levels, n_condition=2))
    model = contracts.peaked(_small(shape, 2, levels=levels))
    contracts.check_normalised(model)
    contracts.check_sampler(model)
    contracts.check_saved(model)
    contracts.check_flip(contracts.peaked(_small(shape, 2, levels=levels, spin_flip_symmetric=True)))
    contracts.check_condition(contracts.peaked(_small(shape, 2, levels=levels, n_condition=2)))


SHAPES = [(5, 7), (6, 4), (1, 6), (7, 1), (2, 9)]


@pytest.mark.parametrize(
    ("shape", "levels", "kernel_size"),
    [*((shape, levels, 3) for shape in SHAPES for levels in (1, 2, 3)), ((4, 5), 1, 5), ((4, 5), 2, 5), ((2, 9), 3, 5)],
)
def test_any_shape_is_causal_and_drawn_by_the_engines(shape: tuple[int, int], levels: int, kernel_size: int):
    model = _small(shape, 3, levels=levels, kernel_size=kernel_size)
    check_autoregressive(model, n_trials=1)
    assert schedule_of(model).in_time
    model = contracts.peaked(model, 0.7)
    u = uniforms(0, 0, 30, math.prod(shape))
    slow, fast = draw_reference(model, u), draw_by_all(model, u, native=levels == 1)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    assert len(slow.tokens.unique(dim=0)) > 1


@pytest.mark.parametrize(
    ("shape", "levels", "slope"),
    [((4, 12), 1, 6), ((3, 16), 2, 13), ((5, 5), 1, 5), ((2, 28), 3, 27)],
)
def test_the_stream_of_the_rows_above_runs_ahead(shape: tuple[int, int], levels: int, slope: int):
    """By a column for each layer up to the last of the coarsest level, in sites of the lattice: 1 + 2 + 1 + 4 x 2."""
    model = contracts.peaked(_small(shape, 2, levels=levels, n_condition=2, spin_flip_symmetric=True))
    assert schedule_of(model).slope == slope
    condition = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, generator = uniforms(0, 0, 20, math.prod(shape)), torch.Generator().manual_seed(1)
    held = Given(torch.randint(2, u.shape, generator=generator), torch.rand(u.shape, generator=generator) < 0.2)
    slow = draw_reference(model, u, condition, held)
    fast = draw_by_all(model, u, held, native=levels == 1, condition=condition)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    assert (fast.log_q_given - slow.log_q_given).abs().max() < 1e-10


def test_a_first_kernel_that_spans_the_lattice_leaves_no_blind_spot():
    model = PixelCNNPlusPlus((4, 5))
    assert model.first_kernel_size == 9
    raster = torch.arange(20)
    assert torch.equal(dependences(model, n_trials=1), raster[:, None] > raster)


def test_small_kernels_leave_no_blind_spot_within_reach():
    """The rows above are seen to both sides; the taps say what replacing tokens says."""
    model = _small((6, 9), 2)
    seen = dependences(model)
    for site in ((5, 4), (3, 1), (2, 8)):
        assert torch.equal(field_of(model, site).seen, seen[site[0] * 9 + site[1]].view(6, 9))
    assert seen[5 * 9 + 4].view(6, 9)[1:5].all()


def test_a_coarser_level_sees_further():
    near, far = (dependences(_small((12, 12), 2, levels=levels), n_trials=1)[-1].sum() for levels in (1, 2))
    assert far > near + 20


@pytest.mark.parametrize(("stream", "n_taps"), [("down", 6), ("down-right", 4)])
@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (1, 3)])
def test_a_shifted_convolution_is_the_sum_over_its_taps(stream: str, n_taps: int, shape: tuple[int, int]):
    layer = ShiftedConv2d(2, 3, 3, stream).double()
    x = torch.randn(2, 2, *shape, dtype=torch.float64)
    assert len(layer.offsets) == n_taps
    assert all(dy <= 0 and (dx <= 0 or stream == "down") for dy, dx in layer.offsets)
    expected = layer.bias.view(-1, 1, 1).expand(2, 3, *shape).clone()
    for (dy, dx), weight in zip(layer.offsets, layer.tap_weights(), strict=True):
        for y in range(shape[0]):
            for j in range(shape[1]):
                if 0 <= y + dy < shape[0] and 0 <= j + dx < shape[1]:
                    expected[:, :, y, j] += x[:, :, y + dy, j + dx] @ weight
    assert (layer(x) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("stream", ["down", "down-right"])
@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (3, 2)])
def test_a_stride_keeps_every_second_site_and_spacing_counts_sites_of_the_lattice(stream, shape):
    plain, strided, spaced = (
        ShiftedConv2d(2, 3, 3, stream, **options).double() for options in ({}, {"stride": 2}, {"spacing": 4})
    )
    strided.load_state_dict(plain.state_dict())
    x = torch.randn(2, 2, *shape, dtype=torch.float64)
    assert (strided(x) - plain(x)[:, :, ::2, ::2]).abs().max() < 1e-12
    assert spaced.offsets == [(4 * dy, 4 * dx) for dy, dx in plain.offsets]


def test_what_is_held_for_four_sites_is_a_transposed_convolution():
    spread, x = _Spread((5, 7), 1), torch.randn(2, 12, 3, 4)
    weight = torch.eye(12).view(12, 3, 2, 2)
    assert (spread(x) - F.conv_transpose2d(x, weight, stride=2)[:, :, :5, :7]).abs().max() < 1e-6


class _Unshifted(PixelCNNPlusPlus):
    """Halves the lattice by a convolution that reads its own 2x2 sites: the usual mistake of a strided network."""

    def __init__(self, shape, n_tokens=2, **options):
        super().__init__(shape, n_tokens, width=4, levels=2, **options)
        self.body.coarser.before = nn.Conv2d(4, 4, 2, stride=2)


def test_an_unshifted_stride_is_found():
    with pytest.raises(ValueError, match="not autoregressive"):
        check_autoregressive(_Unshifted((4, 6)))


def test_which_engine_draws():
    """Plain levels and tokens go to the kernels; a level in between, or a mixture, to PyTorch."""
    for options, portable in (({}, False), ({"levels": 2}, True), ({"output": "logistic"}, True)):
        model = _small((4, 6), 2, **options)
        assert trace(model) is not None
        assert isinstance(drawer(model), Engine) is (portable or not instruction_sets())


def test_dropout_is_for_training_only():
    model = _small((4, 4), 2, dropout=0.5)
    nn.init.normal_(model.head.weight)
    tokens = torch.randint(2, (16, 4, 4), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(model.log_prob(tokens), model.log_prob(tokens))
    samples = model.sample(16, seed=0)
    assert model.training
    model.eval()
    with torch.no_grad():
        assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-4
        assert torch.equal(model.log_prob(tokens), model.log_prob(tokens))
    assert model_from_dict(model.to_dict()).dropout == 0.5


@pytest.mark.parametrize(("output", "n_tokens"), [("categorical", 2), ("categorical", 5), ("logistic", 5)])
def test_a_fresh_model_is_nearly_uniform(output: str, n_tokens: int):
    model = PixelCNNPlusPlus((6, 6), n_tokens, output=output)
    tokens = torch.randint(n_tokens, (64, 6, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        per_site = model.log_prob(tokens) / 36 + math.log(n_tokens)
    assert per_site.abs().max() < 0.2


def test_logits_of_a_mixture_are_log_probabilities_of_levels():
    """Of one logistic: the levels between the tails have a single peak."""
    model = contracts.peaked(_small((4, 4), 9, output="logistic", n_mixtures=1))
    tokens = torch.randint(9, (200, 4, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.logits(tokens)
    assert logits.shape == (200, 9, 4, 4)
    assert logits.logsumexp(1).abs().max() < 1e-12
    inner = logits[:, 1:-1]
    assert (inner[:, 1:-1] > torch.minimum(inner[:, :-2], inner[:, 2:]) - 1e-9).all()


def test_a_bias_is_added_to_both_outputs():
    ising = Ising((3, 4))
    for output in ("categorical", "logistic"):
        model = _small((3, 4), 2, output=output, n_mixtures=2, levels=2, bias=ising.bias(2.0), spin_flip_symmetric=True)
        check_autoregressive(model, n_trials=1)
        big = contracts.peaked(model)
        contracts.check_normalised(big)
        contracts.check_flip(big)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width and depth must be at least 1"),
        ({"depth": 0}, "width and depth must be at least 1"),
        ({"levels": 0}, "levels must be at least 1"),
        ({"levels": 3}, "leave more than one site, got 3"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"first_kernel_size": 4}, "kernel_size must be odd"),
        ({"first_kernel_size": 1}, "first_kernel_size must be at least 3"),
        ({"output": "gaussian"}, 'output must be "categorical" or "logistic"'),
        ({"output": "logistic", "n_mixtures": 0}, "n_mixtures >= 1"),
    ],
)
def test_bad_arguments(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PixelCNNPlusPlus((3, 4), **arguments)


@pytest.mark.parametrize(("kernel_size", "stream", "message"), [(2, "down", "odd"), (3, "up", "stream must be one of")])
def test_bad_layers(kernel_size: int, stream: str, message: str):
    with pytest.raises(ValueError, match=message):
        ShiftedConv2d(1, 1, kernel_size, stream)
