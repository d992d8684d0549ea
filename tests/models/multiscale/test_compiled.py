"""The compiled phases of the multiscale order against PyTorch: tokens, log-probabilities, gradients."""

import pytest
import torch
from support import contracts
from support.claims import TEMPERATURE
from support.disorder import RandomTables
from torch import nn

import latticear as la
import latticear.models.multiscale.compiled
import latticear.models.multiscale.programs
from latticear.contracts.tried import conditions_for
from latticear.kernels.library import instruction_sets
from latticear.models.multiscale.compiled import LANES, MOST_TOKENS, PIECE
from latticear.random_numbers import uniforms
from latticear.sampling import drawer
from latticear.sampling.probe import randomise
from latticear.sampling.reference import Given

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not compiled")


def _model(shape: tuple[int, int], scale: float = 0.7, n_tokens: int = 2, **options) -> la.MultiscalePixelCNN:
    """In float64, with large random weights."""
    return contracts.peaked(la.MultiscalePixelCNN(shape, n_tokens, **{"width": 6, **options}), scale)


def _biased(shape: tuple[int, int], **options) -> la.MultiscalePixelCNN:
    return _model(shape, bias=la.Ising(shape, periodic=options.get("periodic", True)).bias(TEMPERATURE), **options)


def _disordered(further: tuple[tuple[int, int], ...] = (), n_tokens: int = 2, **options) -> la.MultiscalePixelCNN:
    """At any temperature if there is a condition."""
    hamiltonian = RandomTables((4, 6), n_tokens, further=further)
    bias = hamiltonian.bias(None if "n_condition" in options else TEMPERATURE)
    model = la.MultiscalePixelCNN((4, 6), n_tokens, bias=bias, **{"width": 6, **options}).double()
    randomise(model, torch.Generator().manual_seed(0))
    return model


def _glassy(shape: tuple[int, int], **options) -> la.MultiscalePixelCNN:
    """For the couplings of each configuration."""
    lattice = {"periodic": options["periodic"]} if "periodic" in options else {}
    bias = la.EdwardsAndersonDisorder(shape, **lattice).bias(TEMPERATURE)
    return _model(shape, bias=bias, **{"n_condition_maps": 2, "spin_flip_symmetric": True, **options})


def _stated(model: la.MultiscalePixelCNN, tokens: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
    """log_q by PyTorch, from all logits at once."""
    return la.models.AbstractModel._log_prob(model, tokens, condition, None)


def _condition(model: la.MultiscalePixelCNN, n: int, groups: int = 1) -> torch.Tensor | None:
    """Conditions, as many in a row the same as are in a group; maps, like couplings, have both signs."""
    if (condition := conditions_for(model, n)) is None:
        return None
    condition[:, model.n_condition :: 3] *= -1
    return condition.repeat_interleave(groups, 0)[:n]


def _u(model: la.MultiscalePixelCNN, n: int) -> torch.Tensor:
    return uniforms(1, 0, n, model.rank.numel())


def _check(model: la.MultiscalePixelCNN, n: int = LANES + 5, instruction_set: int = -1, groups: int = 1) -> None:
    """In the number type of the weights."""
    kernels, exact = model.kernels(), next(model.parameters()).dtype == torch.float64
    kernels.instruction_set = instruction_set
    u, weights = _u(model, n), torch.linspace(-1, 2, n, dtype=torch.float64)
    condition = _condition(model, n, groups)
    drawn, expected = kernels.draw(u, condition), model.draw_block(u, condition)
    same = (drawn.tokens == expected.tokens).all((1, 2))
    assert same.all() if exact else (~same).sum() <= 1  # a uniform within rounding of a probability
    tolerance = 1e-12 if exact else 1e-6
    assert ((drawn.log_q - expected.log_q) / expected.log_q)[same].abs().max() < tolerance
    assert (drawn.log_q_given == 0).all()
    stated = _stated(model, drawn.tokens, condition)
    assert ((kernels.log_prob(drawn.tokens.flatten(1), None, condition) - stated) / stated).abs().max() < tolerance
    found = kernels.gradients(drawn.tokens.flatten(1), weights, condition)
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
    "three tokens": lambda: _model((5, 6), n_tokens=3),
    "three tokens, symmetric": lambda: _model(
        (6, 6), n_tokens=3, spin_flip_symmetric=True, bias=la.BlumeCapel((6, 6)).bias(TEMPERATURE)
    ),
    "Potts": lambda: _model((6, 6), n_tokens=5, bias=la.Potts((6, 6), 5).bias(TEMPERATURE)),
    "eight tokens": lambda: _disordered(((1, 1),), n_tokens=8, width=35, depth=3),
    "eight tokens, symmetric": lambda: _model((4, 4), n_tokens=8, spin_flip_symmetric=True, depth=1),
    "site by site, three tokens": lambda: _disordered(n_tokens=3, translation_invariant=False),
    "condition": lambda: _model((4, 6), n_condition=2),
    "condition, symmetric": lambda: _model((6, 6), n_condition=1, spin_flip_symmetric=True),
    "condition and map": lambda: _model((4, 6), n_condition=1, n_condition_maps=1),
    "condition, three tokens": lambda: _model((6, 6), n_tokens=3, n_condition=1, spin_flip_symmetric=True),
    "temperatures": lambda: _model((8, 8), n_condition=1, spin_flip_symmetric=True, bias=la.Ising((8, 8)).bias()),
    "temperatures, odd": lambda: _model((5, 7), n_condition=1, bias=la.Ising((5, 7)).bias()),
    "temperatures, tables": lambda: _disordered(((1, 1), (1, -1)), n_condition=1),
    "temperatures, three tokens": lambda: _disordered(n_tokens=3, n_condition=1, n_condition_maps=1),
    "couplings": lambda: _glassy((6, 6)),
    "couplings, odd": lambda: _glassy((5, 7), coupling_reach=2, depth=3),
    "couplings, open": lambda: _glassy((6, 5), periodic=False),
    "couplings, site by site": lambda: _glassy((4, 4), translation_invariant=False),
    "couplings, not symmetric": lambda: _glassy((4, 4), spin_flip_symmetric=False),
    "couplings and condition": lambda: _glassy((4, 4), n_condition=1, n_condition_maps=3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernels_are_pytorch(case):
    model = case()
    _check(model)
    _check(model.float(), groups=7)


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set(name: str, dtype: torch.dtype):
    models = [_biased((6, 6), **options) for options in ({"width": 5, "n_taps": 7}, {"width": 18, "depth": 3})]
    models += [CASES[name]() for name in ("bias, symmetric", "eight tokens", "temperatures, three tokens", "couplings")]
    for model in models:
        _check(model.to(dtype), instruction_set=instruction_sets().index(name))


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, 3 * LANES + 1, PIECE + 3])
def test_any_number_of_configurations(n: int):
    for model in (_biased((4, 6)), _disordered(n_tokens=3, n_condition=1), _glassy((4, 4))):
        _check(model, n)


def test_many_conditions_are_computed_in_pieces(monkeypatch):
    monkeypatch.setattr(latticear.models.multiscale.compiled, "SITES", 0)
    _check(_glassy((4, 4)), 2 * PIECE + 3, groups=3)


def test_the_gradient_by_a_condition_is_that_of_pytorch():
    model = CASES["condition"]()
    tokens, condition = torch.randint(2, (5, 4, 6)), _condition(model, 5).requires_grad_()
    expected = torch.autograd.grad(_stated(model, tokens, condition).sum(), condition)[0]
    found = torch.autograd.grad(model.log_prob(tokens, condition).sum(), condition)[0]
    assert expected.any()
    assert (found - expected).abs().max() < 1e-10


@pytest.mark.parametrize("case", ["bias", "Potts", "temperatures", "couplings"])
def test_no_configurations(case: str):
    model = CASES[case]()
    kernels, none = model.kernels(), torch.zeros(0, model.rank.numel(), dtype=torch.long)
    condition = _condition(model, 0)
    assert kernels.draw(_u(model, 0), condition).tokens.shape == (0, *model.shape)
    assert kernels.log_prob(none, None, condition).shape == (0,)
    gradients = kernels.gradients(none, torch.zeros(0, dtype=torch.float64), condition)
    for gradient, weight in zip(gradients, kernels.parameters, strict=True):
        assert gradient.shape == weight.shape
        assert not gradient.any()


@pytest.mark.parametrize("case", ["plain", "bias, symmetric", "Potts", "temperatures, three tokens", "couplings"])
def test_held_sites(case: str):
    model = CASES[case]()
    n, n_sites = LANES + 9, model.rank.numel()
    given, condition = (
        Given(torch.randint(model.n_tokens, (n, n_sites)), torch.rand(n, n_sites) < 0.4),
        _condition(model, n),
    )
    drawn, expected = (draw(_u(model, n), condition, given) for draw in (model.kernels().draw, model.draw_block))
    assert torch.equal(drawn.tokens, expected.tokens)
    assert (drawn.log_q - expected.log_q).abs().max() < 1e-11
    assert (drawn.log_q_given - expected.log_q_given).abs().max() < 1e-11
    contracts.check_held(model)


@pytest.mark.parametrize("case", ["odd", "field", "Potts", "temperatures, three tokens", "couplings, odd"])
def test_some_sites(case: str, monkeypatch):
    """Those of a step, some of them, and none, in any order; what is drawn later may hold anything."""
    model = CASES[case]()
    n, n_sites = LANES + 3, model.rank.numel()
    condition = _condition(model, n)
    every, generator = torch.arange(n_sites), torch.Generator().manual_seed(0)
    choices = [every[torch.randperm(n_sites, generator=generator)][:m] for m in (n_sites, 7, 0)]
    choices += [step.sites for step in model.steps]
    tokens = torch.randint(model.n_tokens, (n, n_sites), generator=generator)
    found = []
    for by_kernels in (True, False):
        assert (model.kernels() is not None) == by_kernels
        board, results = model.board(tokens.clone()), []
        for sites in choices:
            results.append(model.redraw(board, sites, _u(model, n)[:, : len(sites)], condition))
            results += [board.tokens.clone(), board.inputs.clone(), model.log_prob_of(board, sites, condition)]
        found.append(results)
        monkeypatch.setattr(la.MultiscalePixelCNN, "kernels", lambda model: None)
    for drawn, expected in zip(*found, strict=True):
        assert (drawn - expected).abs().max() < 1e-12 * n_sites


MANY = {
    "symmetric": lambda: _biased((8, 8), width=16, spin_flip_symmetric=True),
    "three tokens": lambda: _disordered(n_tokens=3),
    "couplings": lambda: _glassy((4, 4)),
    "temperatures": lambda: _disordered(n_condition=1),
}


@pytest.mark.parametrize("case", MANY.values(), ids=MANY)
def test_threads_and_numbers_change_nothing(case):
    """In float32, bit for bit; where PyTorch embeds the condition, in parts that begin where pieces do."""
    model = case().float()
    kernels, u, condition = model.kernels(), _u(model, 2000), _condition(model, 2000, 5)
    assert drawer(model).padded == kernels.depends_on_number == (model.embed is not None)
    whole = kernels.draw(u, condition)
    tokens, weights = whole.tokens.flatten(1), torch.randn(2000, dtype=torch.float64)
    gradients = kernels.gradients(tokens, weights, condition)
    parts = [slice(0, 1), slice(3, 1130), slice(1999, 2000)]
    if kernels.depends_on_number:
        parts = [slice(0, 2 * PIECE), slice(3 * PIECE, 2000)]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for part in parts:
                own = None if condition is None else condition[part]
                drawn = kernels.draw(u[part], own)
                assert torch.equal(drawn.tokens, whole.tokens[part])
                assert torch.equal(drawn.log_q, whole.log_q[part])
                assert torch.equal(kernels.log_prob(tokens[part], None, own), whole.log_q[part])
            again = kernels.gradients(tokens, weights, condition)
            assert all(torch.equal(a, b) for a, b in zip(again, gradients, strict=True))
    finally:
        torch.set_num_threads(before)


def test_many_sites_and_certain_ones():
    """The product of the normalisations would leave the range of numbers; odds of e^1000 are no number either."""
    _check(_model((40, 40), width=2, n_taps=3, scale=0.1, n_tokens=8), 3)
    model = _model((40, 40), width=2, n_taps=3, scale=0.1)
    _check(model, 3)
    with torch.no_grad():
        for phase in model.phases.values():
            phase.network.bias.copy_(torch.tensor([-500.0, 500.0]))
    drawn = model.kernels().draw(_u(model, 3))
    assert (drawn.tokens == 1).all()
    assert (drawn.log_q == 0).all()
    assert (model.kernels().log_prob(1 - drawn.tokens.flatten(1)) < -1e6).all()


@pytest.mark.parametrize("case", ["bias", "Potts", "temperatures, three tokens", "couplings"])
def test_the_model_uses_them(case: str):
    model = CASES[case]()
    condition = _condition(model, 5)
    tokens = model.sample(5, seed=1, condition=condition).tokens
    weights = torch.randn(5, dtype=torch.float64)
    every = list(model.parameters())
    stated = _stated(model, tokens, condition)
    expected = torch.autograd.grad(stated, every, weights)
    frozen = [every[0].requires_grad_(False), every[-1].requires_grad_(False)]
    for known in (None, torch.zeros(5, dtype=torch.float64)):
        model.zero_grad()
        log_q = model.log_prob(tokens, condition, known=known)
        assert "_Attached" in type(log_q.grad_fn).__name__
        assert (log_q - (stated if known is None else known)).abs().max() < 1e-11
        log_q.backward(weights)
        assert all(weight.grad is None for weight in frozen)
        for weight, gradient in list(zip(every, expected, strict=True))[1:-1]:
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


def test_too_many_tokens_are_left_to_pytorch():
    model = la.MultiscalePixelCNN((4, 4), MOST_TOKENS + 1, width=4)
    assert model.kernels() is None
    assert drawer(model).padded


def test_too_many_bonds_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(latticear.models.multiscale.compiled, "MOST_BONDS", 3)
    assert _biased((4, 4)).kernels() is None


def test_more_neighbours_than_tables_are_added_one_by_one(monkeypatch):
    monkeypatch.setattr(latticear.models.multiscale.programs, "MOST_NEIGHBOURS", 3)
    _check(_biased((4, 4)))
    _check(_disordered(((1, 1), (1, -1))))


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
