"""One network for every sample of the disorder: exact given any couplings, in their gauge, trained, and on disk."""

import copy
import json

import h5py
import pytest
import torch
from support import contracts, tiny
from support.claims import claimed
from support.verbs import refusal, succeed

import latticear as la
from latticear.exact import all_configurations, exact_result
from latticear.random_numbers import TRAINING
from latticear.runs.config import load_config
from latticear.training.objectives import reverse_kl

TEMPERATURE = 0.9

NETWORKS = {
    "multiscale": (la.MultiscalePixelCNN, {"width": 8, "coupling_reach": 2}),
    "multiscale by convolutions": (la.MultiscalePixelCNN, {"width": 8, "spin_flip_symmetric": False}),
    "pixelcnn": (la.PixelCNN, {"width": 8, "depth": 2}),
    "pixelcnn that looks ahead": (la.PixelCNN, {"width": 8, "depth": 2, "chi": 2}),
    "tensor network": (la.TensorNetwork, {"bond_dimension": 3}),
}
LATTICES = {
    "torus": {},
    "cylinder": {"periodic": (False, True)},
    "antiperiodic": {"antiperiodic": (True, False)},
    "diluted": {"missing": [(0, 1), (2, 2)]},
}


def _disorder(shape=(4, 4), distribution="gaussian", **lattice) -> la.EdwardsAndersonDisorder:
    return la.EdwardsAndersonDisorder(shape, distribution, 3, **lattice)


def _model(disorder, network="multiscale", **options) -> la.models.AbstractModel:
    cls, own = NETWORKS[network]
    options = {"spin_flip_symmetric": True, "n_condition_maps": 2, **own, **options}
    if cls is la.MultiscalePixelCNN:
        options["periodic"] = disorder.lattice.periodic
    bias = disorder.bias(TEMPERATURE, bond_dimension=options.pop("chi", None))
    return cls(disorder.shape, 2, bias=bias, **options)


def _conditions(model, disorder, n, start=0) -> torch.Tensor:
    return model.condition_of(maps=disorder.draw(n, start))


def _random(shape, n=40) -> torch.Tensor:
    return torch.randint(2, (n, *shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("distribution", ["pm1", "gaussian"])
def test_instances_are_functions_of_seed_and_number(distribution):
    disorder = _disorder(distribution=distribution)
    drawn = disorder.draw(5)
    assert torch.equal(drawn[3:], disorder.draw(2, 3))
    others = (disorder.draw(5, stream=TRAINING), disorder.draw(5, 5), la.EdwardsAndersonDisorder((4, 4)).draw(5))
    assert len({tuple(values.flatten().tolist()) for values in (drawn, *others)}) == 4
    assert set(la.EdwardsAndersonDisorder((4, 4)).draw(9).unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_energies_are_those_of_the_instances(lattice):
    disorder, tokens = _disorder((3, 4), **lattice), _random((3, 4), 5)
    couplings = disorder.draw(5)
    found = disorder.energy_given(tokens, couplings.flatten(1))
    expected = [disorder.instance(c).token_energy(t[None]) for c, t in zip(couplings, tokens, strict=True)]
    assert (found - torch.cat(expected)).abs().max() < 1e-12


def test_all_couplings_together_have_no_energy():
    disorder, tokens = _disorder(), _random((4, 4), 2)
    needs = "this needs one instance"
    for what in (
        lambda: disorder.token_energy(tokens),
        lambda: disorder.conditional_energies(tokens, torch.tensor([0])),
        lambda: disorder.region_energy(tokens, torch.tensor([0])),
        lambda: exact_result(disorder, 1.0),
        lambda: list(la.monte_carlo(disorder, 1.0, n=4)),
    ):
        with pytest.raises(ValueError, match=needs):
            what()


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_the_bias_is_that_of_each_instance(lattice):
    """To rounding, configuration by configuration, for a network that has sites of every rank before each other."""
    disorder, tokens = _disorder((3, 4), **lattice), _random((3, 4), 6)
    model = _model(disorder, "pixelcnn")
    couplings = disorder.draw(6)
    found = model.bias(tokens, couplings.flatten(1))
    for k, values in enumerate(couplings):
        alone = disorder.instance(values).bias(TEMPERATURE)
        alone.attach(model.rank)
        assert (found[k] - alone(tokens[k : k + 1])[0]).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(4, 4), (8, 8)])
def test_exact_conditionals_are_those_of_each_instance(shape):
    """Five eighths of 8x8: the logits of these sites are those of a network for the one instance."""
    disorder, tokens = _disorder(shape), _random(shape, 6)
    model = _model(disorder)
    condition = _conditions(model, disorder, 6)
    told = torch.cat(list(claimed(model).values()))
    assert len(told) / tokens[0].numel() == (5 / 8 if shape == (8, 8) else pytest.approx(5 / 8, abs=1 / 8))
    with torch.no_grad():
        found = model.logits(tokens, condition).log_softmax(1).flatten(2)[:, :, told]
        for k, values in enumerate(disorder.draw(6)):
            bias = disorder.instance(values).bias(TEMPERATURE)
            alone = la.MultiscalePixelCNN(shape, 2, bias=bias, spin_flip_symmetric=True, width=8)
            expected = alone.logits(tokens[k : k + 1]).log_softmax(1).flatten(2)[0, :, told]
            assert (found[k] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_normalised_given_any_couplings(network, lattice):
    disorder = _disorder((3, 3), **lattice)
    model = contracts.peaked(_model(disorder, network))
    every = all_configurations((3, 3), 2)
    for condition in _conditions(model, disorder, 2):
        with torch.no_grad():
            log_q = model.log_prob(every, condition)
        assert abs(log_q.logsumexp(0).item()) < 1e-10
        assert log_q.max() - log_q.min() > 2


@pytest.mark.parametrize("network", NETWORKS)
def test_instances_of_a_batch_do_not_mix(network):
    """Draws and log-probabilities of each configuration are those with its couplings alone; so says the reference."""
    disorder = _disorder()
    model = contracts.peaked(_model(disorder, network))
    condition = _conditions(model, disorder, 6).repeat_interleave(5, 0)
    samples = model.sample(30, seed=2, condition=condition)
    slow = model.sample(30, seed=2, condition=condition, method="reference")
    assert torch.equal(samples.tokens, slow.tokens)
    with torch.no_grad():
        assert (model.log_prob(samples.tokens, condition) - samples.log_q).abs().max() < 1e-10
        for k in (0, 7, 29):
            alone = model.sample(1, seed=2, start=k, condition=condition[k])
            assert torch.equal(alone.tokens[0], samples.tokens[k])
            assert abs(model.log_prob(samples.tokens[k : k + 1], condition[k]) - samples.log_q[k]) < 1e-10
        others = model.log_prob(samples.tokens, condition.roll(5, 0))
    assert ((others - samples.log_q).abs() > 1e-3).all()


def _transformed(disorder, couplings, tokens, signs):
    """What the gauge transformation with these signs `(n, H, W)` makes of couplings and configurations."""
    turned = couplings.clone()
    turned[:, 0] *= signs * signs.roll(-1, 2)
    turned[:, 1] *= signs * signs.roll(-1, 1)
    return turned, torch.where(signs > 0, tokens, 1 - tokens)


@pytest.mark.parametrize("lattice", ["torus", "cylinder", "antiperiodic"])
@pytest.mark.parametrize("shape", [(4, 4), (5, 6)])
def test_the_gauge_symmetry_is_exact(shape, lattice):
    disorder, tokens = _disorder(shape, **LATTICES[lattice]), _random(shape)
    model = contracts.peaked(_model(disorder))
    couplings = disorder.draw(len(tokens))
    turned, flipped = _transformed(disorder, couplings, tokens, _random(shape, 80)[40:] * 2 - 1)
    with torch.no_grad():
        log_q = model.log_prob(tokens, model.condition_of(maps=couplings))
        again = model.log_prob(flipped, model.condition_of(maps=turned))
        unturned = model.log_prob(flipped, model.condition_of(maps=couplings))
    assert (log_q - again).abs().max() < 1e-10
    assert (log_q - unturned).abs().max() > 1


def test_beside_another_condition_the_couplings_are_embedded():
    disorder = _disorder((3, 4))
    contracts.check_condition(contracts.peaked(_model(disorder, n_condition=1)))


def test_couplings_to_later_sites_are_seen():
    """Each in the window moves the conditionals, those of bonds that the energy of known sites does not tell too."""
    disorder = _disorder((8, 8))
    model = contracts.peaked(_model(disorder, coupling_reach=2))
    condition, tokens = _conditions(model, disorder, 1), _random((8, 8), 1)
    site = next(int(p.sites[0]) for key, p in model.phases.items() if key == "0_face0")
    moved = condition.repeat(128, 1) * (1 + 0.5 * torch.eye(128))
    with torch.no_grad():
        change = (model.logits(tokens.expand(128, -1, -1), moved) - model.logits(tokens, condition)).flatten(2)
    seen = change[:, :, site].abs().amax(1) > 1e-9
    assert int(seen.sum()) == 2 * 5 * 4  # bonds of a window of 5x5


@pytest.mark.parametrize("network", ["multiscale", "multiscale by convolutions"])
def test_every_parameter_learns(network):
    disorder = _disorder()
    model = _model(disorder, network)
    contracts.check_gradients(model)


def test_training_serves_unseen_couplings():
    """KL by the sum over all states, over instances that no step has drawn."""
    disorder, every = _disorder((3, 3), "pm1"), all_configurations((3, 3), 2)
    model = _model(disorder, width=16, coupling_reach=1)
    unseen = disorder.draw(4)

    def mean_kl():
        kl = 0.0
        for couplings in unseen:
            system = disorder.instance(couplings)
            with torch.no_grad():
                log_q = model.log_prob(every, model.condition_of(maps=couplings[None]))
            log_z = exact_result(system, TEMPERATURE).log_z
            kl += float((log_q.exp() * (log_q + system.token_energy(every) / TEMPERATURE)).sum() + log_z) / 4
        return kl

    before = mean_kl()
    options = {"temperature": TEMPERATURE, "steps": 120, "batch_size": 128, "learning_rate": 5e-3, "ema_decay": 0.9}
    for _ in la.fit(model, disorder, **options):
        pass
    assert mean_kl() < 0.4 * before


def test_each_step_has_groups_of_new_instances():
    disorder, seen = _disorder((3, 3)), []

    def watched(model, hamiltonian, beta, samples, *, n_groups, n_data, n_heated, **others):
        seen.append(samples.condition)
        assert (n_groups, n_data, n_heated) == (4, 0, 0)
        return reverse_kl(model, hamiltonian, beta, samples, n_groups=n_groups, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latticear.training.steps.reverse_kl", watched)
        steps = list(_fit(_model(disorder, "pixelcnn"), disorder))
    groups = torch.stack(seen).view(12, 4, 16, 18)
    assert (groups == groups[:, :, :1]).all()
    assert len(groups[:, :, 0].reshape(48, 18).unique(dim=0)) == 48
    assert torch.equal(groups[0, :, 0], disorder.draw(4, stream=TRAINING).flatten(1))
    assert [step.step for step in steps if "ess" in step.metrics] == [5, 10, 12]


def _fit(model, disorder, **options):
    options = {"temperature": TEMPERATURE, "steps": 12, "batch_size": 64, "evaluate_every": 5, **options}
    return la.fit(model, disorder, **options)


def test_resume_is_as_if_never_stopped():
    disorder = _disorder((3, 3))
    straight, first, second = (_model(disorder) for _ in range(3))
    whole = list(_fit(straight, disorder))
    run = _fit(first, disorder)
    state = copy.deepcopy([next(run) for _ in range(5)][-1].state.state_dict())
    rest = list(_fit(second, disorder, resume=state))
    assert [step.metrics for step in rest] == [step.metrics for step in whole[5:]]
    for a, b in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": (1.0, 2.0)}, "disorder is for one temperature, got the range 1:2"),
        ({"objective": "forward-kl", "data": torch.zeros(9, 3, 3, dtype=torch.uint8)}, "needs objective 'reverse-kl'"),
        ({"batch_size": 40}, "multiple of 16 for disorder"),
        ({"condition": torch.zeros(9, 18)}, "condition goes with a Grid"),
    ],
)
def test_what_training_refuses(options, message):
    disorder = _disorder((3, 3))
    with pytest.raises(ValueError, match=message):
        list(_fit(_model(disorder), disorder, **options))


def test_models_that_do_not_fit():
    disorder = _disorder((3, 3))
    with pytest.raises(ValueError, match="n_condition_maps of at least 2, got 1"):
        _model(disorder, n_condition_maps=1)
    with pytest.raises(ValueError, match="n_condition_maps=2 and n_condition=0, got 2 and 1"):
        list(_fit(_model(disorder, n_condition=1), disorder))
    with pytest.raises(ValueError, match="distribution must be one of"):
        la.EdwardsAndersonDisorder((3, 3), "uniform")
    with pytest.raises(ValueError, match="square lattice"):
        la.EdwardsAndersonDisorder((4, 4), geometry="honeycomb")


def test_saved_and_built_again():
    contracts_model = contracts.peaked(_model(_disorder()))
    again = la.models.model_from_dict(json.loads(json.dumps(contracts_model.to_dict()))).double()
    again.load_state_dict(contracts_model.state_dict())
    tokens, condition = _random((4, 4), 3), _conditions(again, _disorder(), 3)
    assert torch.equal(again.log_prob(tokens, condition), contracts_model.log_prob(tokens, condition))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("disorder")
    sets = ["model.name=multiscale", "model.width=8", "training.steps=40", "training.batch_size=64"]
    words = [word for key in ("hamiltonian.name=edwards_anderson_disorder", *sets) for word in ("--set", key)]
    words += ["--set", "training.learning_rate=0.01", "--temperature", "1.5"]
    succeed("train", "--size", "4", *words, "--out", path / "run")
    with h5py.File(path / "glass.h5", "w") as h5:
        h5["couplings"] = la.EdwardsAndersonDisorder((4, 4), seed=9).draw(3)
    return path / "run"


def test_estimates_of_an_instance(run):
    glass = run.parent / "glass.h5"
    content = json.loads(succeed("estimate", run, "--instance", glass, "--index", "2", "-n", "500", "--json"))
    system = la.EdwardsAnderson((4, 4), la.data.read_couplings(glass, (4, 4), 2).tolist())
    free = content["free_energy_per_site"]
    assert free["exact"] == pytest.approx(exact_result(system, 1.5).free_energy_per_site, rel=1e-12)
    assert abs(free["value"] - free["exact"]) < 5 * free["error"]
    stored = json.loads((run / "estimates.json").read_text())
    assert stored["instance"] == {"path": str(glass.resolve()), "index": 2}
    assert stored["free_energy_per_site"] == free


def test_samples_of_an_instance(run, tmp_path):
    glass = run.parent / "glass.h5"
    words = ["sample", run, "--instance", glass, "-o", tmp_path / "samples.h5"]
    succeed(*words, "-n", "50")
    succeed(*words, "-n", "80", "--append")
    system = la.EdwardsAnderson((4, 4), la.data.read_couplings(glass, (4, 4)).tolist())
    tokens = la.load_configurations(tmp_path / "samples.h5", system)
    model = la.load_model(run)
    condition = model.condition_of(maps=la.data.read_couplings(glass, (4, 4))[None])
    assert torch.equal(model.sample(80, condition=condition).tokens, tokens)
    with h5py.File(tmp_path / "samples.h5") as h5:
        assert torch.equal(torch.from_numpy(h5["energy"][()]), system.token_energy(tokens))
    assert "another" in refusal(*words, "--index", "1", "-n", "90", "--append")


def test_reports_show_the_first_instance(run, monkeypatch):
    monkeypatch.setattr("latticear.workflows.report.MAX_SITES", 2**12)
    assert "weights.png" in succeed("report", run)


def test_what_the_verbs_refuse(run, tmp_path):
    glass = run.parent / "glass.h5"
    assert "give them by --instance FILE" in refusal("estimate", run, "-n", "100")
    assert "give them by --instance FILE" in refusal("sample", run, "-o", tmp_path / "x.h5")
    assert "instances 0..2, got 3" in refusal("estimate", run, "--instance", glass, "--index", "3")
    assert "give the file by --instance" in refusal("estimate", run, "--index", "0")
    assert "this needs one system at one temperature" in refusal(
        "exact", "--size", "4", "--set", "hamiltonian.name=edwards_anderson_disorder"
    )
    assert not (tmp_path / "x.h5").exists()


def test_a_run_of_one_system_takes_no_instance(run, tmp_path):
    path = tiny.train(tmp_path / "one")
    words = refusal("estimate", path, "--instance", run.parent / "glass.h5")
    assert "this run is for one system, ising, and no other" in words


def test_configs_fill_in_the_maps():
    config = load_config("configs/edwards_anderson_disorder.toml")
    assert (config.model["n_condition_maps"], config.training["objective"]) == (2, "reverse-kl")
    assert config.model["spin_flip_symmetric"]
    assert config.model["translation_invariant"]
