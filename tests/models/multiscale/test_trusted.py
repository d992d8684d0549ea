"""The kernels that a multiscale network holds: built once, its own, and never those of another state of it."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import pytest
import torch
from support import contracts
from support.claims import TEMPERATURE
from torch import nn

import latticear as la
from latticear.contracts.tried import conditions_for
from latticear.kernels.library import instruction_sets
from latticear.models import model_from_dict
from latticear.models.multiscale.compiled import CompiledPhases
from latticear.sampling import drawer

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not compiled")


def _model(model_class=la.MultiscalePixelCNN, **options) -> la.MultiscalePixelCNN:
    """In float64, with large random weights, that has drawn by its kernels."""
    model = contracts.peaked(model_class((4, 4), width=6, **{"bias": la.Ising((4, 4)).bias(TEMPERATURE), **options}))
    assert model.kernels() is not None
    return model


def _use(model: la.MultiscalePixelCNN) -> torch.Tensor:
    """Everything that kernels do; the samples' log_q."""
    samples = model.sample(20, seed=1)
    model.log_prob(samples.tokens).sum().backward()
    board, sites = model.board(samples.tokens.flatten(1)), model.steps[-1].sites
    model.redraw(board, sites, torch.rand(20, len(sites), dtype=torch.float64))
    model.log_prob_of(board, sites)
    return samples.log_q


def _check(model: la.MultiscalePixelCNN) -> None:
    """That its kernels, or PyTorch, say what its logits state, and draw the tokens of the reference."""
    samples = model.sample(40, seed=2)
    assert torch.equal(samples.tokens, model.sample(40, seed=2, method="reference").tokens)
    with torch.no_grad():
        stated = la.models.AbstractModel._log_prob(model, samples.tokens, None, None)
        for log_q in (samples.log_q, model.log_prob(samples.tokens)):
            assert (log_q - stated).abs().max() < 1e-11


@pytest.fixture
def built(monkeypatch) -> list[CompiledPhases]:
    """All that are compiled from now on."""
    found, compiled = [], la.MultiscalePixelCNN.compiled

    def noted(model):
        found.append(compiled(model))
        return found[-1]

    monkeypatch.setattr(la.MultiscalePixelCNN, "compiled", noted)
    return found


def test_they_are_built_once(built):
    """And once for the copy on which they are judged, whatever happens to the weights."""
    model = _model()
    kernels, before = model.kernels(), _use(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.3)
    model.load_state_dict({name: 0.9 * value for name, value in model.state_dict().items()})
    network = model.phases["0_face0"].network
    network.layers[0].weight = nn.Parameter(2 * network.layers[0].weight.detach())
    assert not torch.equal(_use(model), before)
    model.train().eval()
    model.float().double()
    _use(model)
    assert model.kernels() is kernels
    assert len(built) == 2
    assert built[0] is kernels


def test_no_call_looks_at_all_modules(monkeypatch):
    model = _model()
    monkeypatch.setattr("latticear.sampling.choice._signature", None)
    monkeypatch.setattr(la.MultiscalePixelCNN, "modules", None)
    _use(model)


def _warmer(model):
    model.bias.temperature = 5.0


def _stronger(model):
    model.bias.energies *= 2


def _elsewhere(model):
    model.bias.energies.data = 3 * model.bias.energies


def _other_bias(model):
    bias = la.Ising((4, 4), coupling=0.5).bias(TEMPERATURE)
    bias.attach(model.rank)
    model.bias = bias


def _summed_anew(model):
    model.phases["0_faces"].summed.own *= 2


def _relayered(model):
    model.phases["0_face0"].network.layers[1] = nn.Linear(6, 6).double()


def _networked_anew(model):
    model.phases["0_face0"].network = copy.deepcopy(model.phases["0_face0"].network)
    with torch.no_grad():
        model.phases["0_face0"].network.weight.mul_(2)


def _seen_elsewhere(model):
    model.phases["0_face0"].taps = model.phases["0_face0"].taps.flip(0)


CHANGES = [_warmer, _stronger, _elsewhere, _other_bias, _summed_anew, _relayered, _networked_anew, _seen_elsewhere]


@pytest.mark.parametrize("change", CHANGES)
def test_what_they_were_built_from_has_changed(change):
    model = _model()
    kernels, before = model.kernels(), _use(model)
    change(model)
    assert model.kernels() not in (kernels, None)
    assert not torch.equal(_use(model), before)
    _check(model)


@pytest.mark.parametrize("change", [_warmer, _stronger, _summed_anew])
def test_energies_of_more_tokens_have_changed(change):
    model = contracts.peaked(la.MultiscalePixelCNN((4, 4), 3, width=6, bias=la.Potts((4, 4)).bias(TEMPERATURE)))
    kernels, before = model.kernels(), _use(model)
    change(model)
    assert model.kernels() not in (kernels, None)
    assert not torch.equal(_use(model), before)
    _check(model)


def _conditional(**options) -> la.MultiscalePixelCNN:
    return contracts.peaked(la.MultiscalePixelCNN((4, 4), width=6, spin_flip_symmetric=True, **options))


def _glassy() -> la.MultiscalePixelCNN:
    return _conditional(n_condition_maps=2, bias=la.EdwardsAndersonDisorder((4, 4)).bias(TEMPERATURE))


def _conditions_agree(model: la.MultiscalePixelCNN) -> torch.Tensor:
    condition = conditions_for(model, 40)
    samples = model.sample(40, seed=2, condition=condition)
    with torch.no_grad():
        stated = la.models.AbstractModel._log_prob(model, samples.tokens, condition, None)
    assert (samples.log_q - stated).abs().max() < 1e-11
    return samples.log_q


def test_another_range_of_conditions():
    model = _conditional(n_condition=1, bias=la.Ising((4, 4)).bias())
    before = _conditions_agree(model)
    model.set_condition_range(torch.tensor([1.0]), torch.tensor([4.0]))
    assert model.kernels() is not None
    assert not torch.equal(_conditions_agree(model), before)


def _wider_embedding(model):
    """For a layer that has other rows than those of the condition."""
    model.phases["0_face0"].network.conditions[0].weight = nn.Parameter(torch.randn(9, 12).double())


def _wider_couplings(model):
    model.phases["0_face0"].couplings.layers[0] = nn.Linear(24, 11).double()


def _longer_couplings(model):
    model.phases["0_face0"].couplings.layers.append(nn.Linear(12, 12).double())


@pytest.mark.parametrize("change", [_wider_embedding, _wider_couplings, _longer_couplings])
def test_couplings_of_another_form_are_left_to_pytorch(change):
    model = _glassy()
    assert model.kernels() is not None
    _conditions_agree(model)
    change(model)
    assert model.kernels() is None


def test_a_weight_of_the_couplings_is_read_anew():
    model = _glassy()
    kernels, before = model.kernels(), _conditions_agree(model)
    couplings = model.phases["0_face0"].couplings
    couplings.weigh.weight = nn.Parameter(2 * couplings.weigh.weight.detach())
    assert model.kernels() is kernels
    assert not torch.equal(_conditions_agree(model), before)


def test_a_symmetry_that_is_given_up():
    """Its networks have one output, and two would be needed."""
    model = _model(spin_flip_symmetric=True)
    for phase in model.phases.values():
        phase.symmetric = False
    assert model.kernels() is None


def _weight_norm(model):
    for phase in model.phases.values():
        if phase.network is not None:
            for layer in phase.network.layers:
                nn.utils.parametrizations.weight_norm(layer)


def _wider(model):
    network = model.phases["0_face0"].network
    network.layers[1].weight = nn.Parameter(torch.randn(9, 6).double())
    network.layers[1].bias = nn.Parameter(torch.randn(9).double())
    network.weight = nn.Parameter(torch.randn(2, 9).double())


@pytest.mark.parametrize("change", [_weight_norm, _wider])
@pytest.mark.parametrize("used", [True, False], ids=["after a draw", "before"])
def test_networks_of_another_form_are_left_to_pytorch(change, used):
    model = contracts.peaked(la.MultiscalePixelCNN((4, 4), width=6))
    if used:
        _use(model)
    change(model)
    assert model.kernels() is None
    _check(model)


class _Doubling(nn.Module):
    def forward(self, *arguments):
        return 2 * arguments[-1]


def test_a_hook_is_seen():
    model = _model()
    hook = model.phases["0_face0"].network.register_forward_hook(_Doubling())
    with pytest.warns(UserWarning, match="its kernels are off by"):
        assert model.kernels() is None
    _check(model)
    hook.remove()
    assert model.kernels() is not None
    _check(model)


class _Scaled(la.MultiscalePixelCNN):
    """Its code reads what is no weight."""

    _scale = 1.0

    def _logits(self, tokens, condition):
        return self._scale * super()._logits(tokens, condition)


def test_an_attribute_of_the_network_is_seen():
    model = _Scaled((4, 4), width=6).double()
    model._scale = 1.0
    assert model.kernels() is not None
    model._scale = 2.0
    with pytest.warns(UserWarning, match="its kernels are off by"):
        assert model.kernels() is None


def test_a_judgement_is_made_once(built, recwarn):
    model = _Scaled((4, 4), width=6)
    model._scale = 2.0
    for _ in range(3):
        assert model.kernels() is None
    assert len(recwarn) == 1
    assert len(built) == 2


def _saved(model):
    again = model_from_dict(model.to_dict()).double()
    again.load_state_dict(model.state_dict())
    return again


@pytest.mark.parametrize("copied", [copy.deepcopy, _saved, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_its_own(copied):
    model = _model()
    before = _use(model)
    other = copied(model)
    assert torch.equal(_use(other), before)
    assert other.kernels() not in (model.kernels(), None)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.5)
    other.bias.temperature = 4.0
    assert torch.equal(_use(model), before)
    _check(model)
    _check(other)


def test_a_shallow_copy_has_its_own():
    model = _model()
    other = copy.copy(model)
    assert other.kernels() not in (model.kernels(), None)
    assert torch.equal(_use(model), _use(other))


def test_on_another_device_there_are_none():
    assert _model().to("meta").kernels() is None


def test_when_all_has_moved_they_are_built_anew():
    model = _model()
    kernels, before = model.kernels(), _use(model)
    model._apply(torch.clone)  # as to another device and back
    assert torch.equal(_use(model), before)
    assert model.kernels() is not kernels


def test_they_are_not_compiled_into_a_graph(monkeypatch):
    model = _model()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert model.kernels() is None


def test_they_may_be_built_in_inference_mode():
    model = contracts.peaked(la.MultiscalePixelCNN((4, 4), width=6, bias=la.Ising((4, 4)).bias(TEMPERATURE)))
    with torch.inference_mode():
        assert model.kernels() is not None
        model.sample(5)
    _use(model)
    _check(model)


def test_kernels_and_drawers_do_not_keep_a_network():
    model = _model()
    gc.collect()  # what traced it when it was built
    _use(model)
    drawer(model).draw(torch.rand(3, 16, dtype=torch.float64))
    seen, weight = ref(model), ref(next(model.parameters()))
    gc.disable()
    try:
        del model
        assert seen() is None
        assert weight() is None
    finally:
        gc.enable()


def test_threads_may_ask_for_the_first_time_together():
    expected = _use(_model())
    model = contracts.peaked(la.MultiscalePixelCNN((4, 4), width=6, bias=la.Ising((4, 4)).bias(TEMPERATURE)))
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: model.sample(20, seed=1).log_q, range(8)))
    assert all(torch.equal(log_q, expected) for log_q in drawn)
