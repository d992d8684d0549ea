"""Every model of the registry passes the contract; PixelCNN and its layers also their own checks."""

import dataclasses

import pytest
import torch
from support import contracts
from support.networks import Leaky

from latticear.exact import all_configurations
from latticear.hamiltonians import Ising
from latticear.models import MODELS, AbstractModel, MaskedConv2d, PixelCNN, check_autoregressive, model_from_dict
from latticear.models.layers import MASKS
from latticear.sampling.schedule import raster_rank


@pytest.mark.parametrize("n_tokens", [2, 3, 8])
@pytest.mark.parametrize("name", contracts.TRAINED)
def test_contract(name: str, n_tokens: int):
    contracts.check_model(MODELS[name], n_tokens)


@pytest.mark.parametrize("n_tokens", [2, 3])
@pytest.mark.parametrize("name", contracts.IN_RASTER_ORDER)
def test_contract_with_the_sum_over_later_sites(name: str, n_tokens: int):
    contracts.check_lookahead(MODELS[name], n_tokens)


@pytest.mark.slow  # the contract sums over 2x3, 2x5 and 4x3
@pytest.mark.parametrize("name", contracts.TRAINED)
def test_normalised_over_4x4(name: str):
    contracts.check_normalised(contracts.peaked(MODELS[name]((4, 4), 2)))


def test_normalised_over_3x3_with_three_tokens():
    contracts.check_normalised(contracts.peaked(PixelCNN((3, 3), 3, width=4, depth=2)))


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (2, 2), (1, 2)])
def test_chains_and_thin_lattices(shape: tuple[int, int]):
    model = contracts.peaked(PixelCNN(shape, 3, width=8, depth=2))
    contracts.check_normalised(model)
    contracts.check_sampler(model)


@pytest.mark.parametrize("kernel_size", [1, 3, 5, (7, 3, 1), None])
def test_kernels(kernel_size: int | tuple[int, ...]):
    model = PixelCNN((4, 6), 2, width=8, depth=3, kernel_size=kernel_size)
    check_autoregressive(model)
    contracts.check_sampler(contracts.peaked(model))


@pytest.mark.parametrize("dilation", [2, (1, 3, 1), (1, 2, 4)])
def test_dilations(dilation: int | tuple[int, ...]):
    model = PixelCNN((5, 7), 2, width=8, depth=3, kernel_size=3, dilation=dilation)
    check_autoregressive(model)
    contracts.check_sampler(contracts.peaked(model))


@pytest.mark.parametrize("mask_type", MASKS)
@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (5, 2)])
def test_what_a_mask_sees(mask_type: str, kernel_size: int, dilation: int):
    """The offsets are the pixels that a layer reads, found by changing them."""
    layer = MaskedConv2d(1, 1, kernel_size, mask_type, dilation).double()
    torch.nn.init.uniform_(layer.weight, 1, 2)
    pixels = torch.eye(15 * 15, dtype=torch.float64).view(-1, 1, 15, 15)
    moved = (layer(pixels) - layer(0 * pixels[:1]))[:, 0, 7, 7].view(15, 15).nonzero() - 7
    assert moved.tolist() == [list(offset) for offset in layer.offsets]
    first, inclusive = mask_type[0].isupper() or mask_type.startswith("vertical"), mask_type.endswith("B")
    reach = kernel_size // 2
    above = reach * kernel_size if first else 0
    own = (kernel_size if inclusive else 0) if mask_type.startswith("vertical") else reach + inclusive
    assert len(layer.offsets) == above + own
    assert all(dy % dilation == dx % dilation == 0 for dy, dx in layer.offsets)


def test_the_default_kernel_leaves_no_blind_spot():
    """The logits of a site depend on every site before it."""
    model = contracts.peaked(PixelCNN((3, 5), 2, width=8))
    assert model.kernel_size == (9, 3, 3)
    tokens = torch.randint(2, (20, 3, 5), generator=torch.Generator().manual_seed(0))
    for source in range(15):
        changed = tokens.clone()
        changed.flatten(1)[:, source] = 1 - changed.flatten(1)[:, source]
        moved = (model.logits(changed) - model.logits(tokens)).abs().amax((0, 1)).flatten() > 1e-9
        assert moved.tolist() == [reader > source for reader in range(15)]


def test_a_leak_is_found():
    with pytest.raises(ValueError, match="not autoregressive: the logits of site"):
        check_autoregressive(Leaky((3, 4), 2, width=8, depth=2))


class _SameRank(PixelCNN):
    """Declares an order in which a whole row is drawn at once, which the taps do not allow."""

    def _set_rank(self, rank):
        super()._set_rank(torch.arange(self.shape[0])[:, None].expand(self.shape).contiguous())


def test_a_wrong_rank_is_found():
    with pytest.raises(ValueError, match="not autoregressive"):
        check_autoregressive(_SameRank((3, 4), 2, width=8, depth=2))


@pytest.mark.parametrize(("mask_type", "live"), [("A", 4), ("B", 5)])
def test_masked_weights_have_no_influence_and_no_gradient(mask_type: str, live: int):
    layer = MaskedConv2d(2, 3, 3, mask_type)
    assert len(layer.offsets) == live
    x = torch.randn(1, 2, 5, 5)
    before = layer(x)
    with torch.no_grad():
        layer.weight[:, :, ~layer.mask] = float("nan")
    after = layer(x)
    assert torch.equal(before, after)
    after.sum().backward()
    assert (layer.weight.grad[:, :, ~layer.mask] == 0).all()
    assert (layer.weight.grad[:, :, layer.mask] != 0).all()
    assert "mask" in dict(layer.named_buffers())


def test_masked_convolution_is_the_sum_over_its_taps():
    layer = MaskedConv2d(2, 3, 5, "B").double()
    x = torch.randn(2, 2, 4, 6, dtype=torch.float64)
    expected = layer.bias.view(-1, 1, 1).expand(2, 3, 4, 6).clone()
    for dy, dx in layer.offsets:
        for y in range(4):
            for j in range(6):
                if 0 <= y + dy < 4 and 0 <= j + dx < 6:
                    expected[:, :, y, j] += x[:, :, y + dy, j + dx] @ layer.weight[:, :, dy + 2, dx + 2].T
    assert (layer(x) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("periodic", [True, False, (True, False)])
@pytest.mark.parametrize("coupling", [1.0, -0.7])
def test_bias_is_minus_beta_times_the_energy(periodic: bool | tuple[bool, bool], coupling: float):
    """Each bond counts once, at its end of higher rank, so the bias of the tokens drawn sums to -beta E."""
    ising = Ising((3, 4), coupling=coupling, field=0.3, periodic=periodic)
    raster = raster_rank((3, 4), 4)  # no ties
    bias = ising.bias(1.7)
    bias.attach(raster)
    tokens = all_configurations((3, 4), 2)
    chosen = bias(tokens).gather(1, tokens.long().unsqueeze(1)).sum((1, 2, 3))
    assert (chosen + ising.token_energy(tokens) / 1.7).abs().max() < 1e-12


@pytest.mark.parametrize("spin_flip_symmetric", [False, True])
def test_bias_keeps_the_model_exact(spin_flip_symmetric: bool):
    ising = Ising((3, 4))
    model = PixelCNN((3, 4), 2, width=8, depth=2, spin_flip_symmetric=spin_flip_symmetric, bias=ising.bias(2.0))
    check_autoregressive(model)
    big = contracts.peaked(model)
    contracts.check_normalised(big)
    contracts.check_sampler(big)
    contracts.check_saved(big)
    if spin_flip_symmetric:
        contracts.check_flip(big)


def test_a_tie_belongs_to_no_bond():
    ising = Ising((3, 4))
    bias = ising.bias(1.0)
    bias.attach(torch.zeros(3, 4, dtype=torch.long))
    assert (bias(torch.zeros(1, 3, 4, dtype=torch.long)) == 0).all()


def test_bias_stays_float64_with_the_model():
    model = PixelCNN((3, 3), 2, width=4, depth=2, bias=Ising((3, 3)).bias(2.0)).half().float()
    assert model.bias.energies.dtype == torch.float64
    assert model.head.weight.dtype == torch.float32


def test_spin_flip_is_exact_in_float32_to_rounding():
    model = PixelCNN((4, 4), 2, width=8, depth=3, spin_flip_symmetric=True)
    tokens = torch.randint(2, (32, 4, 4))
    assert (model.log_prob(tokens) - model.log_prob(1 - tokens)).abs().max() < 1e-5


def test_log_prob_is_float64_and_forward():
    model = PixelCNN((3, 3), 2, width=4, depth=2)
    tokens = torch.zeros(2, 3, 3, dtype=torch.uint8)
    assert model.log_prob(tokens).dtype == torch.float64
    assert torch.equal(model(tokens), model.log_prob(tokens))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"kernel_size": -1}, "kernel_size must be odd"),
        ({"kernel_size": (3, 3)}, "kernel_size must be one integer or depth = 3"),
        ({"n_tokens": 1}, "n_tokens must be at least 2"),
        ({"width": 0}, "width and depth must be at least 1"),
        ({"depth": 0}, "width and depth must be at least 1"),
        ({"shape": (3, 0)}, "shape must be two positive integers"),
        ({"bias": Ising((2, 2)).bias(1.0)}, "the bias is for shape"),
        (
            {"bias": Ising((3, 3), field=1.0).bias(1.0), "spin_flip_symmetric": True},
            "spin_flip_symmetric needs a Hamiltonian with that symmetry",
        ),
    ],
)
def test_bad_arguments(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        PixelCNN(**{"shape": (3, 3), **arguments})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(2, 3, 4, dtype=torch.long), r"tokens must have shape \('B', 3, 3\)"),
        (torch.zeros(3, 3, dtype=torch.long), "tokens must have shape"),
        (torch.zeros(2, 3, 3), "tokens must be integers"),
        (torch.full((2, 3, 3), 2), "convert spins to tokens by"),
        (-torch.ones(2, 3, 3, dtype=torch.long), "tokens must lie in 0..1"),
    ],
)
def test_bad_tokens(tokens: torch.Tensor, message: str):
    with pytest.raises(ValueError, match=message):
        PixelCNN((3, 3), 2, width=4, depth=2).log_prob(tokens)


def test_a_condition_that_the_model_does_not_have():
    model = PixelCNN((3, 3), 2, width=4, depth=2)
    with pytest.raises(ValueError, match="condition must have 0 entries"):
        model.log_prob(torch.zeros(1, 3, 3, dtype=torch.long), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="condition must have 0 entries"):
        model.sample(2, condition=torch.zeros(2))


def test_unknown_model_or_argument():
    with pytest.raises(ValueError, match="model must be one of"):
        model_from_dict({"name": "pixelcnm", "shape": [3, 3], "n_tokens": 2})
    with pytest.raises(ValueError, match="cannot be built from"):
        model_from_dict({"name": "pixelcnn", "shape": [3, 3], "n_tokens": 2, "widht": 3})


class _TwoComponents(AbstractModel):
    """Two tokens a site, the second a function of the first and of all earlier sites: the component contract."""

    name = "two_components"

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens, n_components=2)
        self.weight = torch.nn.Parameter(torch.tensor([0.8, -1.3]))
        self._set_rank(raster_rank(self.shape, self.shape[1]))

    def _logits(self, tokens, condition):
        x = tokens.to(self.weight.dtype)
        before = (x.sum(1).flatten(1).cumsum(1) - x.sum(1).flatten(1)).view(len(x), *self.shape)
        first = self.weight[0] * before
        second = self.weight[1] * (x[:, 0] - before)
        up = torch.stack([first, second], 1)
        return torch.stack([-up, up], 2).flatten(1, 2)


def test_components_have_their_place_in_the_contract():
    model = _TwoComponents((2, 2)).double()
    every = all_configurations((4, 2), 2).view(-1, 2, 2, 2)
    assert abs(model.log_prob(every).logsumexp(0).item()) < 1e-12
    samples = model.sample(100, seed=0)
    assert samples.tokens.shape == (100, 2, 2, 2)
    assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-12


class _Conditional(AbstractModel):
    """Independent sites whose field is the condition: the place of a condition in the contract."""

    name = "conditional"

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens, n_condition=1)
        self._set_rank(torch.zeros(self.shape, dtype=torch.long))

    def _logits(self, tokens, condition):
        up = condition.view(-1, 1, 1).expand(len(tokens), *self.shape)
        return torch.stack([-up, up], 1)


def test_conditions_have_their_place_in_the_contract():
    model = _Conditional((4, 4))
    condition = torch.linspace(-2, 2, 100)[:, None]
    samples = model.sample(100, seed=0, condition=condition)
    assert torch.equal(samples.condition, condition)
    assert (model.log_prob(samples.tokens, condition) - samples.log_q).abs().max() < 1e-6
    later = model.sample(50, seed=0, start=50, condition=condition[50:])
    assert torch.equal(later.tokens, samples.tokens[50:])
    up = samples.tokens.double().mean((1, 2))
    assert up[:20].mean() < 0.2 < 0.8 < up[-20:].mean()


def test_samples_slice_and_join():
    samples = PixelCNN((3, 3), 2, width=4, depth=2).sample(10)
    joined = type(samples).cat([samples[:4], samples[4:]])
    assert torch.equal(joined.tokens, samples.tokens)
    assert torch.equal(joined.log_q, samples.log_q)
    assert dataclasses.replace(samples, log_q=None)[:3].log_q is None
