"""Objectives by their exact gradients; the loop by what it must never do: forget, drift, or go on with a NaN."""

import copy
import math

import numpy as np
import pytest
import torch
from support import contracts

import latticear as la
from latticear.exact import all_configurations, enumerate_states
from latticear.montecarlo import monte_carlo_data
from latticear.processes import Share
from latticear.random_numbers import TRAINING
from latticear.samples import Samples
from latticear.targets import PointTarget
from latticear.training import OBJECTIVES, learning_rate_factor
from latticear.training.batches import Batches
from latticear.training.dataset import Dataset
from latticear.training.objectives import forward_kl, reverse_kl


def _tiny(shape=(3, 3), **options) -> la.PixelCNN:
    return la.PixelCNN(shape, 2, width=4, depth=2, **options)


def _gradient(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_reverse_kl_has_the_exact_gradient():
    """The surrogate's gradient, averaged over 150,000 samples, is that of the exact KL; 4.5 errors in each of its
    parts (some 150 of them) are passed by a right one about 999 times in 1000."""
    ising, temperature = la.Ising((2, 3), field=0.2), 1.5
    model = contracts.peaked(_tiny((2, 3)), scale=0.6)
    every = all_configurations((2, 3), 2)
    log_q = model.log_prob(every)
    kl = (log_q.exp() * (log_q + ising.token_energy(every) / temperature)).sum() / 6
    exact = _gradient(model, kl)
    parts = []
    for k in range(100):
        samples = model.sample(1500, seed=k)
        parts.append(_gradient(model, reverse_kl(model, ising, 1 / temperature, samples)[0]))
    estimates = torch.stack(parts)
    error = estimates.std(0) / 10
    assert ((estimates.mean(0) - exact).abs() <= 4.5 * error + 1e-12).all()
    assert exact.norm() > 20 * error.norm()  # the test would see a gradient that is wrong by a few per cent


def test_data_add_the_gradient_of_their_log_variance():
    """Beside the samples and by their share of the batch; their ESS is `la.forward_ess`."""
    ising, beta = la.Ising((3, 3)), 0.5
    model = contracts.peaked(_tiny())
    samples = model.sample(20, seed=1)
    data = torch.randint(2, (40, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    both = Samples(torch.cat([samples.tokens, data]), torch.cat([samples.log_q, model.log_prob(data).detach()]), 1)
    loss, metrics = reverse_kl(model, ising, beta, both, n_data=40)
    found = _gradient(model, loss)
    of_samples = _gradient(model, reverse_kl(model, ising, beta, samples)[0])
    of_data = _gradient(model, (model.log_prob(data) + beta * ising.token_energy(data)).var() / 2 / 9)
    torch.testing.assert_close(found, (20 * of_samples + 40 * of_data) / 60)
    assert metrics["forward_ess"] == pytest.approx(la.forward_ess(model, data, ising, 1 / beta).value)


def test_the_gradient_is_silent_at_the_target():
    """Every sample and every datum alone: no noise is left."""

    class Own(la.Ising):
        def token_energy(self, tokens):
            return -model.log_prob(tokens).detach() / 0.5

    model = contracts.peaked(_tiny())
    loss, metrics = reverse_kl(model, Own((3, 3)), 0.5, model.sample(40, seed=0), n_data=20)
    assert _gradient(model, loss).norm() < 1e-6
    assert metrics["forward_ess"] == pytest.approx(1)


@pytest.mark.parametrize("model", [_tiny((4, 4)), la.MultiscalePixelCNN((4, 4), width=4)], ids=lambda m: m.name)
def test_data_are_weighed_beside_what_is_drawn(model):
    data = torch.randint(2, (5, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = Batches(model, PointTarget(la.Ising((4, 4)), 2.0), Share.whole(12), seed=3)
    samples, _ = batches.draw(7, data)
    alone, _ = batches.draw(7)
    assert torch.equal(samples.tokens[:7], alone.tokens[:7])
    assert torch.equal(samples.tokens[7:], data)
    torch.testing.assert_close(samples.log_q, model.log_prob(samples.tokens).detach().double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("data_share", "finds"), [(0.0, False), (0.5, True)])
def test_data_bring_back_a_phase_that_was_lost(data_share, finds):
    """A model that has seen positive magnetisations alone never draws another; data of both show what it lacks."""
    ising, temperature = la.Ising((3, 3)), 1.5
    model, every = _tiny(), all_configurations((3, 3), 2)
    up = every.sum((1, 2)) > 4
    p = (-ising.token_energy(every) / temperature).softmax(0)
    data = every[torch.multinomial(p, 2000, replacement=True, generator=torch.Generator().manual_seed(0))]
    of_up = data[data.sum((1, 2)) > 4]
    common = {"temperature": temperature, "batch_size": 64, "learning_rate": 0.01}
    for _ in la.fit(model, ising, objective="forward-kl", data=of_up, augment=False, steps=150, **common):
        pass
    assert model.log_prob(every[up]).exp().sum() > 0.99
    mixed = {"objective": "forward-reverse-kl", "forward_share": 0.0, "data_share": data_share, "data": data}
    for step in la.fit(model, ising, steps=300, **mixed, **common):
        assert ("forward_ess" in step.metrics) == finds
    assert (model.log_prob(every[up]).exp().sum() < 0.8) == finds  # half of the target; 0.6 after so few steps, or one


def test_the_baseline_leaves_the_sample_itself_out():
    ising = la.Ising((3, 3))
    model = contracts.peaked(_tiny())
    samples = model.sample(5, seed=0)
    loss, metrics = reverse_kl(model, ising, 0.5, samples)
    f = samples.log_q + 0.5 * ising.token_energy(samples.tokens)
    others = torch.stack([torch.cat([f[:k], f[k + 1 :]]).mean() for k in range(5)])
    expected = ((f - others) * model.log_prob(samples.tokens)).mean() / 9
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert metrics["kl_bound"] == pytest.approx(f.mean().item() / 9)


def test_forward_kl_is_the_negative_log_likelihood_per_site():
    model = _tiny()
    tokens = torch.randint(2, (7, 3, 3))
    loss, _ = forward_kl(model, tokens)
    assert loss.item() == pytest.approx(-model.log_prob(tokens).mean().item() / 9)


def _train(model, ising, **options):
    steps = list(la.fit(model, ising, temperature=2.0, **{"steps": 60, "batch_size": 64, **options}))
    return steps


def test_reverse_kl_training_approaches_the_free_energy():
    ising = la.Ising((3, 3))
    exact = enumerate_states(ising, 2.0).free_energy_per_site
    model = _tiny(spin_flip_symmetric=True, bias=ising.bias(2.0))
    steps = _train(model, ising, steps=150, batch_size=128, learning_rate=1e-2)
    first, last = steps[0].metrics["free_energy_per_site"], steps[-1].metrics["free_energy_per_site"]
    assert last - exact < 0.1 * (first - exact)
    assert last > exact - 4 * steps[-1].metrics["free_energy_error"]  # it is an upper bound
    assert [step.step for step in steps] == list(range(1, 151))


def test_forward_kl_training_reaches_the_entropy():
    """The negative log-likelihood cannot fall below the entropy of the target, and comes close to it."""
    ising = la.Ising((3, 3))
    data = Samples.cat(list(la.monte_carlo(ising, 2.0, n=4000, method="swendsen-wang", seed=1))).tokens
    entropy = enumerate_states(ising, 2.0).entropy_per_site
    model = _tiny(spin_flip_symmetric=True, bias=ising.bias(2.0))
    steps = _train(model, ising, steps=200, batch_size=128, objective="forward-kl", data=data, learning_rate=1e-2)
    held_out = steps[-1].metrics["nll_held_out"]
    assert entropy - 0.03 < held_out < entropy + 0.05  # 400 held-out configurations: an error of about 0.01
    assert steps[-1].metrics["ess"] > 0.6
    assert "nll_held_out" not in steps[10].metrics


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema_decay": 0.9},
        {"objective": "forward-kl"},
        {"objective": "forward-kl", "ema_decay": 0.9, "schedule": "constant"},
    ],
)
def test_resume_is_as_if_never_stopped(options):
    ising = la.Ising((3, 3))
    if options.get("objective") == "forward-kl":
        options = {
            **options,
            "data": torch.randint(2, (500, 3, 3), generator=torch.Generator().manual_seed(0)),
            "check_data": False,
        }
    straight = _tiny()
    whole = _train(straight, ising, steps=12, **options)
    first = _tiny()
    run = la.fit(first, ising, temperature=2.0, steps=12, batch_size=64, **options)
    state = copy.deepcopy([next(run) for _ in range(5)][-1].state.state_dict())
    run.close()
    second = _tiny(seed=1)  # other weights: the state brings its own
    rest = _train(second, ising, steps=12, resume=state, **options)
    assert [step.step for step in rest] == list(range(6, 13))
    assert [step.metrics for step in rest] == [step.metrics for step in whole[5:]]
    for a, b in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_averaged_weights_are_what_the_model_ends_with():
    ising = la.Ising((3, 3))
    model = _tiny()
    *_, last = la.fit(model, ising, temperature=2.0, steps=10, batch_size=16, ema_decay=0.8)
    average = last.state.average.module.state_dict()
    raw = last.state.state_dict()["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, average[name])
    assert any(not torch.equal(average[name], raw[name]) or name == "layers.0.mask" for name in raw)


def test_average_is_exponential_after_its_warm_up():
    ising = la.Ising((3, 3))
    model = _tiny()
    steps, weights = [], []
    for step in la.fit(model, ising, temperature=2.0, steps=40, batch_size=16, ema_decay=0.75):
        weights.append(model.head.weight.detach().clone())
        steps.append(step)
    expected = weights[0]
    for k, weight in enumerate(weights[1:], start=1):
        decay = min(0.75, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * weight
    assert torch.allclose(steps[-1].state.average.module.head.weight, expected, atol=1e-6)


def test_training_and_sampling_do_not_share_numbers():
    """What a model is trained on would bias what is weighed if both came from one stream."""
    model = contracts.peaked(_tiny())
    train = next(model.sample_batches(64, seed=0, stream=TRAINING))
    assert not torch.equal(train.tokens, model.sample(64, seed=0).tokens)


def test_a_loss_that_is_not_finite_stops_before_it_does_harm():
    ising = la.Ising((3, 3))
    model = _tiny()
    run = la.fit(model, ising, temperature=2.0, steps=50, batch_size=16)
    next(run)
    with torch.no_grad():
        model.head.bias.fill_(math.inf)
    before = [p.clone() for p in model.layers.parameters()]
    with pytest.raises(la.TrainingError, match="stopped being finite at step 2"):
        next(run)
    assert all(torch.equal(a, b) for a, b in zip(before, model.layers.parameters(), strict=True))


def test_clipping_bounds_the_step():
    ising = la.Ising((3, 3))
    steps = _train(_tiny(), ising, steps=3, clip_norm=1e-9)
    assert steps[0].metrics["gradient_norm"] > 1e-9  # reported before clipping


def test_schedules():
    factors = [learning_rate_factor(step, 100, 10, "cosine") for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert max(factors) == factors[10] == pytest.approx(1)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0.01 < factors[-1] < 0.02
    assert learning_rate_factor(50, 100, 10, "constant") == 1
    ising = la.Ising((3, 3))
    betas = [step.metrics["beta"] for step in _train(_tiny(), ising, steps=20, anneal=0.5)]
    assert betas == sorted(betas)
    assert betas[0] == pytest.approx(0.05)
    assert betas[9:] == [0.5] * 11


def test_augmentation_uses_the_symmetries_of_the_system():
    """One configuration becomes all its images: 4 x 4 translations, 8 turns and reflections, and the flip."""
    ising = la.Ising((4, 4))
    token = torch.zeros(1, 4, 4, dtype=torch.uint8)
    token[0, 0, 0] = token[0, 0, 1] = token[0, 1, 0] = token[0, 2, 0] = 1  # no symmetry of its own

    def images(system):
        data = Dataset(token, system, 0.0, True, 0, torch.device("cpu"))
        drawn = data.draw(4000, 0).tokens
        assert torch.allclose(system.token_energy(drawn), system.token_energy(token))
        return len(drawn.unique(dim=0))

    assert images(ising) == 16 * 8 * 2
    assert images(la.Ising((4, 4), field=1.0)) == 16 * 8
    assert images(la.Ising((4, 4), periodic=False)) == 8 * 2
    assert images(la.Ising((4, 4), periodic=(True, False))) == 4 * 4 * 2


def test_held_out_data_are_the_end_and_are_not_trained_on():
    tokens = torch.zeros(100, 3, 3, dtype=torch.uint8)
    tokens[90:] = 1
    data = Dataset(tokens, la.Ising((3, 3), field=1.0), 0.1, True, 0, torch.device("cpu"))
    assert len(data.held) == 10
    assert data.held.all()
    assert not data.draw(1000, 0).tokens.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "reverse-kk"}, "objective must be one of .* did you mean 'reverse-kl'"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"temperature": -1.0}, "temperature must be positive"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 1}, "batch_size at least 2"),
        ({"anneal": 1.5}, "anneal must lie in"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
        ({"seed": -1}, "seed must be an integer"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"clip_norm": -1.0}, "clip_norm must not be negative"),
        ({"warmup": -1}, "warmup must not be negative"),
        ({"evaluate_every": 0}, "evaluate_every be at least 1"),
        ({"forward_share": 1.0}, "forward_share must lie in"),
        ({"data_share": 1.0}, "data_share must lie in"),
        ({"objective": "forward-reverse-kl", "batch_size": 3}, "batch_size must be at least 4, two of them data"),
        ({"objective": "forward-kl", "n_monte_carlo": 1}, "n_monte_carlo must be at least 2"),
        (
            {"objective": "reverse-kl", "data": torch.zeros(5, 3, 3, dtype=torch.uint8)},
            "data is for maximum likelihood",
        ),
        ({"objective": "forward-kl", "data": torch.full((5, 3, 3), 0.5)}, "Ising takes spins -1, 1, tokens 0..1"),
        ({"objective": "forward-kl", "data": torch.zeros(5, 3, 4, dtype=torch.uint8)}, "must hold numbers of shape"),
        ({"objective": "forward-kl", "data": torch.full((5, 3, 3), 3)}, "Ising takes spins -1, 1, tokens 0..1"),
        ({"objective": "forward-kl", "data": torch.zeros(1, 3, 3, dtype=torch.uint8)}, "at least 2 configurations"),
    ],
)
def test_bad_options_fail_before_the_first_step(options, message):
    with pytest.raises(ValueError, match=message):
        la.fit(_tiny(), la.Ising((3, 3)), **{"temperature": 2.0, **options})


def test_a_hamiltonian_needs_a_temperature_and_takes_no_condition():
    with pytest.raises(ValueError, match="temperature must be given: the target is Ising"):
        la.fit(_tiny(), la.Ising((3, 3)))
    with pytest.raises(ValueError, match="condition goes with a Grid"):
        la.fit(_tiny(), la.Ising((3, 3)), temperature=2.0, condition=torch.zeros(3, 1))


def test_a_model_of_another_shape():
    with pytest.raises(ValueError, match="the model is for shape"):
        la.fit(_tiny((3, 4)), la.Ising((3, 3)), temperature=2.0)


def test_metrics_are_per_site_and_finite():
    steps = _train(_tiny(), la.Ising((3, 3)), steps=2)
    metrics = steps[-1].metrics
    assert all(np.isfinite(value) for value in metrics.values())
    assert -2.5 < metrics["energy_per_site"] < 2
    assert 0 < metrics["ess"] <= 1
    assert set(OBJECTIVES) == {"reverse-kl", "forward-kl", "forward-reverse-kl"}


@pytest.mark.gpu
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_cuda_trains(objective):
    ising = la.Ising((4, 4))
    model = _tiny((4, 4), bias=ising.bias(2.0)).cuda()
    data = monte_carlo_data(ising, 2.0, 100, 0, "training") if objective == "forward-kl" else None
    *_, last = la.fit(model, ising, temperature=2.0, steps=5, batch_size=32, objective=objective, data=data)
    assert math.isfinite(last.loss)
    assert last.metrics["ess"] > 0


def test_compile_is_asked_for(monkeypatch):
    """The passes of the network go through `torch.compile` if told so, and nothing else changes."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    losses = [_losses(compile=False), _losses(compile=True)]
    assert losses[0] == losses[1]
    assert len(compiled) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own
def test_compiled_training_is_the_same_to_rounding():
    assert _losses(compile=True) == pytest.approx(_losses(compile=False), rel=1e-4)


def _losses(**options) -> list[float]:
    model = la.PixelCNN((3, 3), 2, width=4, depth=2)
    return [step.loss for step in la.fit(model, la.Ising((3, 3)), temperature=2.0, steps=5, batch_size=16, **options)]


class _Watch(torch.nn.Module):
    """Notes the mode in which gradients are taken."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def forward(self, x):
        if torch.is_grad_enabled():
            self.seen.add(self.training)
        return x


@pytest.mark.parametrize("objective", ["reverse-kl", "forward-kl"])
def test_dropout_acts_in_maximum_likelihood_alone(objective):
    """The score function must be that of the network that drew the samples."""
    model = la.PixelCNN((3, 3), 2, width=4, depth=2)
    watch = _Watch()
    model.layers.append(watch)
    data = torch.randint(2, (40, 3, 3)) if objective == "forward-kl" else None
    for _ in la.fit(model, la.Ising((3, 3)), temperature=2.0, steps=2, batch_size=8, objective=objective, data=data):
        pass
    assert watch.seen == {objective == "forward-kl"}


def test_dropout_is_a_function_of_the_seed_and_the_step():
    """Not of PyTorch's global state, which stays as it was; so a resumed training goes on as if never stopped."""
    data = torch.randint(2, (60, 3, 3), generator=torch.Generator().manual_seed(0))

    def train(resume=None, stop=4):
        model = la.PixelCNNPlusPlus((3, 3), width=4, dropout=0.5)
        losses = []
        options = {"objective": "forward-kl", "steps": 4, "batch_size": 16}
        for step in la.fit(model, la.Ising((3, 3)), temperature=2.0, data=data, resume=resume, **options):
            losses.append(step.loss)
            if step.step == stop:
                return losses, copy.deepcopy(step.state.state_dict())
        raise AssertionError

    state = torch.random.get_rng_state()
    whole, _ = train()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    first, half = train(stop=2)
    second, _ = train(half)
    assert first + second == whole
