"""Networks that are not convolutions: mean field, MADE and the recurrent baseline."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from support import contracts
from support.engines import draw_by_all
from torch import nn

from latticear.exact import all_configurations
from latticear.hamiltonians import Ising
from latticear.models import MADE, AbstractModel, MeanField, RecurrentPixelRNN, check_autoregressive
from latticear.models.made import Previous, TriangularDense
from latticear.models.recurrent import GatedRecurrence2d
from latticear.random_numbers import uniforms
from latticear.sampling import Engine, Reference, drawer
from latticear.sampling.receptive import dependences
from latticear.sampling.reference import draw_reference
from latticear.sampling.schedule import schedule_of
from latticear.sampling.tracing import NEVER

BUILDS = {
    "mean-field": MeanField,
    "mixture": lambda shape, n_tokens: MeanField(shape, n_tokens, spin_flip_symmetric=True),
    "made": MADE,
    "made-1": lambda shape, n_tokens: MADE(shape, n_tokens, width=3, depth=1),
    "recurrent": lambda shape, n_tokens: RecurrentPixelRNN(shape, n_tokens, width=6),
    "recurrent-2": lambda shape, n_tokens: RecurrentPixelRNN(shape, n_tokens, width=5, depth=2, look_ahead=False),
}


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (2, 2), (1, 2), (2, 1), (1, 1), (5, 2), (3, 7)])
@pytest.mark.parametrize("name", BUILDS)
def test_chains_and_thin_lattices(name: str, shape: tuple[int, int]):
    """The engine draws the reference's tokens; those of the mixture and of MADE come one after the other."""
    model = contracts.peaked(BUILDS[name](shape, 3))
    check_autoregressive(model)
    contracts.check_sampler(model)
    assert isinstance(drawer(model), Reference if name == "mean-field" and math.prod(shape) > 1 else Engine | Reference)
    if math.prod(shape) <= 6:
        tokens = all_configurations(shape, 3)
        assert abs(model.log_prob(tokens).logsumexp(0).item()) < 1e-10


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("name", ["mean_field", "made", "recurrent"])
def test_everything_at_once(name: str, flip: bool):
    """Symmetry, bias, condition and sites held fixed: the engine gives what the reference gives."""
    cls = {"mean_field": MeanField, "made": MADE, "recurrent": RecurrentPixelRNN}[name]
    bias = Ising((3, 4)).bias(2.0)
    model = contracts.peaked(cls((3, 4), 2, spin_flip_symmetric=flip, bias=bias, n_condition=2))
    generator = torch.Generator().manual_seed(0)
    condition = torch.randn(100, 2, dtype=torch.float64, generator=generator)
    given, where = (torch.rand(2, 100, 3, 4, generator=generator) < 0.4).unbind()
    options = {"condition": condition, "given": given.long(), "where": where}
    fast, slow = model.sample(100, **options), model.sample(100, method="reference", **options)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    assert (fast.log_q_given - slow.log_q_given).abs().max() < 1e-10
    log_q = model.log_prob(fast.tokens, condition)
    assert (log_q - fast.log_q - fast.log_q_given).abs().max() < 1e-10
    if flip:
        assert (log_q - model.log_prob(1 - fast.tokens, condition)).abs().max() < 1e-10
        assert isinstance(drawer(model), Engine)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [(cls, {key: 0}) for cls in (MADE, RecurrentPixelRNN) for key in ("width", "depth")],
)
def test_bad_arguments(cls: type[AbstractModel], arguments: dict):
    with pytest.raises(ValueError, match="width and depth must be at least 1"):
        cls((3, 3), 2, **arguments)


# Mean field


def _set_field(model: MeanField, field: torch.Tensor) -> None:
    with torch.no_grad():
        (model.mixture if model.spin_flip_symmetric else model).field.copy_(field)


def test_mean_field_is_the_product_of_its_sites_drawn_in_one_pass():
    model = contracts.peaked(MeanField((2, 3), 3))
    tokens = all_configurations((2, 3), 3).long()
    log_p = model.field.log_softmax(0)
    expected = sum(log_p[tokens[:, y, x], y, x] for y in range(2) for x in range(3))
    assert (model.log_prob(tokens) - expected).abs().max() < 1e-12
    assert model.rank.unique().tolist() == [0]


@pytest.mark.parametrize("n_tokens", [2, 3])
def test_a_symmetric_mean_field_is_the_mixture_of_a_product_and_its_flip(n_tokens: int):
    one, both = MeanField((2, 3), n_tokens).double(), MeanField((2, 3), n_tokens, spin_flip_symmetric=True).double()
    field = torch.randn(n_tokens, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _set_field(one, field)
    _set_field(both, field)
    tokens = all_configurations((2, 3), n_tokens)
    straight, flipped = one.log_prob(tokens), one.log_prob(n_tokens - 1 - tokens)
    assert (both.log_prob(tokens) - torch.logaddexp(straight, flipped) + math.log(2)).abs().max() < 1e-12
    assert (straight - flipped).abs().max() > 1


def test_a_mixture_does_not_mix_its_signs():
    """Strongly magnetised: nearly every sample has one sign all over, and both are as frequent."""
    model = MeanField((8, 8), spin_flip_symmetric=True).double()
    _set_field(model, torch.tensor([-2.0, 2.0]).view(2, 1, 1))
    up = model.sample(400, seed=0).tokens.double().mean((1, 2))
    assert ((up - 0.5).abs() > 0.3).all()
    assert abs((up > 0.5).double().mean().item() - 0.5) < 4 * 0.5 / 20  # a false alarm in 16 000


def test_mean_field_is_exact_for_free_spins():
    """Without coupling, p(s) = e^(beta h s) / 2 cosh(beta h): by the logits, and by the bias with no weights at all."""
    free, beta = Ising((3, 3), coupling=0.0, field=0.7), 1 / 1.3
    tokens = all_configurations((3, 3), 2)
    log_p = -beta * free.energy(free.spins(tokens)) - 9 * math.log(2 * math.cosh(beta * 0.7))
    model, biased = MeanField((3, 3)).double(), MeanField((3, 3), bias=free.bias(1.3)).double()
    _set_field(model, beta * 0.7 * torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1))
    _set_field(biased, torch.zeros(2, 3, 3))
    for exact in (model, biased):
        assert (exact.log_prob(tokens) - log_p).abs().max() < 1e-12


@pytest.mark.parametrize(("temperature", "field"), [(3.0, 0.1), (5.0, 0.3)])
def test_mean_field_finds_the_self_consistent_magnetisation(temperature: float, field: float):
    """The least variational free energy is Weiss's, at `m = tanh(beta (4 J m + h))` on the square lattice."""
    ising, beta = Ising((3, 3), field=field), 1 / temperature
    tokens = all_configurations((3, 3), 2)
    energy, model = ising.energy(ising.spins(tokens)), MeanField((3, 3)).double()
    _set_field(model, torch.tensor([-0.1, 0.1], dtype=torch.float64).view(2, 1, 1))  # on the field's side
    options = {"tolerance_grad": 1e-12, "tolerance_change": 1e-15, "line_search_fn": "strong_wolfe"}
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=200, **options)

    def free_energy() -> torch.Tensor:
        optimiser.zero_grad()
        log_q = model.log_prob(tokens)
        value = (log_q.exp() * (beta * energy + log_q)).sum()
        value.backward()
        return value

    optimiser.step(free_energy)
    m = 0.9
    for _ in range(1000):
        m = math.tanh(beta * (4 * m + field))
    up, down = (1 + m) / 2, (1 - m) / 2
    weiss = beta * (-2 * m * m - field * m) + up * math.log(up) + down * math.log(down)
    magnetisation = model.field.softmax(0)[1].mul(2).sub(1)
    assert (magnetisation - m).abs().max() < 1e-5
    assert abs(free_energy().item() / 9 - weiss) < 1e-9
    exact = -torch.logsumexp(-beta * energy, 0).item()
    assert free_energy().item() > exact + 0.01  # Gibbs, Bogoliubov, Feynman


# MADE


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (4, 1), (2, 2)])
def test_previous_is_its_taps(shape: tuple[int, int]):
    """The pixels that it reads, found by changing them, are its offsets that lie inside the lattice."""
    n, layer = math.prod(shape), Previous(shape, 1)
    moved = layer(torch.eye(n).view(n, 1, *shape)).view(n, n)
    assert torch.equal(moved, torch.diag(torch.ones(n - 1), 1))
    expected = torch.zeros(n, n)
    for y, x in itertools.product(range(shape[0]), range(shape[1])):
        for dy, dx in layer.offsets:
            if y + dy >= 0 and 0 <= x + dx < shape[1]:
                expected[(y + dy) * shape[1] + x + dx, y * shape[1] + x] += 1
    assert torch.equal(moved, expected)


def test_a_triangular_layer_is_its_matrix_below_the_diagonal():
    layer = TriangularDense((3, 4), 2, 5).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(7, 2, 3, 4, dtype=torch.float64)
    mask = torch.ones(12, 12).tril().repeat_interleave(5, 0).repeat_interleave(2, 1).bool()
    flat = x.flatten(2).transpose(1, 2).flatten(1)
    expected = F.linear(flat, layer.weight * mask, layer.bias).view(7, 12, 5).transpose(1, 2).view(7, 5, 3, 4)
    assert (layer(x) - expected).abs().max() < 1e-12
    with torch.no_grad():
        layer.weight[~mask] = float("nan")
    after = layer(x)
    assert (after - expected).abs().max() < 1e-12
    after.square().sum().backward()
    assert ((layer.weight.grad != 0) == mask).all()


def test_made_sees_every_earlier_site_in_raster_order():
    model = MADE((3, 4), width=3)
    assert schedule_of(model).slope == 4
    moved = dependences(model)
    assert torch.equal(moved, torch.ones(12, 12).tril(-1).bool())


def test_made_represents_any_distribution_of_four_spins():
    """Fitted to a random one over its 16 states, `KL = 0` to rounding: each site has a unit for each past."""
    generator = torch.Generator().manual_seed(3)
    target = (2 * torch.randn(16, dtype=torch.float64, generator=generator)).log_softmax(0)
    tokens = all_configurations((2, 2), 2)
    model = MADE((2, 2), width=8, depth=1).double()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def divergence() -> torch.Tensor:
        optimiser.zero_grad()
        value = (target.exp() * (target - model.log_prob(tokens))).sum()
        value.backward()
        return value

    assert divergence().item() > 0.5
    optimiser.step(divergence)
    assert 0 <= divergence().item() + 1e-12 < 1e-8


# Recurrent


@pytest.mark.parametrize("look_ahead", [True, False])
@pytest.mark.parametrize("shape", [(3, 5), (4, 2), (1, 4), (4, 1)])
def test_a_recurrence_site_by_site(shape: tuple[int, int], look_ahead: bool):
    """The formula of the docstring, written as two loops."""
    n, (height, width) = 3, shape
    layer = GatedRecurrence2d(shape, n, look_ahead).double()
    nn.init.normal_(layer.weight)
    x = torch.randn(2, 2 * n, *shape, dtype=torch.float64)
    zero = torch.zeros(2, n, dtype=torch.float64)
    states: dict = {}
    for i, j in itertools.product(range(height), range(width)):
        near = [(i, j - 1), (i - 1, j), (i - 1, j + 1)][: 2 + look_ahead]
        h = torch.cat([states.get(site, zero) for site in near], 1) @ layer.weight.T
        u = torch.sigmoid(h[:, :n] + x[:, :n, i, j])
        c = torch.tanh(h[:, n : 2 * n] + x[:, n:, i, j])
        states[i, j] = u * c + (1 - u) * h[:, 2 * n :]
    expected = torch.stack([states[site] for site in itertools.product(range(height), range(width))], 2)
    assert (layer(x).flatten(2) - expected).abs().max() < 1e-12


@pytest.mark.parametrize(("look_ahead", "slope"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_slope_of_the_recurrence(look_ahead: bool, slope: int, depth: int):
    model = contracts.peaked(RecurrentPixelRNN((4, 6), width=4, depth=depth, look_ahead=look_ahead))
    assert schedule_of(model).slope == slope
    assert model.rank.max() + 1 == slope * 3 + 6
    u = uniforms(0, 0, 30, 24)
    assert torch.equal(draw_by_all(model, u, native=False).tokens, draw_reference(model, u).tokens)
    layer = model.layers[0]
    assert layer.ready(0, 1, (4, 6)) == (NEVER if look_ahead else 0)


def test_what_the_recurrence_sees():
    """All that is above and to the left; with look_ahead also the cone to the upper right."""
    for look_ahead in (True, False):
        model = RecurrentPixelRNN((4, 6), width=6, look_ahead=look_ahead)
        seen = dependences(model)[3 * 6 + 1].view(4, 6)
        reach = [1 + (3 - y) * look_ahead for y in range(3)]
        expected = torch.tensor([[x <= stop for x in range(6)] for stop in [*reach, 0]])
        assert torch.equal(seen, expected)
