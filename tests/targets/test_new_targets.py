"""A new kind of target, or of disorder, is one class: configs, training, sampling and estimates take it as it is."""

import json
from typing import ClassVar

import h5py
import numpy as np
import pytest
import torch
from support.verbs import refusal, succeed

import latticear as la
from latticear.exact import all_configurations, enumerate_states
from latticear.hamiltonians import HAMILTONIANS, AbstractDisorder, BoltzmannBias
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import NamedHamiltonian
from latticear.lattice import Lattice
from latticear.random_numbers import SAMPLING, TRAINING
from latticear.targets import (
    TARGETS,
    Asked,
    BoltzmannTarget,
    Conditions,
    DisorderTarget,
    GridTarget,
    PointTarget,
    Setting,
    TemperatureRangeTarget,
    target_of,
)

TEMPERATURE = 2.5


class FieldRange(BoltzmannTarget):
    """The Ising model at one temperature in every field of a range; the field is the condition."""

    keys: ClassVar = BoltzmannTarget.keys | {"fields": None}
    in_groups = covers_range = True
    objective = "reverse-kl"
    noun = "a range of fields"
    axis = "field"

    def __init__(self, system, temperature, fields):
        self.space, self.temperature, self.fields = system, temperature, tuple(fields)

    @classmethod
    def suits(cls, space, place):
        return "fields" in place

    @property
    def place(self):
        return {"temperature": self.temperature, "fields": self.fields}

    @property
    def spin_flip(self):
        return False

    @property
    def model_options(self):
        return {"n_condition": 1}

    def bias(self):
        return self.space.bias(self.temperature)

    def _check_model(self, model):
        if model.n_condition != 1:
            raise ValueError(f"a range of fields needs n_condition=1, got {model.n_condition}")

    def prepare(self, model):
        low, high = (torch.tensor([h]) for h in self.fields)
        model.set_condition_range(low, high)

    def draw_conditions(self, model, n_groups, step, seed):
        fields = np.random.default_rng([seed, TRAINING, step]).uniform(*self.fields, n_groups)
        return Conditions(torch.from_numpy(fields)[:, None], torch.tensor(1 / self.temperature, dtype=torch.float64))

    def energy_given(self, tokens, condition):
        m = self.space.spins(tokens).sum((1, 2))
        return self.space.token_energy(tokens) - condition[:, 0] * m

    def _setting(self, field):
        system = la.Ising(self.space.shape, field=field)
        return Setting(system, self.temperature, torch.tensor([field], dtype=torch.float64))

    def shown(self, model):
        return self._setting(sum(self.fields) / 2)

    def along(self, n):
        return {h: self._setting(h) for h in np.linspace(*self.fields, n).tolist()}

    def at(self, asked: Asked, model):
        if asked.condition is None:
            raise ValueError("say in which field with --condition")
        return self._setting(float(asked.condition))

    def settings(self, asked, temperatures, model):
        return [(setting, [self.temperature]) for setting in self.along(3).values()]


class RandomFields(AbstractDisorder, NamedHamiltonian):
    """The random-field Ising model: a Gaussian field at each site, which comes with each configuration as one map."""

    name = "random_fields"
    n_maps = 1

    def __init__(self, shape: tuple[int, int], width: float = 1.0, seed: int = 0):
        self.width, self.seed = width, seed
        grid = Lattice(shape)
        ends, signs = grid.nearest
        super().__init__(grid, SPINS, -torch.outer(SPINS, SPINS), couplings=signs, bonds=ends)

    spin_flip = False

    def draw(self, n, start=0, *, stream=SAMPLING):
        rngs = [np.random.default_rng([self.seed, stream, number]) for number in range(start, start + n)]
        return torch.from_numpy(np.stack([self.width * rng.normal(size=(1, *self.shape)) for rng in rngs]))

    def instance(self, maps):
        ones = -torch.outer(SPINS, SPINS)
        ends, signs = self.lattice.nearest
        return la.PairHamiltonian(self.lattice, SPINS, ones, field=maps[0], couplings=signs, bonds=ends)

    def energy_given(self, tokens, condition):
        fields = condition[:, -self.n_sites :]
        return self.token_energy(tokens) - (fields * self.spins(tokens).flatten(1)).sum(1)

    def bias(self, temperature=None) -> BoltzmannBias:
        return la.Ising(self.shape).bias(temperature)


@pytest.fixture
def registered():
    TARGETS.insert(0, FieldRange)
    HAMILTONIANS[RandomFields.name] = RandomFields
    yield
    TARGETS.remove(FieldRange)
    del HAMILTONIANS[RandomFields.name]


def _kl(model, setting: Setting) -> float:
    """KL(q || p) over all configurations."""
    every = all_configurations((3, 3), 2)
    with torch.no_grad():
        log_q = model.log_prob(every, setting.condition.expand(len(every), -1)).double()
    energy = setting.system.token_energy(every)
    log_z = enumerate_states(setting.system, setting.temperature).log_z
    return float((log_q.exp() * (log_q + energy / setting.temperature)).sum() + log_z)


def test_a_range_of_fields_is_trained_for(registered):
    ising = la.Ising((3, 3))
    target = FieldRange(ising, TEMPERATURE, (0.0, 1.0))
    model = la.PixelCNN((3, 3), width=12, depth=2, n_condition=1, bias=target.bias())
    before = max(_kl(model, setting) for setting in target.along(4).values())
    steps = list(la.fit(model, target, steps=250, batch_size=64, learning_rate=0.01, evaluate_every=50))
    assert "free_energy_per_site" in steps[-1].metrics
    assert max(_kl(model, setting) for setting in target.along(4).values()) < 0.1 < 0.2 * before
    with pytest.raises(ValueError, match="a range of fields needs objective 'reverse-kl', got 'forward-kl'"):
        la.fit(model, target, objective="forward-kl")
    with pytest.raises(ValueError, match=r"has its own temperature: .* got temperature = 2\.0 besides"):
        la.fit(model, target, temperature=2.0)


def test_a_range_of_fields_from_the_config_to_the_figures(registered, tmp_path):
    run = tmp_path / "run"
    options = [
        "--set",
        "fields=[0.0, 1.0]",
        "--set",
        "model.name=pixelcnn",
        "--set",
        "model.width=8",
        "--set",
        "model.depth=2",
    ]
    options += ["--set", "training.steps=60", "--set", "training.batch_size=32"]
    succeed("train", "--size", "3", "--temperature", "2.5", *options, "--out", run)
    succeed("train", "--out", run, "--resume")
    assert "fields = [" in (run / "run.toml").read_text()
    rows = json.loads(succeed("estimate", run, "-n", "2000", "--json"))["estimates"]
    for row in rows:
        free = row["free_energy_per_site"]
        assert abs(free["value"] - free["exact"]) < 4 * free["error"]
    assert rows[0]["abs_magnetization"]["exact"] < rows[1]["abs_magnetization"]["exact"]
    assert "say in which field" in refusal("sample", run, "-o", tmp_path / "s.h5")
    succeed("sample", run, "-n", "20", "--condition", "0.5", "-o", tmp_path / "s.h5")
    assert "temperatures.png" in succeed("report", run)


def test_a_scan_of_temperatures_refuses_another_range(registered, tmp_path):
    words = ["--set", "fields=[0.0, 1.0]", "--set", "hamiltonian.shape=[3, 3]", "--temperature", "2.269185314213022"]
    found = refusal("scan", *words, "--out", tmp_path / "scan")
    assert "this needs one Hamiltonian, got a range of fields: Ising(shape=[3, 3]" in found
    assert "this needs one system at one temperature" in refusal("exact", "--size", "3", "--set", "fields=[0.0, 1.0]")


def test_a_second_disorder_is_trained_for(registered, tmp_path):
    run = tmp_path / "run"
    options = ["--set", "hamiltonian.name=random_fields", "--set", "model.width=8", "--set", "model.depth=2"]
    options += ["--set", "training.steps=20", "--set", "training.batch_size=32"]
    succeed("train", "--size", "3", "--temperature", "2.5", *options, "--out", run)
    config = json.loads(succeed("info", run, "--json"))["config"]
    assert (config["model"]["n_condition_maps"], config["model"]["spin_flip_symmetric"]) == (1, False)
    assert "give them by --instance" in refusal("estimate", run)
    assert "samples.png" in succeed("report", run)
    with h5py.File(tmp_path / "fields.h5", "w") as h5:
        h5["couplings"] = RandomFields((3, 3)).draw(1, 5)[0].numpy()
    row = json.loads(succeed("estimate", run, "-n", "2000", "--instance", tmp_path / "fields.h5", "--json"))
    free = row["free_energy_per_site"]
    assert abs(free["value"] - free["exact"]) < 4 * free["error"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PointTarget("ising", 1.0), "a Hamiltonian is needed, got str 'ising'"),
        (lambda: PointTarget(la.Grid((4, 4), 2), 1.0), "a Hamiltonian is needed, got Grid"),
        (lambda: PointTarget(la.EdwardsAndersonDisorder((4, 4)), 1.0), "one system is needed, got"),
        (lambda: PointTarget(la.Ising((4, 4)), (1.0, 2.0)), "temperature must be positive and finite"),
        (lambda: PointTarget(la.Ising((4, 4)), "hot"), "temperature must be positive and finite .* got 'hot'"),
        (lambda: TemperatureRangeTarget(la.Ising((4, 4)), 2.0), r"a range of temperatures is \(low, high\), got 2"),
        (lambda: DisorderTarget(la.Ising((4, 4)), 1.0), "a disorder is needed, got Ising"),
        (lambda: GridTarget(la.Ising((4, 4))), "a Grid is needed, got Ising"),
        (lambda: target_of("ising", temperature=1.0), "a Hamiltonian, a Grid or a target is needed, got str 'ising'"),
        (lambda: la.fit("pixelcnn", la.Ising((4, 4)), temperature=1.0), "a model is needed, .* got str 'pixelcnn'"),
        (lambda: la.fit(la.PixelCNN((4, 4)), la.Ising((4, 4)), temperature=1.0, steps=2.5), "steps must be an integer"),
        (
            lambda: la.fit(la.PixelCNN((4, 4)), la.Ising((4, 4)), temperature=1.0, steps=True),
            "steps must be an integer",
        ),
        (
            lambda: la.fit(la.PixelCNN((4, 4)), la.Ising((4, 4)), temperature=1.0, learning_rate="big"),
            "learning_rate must be a number, got 'big'",
        ),
    ],
)
def test_what_makes_no_target_is_refused_in_one_line(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda target, model: target.draw_conditions(model, 1, 0, 0), "needs an energy"),
        (lambda target, model: target.energy_given(torch.zeros(1, 3, 3), None), "needs an energy"),
        (lambda target, model: target.shown(model), "needs an energy"),
        (lambda target, model: target.settings(Asked(), None, model), "needs an energy"),
        (lambda target, model: target.single, "needs one system at one temperature"),
        (lambda target, model: target.system, "needs one Hamiltonian"),
    ],
)
def test_a_grid_has_nothing_that_follows_from_an_energy(ask, message):
    target = GridTarget(la.Grid((3, 3), 2))
    assert (target.bias(), target.place, target.along(3), target.n_sites) == (None, {}, {}, 9)
    with pytest.raises(ValueError, match=message):
        ask(target, la.PixelCNN((3, 3)))


def test_what_one_target_alone_takes():
    grid, model = GridTarget(la.Grid((3, 3), 2)), la.PixelCNN((3, 3))
    with pytest.raises(ValueError, match=r"no temperature, got 2: leave --temperature out"):
        grid.at(Asked(temperature=2.0), model)
    disorder = DisorderTarget(la.EdwardsAndersonDisorder((3, 3)), 1.0)
    with pytest.raises(ValueError, match="leave --condition out"):
        disorder.at(Asked(condition="1"), model)
    with pytest.raises(ValueError, match=r"trained without data, got x\.h5; leave it out"):
        disorder.read_data("x.h5")
    with pytest.raises(TypeError, match="fit has no option 'stepz'; did you mean 'steps'"):
        la.fit(model, la.Ising((3, 3)), temperature=1.0, stepz=3)
