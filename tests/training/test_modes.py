"""What keeps a network from losing a phase: the data that training draws, heated configurations, the last line."""

import copy
import math

import pytest
import torch
from support import contracts

import latticear as la
from latticear.exact import all_configurations
from latticear.models import MODELS
from latticear.runs.config import brought_up_to_date, parse_config
from latticear.samples import Samples
from latticear.targets import PointTarget
from latticear.training import TrainingOptions
from latticear.training.drawn import FACTORS, drawn_data, heated
from latticear.training.objectives import LIMIT, reverse_kl
from latticear.training.suited import suited_options
from latticear.workflows.training_steps import _headline

BLUME_CAPEL, COLD = la.BlumeCapel((4, 4), crystal_field=1.99), 0.3
STRIPES = la.Ising((4, 4), next_nearest=-0.6)


def _suited(name, system, shares_weights=True, has_data=False):
    return suited_options(MODELS[name], None, shares_weights=shares_weights, has_data=has_data, system=system)


@pytest.mark.parametrize("system", [la.Ising((4, 4)), la.Ising((4, 4), field=0.1), la.Ising((4, 4), coupling=-1.0)])
def test_two_states_without_frustration_are_trained_as_before(system):
    assert _suited("pixelcnn", system) == {}
    assert _suited("multiscale", system) == la.MultiscalePixelCNN.training_defaults


@pytest.mark.parametrize("system", [BLUME_CAPEL, STRIPES, la.Potts((4, 4), q=3)])
def test_networks_for_other_systems_see_what_they_have_not_drawn(system):
    keeping = {"objective": "forward-reverse-kl", "heated_share": 0.5, "monte_carlo": "tempering"}
    assert _suited("pixelcnn", system) == keeping
    assert _suited("multiscale", system) == la.MultiscalePixelCNN.training_defaults | keeping
    assert _suited("made", system, shares_weights=False) == keeping | {"forward_share": 0.0, "learning_rate": 0.01}
    assert _suited("mean_field", system) == {}  # independent sites hold one phase alone
    assert _suited("pixelcnn", system, has_data=True) == {"objective": "forward-kl"}


def test_runs_of_earlier_versions_keep_their_training():
    tree = {"hamiltonian": {"name": "blume_capel", "shape": [4, 4]}, "model": {"name": "multiscale"}}
    now = parse_config(tree).training
    assert (now["heated_share"], now["monte_carlo"]) == (0.5, "tempering")
    then = parse_config(brought_up_to_date(tree | {"training": {"objective": "reverse-kl"}})).training
    assert (then["objective"], then["heated_share"], then["monte_carlo"]) == ("reverse-kl", 0.0, "default")


def test_tempering_gives_the_phases_their_probabilities():
    """At a transition of first order, the share of empty lattices in chains of two families of starts.

    Exact: 0.24; single spins give 0.72 and 0. The standard deviation is about 0.03.
    """
    system, t = la.BlumeCapel((3, 3), crystal_field=1.99), 0.2
    every = all_configurations((3, 3), 3)
    p = torch.softmax(-system.token_energy(every) / t, 0)
    exact = float(p[(every == 1).all(2).all(1)].sum())
    shares = {}
    for how in ("default", "tempering"):
        data = drawn_data(PointTarget(system, t), TrainingOptions(monte_carlo=how, n_monte_carlo=2000), 1)
        empty = (data == 1).all(2).all(1).double()
        shares[how] = [float(empty[k::2].mean()) for k in (0, 1)]
    assert shares["tempering"] == pytest.approx([exact, exact], abs=0.12)
    assert shares["default"][0] - shares["default"][1] > 0.5


@pytest.mark.parametrize("system", [BLUME_CAPEL, la.Components(la.AshkinTeller((3, 4)), 2)])
def test_heated_configurations_are_hotter_and_follow_the_seed(system):
    cold = drawn_data(PointTarget(system, COLD), TrainingOptions(monte_carlo="tempering", n_monte_carlo=400), 0)
    hot = heated(system, COLD, cold, seed=1)
    assert (hot.shape, hot.dtype) == (cold.shape, cold.dtype)
    assert torch.equal(hot, heated(system, COLD, cold, seed=1))
    assert not torch.equal(hot, heated(system, COLD, cold, seed=2))
    assert system.token_energy(hot).mean() > system.token_energy(cold).mean()
    assert system.token_energy(hot).mean() < system.token_energy(torch.randint_like(cold, system.n_tokens)).mean()
    assert min(FACTORS) > 1


def test_heated_configurations_learn_the_offset_by_a_limited_advantage():
    ising, beta = la.Ising((3, 3)), 0.5
    model = contracts.peaked(la.PixelCNN((3, 3), 2, width=4, depth=2))
    tokens = torch.randint(2, (30, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    log_q = model.log_prob(tokens).detach()
    samples = Samples(tokens, log_q, 0)

    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    loss, metrics = reverse_kl(model, ising, beta, samples, n_data=20, n_heated=10)
    log_ratio = log_q + beta * ising.token_energy(tokens)
    advantage = log_ratio[20:] - log_ratio[:20].mean()
    assert (advantage.abs() > LIMIT).any()
    of_heated = (advantage.clamp(-LIMIT, LIMIT) * model.log_prob(tokens[20:])).sum() / (30 * 9)
    others = reverse_kl(model, ising, beta, samples[:20], n_data=10)
    expected = 2 / 3 * gradient(others[0]) + gradient(of_heated)
    assert torch.allclose(gradient(loss), expected, rtol=1e-4, atol=1e-6)
    assert metrics["forward_ess"] == others[1]["forward_ess"]  # of data of the target alone


OPTIONS = {"objective": "forward-reverse-kl", "steps": 150, "batch_size": 128, "n_monte_carlo": 1000, "seed": 1}


def _exact_ess(heated_share):
    """ESS of a short training, by the sum over all configurations; that of a few thousand samples sees nothing."""
    temperature = 0.6
    model = la.MultiscalePixelCNN((4, 4), width=8, spin_flip_symmetric=True, bias=STRIPES.bias(temperature), seed=2)
    options = OPTIONS | {"learning_rate": 0.03, "forward_share": 0.15, "monte_carlo": "tempering"}
    for _ in la.fit(model, STRIPES, temperature=temperature, heated_share=heated_share, **options):
        pass
    every = all_configurations((4, 4), 2)
    log_p = (-STRIPES.token_energy(every) / temperature).log_softmax(0)
    with torch.no_grad():
        log_w = log_p - model.log_prob(every).double()
    return float(torch.exp(-(log_p + log_w).logsumexp(0)))


def test_heated_configurations_find_what_no_sample_shows():
    without, found = _exact_ess(0.0), _exact_ess(0.5)
    assert without < 0.3
    assert found > 0.7


def test_a_training_with_heated_configurations_resumes_bit_for_bit():
    def train(resume=None, stop=6):
        model = la.PixelCNN((3, 3), 3, width=4, depth=2)
        system = la.BlumeCapel((3, 3), crystal_field=1.9)
        options = OPTIONS | {"steps": 6, "batch_size": 16, "heated_share": 0.5, "n_monte_carlo": 50}
        for step in la.fit(model, system, temperature=0.5, resume=resume, **options):
            if step.step == stop:
                return step.loss, dict(step.metrics), copy.deepcopy(step.state.state_dict())
        raise AssertionError

    whole = train()
    again = train(train(stop=3)[2])
    assert whole[:2] == again[:2]
    assert all(torch.equal(a, b) for a, b in zip(*(each[2]["model"].values() for each in (whole, again)), strict=True))


def test_the_last_step_asks_all_held_out_data():
    system, t = la.BlumeCapel((3, 3), crystal_field=1.9), 0.5
    model = la.PixelCNN((3, 3), 3, width=4, depth=2)
    data = drawn_data(PointTarget(system, t), TrainingOptions(n_monte_carlo=400), 3)
    options = OPTIONS | {"steps": 2, "learning_rate": 1e-9, "ema_decay": 0.0, "heated_share": 0.5}
    *_, last = la.fit(model, system, temperature=t, data=data, held_out=0.5, **options)
    expected = la.forward_ess(model, data[200:], system, t).value
    assert last.metrics["forward_ess"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("forward", "says"), [(0.01, True), (0.97, False)])
def test_the_last_line_says_that_a_phase_is_missing(forward, says):
    status = {"at": "", "kl_bound": -1.0, "free_energy_per_site": -1.0, "free_energy_error": 0.1, "ess": 0.98}
    line = _headline(status | {"forward_ess": forward}, last=True)
    assert ("the network lacks a part of the data" in line) is says
    assert "lacks" not in _headline(status | {"forward_ess": forward})
    assert "lacks" not in _headline(status, last=True)


@pytest.mark.parametrize(
    ("options", "heated", "data"), [({}, 0, 16), ({"heated_share": 0.5}, 8, 16), ({"heated_share": 0.99}, 14, 16)]
)
def test_the_share_leaves_data_enough_for_a_variance(options, heated, data):
    chosen = TrainingOptions(objective="forward-reverse-kl", batch_size=32, **options)
    assert (chosen.n_heated, chosen.n_data) == (heated, data)
    assert TrainingOptions(**options).n_heated == 0  # reverse-kl
    assert math.isclose(chosen.data_share, 0.5)
    with pytest.raises(ValueError, match=r"monte_carlo must be one of .* did you mean 'tempering'"):
        TrainingOptions(monte_carlo="temper")
