"""Configs side by side: the same time for each, rows that are right, and a comparison that goes on where it stopped."""

import json
import math
import shutil
import signal
from itertools import count

import numpy as np
import pytest
from support import tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.estimation.weights import divergence
from latticear.runs.config import stored_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.workflows import compare, compare_runs, train

STEP, STEPS, N = 0.25, 12, 300
MINUTES = STEPS * STEP / 60
KEYS = {
    *("name", "config", "run", "model", "hamiltonian", "temperature", "parameters", "steps", "planned_steps"),
    *("seconds", "kl", "ess", "free_energy_per_site", "deviation", "n", "samples_per_second", "verdict"),
    *("reliable", "warnings"),
}


def config(path, model="pixelcnn", **training):
    """A TOML file of a tiny run."""
    keys = {"batch_size": 16, "checkpoint_every": 5, **training}
    lines = ["[hamiltonian]", "shape = [4, 4]", "[model]", f'name = "{model}"', "width = 6", "depth = 2", "[training]"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in keys.items())]))
    return path


def clock():
    """A step of training takes `STEP` seconds by it, and so does a batch of samples, whatever else the machine does."""
    ticks = count()
    return lambda: next(ticks) * STEP


def begun(configs, out, *sets, report=tiny.silent, minutes=MINUTES, n=N, overrun=math.inf, **values):
    options = {"minutes": minutes, "n": n, "report": report, "clock": clock(), "overrun": overrun}
    return compare_runs(configs, out, sets, values, **options)


def rows_of(*args, **options):
    return list(begun(*args, **options))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    return [config(folder / "wide.toml"), config(folder / "deep.toml", model="recurrent")]


@pytest.fixture(scope="module")
def finished(pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "compare"
    return out, rows_of(pair, out)


def test_each_row_is_what_its_run_directory_gives(finished, pair):
    out, rows = finished
    assert [row["name"] for row in rows] == ["wide", "deep"]
    exact = la.kaufman((4, 4), rows[0]["temperature"])
    for row, path in zip(rows, pair, strict=True):
        assert set(row) == KEYS
        assert (row["config"], row["run"]) == (str(path), str(out / row["name"]))
        run, model = RunDirectory(row["run"]), load_model(row["run"])
        assert row["model"] == model.name
        assert row["hamiltonian"] == la.Ising((4, 4)).to_dict()
        assert row["parameters"] == sum(p.numel() for p in model.parameters())
        assert row["steps"] == row["planned_steps"] == len(run.metrics()) == STEPS
        assert row["seconds"] == run.metrics()[-1]["elapsed"]
        samples = model.sample(N, seed=0)
        energy = la.Ising((4, 4)).token_energy(samples.tokens)
        log_w = (-energy / row["temperature"] - samples.log_q).numpy()
        assert row["kl"]["value"] == pytest.approx(exact.log_z - log_w.mean())
        assert row["kl"]["error"] == pytest.approx(log_w.std() / math.sqrt(N))
        assert row["kl"]["exact"]
        stored = run.read_json("estimates.json")
        for key in ("ess", "free_energy_per_site"):
            assert row[key] == stored[key]
        free = row["free_energy_per_site"]
        assert free["exact"] == pytest.approx(exact.free_energy_per_site)
        assert row["deviation"] == pytest.approx((free["value"] - free["exact"]) / free["error"])
        assert row["samples_per_second"] == N / 2 / STEP  # median of two batches
        assert row["n"] == stored["n"] == N
    json.dumps(rows, allow_nan=False)


def test_by_the_clock_on_the_wall_it_takes_about_that_time(tmp_path, pair):
    (row,) = compare_runs(pair[:1], tmp_path / "out", [], {}, minutes=0.01, n=N, report=tiny.silent)
    assert 1 <= row["steps"] <= row["planned_steps"] < 1000
    assert row["seconds"] < 30


def test_the_same_comparison_again_trains_nothing(finished, pair, monkeypatch):
    out, rows = finished
    monkeypatch.setattr(compare, "train_run", None)
    monkeypatch.setattr(compare, "estimate", None)
    assert rows_of(pair, out) == rows


def test_another_number_of_samples_weighs_again(finished, pair, monkeypatch, tmp_path):
    out, rows = finished
    shutil.copytree(out, tmp_path / "copy")
    monkeypatch.setattr(compare, "train_run", None)
    again = rows_of(pair, tmp_path / "copy", n=50)
    assert [row["n"] for row in again] == [50, 50]
    assert [row["steps"] for row in again] == [row["steps"] for row in rows]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minutes": 2 * MINUTES}, f"minutes is {MINUTES} there, got {2 * MINUTES}"),
        ({"seed": 1}, "seed is 0 there, got 1"),
        ({"temperature": 2.0}, "temperature is 2.26918"),
        ({"hamiltonian": {"shape": [4, 6]}}, "hamiltonian.shape is (4, 4) there, got (4, 6)"),
    ],
)
def test_another_comparison_in_the_same_folder_is_refused(finished, pair, changes, words):
    out, _ = finished
    for row in rows_of(pair, out, **changes):
        assert set(row) == {"name", "config", "error"}
        assert "holds another run: " + words in row["error"]
        assert "name another --out" in row["error"]


def test_overrides_are_for_all_and_may_say_how_many_steps_in_vain(tmp_path, pair):
    rows = rows_of(pair, tmp_path / "out", "model.width=4", "training.steps=100000", temperature=2.0, seed=7)
    for row in rows:
        stored = la.load_model(row["run"])
        assert (stored.width, row["temperature"]) == (4, 2.0)
        assert row["planned_steps"] < 100000
        assert RunDirectory(row["run"]).read_json("estimates.json")["seed"] == 7


def test_configs_of_one_name_do_not_collide(tmp_path):
    paths = [config(tmp_path / folder / "a.toml", batch_size=size) for folder, size in (("x", 16), ("y", 20))]
    rows = rows_of(paths, tmp_path / "out")
    assert [row["name"] for row in rows] == ["a", "a-2"]
    sizes = [stored_config(RunDirectory(row["run"]).config_path).training["batch_size"] for row in rows]
    assert sizes == [16, 20]
    assert compare.names_of([tmp_path / name for name in ("a.toml", "x/a.toml", "a-2.toml")]) == ["a", "a-2", "a-2-2"]


def test_what_fails_says_so_and_the_others_go_on(tmp_path, pair):
    unknown = config(tmp_path / "unknown.toml", stepz=3)
    explodes = config(tmp_path / "explodes.toml", learning_rate=1e30)
    broken = tmp_path / "broken.toml"
    broken.write_text("= 3")
    configs = [unknown, tmp_path / "missing.toml", broken, explodes, pair[0]]
    rows = rows_of(configs, tmp_path / "out")
    words = ["unknown key 'training.stepz'", "No such file", "is not valid TOML", "stopped being finite at step"]
    for row, expected in zip(rows, words, strict=False):
        assert expected in row["error"]
        assert "\n" not in row["error"]
    assert "error" not in rows[-1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["wide"]


def test_a_training_that_fails_later_keeps_its_directory(tmp_path, pair, monkeypatch):
    true, calls = train.fit, []

    def failing(*args, **options):
        calls.append(options["steps"])
        for step in true(*args, **options):
            if len(calls) == 2 and step.step == 7:  # the first call is the warm-up
                raise compare.TrainingError("the loss stopped being finite at step 7")
            yield step

    monkeypatch.setattr(train, "fit", failing)
    bad, good = rows_of(pair, tmp_path / "out")
    assert bad["error"].startswith("the loss stopped being finite at step 7; the last good checkpoint is ")
    assert "kl" in good
    assert (tmp_path / "out" / "wide" / "run.toml").exists()


def test_a_machine_that_became_slower_stops_the_training_and_the_row_says_so(tmp_path, pair, monkeypatch):
    ticks = count()
    monkeypatch.setattr(train.time, "monotonic", lambda: next(ticks) * 2.5 * STEP)
    out = tmp_path / "out"
    (row,) = rows_of(pair[:1], out, overrun=1.5)
    assert (row["steps"], row["planned_steps"]) == (8, STEPS)  # 8 * 2.5 > 1.5 * 12
    assert row["seconds"] == 20 * STEP
    assert row["warnings"][0] == f"stopped after 8 of {STEPS} steps and 5 s: not fully trained"
    assert load_model(row["run"]).sample(1).log_q.isfinite().all()

    record = out / "wide" / "comparison.json"
    record.write_text(json.dumps({"minutes": json.loads(record.read_text())["minutes"]}))
    monkeypatch.setattr(compare, "train_run", None)  # its time is used up
    assert rows_of(pair[:1], out, overrun=1.5) == [row]


@pytest.mark.parametrize("at", ["training", "weighing"])
def test_a_comparison_that_was_stopped_goes_on(tmp_path, pair, at):
    out = tmp_path / "out"

    def stop(done, total, text):
        if text.startswith("deep: ") and ("weighing" in text) == (at == "weighing") and done >= min(7, total):
            signal.raise_signal(signal.SIGINT)

    rows = begun(pair, out, report=stop)
    first = next(rows)
    with pytest.raises(KeyboardInterrupt):
        next(rows)
    left = RunDirectory(out / "deep")
    assert left.latest().name == ("step-7" if at == "training" else f"step-{STEPS}")
    again = rows_of(pair, out)
    assert again[0] == first
    whole = rows_of(pair[1:], tmp_path / "whole")[0]
    assert {k: again[1][k] for k in ("steps", "kl", "ess")} == {k: whole[k] for k in ("steps", "kl", "ess")}
    assert tiny.content(out / "deep") == tiny.content(tmp_path / "whole" / "deep")


def test_kl_without_an_exact_ln_z_is_that_of_the_estimate():
    log_w = np.random.default_rng(0).normal(3.0, 0.5, (400, 1000))
    estimated, known = ([divergence(row, log_z) for row in log_w] for log_z in (None, 3.125))
    for results, is_exact in ((estimated, False), (known, True)):
        z = (np.array([r.value for r in results]) - 0.125) / np.array([r.error for r in results])
        assert all(r.exact is is_exact for r in results)
        assert abs(z.mean()) < 4 / 20
        assert 0.8 < z.std() < 1.2
    assert estimated[0].value == pytest.approx(math.log(np.exp(log_w[0]).mean()) - log_w[0].mean())


# the verb


def words_of(pair, out):
    return ["compare", *pair, "--minutes", str(MINUTES), "-n", N, "--out", out]


def test_the_table_has_a_line_for_each_and_names_a_shared_system_once(finished, pair):
    out, rows = finished
    table = succeed(*words_of(pair, out))
    assert f"{MINUTES:g} minutes each, ising 4x4, T = 2.2692, n = {N}" in table
    for row in rows:
        (line,) = (line for line in table.splitlines() if line.startswith(f"│ {row['name']} "))
        for cell in (str(row["parameters"]), str(row["steps"]), f"{row['deviation']:+.1f} sigma"):
            assert cell in line


def test_json_is_one_object_and_a_failure_is_an_exit_code(finished, pair, tmp_path):
    out, rows = finished
    assert json.loads(succeed(*words_of(pair, out), "--json")) == {"rows": rows}
    code, stdout, _ = invoke(*words_of([*pair, tmp_path / "none.toml"], out), "--json")
    assert code == 1
    assert json.loads(stdout)["rows"][:2] == rows
    code, stdout, stderr = invoke(*words_of([tmp_path / "none.toml"], out))
    assert (code, stderr) == (1, "")
    assert f"none failed: {tmp_path / 'none.toml'}: No such file or directory" in stdout


def test_other_systems_are_told_apart(finished, pair, tmp_path):
    bigger = config(tmp_path / "bigger.toml")
    bigger.write_text(bigger.read_text().replace("[4, 4]", "[4, 6]"))
    table = succeed(*words_of([pair[0], bigger], tmp_path / "out"))
    assert "4x4" in table
    assert "4x6" in table


def test_ctrl_c_shows_what_is_done_and_says_how_to_go_on(finished, pair, tmp_path, monkeypatch):
    out, _ = finished
    third = config(tmp_path / "third.toml")
    copy = shutil.copytree(out, tmp_path / "out")

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "begin", interrupted)
    code, stdout, stderr = invoke(*words_of([*pair, third], copy))
    assert (code, stderr) == (130, "")
    assert stdout.endswith("interrupted: 2 of 3 are done; repeat the command to continue\n")
    assert "│ wide " in stdout
    code, stdout, _ = invoke(*words_of([*pair, third], copy), "--json")
    assert (code, stdout) == (130, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--minutes", "0"], "--minutes must be positive and finite, got 0"),
        (["--minutes", "inf"], "--minutes must be positive"),
        (["-n", "5"], "an error bar needs at least 10 samples, got 5"),
        (["-n", "x"], "-n must be a whole number"),
        (["--size", "1"], "--size must be at least 2"),
    ],
)
def test_mistakes_are_one_line(pair, tmp_path, change, words):
    assert words in refusal("compare", *pair, "--out", tmp_path / "out", *change)
    assert not (tmp_path / "out").exists()


def test_no_config_and_one_given_twice_are_refused(pair, tmp_path):
    assert "compare needs at least one config" in refusal("compare", "--out", tmp_path / "out")
    assert "is given twice" in refusal("compare", pair[0], pair[0], "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    assert "file" in refusal("compare", *pair, "--out", tmp_path / "file")


def test_what_has_no_energy_or_no_single_temperature_is_said_in_its_row(pair, tmp_path):
    many = tmp_path / "range.toml"
    many.write_text("temperature = [1.5, 3.5]\n" + pair[0].read_text())
    first, second = rows_of([many, pair[0]], tmp_path / "out")
    assert "this needs one system at one temperature, got a range of temperatures" in first["error"]
    assert first["error"].endswith("at T = 1.5:3.5")
    assert second["n"] == N
