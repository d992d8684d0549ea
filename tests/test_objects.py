"""How objects show themselves, and what they say to arguments of the wrong kind."""

import json

import numpy as np
import pytest
import torch
import xarray

import latticear as la
from latticear.runs.config import load_config
from latticear.targets import target_of
from latticear.training import TrainingOptions

T = 2.0


@pytest.mark.parametrize("name", sorted(la.MODELS))
def test_a_model_is_shown_in_two_lines(name):
    shown = repr(la.MODELS[name]((4, 4), 2)).splitlines()
    assert len(shown) == 2
    assert shown[0].startswith(f"{la.MODELS[name].__name__}((4, 4), n_tokens=2")
    assert "n_condition" not in shown[0]
    assert shown[1].endswith(" parameters")


def test_a_model_tells_of_its_options_and_its_layers_are_within_reach(ising):
    model = la.PixelCNN((3, 3), 2, width=4, depth=2, bias=ising.bias(T), n_condition=1)
    n = sum(p.numel() for p in model.parameters())
    assert "width=4, depth=2" in repr(model)
    assert "n_condition=1" in repr(model)
    assert repr(model).endswith(f"known-neighbour term of ising at T = 2, {n} parameters")
    assert "MaskedConv2d" in str(model.layers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: la.Ising((64, 64)),
        lambda: la.EdwardsAnderson((16, 16), couplings=torch.ones(2, 16, 16).tolist()),
        lambda: la.SherringtonKirkpatrick((4, 4)),
        lambda: la.PairHamiltonian(la.Lattice((20, 20)), [0, 1], [[0, 0], [0, 1]], couplings=torch.ones(800)),
        lambda: la.Components(la.AshkinTeller((8, 8))),
        lambda: la.Lattice((8, 8), missing=[(y, x) for y in range(5) for x in range(5)]),
        lambda: target_of(la.Ising((8, 8)), temperature=(1.5, 2.5)),
        lambda: TrainingOptions(),
        lambda: la.exact_result(la.Ising((4, 4)), T),
        lambda: load_config(None, values={"hamiltonian": {"shape": [4, 4]}}),
    ],
)
def test_a_repr_is_a_few_short_lines(make):
    shown = repr(make())
    assert len(shown.splitlines()) <= 12
    assert max(map(len, shown.splitlines())) <= 480


def test_a_hamiltonian_shows_shapes_of_its_arrays():
    glass = la.EdwardsAnderson((4, 4), couplings=torch.ones(2, 4, 4).tolist(), field=0.5)
    assert repr(glass).startswith("EdwardsAnderson(shape=[4, 4], couplings=<2 x 4 x 4 values>, distribution='pm1'")
    assert (
        eval(repr(la.Ising((4, 6), field=0.5)), {"Ising": la.Ising}).to_dict() == la.Ising((4, 6), field=0.5).to_dict()
    )


def test_options_show_what_is_not_a_default():
    assert repr(TrainingOptions(steps=3, ema_decay=0.5)) == (
        "TrainingOptions(objective='reverse-kl', steps=3, batch_size=256, ema_decay=0.5)"
    )


def test_a_step_shows_its_numbers(ising, model):
    (step,) = la.fit(model, ising, temperature=T, steps=1, batch_size=16)
    assert repr(step).startswith(f"Step(step=1, loss={step.loss:.5g}, ")
    assert "TrainingState" not in repr(step)
    assert step.to_dict() == {"step": 1, "loss": step.loss, **step.metrics}
    json.dumps(step.to_dict())


def test_samples_show_their_number_and_origin(model, ising):
    shown = repr(model.sample(100, seed=3)).splitlines()
    assert shown[0] == "Samples: 100 configurations 3 x 3, seed 3"
    assert shown[1].startswith("  log_q from -")
    (chains,) = la.monte_carlo(ising, T, n=20, n_chains=20)
    assert "no log_q" in repr(chains)
    assert "method = 'swendsen-wang'" in repr(chains)
    assert json.loads(json.dumps(chains.to_dict())) == {
        "n": 20,
        "shape": [3, 3],
        "seed": 0,
        "provenance": chains.provenance,
    }


def test_samples_become_a_data_set_with_named_dimensions(model, ising):
    samples = model.sample(30, seed=3)
    plain, full = samples.to_xarray(), samples.to_xarray(ising)
    assert dict(full.sizes) == {"sample": 30, "y": 3, "x": 3}
    assert set(plain.data_vars) == {"tokens", "log_q"}
    np.testing.assert_array_equal(full.spins, ising.spins(samples.tokens))
    np.testing.assert_array_equal(full.energy, ising.token_energy(samples.tokens))
    np.testing.assert_array_equal(full.log_q, samples.log_q)
    assert full.sel(sample=4).energy.item() == pytest.approx(ising.token_energy(samples.tokens[4:5]).item(), rel=1e-14)
    assert json.loads(full.attrs["hamiltonian"]) == ising.to_dict()
    pair = la.Components(la.AshkinTeller((3, 3)))
    (chains,) = la.monte_carlo(pair, T, n=5, n_chains=5)
    assert chains.to_xarray(pair).spins.dims == ("sample", "component", "y", "x")
    where = torch.zeros(3, 3, dtype=torch.bool)
    held = model.sample(5, given=torch.ones(3, 3, dtype=torch.uint8), where=where).to_xarray()
    assert isinstance(held, xarray.Dataset)
    assert {"where", "log_q_given"} <= set(held)
    grid = la.Grid((3, 3), levels=2)
    assert "energy" not in samples.to_xarray(grid)


WRONG = {
    "tokens": (
        lambda s, m, h: la.estimate(s.tokens, h, T),
        "got Tensor of shape (40, 3, 3): tokens alone have",
    ),
    "array": (lambda s, m, h: la.estimate(s.tokens.numpy(), h, T), "got ndarray of shape (40, 3, 3)"),
    "swapped": (lambda s, m, h: la.estimate(h, s, T), "got the Hamiltonian Ising: samples come first"),
    "model": (lambda s, m, h: la.neural_mcmc(m, h, T), "got PixelCNN of shape (3, 3): draw them first, model.sample("),
    "name": (lambda s, m, h: la.estimate(s, "ising", T), "a Hamiltonian is needed, such as la.Ising((8, 8)), got str"),
    "list of tokens": (lambda s, m, h: la.estimate([s.tokens], h, T), "got an iterator of Tensor of shape (40, 3, 3)"),
    "number": (lambda s, m, h: la.reweight(3, h, [T]), "or an iterator of them, got int 3"),
    "temperatures": (lambda s, m, h: la.reweight(s, h, T), "temperatures must be a list of temperatures, got 2.0"),
    "another shape": (
        lambda s, m, h: la.estimate(s, la.Ising((4, 4)), T),
        "samples have shape (3, 3), the Hamiltonian",
    ),
    "another temperature": (
        lambda s, m, h: la.estimation.estimate_chains(la.monte_carlo(h, T, n=40), h, 3.0),
        "these samples were made at temperature 2, got 3",
    ),
    "grid": (lambda s, m, h: la.monte_carlo(la.Grid((3, 3), levels=2), T, n=5), "a Hamiltonian is needed"),
    "population": (lambda s, m, h: la.population_annealing("x", T, n=400), "a Hamiltonian is needed"),
    "contract": (lambda s, m, h: la.check_hamiltonian("x"), "a Hamiltonian is needed"),
    "exact": (lambda s, m, h: la.exact_result(m, T), "a Hamiltonian is needed"),
    "kasteleyn": (lambda s, m, h: la.exact.kasteleyn("x", T), "a Hamiltonian is needed"),
    "enumerate": (lambda s, m, h: la.exact.enumerate_states("x", T), "a Hamiltonian is needed"),
    "transfer": (lambda s, m, h: la.exact.transfer_matrix("x", T), "a Hamiltonian is needed"),
    "resolved": (lambda s, m, h: la.exact.magnetization_resolved("x", T), "a Hamiltonian is needed"),
    "forward": (lambda s, m, h: la.forward_ess(h, s.tokens, m, T), "a model is needed"),
    "likelihood": (lambda s, m, h: la.negative_log_likelihood(h, s.tokens), "a model is needed"),
    "causality": (lambda s, m, h: la.check_autoregressive(h), "a model is needed"),
    "transferred": (lambda s, m, h: la.transfer_weights(m, "x"), "a model is needed"),
    "fit model": (lambda s, m, h: la.fit("x", h, temperature=T), "a model is needed"),
    "fit swapped": (
        lambda s, m, h: la.fit(h, m, temperature=T),
        "a model is needed",
    ),
    "number of samples": (lambda s, m, h: m.sample(10.5), "n must be an integer, got 10.5"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_argument_of_the_wrong_kind_is_refused_in_one_line(what, model, ising):
    call, message = WRONG[what]
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the message is compared below)
        call(model.sample(40), model, ising)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: la.PixelCNN((4, 4), widht=3), "PixelCNN has no argument 'widht'; did you mean 'width'?"),
        (lambda: la.Ising((4, 4), cupling=3.0), "Ising has no argument 'cupling'; did you mean 'coupling'?"),
        (lambda: la.Grid((4, 4), level=3), "Grid has no argument 'level'; did you mean 'levels'?"),
        (lambda: la.Ising((4, 4), zzz=3), "Ising has no argument 'zzz'; it takes shape, coupling, field, periodic, "),
    ],
)
def test_a_misspelt_argument_has_a_hint(make, message):
    with pytest.raises(TypeError) as refusal:
        make()
    assert str(refusal.value).startswith(message)
