"""The compiled phases of the multiscale order against PyTorch: tokens, log-probabilities, gradients."""

import pytest
import torch
from support import contracts
from support.claims import TEMPERATURE
from support.disorder import RandomTables
from torch import nn

import latticear as la
import latticear.models.multiscale.compiled
from latticear.kernels.library import instruction_sets
from latticear.models.multiscale.compiled import LANES
from latticear.random_numbers import uniforms
from latticear.sampling import drawer
from latticear.sampling.probe import randomise
from latticear.sampling.reference import Given

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not compiled")


def _model(shape: tuple[int, int], scale: float = 0.7, **options) -> la.MultiscalePixelCNN:
    """In float64, with large random weights."""
    return contracts.peaked(la.MultiscalePixelCNN(shape, 2, **{"width": 6, **options}), scale)


def _biased(shape: tuple[int, int], **options) -> la.MultiscalePixelCNN:
    return _model(shape, bias=la.Ising(shape, periodic=options.get("periodic", True)).bias(TEMPERATURE), **options)


def _disordered(further: tuple[tuple[int, int], ...] = (), **options) -> la.MultiscalePixelCNN:
    hamiltonian = RandomTables((4, 6), 2, further=further)
    model = la.MultiscalePixelCNN((4, 6), width=6, bias=hamiltonian.bias(TEMPERATURE), **options).double()
    randomise(model, torch.Generator().manual_seed(0))
    return model


def _stated(model: la.MultiscalePixelCNN, tokens: torch.Tensor) -> torch.Tensor:
    """log_q by PyTorch, from all logits at once."""
    return la.models.AbstractModel._log_prob(model, tokens, None, None)


def _u(model: la.MultiscalePixelCNN, n: int) -> torch.Tensor:
    return uniforms(1, 0, n, model.rank.numel())


def _check(model: la.MultiscalePixelCNN, n: int = LANES + 5, instruction_set: int = -1) -> None:
    """In the number type of the weights."""
    kernels, exact = model.kernels(), next(model.parameters()).dtype == torch.float64
    kernels.instruction_set = instruction_set
    u, weights = _u(model, n), torch.linspace(-1, 2, n, dtype=torch.float64)
    drawn, expected = kernels.draw(u), model.draw_block(u)
    same = (drawn.tokens == expected.tokens).all((1, 2))
    assert same.all() if exact else (~same).sum() <= 1  # a uniform within rounding of a probability
    tolerance = 1e-12 if exact else 1e-6
    assert ((drawn.log_q - expected.log_q) / expected.log_q)[same].abs().max() < tolerance
    assert (drawn.log_q_given == 0).all()
    stated = _stated(model, drawn.tokens)
    assert ((kernels.log_prob(drawn.tokens.flatten(1)) - stated) / stated).abs().max() < tolerance
    found = kernels.gradients(drawn.tokens.flatten(1), weights)
    gradients = torch.autograd.grad(stated, kernels.parameters, weights)
    for a, b in zip(found, gradients, strict=True):
        assert (a - b).abs().max() < (1e-10 if exact else 1e-5) * (1 + b.abs().max())


CASES = {
    "plain": lambda: _model((6, 6)),
    "symmetric": lambda: _model((6, 6), spin_flip_symmetric=True),
    "bias": lambda: _biased((6, 6)),
    "bias, symmetric": lambda: _biased((8, 8), spin_flip_symmetric=True),
    "odd": lambda: _biased((5, 7), spin_flip_symmetric=True),
    "open": lambda: _biased((6, 5), periodic=False),
    "open along x": lambda: _model((4, 6), periodic=(True, False)),
    "two rows": lambda: _biased((2, 6)),
    "one row": lambda: _model((1, 7)),
    "field": lambda: _model((6, 6), bias=la.Ising((6, 6), field=0.3).bias(TEMPERATURE)),
    "disorder": lambda: _disordered(),
    "eight neighbours": lambda: _disordered(((1, 1), (1, -1))),
    "site by site": lambda: _disordered(translation_invariant=False),
    "deep": lambda: _biased((4, 4), depth=4, width=3, n_taps=5),
    "shallow": lambda: _biased((4, 4), depth=1, width=1, n_taps=1),
    "wide": lambda: _model((4, 4), width=33, n_taps=40, scale=0.5),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernels_are_pytorch(case):
    model = case()
    _check(model)
    _check(model.float())


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set(name: str, dtype: torch.dtype):
    for options in ({"width": 5, "n_taps": 7}, {"width": 18, "spin_flip_symmetric": True}):
        _check(_biased((6, 6), **options).to(dtype), instruction_set=instruction_sets().index(name))


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, 3 * LANES + 1])
def test_any_number_of_configurations(n: int):
    _check(_biased((4, 6)), n)


def test_no_configurations():
    model = _biased((4, 4))
    kernels, none = model.kernels(), torch.zeros(0, 16, dtype=torch.long)
    assert kernels.draw(_u(model, 0)).tokens.shape == (0, 4, 4)
    assert kernels.log_prob(none).shape == (0,)
    assert not any(gradient.any() for gradient in kernels.gradients(none, torch.zeros(0, dtype=torch.float64)))


@pytest.mark.parametrize("case", [CASES["plain"], CASES["bias, symmetric"]], ids=["plain", "bias, symmetric"])
def test_held_sites(case):
    model = case()
    n, n_sites = LANES + 9, model.rank.numel()
    given = Given(torch.randint(2, (n, n_sites)), torch.rand(n, n_sites) < 0.4)
    drawn, expected = (draw(_u(model, n), None, given) for draw in (model.kernels().draw, model.draw_block))
    assert torch.equal(drawn.tokens, expected.tokens)
    assert (drawn.log_q - expected.log_q).abs().max() < 1e-11
    assert (drawn.log_q_given - expected.log_q_given).abs().max() < 1e-11
    contracts.check_held(model)


@pytest.mark.parametrize("case", [CASES["odd"], CASES["field"]], ids=["odd", "field"])
def test_some_sites(case, monkeypatch):
    """Those of a step, some of them, and none, in any order; what is drawn later may hold anything."""
    model = case()
    n, n_sites = LANES + 3, model.rank.numel()
    every, generator = torch.arange(n_sites), torch.Generator().manual_seed(0)
    choices = [every[torch.randperm(n_sites, generator=generator)][:m] for m in (n_sites, 7, 0)]
    choices += [step.sites for step in model.steps]
    tokens = torch.randint(2, (n, n_sites), generator=generator)
    found = []
    for by_kernels in (True, False):
        assert (model.kernels() is not None) == by_kernels
        board, results = model.board(tokens.clone()), []
        for sites in choices:
            results.append(model.redraw(board, sites, _u(model, n)[:, : len(sites)]))
            results += [board.tokens.clone(), board.inputs.clone(), model.log_prob_of(board, sites)]
        found.append(results)
        monkeypatch.setattr(la.MultiscalePixelCNN, "kernels", lambda model: None)
    for drawn, expected in zip(*found, strict=True):
        assert (drawn - expected).abs().max() < 1e-12 * n_sites


def test_threads_and_numbers_change_nothing():
    """In float32, bit for bit."""
    model = _biased((8, 8), width=16, spin_flip_symmetric=True).float()
    kernels, u = model.kernels(), _u(model, 2000)
    whole = kernels.draw(u)
    tokens, weights = whole.tokens.flatten(1), torch.randn(2000, dtype=torch.float64)
    gradients = kernels.gradients(tokens, weights)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for part in (slice(0, 1), slice(3, 1130), slice(1999, 2000)):
                drawn = kernels.draw(u[part])
                assert torch.equal(drawn.tokens, whole.tokens[part])
                assert torch.equal(drawn.log_q, whole.log_q[part])
                assert torch.equal(kernels.log_prob(tokens[part]), whole.log_q[part])
            again = kernels.gradients(tokens, weights)
            assert all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))
    finally:
        torch.set_num_threads(before)


def test_many_sites_and_certain_ones():
    """The product of the normalisations would leave the range of numbers; odds of e^1000 are no number either."""
    model = _model((40, 40), width=2, n_taps=3, scale=0.1)
    _check(model, 3)
    with torch.no_grad():
        for phase in model.phases.values():
            phase.network.bias.copy_(torch.tensor([-500.0, 500.0]))
    drawn = model.kernels().draw(_u(model, 3))
    assert (drawn.tokens == 1).all()
    assert (drawn.log_q == 0).all()
    assert (model.kernels().log_prob(1 - drawn.tokens.flatten(1)) < -1e6).all()


def test_the_model_uses_them():
    model = _biased((6, 6))
    tokens = model.sample(5, seed=1).tokens
    weights = torch.randn(5, dtype=torch.float64)
    expected = torch.autograd.grad(_stated(model, tokens), list(model.parameters()), weights)
    frozen = next(model.parameters()).requires_grad_(False)
    for known in (None, torch.zeros(5, dtype=torch.float64)):
        model.zero_grad()
        log_q = model.log_prob(tokens, known=known)
        assert "_Attached" in type(log_q.grad_fn).__name__
        assert (log_q - (_stated(model, tokens) if known is None else known)).abs().max() < 1e-12
        log_q.backward(weights)
        assert frozen.grad is None
        for weight, gradient in list(zip(model.parameters(), expected, strict=True))[1:]:
            assert (weight.grad - gradient).abs().max() < 1e-10 * (1 + gradient.abs().max())


def _scaled(model):
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.3)


def _loaded(model):
    model.load_state_dict({name: 0.7 * value for name, value in model.state_dict().items()})


def _replaced(model):
    network = model.phases["0_face0"].network
    network.layers[0].weight = nn.Parameter(2 * network.layers[0].weight.detach())


@pytest.mark.parametrize("change", [_scaled, _loaded, _replaced])
def test_weights_are_read_anew(change):
    model = _biased((4, 4))
    before = model.sample(40).log_q
    change(model)
    samples = model.sample(40)
    assert model.kernels() is not None
    assert not torch.equal(samples.log_q, before)
    assert torch.equal(samples.tokens, model.sample(40, method="reference").tokens)
    assert (_stated(model, samples.tokens) - samples.log_q).abs().max() < 1e-11


def _strided(model):
    layer = model.phases["0_face0"].network.layers[0]
    layer.weight = nn.Parameter(layer.weight.detach().T.contiguous().T)


def _halved(model):
    model.to(torch.bfloat16)


@pytest.mark.parametrize("change", [_strided, _halved])
def test_weights_that_kernels_cannot_read_are_left_to_pytorch(change):
    model = _biased((4, 4))
    assert model.kernels() is not None
    change(model)
    assert model.kernels() is None
    assert drawer(model).padded
    samples = model.sample(40)
    if change is not _halved:
        assert torch.equal(samples.tokens, model.sample(40, method="reference").tokens)
    model.log_prob(samples.tokens).sum().backward()


@pytest.mark.parametrize(
    "model",
    [
        la.MultiscalePixelCNN((4, 4), 3, width=4),
        la.MultiscalePixelCNN((4, 4), width=4, n_condition=1),
        la.MultiscalePixelCNN((4, 4), width=4, n_condition=1, bias=la.Ising((4, 4)).bias()),
    ],
    ids=["three tokens", "condition", "temperature"],
)
def test_what_kernels_do_not_know_is_left_to_pytorch(model: la.MultiscalePixelCNN):
    assert model.kernels() is None
    assert drawer(model).padded


def test_too_many_neighbours_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(latticear.models.multiscale.compiled, "MOST_NEIGHBOURS", 3)
    assert _biased((4, 4)).kernels() is None


class _Doubled(la.MultiscalePixelCNN):
    """States other probabilities than those of its phases."""

    def _logits(self, tokens, condition):
        return 2 * super()._logits(tokens, condition)


def test_kernels_that_disagree_with_the_network_are_not_used():
    model = _Doubled((4, 4), width=4)
    with pytest.warns(UserWarning, match="drawn and trained by PyTorch, slowly: its kernels are off by"):
        assert model.kernels() is None
    assert drawer(model).padded


def test_weights_that_are_no_numbers_give_no_number():
    model = _model((3, 4))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    samples = model.sample(5)
    assert samples.log_q.isnan().all()
    assert model.log_prob(samples.tokens).isnan().all()
