"""Several tokens a site: the contract, the masks of groups of channels, and what is refused."""

import functools
import math

import pytest
import torch
from support import contracts
from support.engines import draw_by_all
from support.networks import NETWORKS, WIDEST, OwnGroup
from torch import nn

from latticear.hamiltonians import Ising
from latticear.models import (
    GatedPixelCNN,
    MaskedConv2d,
    PixelCNN,
    check_autoregressive,
    model_from_dict,
)
from latticear.models.layers import MASKS
from latticear.random_numbers import uniforms
from latticear.sampling.receptive import dependences, field_of, summary
from latticear.sampling.reference import draw_reference
from latticear.training import fit


def _small(network, shape, n_tokens, **options):
    return network(shape, n_tokens, **{"width": 6, "depth": 2, WIDEST[network]: 3, **options})


def _build(network):
    def build(shape, n_tokens, **options):
        return network(shape, n_tokens, **{"width": 12, "depth": 2, **options})

    return build


@pytest.mark.parametrize("network", NETWORKS)
def test_contract(network):
    shape, q, n_components = ((2, 1), 3, 3) if network is GatedPixelCNN else ((2, 3), 2, 2)
    contracts.check_components(_build(network), shape, q, n_components)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("shape", "q"), [((2, 2), 3), ((2, 1), 8)])
def test_contract_without_options(network, shape, q):
    contracts.check_plain(functools.partial(_build(network), n_components=2), shape, q)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("shape", "q", "n_components"), [((1, 1), 8, 3), ((1, 1), 40, 2), ((1, 2), 8, 2)])
def test_few_sites(network, shape, q, n_components):
    """So few that a stack which sees the rows above sees nothing."""
    model = contracts.peaked(network(shape, q, width=12, depth=2, n_components=n_components))
    contracts.check_normalised(model)
    contracts.check_sampler(model)


@pytest.mark.parametrize("network", NETWORKS)
def test_many_tokens_and_three_components(network):
    """The images of the papers: 256 values of three colours. Each conditional is normalised; so is the product."""
    model = contracts.peaked(_small(network, (4, 5), 256, n_components=3, spin_flip_symmetric=True, n_condition=2), 0.5)
    u, condition = uniforms(0, 0, 3, 60), torch.randn(3, 2, dtype=torch.float64)
    drawn = draw_by_all(model, u, condition=condition)
    assert torch.equal(drawn.tokens, draw_reference(model, u, condition).tokens)
    assert drawn.tokens.shape == (3, 3, 4, 5)
    assert drawn.tokens.max() > 127
    with torch.no_grad():
        assert (model.log_prob(drawn.tokens, condition) - drawn.log_q).abs().max() < 1e-9
        assert (model.log_prob(255 - drawn.tokens, condition) - drawn.log_q).abs().max() < 1e-9
    contracts.check_gradients(_small(network, (4, 5), 256, n_components=3))


@pytest.mark.parametrize("network", NETWORKS)
def test_many_tokens_are_causal(network):
    check_autoregressive(_small(network, (1, 2), 256, n_components=3), n_trials=1)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("n_components", [2, 3])
def test_all_that_precedes_is_seen_and_nothing_else(network, n_components):
    """A first layer that spans the lattice leaves no blind spot, in space or among components."""
    model = network((2, 3), 2, width=12, depth=2, n_components=n_components, **{WIDEST[network]: None})
    site, component = torch.arange(6 * n_components) % 6, torch.arange(6 * n_components) // 6
    order = site * n_components + component
    assert torch.equal(dependences(model, n_trials=10), order < order[:, None])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_field_of_a_site_is_that_of_all_its_components(network):
    model = _small(network, (4, 5), 2, width=12, n_components=2)
    moved = dependences(model, n_trials=10).view(2, 20, 2, 20).any(0).any(1)
    moved &= ~torch.eye(20, dtype=torch.bool)
    fields = [field_of(model, divmod(site, 5)) for site in range(20)]
    assert torch.equal(torch.stack([field.seen.flatten() for field in fields]), moved)
    assert summary(model)["sees"] < 1


@pytest.mark.parametrize("mask_type", [name for name in MASKS if not name.startswith("vertical")])
@pytest.mark.parametrize(("n_components", "n_parts"), [(2, 1), (3, 1), (2, 2), (3, 2)])
def test_what_a_group_reads(mask_type, n_components, n_parts):
    """Found by changing one channel of one pixel at a time."""
    layer = MaskedConv2d(
        2 * n_components, 3 * n_components * n_parts, 3, mask_type, n_components=n_components, n_parts=n_parts
    )
    nn.init.uniform_(layer.weight, 1, 2)
    pixels = torch.eye(2 * n_components * 25).view(-1, 2 * n_components, 5, 5)
    moved = ((layer(pixels) - layer(0 * pixels[:1]))[:, :, 2, 2] > 0.5).view(2 * n_components, 5, 5, -1)
    outputs, inputs = torch.arange(moved.shape[-1]) % (3 * n_components) // 3, torch.arange(2 * n_components) // 2
    here = inputs[:, None] < outputs + mask_type.endswith("B")
    assert torch.equal(moved[:, 2, 2], here)
    rows_above = 0 if mask_type.startswith("horizontal") else 3
    assert moved.sum() == here.sum() + here.numel() * (1 + rows_above)
    assert moved[:, 2, 1].all()


def test_the_vertical_stack_reads_all_groups_above_and_none_of_its_own_site():
    layer = MaskedConv2d(4, 6, 3, "vertical-A", n_components=2)
    assert layer.own_site is None
    assert (0, 0) not in layer.offsets


@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("kernel_size", [1, 5])
def test_groups_start_with_signals_of_equal_size(mask_type, kernel_size):
    """He initialisation over the live weights of each group: every output has variance 2, but what reads nothing."""
    layer = MaskedConv2d(300, 300, kernel_size, mask_type, n_components=3)
    n_live = layer.tap_weights().ne(0).sum((0, 1))
    variance = layer.tap_weights().square().sum((0, 1))
    for group in range(3):
        reads = kernel_size > 1 or mask_type == "B" or group > 0
        assert (n_live[100 * group : 100 * group + 100] > 0).all() == reads
        assert abs(variance[100 * group : 100 * group + 100].mean().item() - 2 * reads) < 0.15


def test_masked_weights_have_no_influence_and_no_gradient():
    layer = MaskedConv2d(4, 6, 3, "A", n_components=2)
    x = torch.randn(1, 4, 5, 5)
    before, taps = layer(x), layer.tap_weights()
    with torch.no_grad():
        layer.weight[:, :, ~layer.mask] = float("nan")
        layer.weight[:, :, 1, 1] = torch.where(layer.own_site, layer.weight[:, :, 1, 1], float("nan"))
    after = layer(x)
    assert torch.equal(before, after)
    assert torch.equal(layer.tap_weights(), taps)
    after.sum().backward()
    assert torch.equal(layer.weight.grad[:, :, 1, 1] != 0, layer.own_site)


class _SecondFirst(PixelCNN):
    """Shows the first component the second."""

    def __init__(self, shape, n_tokens=2, **options):
        super().__init__(shape, n_tokens, width=6, depth=2, kernel_size=3, **options)
        self.layers[0].own_site[:3, n_tokens:] = True


@pytest.mark.parametrize(("network", "reader"), [(OwnGroup, 1), (_SecondFirst, 0)])
def test_a_leak_among_components_is_found_and_named(network, reader):
    model = network((2, 3), n_components=2)
    with pytest.raises(ValueError, match="not autoregressive") as error:
        check_autoregressive(model)
    assert f"logits of component {reader} of site (0, 0) (rank 0)" in str(error.value)
    assert "token of component 1 of site (0, 0) (rank 0)" in str(error.value)


@pytest.mark.parametrize("network", NETWORKS)
def test_one_component_is_the_network_without(network):
    """Parameters, their names, their first values and their order."""
    plain = network((4, 5), 3)
    one = network((4, 5), 3, n_components=1)
    assert [*plain.state_dict()] == [*one.state_dict()]
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), one.state_dict().values(), strict=True))
    assert type(one.head) is nn.Conv2d
    assert not any("own_site" in name for name in one.state_dict())


def test_logits_have_a_place_for_components():
    model = PixelCNN((2, 3), 4, width=6, depth=2, n_components=3)
    tokens = torch.randint(4, (5, 3, 2, 3), generator=torch.Generator().manual_seed(0))
    logits = model.logits(tokens)
    assert logits.shape == (5, 4, 3, 2, 3)
    assert torch.equal(logits[:, :, 1], model._logits(tokens, None)[:, 4:8])
    log_q = model.log_prob(tokens)
    assert log_q.shape == (5,)
    chosen = logits.double().log_softmax(1).gather(1, tokens[:, None])
    assert (log_q - chosen.sum((1, 2, 3, 4))).abs().max() < 1e-12


@pytest.mark.parametrize("network", NETWORKS)
def test_a_fresh_network_is_close_to_uniform(network):
    tokens = torch.randint(4, (50, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    deviations = []
    for seed in range(10):
        log_q = network((4, 4), 4, width=12, n_components=3, seed=seed).log_prob(tokens)
        deviations.append((log_q / 48 + math.log(4)).abs().max().item())
    assert sum(deviations) / 10 < 0.15


def test_components_are_saved():
    model = GatedPixelCNN((2, 3), 3, width=6, n_components=2)
    assert model.to_dict()["n_components"] == 2
    assert model_from_dict(model.to_dict()).n_components == 2
    older = {name: value for name, value in model.to_dict().items() if name != "n_components"}
    assert model_from_dict(older).n_components == 1


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be at least 1, got 0"),
        ({"n_components": 5, "width": 32}, "divisible by n_components = 5, got 32; the nearest that are: 30 and 35"),
        ({"n_components": 5, "width": 3}, "divisible by n_components = 5, got 3; the nearest that are: 5 and 5"),
        (
            {"n_components": 2, "bias": Ising((3, 3)).bias(1.0)},
            "the bias is for n_components = 1, the model for n_components = 2",
        ),
    ],
)
def test_bad_arguments(network, options, message):
    with pytest.raises(ValueError, match=message):
        network((3, 3), 2, **options)


def test_channels_that_cannot_be_divided():
    with pytest.raises(ValueError, match="channels must come in n_components = 2 groups"):
        MaskedConv2d(4, 6, 3, "A", n_components=2, n_parts=2)
    with pytest.raises(ValueError, match="got in_channels=3"):
        MaskedConv2d(3, 6, 3, "A", n_components=2)


def test_a_hamiltonian_has_one_token_a_site():
    model = PixelCNN((4, 4), 2, width=4, depth=2, n_components=2)
    with pytest.raises(ValueError, match="with 2 tokens and 2 components, the Hamiltonian for shape"):
        next(fit(model, Ising((4, 4)), temperature=2.0, steps=1, batch_size=4))


def test_tokens_without_their_components():
    model = PixelCNN((3, 3), 2, width=4, depth=2, n_components=2)
    with pytest.raises(ValueError, match=r"tokens must have shape \('B', 2, 3, 3\), got \(2, 3, 3\)"):
        model.log_prob(torch.zeros(2, 3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"given must have shape \(2, 3, 3\)"):
        model.sample(5, given=torch.zeros(3, 3, dtype=torch.long), where=torch.ones(3, 3, dtype=torch.bool))
