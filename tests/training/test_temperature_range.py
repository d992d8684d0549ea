"""One network for a range of temperatures: its gradient, its training, its runs on disk, and what it refuses."""

import copy
import json
import warnings

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from support import contracts, tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.exact import all_configurations, exact_result
from latticear.hamiltonians import TemperatureRange, temperature_or_range
from latticear.plotting import along_range
from latticear.runs.config import build_model, load_config, to_toml
from latticear.targets import Asked
from latticear.training.objectives import reverse_kl

RANGE = (1.6, 3.4)


def _model(shape=(3, 3), **options) -> la.PixelCNN:
    bias = la.Ising(shape).bias()
    options = {"width": 8, "depth": 2, "n_condition": 1, "spin_flip_symmetric": True, **options}
    return la.PixelCNN(shape, 2, bias=bias, **options)


def _fit(model, **options) -> list[la.Step]:
    options = {"temperature": RANGE, "steps": 12, "batch_size": 64, **options}
    return list(la.fit(model, la.Ising(model.shape), **options))


def test_groups_have_baselines_of_their_own():
    """The gradient of a batch of groups is the mean of theirs, each a batch at one temperature."""
    ising, model = la.Ising((3, 3)), contracts.peaked(_model(), 0.5)
    temperatures = torch.tensor([1.7, 2.3, 3.0], dtype=torch.float64).repeat_interleave(8)
    samples = model.sample(24, seed=0, condition=temperatures[:, None])

    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    whole = gradient(reverse_kl(model, ising, 1 / temperatures, samples, n_groups=3)[0])
    groups = [slice(8 * k, 8 * k + 8) for k in range(3)]
    parts = [gradient(reverse_kl(model, ising, 1 / float(temperatures[g][0]), samples[g])[0]) for g in groups]
    assert (whole - torch.stack(parts).mean(0)).abs().max() < 1e-12
    mixed = gradient(reverse_kl(model, ising, 1 / temperatures, samples, n_groups=1)[0])
    assert (whole - mixed).abs().max() > 1e-6  # one baseline for all would be another estimate


def test_unseen_temperatures_are_served():
    """KL by the sum over all states, at the ends and between; without training it is ten times larger."""
    ising, model = la.Ising((3, 3)), _model(width=16)

    def worst():
        found = []
        for t in (1.6, 1.93, 2.269, 2.71, 3.4):
            every = all_configurations((3, 3), 2)
            condition = torch.full((len(every), 1), t, dtype=torch.float64)
            with torch.no_grad():
                log_q = model.log_prob(every, condition)
            log_z = exact_result(ising, t).log_z
            found.append(float((log_q.exp() * (log_q + ising.token_energy(every) / t)).sum() + log_z))
        return max(found)

    before = worst()
    _fit(model, steps=250, batch_size=128, learning_rate=1e-2)
    assert worst() < 0.02 < 0.1 * before


def test_each_step_covers_the_range():
    seen = []

    def watched(model, hamiltonian, beta, samples, *, n_groups, n_data, n_heated, **others):
        seen.append((1 / beta, samples.condition[:, 0], n_groups))
        assert n_data == n_heated == 0
        return reverse_kl(model, hamiltonian, beta, samples, n_groups=n_groups, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latticear.training.steps.reverse_kl", watched)
        _fit(_model(), steps=3, anneal=0.0)
    for temperatures, condition, n_groups in seen:
        assert n_groups == 4
        assert torch.allclose(temperatures, condition)
        groups = temperatures.view(4, 16)
        assert (groups == groups[:, :1]).all()
        parts = (groups[:, 0] - RANGE[0]) / (RANGE[1] - RANGE[0]) * 4
        assert parts.floor().tolist() == [0, 1, 2, 3]
    assert len({float(t[0]) for t, _, _ in seen}) == 3


def test_metrics_are_those_of_the_middle():
    steps = _fit(_model(), evaluate_every=5)
    assert [step.step for step in steps if "ess" in step.metrics] == [5, 10, 12]
    assert all("kl_bound" in step.metrics for step in steps)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_resume_is_as_if_never_stopped(ema_decay):
    straight, first, second = (_model() for _ in range(3))
    whole = _fit(straight, ema_decay=ema_decay)
    run = la.fit(first, la.Ising((3, 3)), temperature=RANGE, steps=12, batch_size=64, ema_decay=ema_decay)
    state = copy.deepcopy([next(run) for _ in range(5)][-1].state.state_dict())
    run.close()
    rest = _fit(second, ema_decay=ema_decay, resume=state)
    assert [step.metrics for step in rest] == [step.metrics for step in whole[5:]]
    for (name, a), b in zip(straight.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_the_layers_see_the_range_as_minus_one_to_one():
    model = _model()
    _fit(model, steps=1)
    embedding = model.conditions[0]
    assert (float(embedding.centre), float(embedding.scale)) == (pytest.approx(2.5), pytest.approx(0.9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": (3.0, 2.0)}, "must go from low to high, got 3 to 2"),
        ({"temperature": (1.0, 2.0, 3.0)}, r"must be a pair \(low, high\)"),
        ({"temperature": (-1.0, 2.0)}, "must be positive"),
        ({"temperature": 2.0}, "train it for a range of temperatures"),
        ({"objective": "forward-reverse-kl"}, "needs objective 'reverse-kl', or 'forward-kl' with data"),
        ({"data": torch.zeros(10, 3, 3, dtype=torch.uint8)}, "does not say at which temperatures"),
    ],
)
def test_what_a_range_needs(options, message):
    with pytest.raises(ValueError, match=message):
        _fit(_model(), **options)


def test_models_that_do_not_fit_a_range():
    ising = la.Ising((3, 3))
    with pytest.raises(ValueError, match="n_condition=1 and no maps"):
        _fit(la.PixelCNN((3, 3)))
    with pytest.raises(ValueError, match=r"the bias of the model is for T = 2 alone"):
        _fit(la.PixelCNN((3, 3), n_condition=1, bias=ising.bias(2.0)))


def test_temperatures_and_ranges():
    assert temperature_or_range(2) == 2.0
    served = temperature_or_range([1.5, 3.5])
    assert isinstance(served, TemperatureRange)
    assert (served.middle, served.spread(3), str(served)) == (2.5, [1.5, 2.5, 3.5], "1.5:3.5")


@pytest.mark.parametrize("text", ["1.5:3.5", [1.5, 3.5], "1.5 : 3.5"])
def test_configs_take_a_range(tmp_path, text):
    config = load_config(None, values={"temperature": text, "hamiltonian": {"shape": [4, 4]}})
    assert config.target.range == TemperatureRange(1.5, 3.5)
    assert config.model["n_condition"] == 1
    assert config.target.at(Asked(temperature=2.0), build_model(config)).condition.tolist() == [2.0]
    (tmp_path / "run.toml").write_text(to_toml(config))
    assert load_config(tmp_path / "run.toml") == config


@pytest.mark.parametrize("text", ["1.5:", "cold", "1:2:3", "3:1", "nan:2"])
def test_configs_refuse_what_is_no_temperature(text):
    with pytest.raises(ValueError, match="temperature"):
        load_config(None, values={"temperature": text, "hamiltonian": {"shape": [4, 4]}})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("range") / "run"
    sets = [word for key in (*tiny.SETS, "training.steps=40") for word in ("--set", key)]
    succeed("train", "--size", "4", "--temperature", "1.6:3.4", *sets, "--out", path)
    return path


def test_estimates_at_any_temperatures(run):
    words = succeed("estimate", run, "--temperature", "2.1", "2.269", "2.5", "-n", "400")
    assert [f"T = {t}" in words for t in ("2.1", "2.269", "2.5", "1.6")] == [True, True, True, False]
    content = json.loads(succeed("estimate", "--temperature", "2.1", "2.269", run, "-n", "400", "--json"))
    assert [entry["temperature"] for entry in content["estimates"]] == [2.1, 2.269]
    for entry in content["estimates"]:
        free = entry["free_energy_per_site"]
        assert abs(free["value"] - free["exact"]) < 5 * free["error"]
    assert json.loads((run / "estimates.json").read_text())["estimates"] == content["estimates"]
    values = [entry["diagnostics"]["max_share"] for entry in content["estimates"]]
    assert values[0] != values[1]  # other samples, not the same ones reweighted


def test_without_temperatures_the_whole_range_is_estimated(run):
    content = json.loads(succeed("estimate", run, "-n", "200", "--json"))
    assert [entry["temperature"] for entry in content["estimates"]] == pytest.approx([1.6, 2.05, 2.5, 2.95, 3.4])


def test_samples_at_a_temperature(run, tmp_path):
    succeed("sample", run, "-n", "50", "--temperature", "2.1", "-o", tmp_path / "samples.h5")
    succeed("sample", run, "-n", "80", "--temperature", "2.1", "-o", tmp_path / "samples.h5", "--append")
    assert la.data.read_metadata(tmp_path / "samples.h5")["attributes"]["temperature"] == 2.1
    batch = next(la.data.read_batches(tmp_path / "samples.h5", 100))
    assert (batch.condition == 2.1).all()
    model = la.load_model(run)
    assert torch.equal(model.sample(80, condition=torch.tensor([2.1], dtype=torch.float64)).tokens, batch.tokens)
    words = refusal("sample", run, "-n", "90", "--temperature", "2.2", "-o", tmp_path / "samples.h5", "--append")
    assert "temperature" in words


def test_reports_show_the_curves(run, monkeypatch):
    monkeypatch.setattr("latticear.workflows.report.MAX_SITES", 2**13)
    monkeypatch.setattr("latticear.workflows.report.N_POINTS", 3)
    monkeypatch.setattr("latticear.workflows.report.N_CURVE", 5)
    assert "temperatures.png" in succeed("report", run)
    assert (run / "figures" / "temperatures.png").stat().st_size > 10_000


def test_curves_have_error_bars_and_the_exact_line():
    ising, ax = la.Ising((3, 3)), Figure().subplots()
    samples = contracts.peaked(la.PixelCNN((3, 3), depth=2), 0.3).sample(200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        results = la.reweight(samples, ising, [2.0, 3.0])
    judges = [exact_result(ising, t) for t in (2.0, 2.5, 3.0)]
    exact = {result.temperature: result for result in judges}
    along_range(ax, {r.temperature: r for r in results}, exact, "energy_per_site", "energy")
    exact, points = ax.get_lines()[:2]
    np.testing.assert_allclose(exact.get_ydata(), [judge.energy_per_site for judge in judges])
    np.testing.assert_allclose(points.get_xydata(), [(r.temperature, r["energy_per_site"].value) for r in results])
    (bars,) = ax.containers
    half = [segment[1, 1] - segment[0, 1] for segment in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(np.array(half) / 2, [r["energy_per_site"].error for r in results])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["exact", "--size", "4", "--set", "temperature=1.5:3.5"], "got a range of temperatures: Ising(shape=[4, 4]"),
        (["mc", "--size", "4", "--set", "temperature=1.5:3.5", "-o", "x.h5"], "got a range of temperatures: Ising("),
        (["train", "--size", "4", "--temperature", "3:2", "--out", "x"], "from low to high, got 3 to 2"),
        (["train", "--size", "4", "--temperature", "cold", "--out", "x"], "or a range such as 1.5:3.5, got 'cold'"),
    ],
)
def test_ranges_where_they_do_not_belong(tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    assert words in refusal(*command)
    assert not list(tmp_path.iterdir())


def test_a_run_at_one_temperature_serves_no_other(tmp_path):
    path = tiny.train(tmp_path / "one")
    assert "this run is for T = 2.269 alone" in refusal("sample", path, "--temperature", "2", "-o", tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


def test_a_range_is_sampled_where_it_is_told(run, tmp_path):
    for more in ([], ["--temperature", "2.1", "--condition", "3"]):
        words = refusal("sample", run, "-n", "5", "-o", tmp_path / "x.h5", *more)
        assert "say where to sample with --temperature" in words
    assert not (tmp_path / "x.h5").exists()


def test_configurations_say_at_which_temperature_a_range_is_judged(run, tmp_path):
    mc = ["mc", "--size", "4", "--temperature", "2.1", "--method", "swendsen-wang", "-n", "200"]
    succeed(*mc, "-o", tmp_path / "mc.h5")
    content = json.loads(succeed("estimate", run, "-n", "200", "--data", tmp_path / "mc.h5", "--json"))
    assert content["temperature"] == 2.1
    assert 0.05 < content["forward_ess"]["value"] <= 1  # of 40 steps
    words = refusal(
        *("train", "--size", "4", "--temperature", "1.5:3.5", "--out", tmp_path / "x"),
        *("--objective", "forward-kl", "--data", tmp_path / "mc.h5"),
    )
    assert "are at T = 2.1: a network for the range T = 1.5:3.5 learns from many temperatures" in words


@pytest.mark.parametrize("batch_size", [2, 17, 31])
def test_batches_are_groups_of_sixteen(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be a multiple of 16 .* got {batch_size}"):
        _fit(_model(), batch_size=batch_size)


@pytest.fixture(scope="module")
def many():
    """Spins of 3x3 at five temperatures of the range, sorted, and the temperature of each."""
    ising, rng = la.Ising((3, 3)), np.random.default_rng(0)
    tokens, temperatures = all_configurations((3, 3), 2), np.linspace(*RANGE, 5)
    rows = []
    for t in temperatures:
        p = (-ising.token_energy(tokens) / t).softmax(0).numpy()
        rows.append(rng.choice(len(tokens), 2000, p=p / p.sum()))
    return ising.spins(tokens[np.concatenate(rows)]).numpy().astype(np.int8), np.repeat(temperatures, 2000)


def _stored(path, spins, **arrays):
    with h5py.File(path, "w") as h5:
        h5["spins"] = spins
        for name, array in arrays.items():
            h5[name] = array
    return path


def test_data_at_many_temperatures_train_for_the_range(many, tmp_path):
    """Exact KL between the temperatures of the data, after maximum likelihood alone; the data are sorted."""
    spins, temperatures = many
    file = _stored(tmp_path / "a.h5", spins, temperature=temperatures)
    ising, tokens = la.Ising((3, 3)), all_configurations((3, 3), 2)
    losses = {}
    for name, given in (("file", {"data": file}), ("arrays", {"data": spins, "condition": temperatures})):
        model = _model(width=16)
        steps = _fit(model, steps=150, batch_size=128, learning_rate=0.01, evaluate_every=50, **given)
        losses[name] = [step.loss for step in steps]
        assert {"nll_held_out", "free_energy_per_site"} <= steps[-1].metrics.keys()
    assert losses["file"] == losses["arrays"]
    for t in (1.7, 2.3, 2.9):
        log_p = (-ising.token_energy(tokens) / t).log_softmax(0)
        log_q = model.log_prob(tokens, torch.full((len(tokens), 1), t)).double().detach()
        assert float((log_p.exp() * (log_p - log_q)).sum()) < 0.02, t


def test_what_training_on_data_for_a_range_needs(many, tmp_path):
    spins, temperatures = many
    silent = _stored(tmp_path / "silent.h5", spins)
    single = _stored(tmp_path / "single.h5", spins[:2000], temperature=RANGE[0])
    outside = _stored(tmp_path / "outside.h5", spins, temperature=temperatures + 5)
    for given, message in (
        ({"data": silent}, r"silent.h5 does not say at which temperatures .* write them beside .* as /temperature"),
        ({"data": spins}, r"data does not say at which temperatures"),
        ({"data": single}, r"all configurations of .*single.h5 are at T = 1.6: .* train at that one"),
        ({"data": outside}, r"none at the requested 1.6:3.4"),
        ({"data": spins, "condition": temperatures[:7]}, r"condition must be the temperature of each of the 10000"),
        ({"data": spins, "condition": temperatures + 5}, r"temperatures of the data must lie in the range"),
        ({"data": spins, "objective": "forward-reverse-kl"}, "needs objective 'reverse-kl', or 'forward-kl' with data"),
        ({"objective": "forward-kl"}, r"'forward-kl' for a range of temperatures needs data at many temperatures"),
    ):
        with pytest.raises(ValueError, match=message):
            _fit(_model(), **given)


def test_a_file_at_many_temperatures_on_the_command_line(many, tmp_path):
    spins, temperatures = many
    file = _stored(tmp_path / "a.h5", spins, temperature=temperatures)
    small = [word for key in tiny.SETS for word in ("--set", key)]
    system = ("--size", "3", "--temperature", "1.6:3.4")
    shown = succeed("train", *system, *small, "--data", file, "--out", tmp_path / "run")
    assert "these data fit Ising 3x3 at T = 1.6 to 3.4: energy balance" in shown
    config = load_config(tmp_path / "run" / "run.toml")
    assert config.training["objective"] == "forward-kl"
    code, stdout, stderr = invoke("estimate", tmp_path / "run", "-n", "200", "--data", file, "--json")
    assert code == 0
    assert stderr.count("note: ") == 5
    assert "2,000 of 10,000 configurations are at T = 1.6: these are used" in stderr
    found = json.loads(stdout)["estimates"]
    assert [each["temperature"] for each in found] == pytest.approx(np.unique(temperatures))
    assert all("forward_ess" in each for each in found)
    silent = _stored(tmp_path / "silent.h5", spins)
    refused = refusal("train", *system, *small, "--data", silent, "--out", tmp_path / "other")
    assert "does not say at which temperatures its configurations are" in refused
