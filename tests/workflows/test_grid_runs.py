"""A grid from file to figures: what follows from the data, what is held out, and every mistake one line."""

import json
import math
import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch
import xarray
from support import tiny
from support.files import give
from support.verbs import refusal, succeed

import latticear as la
from latticear.runs.config import build_model, load_config, parse_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.workflows import describe, sample_run, train_run
from latticear.workflows.grid_runs import completed, held_out_data

SHAPE = (8, 9)
SETS = [*tiny.SETS, "training.evaluate_every=5", "training.ema_decay=0.6"]
OPTIONS = [word for key in SETS for word in ("--set", key)]


def _write(path, n=120, classes=3, **datasets):
    tokens, labels = la.data.glyphs(n, SHAPE, 3, characters="017"[:classes])
    with h5py.File(path, "w") as h5:
        h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
        for name, array in datasets.items():
            del h5[name]
            if array is not None:
                h5[name] = array
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("grid") / "pictures.h5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures):
    out = tmp_path_factory.mktemp("grid") / "run"
    succeed("train", "--data", pictures, "--levels", "3", "--out", out, *OPTIONS)
    return out


@pytest.fixture
def mine(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "mine")


# the whole road


def test_train_estimate_sample_complete_and_report(trained, pictures, tmp_path):
    config = load_config(trained / "run.toml")
    assert config.space == {"shape": SHAPE, "levels": 3, "values": None, "n_components": 1, "n_classes": 3}
    assert (config.model["n_condition"], config.training["objective"]) == (3, "forward-kl")

    found = json.loads(succeed("estimate", trained, "--json"))
    model, tokens = load_model(trained), la.load_configurations(pictures, la.Grid(SHAPE, 3))
    condition = torch.eye(3)[torch.from_numpy(la.data.read_condition(pictures))]
    expected = la.negative_log_likelihood(model, tokens[108:], condition[108:])
    for name, value in expected.items():
        assert found[name] == {"value": value.value, "error": value.error}
    assert (found["n"], found["held_out"], found["data"]) == (12, True, str(pictures))
    assert found.items() <= json.loads((trained / "estimates.json").read_text()).items()
    table = succeed("estimate", trained)
    for word in ("12 held-out configurations", "nll_per_site", "nats", "bits_per_site", "bits"):
        assert word in table
    assert found["bits_per_site"]["value"] == pytest.approx(found["nll_per_site"]["value"] / math.log(2))

    file = tmp_path / "s.h5"
    assert succeed("sample", trained, "-o", file, "-n", "6", "--condition", "2") == f"{file}: 6 configurations\n"
    succeed("sample", trained, "-o", file, "-n", "9", "--condition", "2", "--append")
    again = model.sample(9, seed=0, condition=torch.eye(3)[2])
    with xarray.open_dataset(file, engine="h5netcdf") as samples:
        assert samples["spins"].dims == ("sample", "y", "x")
        np.testing.assert_array_equal(samples["spins"], again.tokens)
        np.testing.assert_array_equal(samples["log_q"], again.log_q)
        np.testing.assert_array_equal(samples["condition"], np.tile([0, 0, 1], (9, 1)))
        assert "energy" not in samples
    mixed = json.loads(succeed("estimate", trained, "--data", file, "--json"))
    assert mixed["nll_per_site"]["value"] == pytest.approx(-again.log_q.mean().item() / 72, rel=1e-5)
    assert (mixed["held_out"], mixed["n"]) == (False, 9)
    assert json.loads((trained / "estimates.json").read_text())["n"] == 12

    names = ["training", "samples", "completions", "receptive_field"]
    figures = [str(trained / "figures" / f"{name}.png") for name in names]
    assert succeed("report", trained).split() == [*figures, str(trained / "report.html")]
    described = json.loads(succeed("info", trained, "--json"))
    assert described["config"]["grid"]["levels"] == 3
    assert "temperature" not in described["config"]
    assert described["estimates"]["held_out"]


@pytest.mark.parametrize("with_conditions", [True, False])
def test_completions_keep_what_is_given(trained, pictures, tmp_path, with_conditions):
    """Sample i has the upper half, and the class, of picture i modulo their number."""
    tokens = la.load_configurations(pictures, la.Grid(SHAPE, 3))[:4].numpy()
    hidden = tokens.copy()
    hidden[:, 4:] = 99  # anything
    occluded = give(tmp_path / "occluded.h5", hidden, np.arange(8)[:, None] * np.ones(9) < 4)
    labels = np.array([2, 0, 1, 1])
    if with_conditions:
        with h5py.File(occluded, "r+") as h5:
            h5["condition"] = labels
    options = () if with_conditions else ("--condition", "1")
    out = tmp_path / "s.h5"
    succeed("sample", trained, "--given", occluded, "-o", out, "-n", "20", *options)
    with h5py.File(out) as h5:
        spins = h5["spins"][...]
        expected = np.eye(3)[np.tile(labels, 5)] if with_conditions else np.tile(np.eye(3)[1], (20, 1))
        np.testing.assert_array_equal(h5["condition"], expected)
        assert (h5["where"][:, :4] == 1).all()
        assert not h5["where"][:, 4:].any()
        total = h5["log_q"][...] + h5["log_q_given"][...]
    np.testing.assert_array_equal(spins[:, :4], np.tile(tokens[:, :4], (5, 1, 1)))
    assert len(np.unique(spins[:, 4:], axis=0)) > 10
    log_q = load_model(trained).log_prob(torch.from_numpy(spins.astype(np.uint8)), torch.from_numpy(expected).float())
    np.testing.assert_allclose(total, log_q.detach(), rtol=1e-4)
    if not with_conditions:
        assert "give --condition, a class 0..2" in refusal("sample", trained, "-o", tmp_path / "t.h5", "-n", "4")
        assert "has no /condition" in refusal(
            "sample", trained, "--given", occluded, "-o", tmp_path / "t.h5", "-n", "4"
        )


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(trained, pictures, tmp_path):
    def until(step):
        def report(done, total, text):
            if done == step:
                raise KeyboardInterrupt

        return report

    values = {"grid": {"levels": 3}, "training": {"data": str(pictures)}}
    sets, cut = SETS, tmp_path / "cut"
    for step in (1, 4, 5, 9):
        with pytest.raises(KeyboardInterrupt):
            train_run(cut, None, sets, values, resume=True, report=until(step))
    assert train_run(cut, None, [], {}, resume=True, report=tiny.silent)
    assert tiny.content(cut) == tiny.content(trained)


def test_a_run_is_what_fit_makes_of_the_same_data(trained, pictures):
    config = load_config(trained / "run.toml")
    grid = config.target.space
    model = build_model(config)
    tokens = la.load_configurations(pictures, grid)
    condition = torch.eye(3)[torch.from_numpy(la.data.read_condition(pictures))]
    options = {key: config.training[key] for key in ("objective", "steps", "batch_size", "ema_decay")}
    for _ in la.fit(model, grid, data=tokens, condition=condition, **options):
        pass
    for name, weight in load_model(trained).state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])


def test_progress_shows_the_likelihood(pictures, tmp_path):
    lines = []
    values = {"grid": {"levels": 3}, "training": {"data": str(pictures)}}
    train_run(tmp_path / "r", None, SETS, values, resume=False, report=lambda *line: lines.append(line[2]))
    assert lines[0].startswith("nll/site ")
    assert "held out" not in lines[3]
    assert all(" held out " in line and "F/N" not in line for line in lines[4:])


# what follows from the data


def _completed(path, **sections):
    grid, model = {"levels": 3, **sections.get("grid", {})}, dict(sections.get("model", {}))
    completed(grid, model, str(path))
    return {**grid, "n_condition": model["n_condition"]}


def test_shape_components_and_conditions_follow_from_the_data(pictures, tmp_path):
    base = {"levels": 3, "n_components": 1, "shape": [8, 9]}
    assert _completed(pictures) == {**base, "n_classes": 3, "n_condition": 3}
    assert _completed(pictures, grid={"levels": 3, "n_classes": 5}) == {**base, "n_classes": 5, "n_condition": 5}
    assert _completed(pictures, model={"n_condition": 0}) == {**base, "n_classes": 0, "n_condition": 0}
    numbers = _write(tmp_path / "numbers.h5", condition=np.zeros((120, 2)))
    assert _completed(numbers) == {**base, "n_classes": 0, "n_condition": 2}
    assert _completed(_write(tmp_path / "none.h5", condition=None)) == {**base, "n_classes": 0, "n_condition": 0}
    np.save(tmp_path / "colours.npy", np.zeros((5, 2, 6, 7), np.uint8))
    found = _completed(tmp_path / "colours.npy")
    assert found == {"levels": 3, "shape": [6, 7], "n_components": 2, "n_classes": 0, "n_condition": 0}
    before = {"grid": {"levels": 3}, "training": {"data": str(pictures)}}
    assert parse_config(before, completed).target.space.shape == SHAPE
    assert before == {"grid": {"levels": 3}, "training": {"data": str(pictures)}}


def test_a_config_is_checked_before_its_data_are_opened(tmp_path):
    tree = {"grid": {"levels": 3}, "training": {"data": str(tmp_path / "none.h5")}}
    with pytest.raises(ValueError, match=r"unknown key 'model.widht'; did you mean 'model.width'"):
        parse_config(tree | {"model": {"widht": 3}}, completed)
    with pytest.raises(ValueError, match=r"grid.levels"):
        parse_config(tree | {"grid": {"levels": "three"}}, completed)
    with pytest.raises(OSError, match=r"none\.h5"):
        parse_config(tree, completed)


def test_floating_conditions_are_used_as_they_are(tmp_path):
    numbers = np.random.default_rng(0).normal(size=(120, 2))
    data = _write(tmp_path / "numbers.h5", condition=numbers)
    run = tmp_path / "run"
    succeed("train", "--data", data, "--levels", "3", "--out", run, *OPTIONS)
    np.testing.assert_array_equal(
        held_out_data(run, load_config(run / "run.toml")).condition, numbers[108:].astype(np.float32)
    )
    succeed("sample", run, "-o", tmp_path / "s.h5", "-n", "3", "--condition", "0.5,-1")
    np.testing.assert_array_equal(la.data.read_condition(tmp_path / "s.h5"), [[0.5, -1]] * 3)


def test_values_of_a_file_come_back_in_samples(tmp_path):
    tokens, _ = la.data.glyphs(60, SHAPE, 3)
    np.save(tmp_path / "grey.npy", np.array([0, 128, 255], np.uint8)[tokens.numpy()])
    run, out = tmp_path / "run", tmp_path / "s.h5"
    options = ("--levels", "3", "--set", "grid.values=[0, 128, 255]", "--out", run)
    succeed("train", "--data", tmp_path / "grey.npy", *options, *OPTIONS)
    succeed("sample", run, "-o", out, "-n", "10")
    with h5py.File(out) as h5:
        np.testing.assert_array_equal(h5["states"], [0, 128, 255])
    drawn = la.load_configurations(out, la.Grid(SHAPE, 3, values=[0, 128, 255]))
    assert torch.equal(drawn, load_model(run).sample(10, seed=0).tokens)


def test_the_configurations_of_a_hamiltonian_can_be_learned_as_a_grid(data, tmp_path):
    run = tmp_path / "run"
    succeed("train", "--data", data, "--levels", "2", "--set", "grid.values=[-1, 1]", "--out", run, *OPTIONS)
    assert json.loads(succeed("estimate", run, "--json"))["n"] == 40
    assert "this needs a Hamiltonian at a temperature" in refusal("exact", "--set", "grid.levels=2")


def test_components_from_the_data_to_the_figures(tmp_path):
    """All that a run on a grid does, with two components at a site."""
    tokens, _ = la.data.glyphs(200, SHAPE, 3)
    np.save(tmp_path / "c.npy", torch.stack([tokens, 2 - tokens], 1).numpy())
    run, out = tmp_path / "run", tmp_path / "s.h5"
    succeed(
        "train", "--data", tmp_path / "c.npy", "--levels", "3", "--out", run, *OPTIONS, "--set", "training.steps=40"
    )
    model = load_model(run)
    assert (model.n_components, load_config(run / "run.toml").space["n_components"]) == (2, 2)
    found = json.loads(succeed("estimate", run, "--json"))
    assert found["nll_per_site"]["value"] == pytest.approx(2 * found["nll_per_component"]["value"])
    assert found["bits_per_component"]["value"] < math.log2(3)
    succeed("sample", run, "-o", out, "-n", "10")
    with xarray.open_dataset(out, engine="h5netcdf") as samples:
        assert samples["spins"].dims == ("sample", "component", "y", "x")
        np.testing.assert_array_equal(samples["spins"], model.sample(10, seed=0).tokens)
    assert json.loads(succeed("estimate", run, "--data", out, "--json"))["n"] == 10
    assert "completions.png" in succeed("report", run)


# mistakes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spins": np.full((120, 8, 9), 4, np.uint8)}, "Grid takes values 0, 1, 2 or numbers 1..3, got 4"),
        ({"spins": np.full((120, 8, 9), np.nan)}, "must hold finite numbers, got nan"),
        ({"spins": np.zeros((120, 2, 8, 9, 3))}, "must hold configurations (n, H, W) or (n, C, H, W), got (n, 2, 8"),
        ({"spins": np.zeros((120, 72))}, "must hold configurations (n, H, W) or (n, C, H, W), got (n, 72)"),
        ({"spins": np.zeros((0, 8, 9)), "condition": None}, "holds no configuration"),
        ({"spins": None}, "must have a dataset /spins"),
        ({"condition": np.zeros(119, int)}, "a label or up to 4096 numbers for each of the 120 configurations"),
        ({"condition": np.full(120, np.nan)}, "/condition must be finite, got [nan] in row 0"),
        ({"condition": np.full(120, -1)}, "labels in /condition must be 0, 1, ... up to 4095, got -1"),
        ({"condition": np.arange(120) // 40}, "class 2 occurs only among the last 12"),
    ],
)
def test_data_that_are_no_grid_are_one_line(tmp_path, change, words):
    if "class 2" in words:
        change = {"condition": (np.arange(120) >= 115) * 2}
    data = _write(tmp_path / "data.h5", **change)
    assert words in refusal("train", "--data", data, "--levels", "3", "--out", tmp_path / "run", *OPTIONS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--levels", "3"], "training.data must be given (--data on the command line)"),
        (["--levels", "3", "--data", "DATA", "--temperature", "2"], "temperature cannot go with a [grid]"),
        (["--levels", "3", "--data", "DATA", "--objective", "reverse-kl"], "reverse-kl needs an energy"),
        (["--levels", "1", "--data", "DATA"], "levels must be an integer from 2"),
        (["--levels", "3", "--data", "DATA", "--size", "8"], "must hold numbers of shape (n, 8, 8)"),
        (["--levels", "3", "--data", "DATA", "--set", "hamiltonian.field=1"], "[hamiltonian] cannot go with a [grid]"),
        (["--levels", "3", "--data", "DATA", "--set", "training.anneal=0.1"], "unknown key 'training.anneal'"),
        (["--levels", "3", "--data", "DATA", "--set", "model.boltzmann_bias=true"], "unknown key 'model.boltz"),
        (["--levels", "3", "--data", "DATA", "--set", "model.n_condition=2"], "has 3 entries, model.n_condition is 2"),
        (["--levels", "3", "--data", "DATA", "--set", "grid.n_classes=2"], "labels must be 0..1, got 0..2"),
        (["--levels", "3", "--data", "none.h5"], "No such file or directory"),
        (["--set", "grid.level=3", "--data", "DATA"], "did you mean 'grid.levels'?"),
        (["--set", "grid=3", "--data", "DATA"], "[grid] must be a section"),
    ],
)
def test_mistakes_of_the_command_line(pictures, tmp_path, words, message):
    words = [pictures if word == "DATA" else word for word in words]
    assert message in refusal("train", "--out", tmp_path / "run", *OPTIONS, *words)
    assert not (tmp_path / "run").exists()


def test_a_model_without_components_says_so(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((5, 2, 6, 7), np.uint8))
    words = (
        "train",
        "--data",
        tmp_path / "c.npy",
        "--levels",
        "3",
        "--out",
        tmp_path / "r",
        "--set",
        "model.name=mean_field",
    )
    assert "model.name mean_field has one component at a site, the grid has 2" in refusal(*words)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    (tmp_path / "trap.npy").write_bytes(pickle.dumps(Trap()))
    np.save(tmp_path / "object.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    for name, words in (
        ("trap.npy", "is a pickle, which can run any code"),
        ("object.npy", "is not a readable .npy file"),
    ):
        assert words in refusal("train", "--data", tmp_path / name, "--levels", "3", "--out", tmp_path / "r")


def test_what_was_held_out_is_known_of_the_same_data_alone(mine, tmp_path):
    """Of a file that has changed, the end may have been trained on."""
    data = _write(tmp_path / "data.h5", n=110)
    text = (mine / "run.toml").read_text().partition("\n")[2]  # without the checksum in its first line
    (mine / "run.toml").write_text(text.replace(load_config(mine / "run.toml").training["data"], str(data)))
    assert "the data are not those that" in refusal("estimate", mine)
    shutil.rmtree(mine / "checkpoints" / "step-12")
    assert "the data are not those that" in refusal("train", "--out", mine, "--resume")
    assert json.loads(succeed("estimate", mine, "--data", data, "--json"))["n"] == 110
    assert json.loads(succeed("estimate", mine, "--data", data, "--json", "-n", "50"))["n"] == 50


def test_nothing_held_out_is_said(pictures, tmp_path):
    run = tmp_path / "run"
    succeed("train", "--data", pictures, "--levels", "3", "--out", run, *OPTIONS, "--set", "training.held_out=0")
    assert "has no held-out data (training.held_out is 0): give other data with --data" in refusal("estimate", run)


def test_verbs_that_need_an_energy_say_so(trained, tmp_path):
    for words in (("--temperature", "2"), ("--method", "mcmc")):
        assert "is a run on a grid, which has no energy" in refusal("estimate", trained, *words)
    with pytest.raises(ValueError, match="this needs a Hamiltonian at a temperature"):
        load_config(trained / "run.toml", needs_energy=True)
    for words in (("--condition", "3"), ("--condition", "x")):
        assert "a class 0..2" in refusal("sample", trained, "-o", tmp_path / "s.h5", *words)
    assert not (tmp_path / "s.h5").exists()


def test_samples_are_not_continued_with_another_condition(trained, tmp_path):
    options = {"seed": 0, "device": "cpu", "report": tiny.silent}
    sample_run(trained, tmp_path / "s.h5", 5, append=False, condition="1", **options)
    with pytest.raises(ValueError, match="cannot be continued: its condition is '1', this run's is '2'"):
        sample_run(trained, tmp_path / "s.h5", 9, append=True, condition="2", **options)


def test_completions_are_not_continued_with_other_classes(trained, pictures, tmp_path):
    """What is held has a fingerprint, and the classes that come with it are part of it."""
    tokens = la.load_configurations(pictures, la.Grid(SHAPE, 3))[:2].numpy()
    options = {"seed": 0, "device": "cpu", "report": tiny.silent, "given": tmp_path / "g.h5"}
    for labels in ([0, 1], [0, 2]):
        with h5py.File(give(options["given"], tokens, np.ones(SHAPE)), "r+") as h5:
            h5["condition"] = labels
        if labels == [0, 1]:
            sample_run(trained, tmp_path / "s.h5", 4, append=False, **options)
    with pytest.raises(ValueError, match="cannot be continued: its given is"):
        sample_run(trained, tmp_path / "s.h5", 8, append=True, **options)


def test_a_temperature_is_no_condition_and_a_class_no_temperature(trained, run, tmp_path):
    words = ("-o", tmp_path / "s.h5", "-n", "4")
    assert "a run on a grid has no temperature, got 2" in refusal("sample", trained, *words, "--temperature", "2")
    assert "the model takes no condition, got '1'" in refusal("sample", run, *words, "--condition", "1")


def test_description_before_the_first_checkpoint(mine):
    shutil.rmtree(mine / "checkpoints")
    assert describe(mine)["checkpoint"] is None
    assert RunDirectory(mine).read_json("environment.json")["data"] == describe(mine)["environment"]["data"]
