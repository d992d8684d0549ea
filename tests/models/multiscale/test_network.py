"""The multiscale network beyond the contract of test_models.py: any shape, exact halves, held sites, conditions."""

import math
from functools import partial

import pytest
import torch
from support import contracts
from support.claims import TEMPERATURE, is_sound
from support.disorder import RandomTables
from support.statistics import counts_of, p_value

import latticear as la
from latticear.exact import all_configurations
from latticear.models import check_autoregressive
from latticear.models.multiscale.drawer import PhaseDrawer
from latticear.models.multiscale.network import COLUMNS
from latticear.sampling import drawer
from latticear.sampling.probe import randomise
from latticear.sampling.receptive import dependences


def _model(shape: tuple[int, int], n_tokens: int = 2, **options) -> la.MultiscalePixelCNN:
    return la.MultiscalePixelCNN(shape, n_tokens, **{"width": 6, "depth": 2, **options})


def _biased(shape: tuple[int, int], temperature: float | None = TEMPERATURE, **options) -> la.MultiscalePixelCNN:
    return _model(shape, bias=la.Ising(shape, periodic=options.get("periodic", True)).bias(temperature), **options)


@pytest.mark.parametrize("periodic", [True, False, (False, True)])
def test_any_shape(periodic: bool | tuple[bool, bool]):
    for shape in [(1, 1), (1, 2), (1, 7), (6, 1), (2, 2), (2, 5), (3, 3), (4, 3)]:
        model = contracts.peaked(_model(shape, periodic=periodic))
        with torch.no_grad():
            assert abs(model.log_prob(all_configurations(shape, 2)).logsumexp(0).item()) < 1e-10
        contracts.check_sampler(model)
    for shape in [(5, 5), (6, 6), (3, 8)]:
        check_autoregressive(_model(shape, periodic=periodic), n_trials=1)


def test_each_phase_reads_all_its_taps():
    """And nothing else: what the logits depend on is what stands around."""
    model = _model((6, 6))
    moved = dependences(model, n_trials=4)
    for phase in model.phases.values():
        seen = torch.zeros(len(phase.sites), 37, dtype=torch.bool).scatter_(1, phase.taps.T, True)
        assert torch.equal(moved[phase.sites], seen[:, :36])


@pytest.mark.parametrize("options", [{}, {"n_tokens": 3}, {"spin_flip_symmetric": True}, {"n_condition_maps": 1}])
def test_a_network_for_each_site(options):
    """Normalised, causal and symmetric like the shared ones; it begins with their weights, and is no longer they."""
    regular = partial(_model, (3, 4), taps="regular", **options)
    shared, own = (contracts.peaked(regular(translation_invariant=shares)) for shares in (True, False))
    assert sum(p.numel() for p in own.parameters()) > sum(p.numel() for p in shared.parameters())
    if own.conditioned:
        contracts.check_condition(own)
    else:
        check_autoregressive(own, n_trials=1)
        contracts.check_sampler(own)
    if options.get("spin_flip_symmetric"):
        contracts.check_flip(own)
    with pytest.raises(ValueError, match="have no counterpart"):
        la.transfer_weights(shared, own)
    la.transfer_weights(own, shared)
    tokens = torch.randint(own.n_tokens, (5, 3, 4))
    condition = torch.randn(5, 12) if "n_condition_maps" in options else None
    assert torch.allclose(own.log_prob(tokens, condition), shared.log_prob(tokens, condition))
    with torch.no_grad():
        next(phase for phase in own.phases.values() if phase.sites.tolist() == [7]).network.bias[0] += 1
    changed = (own.logits(tokens, condition) - shared.logits(tokens, condition)).abs().amax((0, 1)) > 0.1
    assert changed.flatten().nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (5, 5)])
def test_a_bias_leaves_it_causal_and_symmetric(shape: tuple[int, int]):
    model = _biased(shape, spin_flip_symmetric=True)
    check_autoregressive(model, n_trials=1)
    contracts.check_flip(contracts.peaked(model))
    contracts.check_sampler(contracts.peaked(model))
    contracts.check_gradients(model)


CELLS = {
    "plain": ((4, 4), (2, 2), {}),
    "symmetric": ((2, 6), (2, 3), {"spin_flip_symmetric": True}),
    "three tokens": ((2, 6), (2, 3), {"n_tokens": 3, "periodic": (False, True)}),
    "one cell": ((3, 4), (3, 4), {"periodic": False}),
    "site by site": ((4, 4), (2, 2), {"translation_invariant": False}),
    "maps": ((4, 2), (2, 1), {"n_condition_maps": 1}),
}


@pytest.mark.parametrize(("shape", "cell", "options"), CELLS.values(), ids=CELLS)
def test_unit_cells(shape: tuple[int, int], cell: tuple[int, int], options: dict):
    model = contracts.peaked(_model(shape, cell=cell, **options))
    check_autoregressive(model, n_trials=1)
    if model.conditioned:
        contracts.check_condition(model)
    else:
        contracts.check_normalised(model)
        contracts.check_sampler(model)
        contracts.check_held(model)
    if model.spin_flip_symmetric:
        contracts.check_flip(model)
    assert model.to_dict()["cell"] == list(cell)


FRUSTRATED = {
    "j1-j2": la.Ising((4, 4), next_nearest=-0.6),
    "triangular": la.Ising((4, 6), coupling=-1.0, geometry="triangular", field=0.2),
    "a bond missing": la.Ising((4, 4), next_nearest=0.3, periodic=False, missing=[(1, 2)]),
}


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("system", FRUSTRATED.values(), ids=FRUSTRATED)
def test_bonds_within_a_sublattice_ask_for_a_cell_of_four(system: la.Ising, shares: bool):
    """The last of its members has no bonds to itself: what the energy tells of it is the exact conditional."""
    periodic = system.lattice.periodic
    model = _model(system.shape, bias=system.bias(TEMPERATURE), periodic=periodic, translation_invariant=shares)
    assert model.cell == (2, 2)
    told = [phase.sites for phase in model.phases.values() if phase.network is None]
    assert sum(map(len, told)) >= system.n_sites // 4
    is_sound(model, system)
    check_autoregressive(model, n_trials=1)
    contracts.check_sampler(contracts.peaked(model))
    contracts.check_gradients(model)


def test_no_cell_where_sublattices_order_together():
    odd = la.Ising((5, 6), next_nearest=-0.6)
    for hamiltonian in (la.Ising((4, 4)), la.Ising((6, 4), coupling=-1.0, field=0.1), la.Potts((4, 4), q=3), odd):
        assert _model(hamiltonian.shape, hamiltonian.n_tokens, bias=hamiltonian.bias(TEMPERATURE)).cell == (1, 1)
    assert _model((4, 4)).cell == (1, 1)


def test_a_cell_of_two_sublattices_leaves_the_second_to_the_energy():
    model = _biased((8, 8), cell=(2, 2))
    assert model.phases["0_last"].sites.tolist() == [s for s in range(64) if (s // 8 + s) % 2]
    is_sound(model, la.Ising((8, 8)))


def test_stripes_are_within_reach():
    """Edges that are drawn at once, given the faces, cannot agree on the one sign that these leave open."""
    stripes = la.Ising((8, 8), next_nearest=-0.6)
    found = []
    for cell in ((1, 1), (2, 2)):
        model = la.MultiscalePixelCNN((8, 8), bias=stripes.bias(0.8), width=16, cell=cell, spin_flip_symmetric=True)
        rows, columns = torch.arange(8) % 2, torch.ones(8, dtype=torch.long)
        stripe = torch.outer(rows, columns)
        data = torch.stack([stripe, 1 - stripe, stripe.T, 1 - stripe.T]).repeat(50, 1, 1)
        for step in la.fit(
            model, stripes, temperature=0.8, objective="forward-kl", data=data, steps=60, batch_size=64,
            learning_rate=0.03, augment=False, held_out=0.1, check_data=False,
        ):  # fmt: skip
            del step
        with torch.no_grad():
            found.append(-model.log_prob(data[:4]).mean().item())
    assert found[0] > math.log(4) + 1
    assert found[1] < math.log(4) + 0.3


def test_a_cell_serves_larger_lattices():
    """Weights by spacing, class and member; a coarser level than there was begins as the next finer one."""
    small, large = (_model((n, n), cell=(2, 2)) for n in (8, 16))
    la.transfer_weights(large, small)
    given = dict(small.named_parameters())
    sources = {name: [other for other in large.counterparts(name) if other in given] for name in large.state_dict()}
    assert sum(map(bool, sources.values())) > len(sources) / 2  # not all classes of faces are there on 4x4 cells
    assert all(torch.equal(large.get_parameter(name), given[found[0]]) for name, found in sources.items() if found)
    assert "phases.1_face2of3.network.bias" in large.counterparts("phases.2_face2of3.network.bias")


@pytest.mark.parametrize("cell", [(3, 2), (0, 2), (2,), (2.0, 2)])
def test_cells_that_do_not_divide_the_lattice(cell):
    with pytest.raises(ValueError, match=r"cell must be two divisors of the shape \(4, 4\), \(1, 1\) for single sites"):
        _model((4, 4), cell=cell)


def test_normalised_with_a_bias():
    for options in ({}, {"spin_flip_symmetric": True}, {"n_condition": 1, "temperature": None}):
        model = contracts.peaked(_biased((4, 4), **options))
        condition = torch.tensor([1.7], dtype=torch.float64) if model.conditioned else None
        with torch.no_grad():
            log_q = model.log_prob(all_configurations((4, 4), 2), condition)
        assert abs(log_q.logsumexp(0).item()) < 1e-10


class _Symmetric(RandomTables):
    """Tables and fields that do not change under token -> q - 1 - token."""

    @property
    def bond_energies(self):
        return super().bond_energies + super().bond_energies.flip(1, 2)

    @property
    def site_energies(self):
        return super().site_energies + super().site_energies.flip(1)


@pytest.mark.parametrize("bias", [False, True])
def test_three_tokens_with_the_symmetry(bias: bool):
    hamiltonian = _Symmetric((2, 4), 3, periodic=False)
    energies = hamiltonian.bias(TEMPERATURE) if bias else None
    model = _model((2, 4), 3, spin_flip_symmetric=True, bias=energies).double()
    randomise(model, torch.Generator().manual_seed(0))
    contracts.check_flip(model)
    contracts.check_normalised(model)
    contracts.check_sampler(model)
    if bias:
        is_sound(model, hamiltonian)


@pytest.mark.parametrize(
    "model",
    [
        _model((3, 4)),
        _model((3, 3), 3),
        _model((4, 4), 3, spin_flip_symmetric=True),
        _biased((4, 6), spin_flip_symmetric=True),
        _biased((5, 5)),
        _biased((4, 4), translation_invariant=False),
    ],
    ids=["plain", "three tokens", "symmetric", "bias", "odd", "site by site"],
)
def test_held_sites(model: la.MultiscalePixelCNN):
    contracts.check_held(contracts.peaked(model))


@pytest.mark.parametrize("options", [{}, {"n_condition": 2}, {"n_condition_maps": 1}])
def test_conditions_with_a_bias(options: dict[str, int]):
    """A vector, which is the temperature first, and maps."""
    options = {"n_condition": 1, **options}
    contracts.check_condition(contracts.peaked(_biased((3, 4), None, spin_flip_symmetric=True, **options)))


def test_the_condition_enters_every_network():
    model = _model((4, 4), n_condition=1, n_condition_maps=1)
    probe = contracts.peaked(model)
    tokens = torch.zeros(1, 4, 4, dtype=torch.long)
    condition = torch.rand(1, model.conditioning.size, dtype=torch.float64)
    moved = probe.logits(tokens, condition).log_softmax(1) - probe.logits(tokens, condition + 0.5).log_softmax(1)
    assert (moved.abs().amax((0, 1)) > 1e-6).all()


def test_a_map_tells_the_sites_apart():
    """It enters where it is: a value moves the logits around it, as far as two 5x5 convolutions reach."""
    size = 16
    model = contracts.peaked(_model((size, size), n_condition_maps=1))
    tokens = torch.zeros(1, size, size, dtype=torch.long)
    place = torch.arange(size)
    for site in range(0, size**2, 23):
        condition = torch.zeros(1, size**2, dtype=torch.float64)
        condition[:, site] = 1
        with torch.no_grad():
            moved = (model.logits(tokens, condition) - model.logits(tokens, 0 * condition)).abs().amax((0, 1)) > 1e-9
        dy, dx = ((place - at + size // 2) % size - size // 2 for at in divmod(site, size))
        assert torch.equal(moved, (dy.abs() <= 4)[:, None] & (dx.abs() <= 4))


@pytest.mark.parametrize("n_tokens", [2, 3])
def test_log_prob_is_that_of_the_logits(n_tokens: int):
    """Phase by phase, or the bias for all sites at once; a field acts on sites without known neighbours too."""
    hamiltonian = RandomTables((4, 6), n_tokens)
    model = _model((4, 6), n_tokens, bias=hamiltonian.bias(TEMPERATURE)).double()
    tokens = torch.randint(n_tokens, (50, 4, 6))
    with torch.no_grad():
        plain = la.models.AbstractModel._log_prob(model, tokens, None, None)
        assert (model.log_prob(tokens) - plain).abs().max() < 1e-10


@pytest.mark.parametrize("options", [{}, {"n_condition": 1}, {"n_condition": 1, "n_condition_maps": 1}], ids=str)
def test_gradients_are_those_of_the_logits(options: dict[str, int]):
    """Recomputed piece by piece, the embedding that all share included."""
    model = contracts.peaked(_biased((6, 6), None if options else TEMPERATURE, spin_flip_symmetric=True, **options))
    tokens, weights = torch.randint(2, (40, 6, 6)), torch.randn(40, dtype=torch.float64)
    condition = 1 + torch.rand(40, model.conditioning.size, dtype=torch.float64) if options else None
    parameters = list(model.parameters())
    plain = la.models.AbstractModel._log_prob(model, tokens, condition, None)
    expected = torch.autograd.grad(plain, parameters, weights)
    for known in (None, plain.detach()):
        found = torch.autograd.grad(model.log_prob(tokens, condition, known), parameters, weights)
        assert all((a - b).abs().max() < 1e-10 * (1 + b.abs().max()) for a, b in zip(found, expected, strict=True))


def test_a_condition_that_nothing_reads():
    model = _biased((1, 2), None, spin_flip_symmetric=True, n_condition=1, periodic=False)
    assert not list(model.parameters())


@pytest.mark.parametrize("options", [{}, {"n_condition": 1}], ids=["plain", "condition"])
def test_what_was_drawn_is_what_is_recomputed_in_float32(options: dict[str, int]):
    model = _biased((8, 8), None if options else TEMPERATURE, spin_flip_symmetric=True, **options)
    condition = torch.linspace(1, 4, 300)[:, None] if options else None
    samples = model.sample(300, seed=1, condition=condition)
    with torch.no_grad():
        assert (model.log_prob(samples.tokens, condition) - samples.log_q).abs().max() < 1e-4
        for i in (0, 150, 299):
            alone = model.log_prob(samples.tokens[[i]], None if condition is None else condition[i])
            assert (alone - samples.log_q[i]).abs() < 1e-4


@pytest.mark.parametrize("options", [{}, {"n_condition": 1}], ids=["compiled", "by PyTorch"])
def test_cuts_change_nothing_bit_for_bit(options: dict[str, int]):
    """In float32, where the number of columns changes the rounding of PyTorch."""
    model = _biased((8, 8), **options)
    condition = torch.ones(1) if options else None
    assert isinstance(drawer(model), PhaseDrawer)
    block = drawer(model).block
    whole = model.sample(2 * block + 5, seed=9, condition=condition)
    for start, n in ((0, 1), (1, block), (block - 1, 2), (150, 47)):
        part = model.sample(n, seed=9, start=start, condition=condition)
        assert torch.equal(part.tokens, whole.tokens[start : start + n])
        assert torch.equal(part.log_q, whole.log_q[start : start + n])


def test_targets_may_be_taken_in_any_portions(monkeypatch):
    """Some at a time, as for many configurations, or all."""
    model = contracts.peaked(_biased((6, 6), None, n_condition=1, n_condition_maps=1))
    condition = 0.5 + torch.rand(20, model.conditioning.size, dtype=torch.float64)
    whole = model.sample(20, condition=condition)
    monkeypatch.setitem(COLUMNS, "cpu", 2 * 256)
    parts = model.sample(20, condition=condition)
    assert torch.equal(parts.tokens, whole.tokens)
    monkeypatch.setitem(COLUMNS, "cpu", 2 * 20)
    with torch.no_grad():
        assert (model.log_prob(whole.tokens, condition) - whole.log_q).abs().max() < 1e-10


@pytest.mark.parametrize("bias", [False, True])
def test_frequencies_are_the_stated_probabilities(bias: bool):
    # one fixed seed a case; p < 1e-4 in one of 10,000 seeds
    build = _biased if bias else _model
    model, other = (contracts.peaked(build((3, 3)), scale=scale) for scale in (1.0, 0.9))
    every = all_configurations((3, 3), 2)
    with torch.no_grad():
        right, wrong = (network.log_prob(every).exp() for network in (model, other))
    counts = counts_of(model.sample(20_000, seed=1).tokens, 2)
    assert p_value(counts, right) > 1e-4
    assert p_value(counts, wrong) < 1e-4  # the negative control: the test sees a small error


def test_no_configurations():
    for model in (_model((4, 4), 3), _biased((4, 4), None, spin_flip_symmetric=True, n_condition=1)):
        condition = torch.zeros(0, model.conditioning.size) if model.conditioned else None
        assert model.log_prob(torch.zeros(0, 4, 4, dtype=torch.long), condition).shape == (0,)


@pytest.mark.parametrize("name", ["width", "depth", "n_taps"])
def test_bad_arguments(name: str):
    with pytest.raises(ValueError, match=f"width, depth and n_taps must be at least 1, got .*{name}=0"):
        la.MultiscalePixelCNN((4, 4), **{name: 0})
    with pytest.raises(ValueError, match="coupling_reach must be at least 1, got 0"):
        la.MultiscalePixelCNN((4, 4), coupling_reach=0)
