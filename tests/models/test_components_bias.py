"""The known-neighbour term of sites with components: together they are the whole site, in every way to draw."""

import pytest
import torch
from support import contracts
from support.engines import engines
from support.networks import NETWORKS

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians import BoltzmannBias
from latticear.models import model_from_dict
from latticear.random_numbers import uniforms
from latticear.sampling import Engine, drawer
from latticear.sampling.probe import random_condition
from latticear.sampling.reference import Given, draw_reference

T = 2.1

WHOLES = {
    "ashkin-teller": (la.AshkinTeller((2, 3), coupling=0.8, four_spin=0.5), 2),
    "clock of eight": (la.Clock((2, 2), q=8, coupling=1.3), 3),
    "potts of nine": (la.Potts((2, 2), q=9, coupling=-1.0), 2),
    "a field": (
        la.PairHamiltonian(
            la.Lattice((2, 3), periodic=(True, False)),
            states=[0, 1, 2, 3],
            pair=[[0.4, 0.1, 0.0, -2.0], [0.1, -0.5, 0.3, 1.0], [0.0, 0.3, -1.0, 0.2], [-2.0, 1.0, 0.2, 0.7]],
            field=[[0.1, 0.2, 0.3], [0.0, 0.0, -0.4]],
            onsite=[0.0, 0.7, -0.2, 1.0],
        ),
        2,
    ),
}


def _build(network, system, temperature=T, **options):
    """A small network for a system, with its known-neighbour term."""
    options = {"width": 12, "depth": 2, "bias": system.bias(temperature), **options}
    return network(system.shape, system.n_tokens, n_components=system.n_components, **options)


def _silent(model):
    """Without weights: what is left is the bias."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    return model


def _in_one_order(network, system, joint, **options):
    """Silent networks with components and without, both in double precision."""
    pair = [_silent(_build(network, s, **options)).double() for s in (system, joint)]
    assert torch.equal(pair[0].rank, pair[1].rank)
    return pair


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", WHOLES)
def test_without_weights_it_is_the_network_with_one_token_a_site(network, name):
    joint, n_components = WHOLES[name]
    parts = la.Components(joint, n_components)
    tokens = all_configurations(joint.shape, joint.n_tokens)[:: 7 if joint.n_sites > 4 else 1]
    in_parts, whole = _in_one_order(network, parts, joint)
    with torch.no_grad():
        log_q = whole.log_prob(tokens)
        assert (in_parts.log_prob(parts.split(tokens)) - log_q).abs().max() < 1e-12
    assert log_q.max() - log_q.min() > 1


def test_each_site_is_the_whole_site():
    """Not only the product over all sites: the logits of a component, normalised, are sums over the later ones."""
    joint = la.AshkinTeller((2, 3), coupling=0.8, four_spin=0.5)
    parts = la.Components(joint)
    in_parts, whole = _in_one_order(la.PixelCNN, parts, joint)
    tokens = all_configurations((2, 3), 4)[::13]
    with torch.no_grad():
        p_site = whole.logits(tokens).softmax(1).unflatten(1, (2, 2))  # (B, a, b, H, W)
        p_part = in_parts.logits(parts.split(tokens)).softmax(1)  # (B, value, C, H, W)
    assert (p_part[:, :, 0] - p_site.sum(2)).abs().max() < 1e-12
    a = (tokens.long() // 2)[:, None, None].expand(-1, -1, 2, -1, -1)
    p_b_given_a = p_site.gather(1, a)[:, 0] / p_site.sum(2).gather(1, a[:, :, 0])
    assert (p_part[:, :, 1] - p_b_given_a).abs().max() < 1e-12


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("flips", [False, True])
def test_normalised_over_all_configurations(network, flips):
    system = la.Components(la.AshkinTeller((2, 2), four_spin=0.4))
    model = contracts.peaked(_build(network, system, spin_flip_symmetric=flips))
    tokens = contracts.every_configuration(model)
    assert tokens.shape == (256, 2, 2, 2)
    with torch.no_grad():
        log_q = model.log_prob(tokens)
    assert abs(log_q.logsumexp(0).item()) < 1e-12
    assert log_q.max() - log_q.min() > 2
    if flips:
        contracts.check_flip(model)


@pytest.mark.parametrize(("network", "name"), list(zip(2 * NETWORKS, 2 * list(WHOLES), strict=False)))
def test_contract(network, name):
    joint, n_components = WHOLES[name]
    model = contracts.peaked(_build(network, la.Components(joint, n_components)))
    la.check_autoregressive(model, n_trials=1)
    contracts.check_sampler(model)
    contracts.check_held(model)
    contracts.check_saved(model)
    ranged = _build(network, la.Components(joint, n_components), None, n_condition=1, n_condition_maps=1)
    contracts.check_condition(contracts.peaked(ranged))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(3, 7), (4, 3), (1, 6), (6, 1)])
def test_the_engine_draws_what_the_reference_draws(network, shape):
    """In wavefront and in raster order, free and with tokens held, at a temperature for each configuration."""
    periodic = (shape[0] > 1, shape[1] > 1)
    system = la.Components(la.Clock(shape, q=8, coupling=1.5, periodic=periodic), 3)
    options = {"n_condition": 1, "spin_flip_symmetric": True, "kernel_size": 3}
    if network is la.GatedPixelCNN:
        options["first_kernel_size"] = 3
    model = contracts.peaked(_build(network, system, None, **options), 0.7)
    (engine,) = engines(model, 20)  # the kernels in C know one token a site, and decline
    assert isinstance(engine, Engine)
    assert isinstance(drawer(model), Engine)
    generator = torch.Generator().manual_seed(0)
    u = uniforms(0, 0, 20, 3 * system.n_sites)
    condition = random_condition(model, 20, generator)
    held = Given(torch.randint(2, u.shape, generator=generator), torch.rand(u.shape, generator=generator) < 0.3)
    for fixed in (None, held):
        slow, fast = draw_reference(model, u, condition, fixed), engine.draw(u, condition, fixed)
        assert torch.equal(fast.tokens, slow.tokens)
        assert (fast.log_q - slow.log_q).abs().max() < 1e-10
        with torch.no_grad():
            stated = model.log_prob(slow.tokens, condition)
        assert (stated - slow.log_q - slow.log_q_given).abs().max() < 1e-10
    assert len(slow.tokens.unique(dim=0)) > 1


def test_a_temperature_for_each_configuration():
    """One network for a range is, at each temperature, the one for that temperature."""
    system = la.Components(la.AshkinTeller((2, 2), four_spin=0.4))
    ranged = _silent(_build(la.PixelCNN, system, None, n_condition=1)).double()
    tokens = contracts.every_configuration(ranged)
    for t in (0.7, 3.0):
        alone = _silent(_build(la.PixelCNN, system, t)).double()
        with torch.no_grad():
            condition = torch.full((256, 1), t, dtype=torch.float64)
            assert (ranged.log_prob(tokens, condition) - alone.log_prob(tokens)).abs().max() < 1e-12
    with pytest.raises(ValueError, match="must be positive, got -1"):
        ranged.log_prob(tokens[:1], torch.tensor([-1.0]))


def test_energies_stay_exact_in_a_network_of_another_type():
    system = la.Components(la.AshkinTeller((3, 4), four_spin=0.4))
    model = _build(la.PixelCNN, system).float()
    assert (model.bias.energies.dtype, model.bias.digits.dtype) == (torch.float64, torch.int64)
    samples, slow = (model.sample(300, seed=2, method=method) for method in ("wavefront", "reference"))
    assert (samples.tokens != slow.tokens).flatten(1).any(1).sum() <= 1  # a uniform within rounding of a probability
    assert samples.tokens.dtype == torch.uint8
    with torch.no_grad():
        assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-4


def test_saved_with_the_network():
    system = la.Components(la.AshkinTeller((2, 3), four_spin=0.4))
    model = _build(la.GatedPixelCNN, system)
    values = model.to_dict()
    assert values["bias"] == {"hamiltonian": system.to_dict(), "temperature": T}
    assert model_from_dict(values).to_dict() == values


@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
def test_cuda_is_the_cpu(network):
    model = contracts.peaked(_build(network, la.Components(la.Clock((4, 7), q=8), 3), spin_flip_symmetric=True), 0.7)
    here = model.sample(60, seed=0)
    there = model.cuda().sample(60, seed=0)
    assert torch.equal(there.tokens.cpu(), here.tokens)
    assert (there.log_q.cpu() - here.log_q).abs().max() < 1e-10


AT = la.AshkinTeller((3, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: la.PixelCNN((3, 3), 2, bias=la.Components(AT).bias(T)),
            "for n_components = 2, the model for n_comp.* = 1",
        ),
        (lambda: la.PixelCNN((3, 3), 2, n_components=4, bias=la.Components(AT).bias(T)), "for n_components = 4"),
        (
            lambda: la.PixelCNN((3, 3), 4, n_components=2, bias=la.Components(AT).bias(T)),
            "with 2 tokens, the model for",
        ),
        (lambda: la.PixelCNN((3, 4), 2, n_components=2, bias=la.Components(AT).bias(T)), r"bias is for shape \(3, 3\)"),
        (lambda: la.PixelCNN((3, 3), 4, n_components=2, bias=AT.bias(T)), "n_components = 1, the model for"),
        (
            lambda: la.PixelCNN((3, 3), 2, n_components=2, bias=la.Components(AT).bias()),
            "needs n_condition of at least 1",
        ),
        (
            lambda: la.MultiscalePixelCNN((4, 4), 2, bias=la.Components(la.AshkinTeller((4, 4))).bias(T)),
            "n_components = 2",
        ),
        (lambda: la.CausalTransformer((3, 3), 2, bias=la.Components(AT).bias(T)), "n_components = 2"),
        (lambda: la.Components(AT).bias(-1.0), "temperature must be positive"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_symmetry_that_the_components_do_not_have():
    system = la.Components(la.Potts((2, 2), q=4))
    assert system.spin_flip  # all states of a Potts model are equivalent
    tilted = la.Components(la.PairHamiltonian(la.Lattice((2, 2)), range(4), torch.eye(4), onsite=[0.0, 0.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="needs a Hamiltonian with that symmetry"):
        _build(la.PixelCNN, tilted, spin_flip_symmetric=True)


def test_one_token_a_site_is_as_it_was():
    bias = la.AshkinTeller((2, 3)).bias(T)
    assert type(bias) is BoltzmannBias
    assert (bias.n_components, bias.n_tokens) == (1, 4)
    assert bias(torch.zeros(5, 2, 3, dtype=torch.long)).shape == (5, 4, 2, 3)
