"""The command line as a user meets it: the whole road, every mistake one line, and no end that loses anything."""

import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import typer
import xarray
from support import tiny
from support.rundirs import without_sums
from support.verbs import check_estimates, invoke, refusal, succeed

import latticear as la
from latticear import cli
from latticear.cli import app
from latticear.exact.result import QUANTITIES
from latticear.runs.directory import load_model

EXECUTABLE = Path(sys.executable).parent / "latticear"
# the whole road


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "latticear", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("latticear ")


def test_train_estimate_sample_and_their_files(tmp_path):
    run, file = tmp_path / "runs" / "a", tmp_path / "s.h5"
    assert f"finished: {run}; now: latticear estimate {run}" in succeed("train", *tiny.OPTIONS, "--out", run)

    table = succeed("estimate", run, "-n", "1e3")
    for word in (*QUANTITIES, "ess", "pareto_k", "-2.2013295", "sigma", "T = 2.269, n = 1000"):
        assert word in table
    stored = json.loads((run / "estimates.json").read_text())
    check_estimates(stored)
    assert (stored["n"], stored["checkpoint"]) == (1000, "step-12")

    assert succeed("sample", run, "-n", "60", "-o", file) == f"{file}: 60 configurations\n"
    assert succeed("sample", run, "-n", "100", "-o", file, "--append") == f"{file}: 100 configurations\n"
    with xarray.open_dataset(file, engine="h5netcdf") as samples:
        assert samples["spins"].dims == ("sample", "y", "x")
        assert samples["spins"].shape == (100, 4, 4)
        assert samples["log_q"].dims == samples["energy"].dims == ("sample",)
    again = load_model(run).sample(100, seed=0)
    with h5py.File(file) as h5:
        np.testing.assert_array_equal(h5["spins"], 2 * again.tokens.numpy().astype(np.int8) - 1)
        np.testing.assert_array_equal(h5["log_q"], again.log_q.numpy())

    described = json.loads(succeed("info", run, "--json"))
    assert described["config"]["hamiltonian"]["shape"] == [4, 4]
    assert described["estimates"] == {key: value for key, value in stored.items() if key != "sha256"}
    assert json.loads(succeed("info", file, "--json"))["n_samples"] == 100


def test_error_bars_that_cannot_be_trusted_are_not_shown_as_if_they_could(run):
    warning = succeed("estimate", run, "-n", "100").split("WARNING: do not trust these error bars:\n")[1]
    assert all(line.startswith("  - ") for line in warning.splitlines())
    assert "effective samples (ESS 0." in warning


def test_monte_carlo_then_maximum_likelihood_then_forward_ess(tmp_path):
    data, run = tmp_path / "mc.h5", tmp_path / "run"
    table = succeed(
        *("mc", "--size", 4, "--temperature", tiny.TEMPERATURE, "--method", "swendsen-wang", "-n", "400", "-o", data)
    )
    assert "energy_per_site" in table
    assert "tau_int_energy" in table
    assert f"{data}: 400 configurations" in table
    succeed("train", *tiny.OPTIONS, "--data", data, "--out", run)  # data mean maximum likelihood
    assert json.loads(succeed("info", run, "--json"))["config"]["training"]["objective"] == "forward-kl"
    assert "forward_ess" in succeed("estimate", run, "-n", "200", "--data", data)


def test_report_writes_its_figures(copy, monkeypatch):
    monkeypatch.setattr("latticear.workflows.report.MAX_SITES", 1)
    lines = succeed("report", copy).splitlines()
    assert len(lines) == 7
    assert lines[-1] == f"{copy}/report.html"
    assert all(Path(line).stat().st_size > 10_000 for line in lines)


# JSON


def test_json_is_all_there_is_on_standard_output(run, tmp_path, server):
    done = server.run(tmp_path, "estimate", str(run), "-n", "500", "--json")
    assert (done.code, done.stderr) == (0, "")
    check_estimates(json.loads(done.stdout))
    several = json.loads(succeed("estimate", run, "-n", "500", "--temperature", "2.2,2.3", "--json"))
    assert [content["temperature"] for content in several["estimates"]] == [2.2, 2.3]
    chains = json.loads(succeed("estimate", run, "-n", "500", "--method", "mcmc", "--json"))
    assert chains["energy_per_site"]["tau_int"] > 0
    code, stdout, stderr = invoke("mc", "--size", "4", "-n", "100", "-o", tmp_path / "m.h5", "--json")
    assert code == 0
    assert json.loads(stdout)["energy_per_site"]["value"] < -1
    assert stderr.splitlines()[1:] == [f"{tmp_path / 'm.h5'}: 100 configurations"]


@pytest.mark.parametrize("method", ["parallel-tempering", "population-annealing"])
def test_methods_with_a_free_energy(tmp_path, method):
    """At an odd number, too, and in a system with frustration."""
    system = ("mc", "--size", "3", "--temperature", "1.5", "--set", "hamiltonian.coupling=-1", "--method", method)
    out, few = tmp_path / "m.h5", tmp_path / "few.h5"
    found = json.loads(invoke(*system, "-n", "3001", "-o", out, "--json")[1])
    assert found["reliable"] is True
    for name in ("log_z", "free_energy_per_site", "energy_per_site", "entropy_per_site"):
        assert abs(found[name]["value"] - found[name]["exact"]) < 4 * found[name]["error"]
    info = json.loads(succeed("info", out, "--json"))
    assert info["n_samples"] == 3001
    assert info["attributes"]["provenance"]["method"] == method
    frustrated = la.Ising((3, 3), coupling=-1.0)
    energies = frustrated.token_energy(la.load_configurations(out, frustrated)) / 9
    assert abs(energies.mean().item() - found["energy_per_site"]["value"]) < 0.02
    assert f"{few}: 5 configurations" in succeed(*system, "-n", "5", "-o", few)


def test_exact_results_in_a_process_of_its_own():
    """Which imports what takes long, unlike that of --help below."""
    printed, modules = imported_by("exact", "--size", "4", "--temperature", "2.269", "--json")
    assert modules >= {"torch", "numpy", "latticear.exact"}
    found = json.loads(printed)
    assert tuple(found) == QUANTITIES
    assert all(type(value) is float for value in found.values())
    assert found["free_energy_per_site"] == pytest.approx(-2.2013294994122557, rel=1e-12)
    assert "kaufman" in succeed("exact", "--size", "16")


def test_an_exact_result_by_a_method_of_choice():
    """Its errors are printed, and a result that is not accurate enough is not called exact."""
    words = ("exact", "--size", "6", "--temperature", "2.269", "--set", "hamiltonian.periodic=false")
    shown = succeed(*words, "--method", "tensor-network", "--bond-dimension", "8")
    assert "tensor_network, bond dimension 8" in shown
    assert "ln Z has an estimated error of" in shown
    found = json.loads(succeed(*words, "--bond-dimension", "8", "--json"))
    known = json.loads(succeed(*words, "--method", "kasteleyn", "--json"))
    assert found["is_exact"] is True
    assert found["bond_dimension"] == 8
    assert abs(found["log_z"] - known["log_z"]) <= found["log_z_error"] < 1e-4
    assert "not exact" in succeed(*words[:-2], "--bond-dimension", "2")
    for more, message in (
        (("--method", "guess"), "method must be one of ['enumerate-states'"),
        (("--method", "kasteleyn", "--bond-dimension", "4"), "a bond dimension goes with method tensor-network"),
        (("--bond-dimension", "0"), "--bond-dimension must be a whole number of at least 1, got '0'"),
    ):
        assert message in refusal(*words, *more)


def test_the_executable_is_the_command():
    done = subprocess.run([EXECUTABLE, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("latticear ")


# numbers


@pytest.mark.parametrize(("text", "n"), [("25", 25), ("2e1", 20), ("2.5e1", 25), ("1E1", 10), ("+30", 30)])
def test_counts_may_be_written_as_physicists_do(run, tmp_path, text, n):
    assert succeed("sample", run, "-n", text, "-o", tmp_path / "s.h5").endswith(f": {n} configurations\n")


@pytest.mark.parametrize("text", ["1.5", "0", "-3", "abc", "", "inf", "nan", "1e-1", "1e400"])
def test_counts_that_are_none_are_refused(run, tmp_path, text):
    for words in (
        ("sample", run, "-o", tmp_path / "s.h5"),
        ("estimate", run),
        ("mc", "--size", "4", "-o", tmp_path / "s.h5"),
    ):
        assert refusal(*words, f"-n={text}").startswith("-n must be a whole number of at least 1")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["1", "0", "-4", "4.0", "x", "4x", "4x4x4", "²", ""])
def test_sizes_that_are_none_are_refused(tmp_path, text):
    for words in (("train", "--out", tmp_path / "a"), ("exact",), ("mc", "-o", tmp_path / "s.h5")):
        assert refusal(*words, f"--size={text}").startswith("--size must be ")


def test_sizes_may_be_rectangles():
    assert "shape=[3, 5]" in succeed("exact", "--size", "3x5")
    assert "shape=[1, 6]" in succeed("exact", "--size", "1X6", "--set", "hamiltonian.periodic=[false, true]")
    for size in ("1x1", "1x8"):
        assert "extent 2 or more" in refusal("exact", "--size", size)


# help, version, completion


HEAVY = {"torch", "numpy", "scipy", "h5py", "matplotlib", "safetensors"}
"""What takes a second or more to import, together. (Typer takes pydantic by itself.)"""


def imported_by(*words: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that its process has imported when it ends."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from latticear.cli import app\n"
        "app(sys.argv[1:], prog_name='latticear')"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    (modules,) = done.stderr.splitlines()
    return done.stdout, set(modules.split())


@pytest.mark.parametrize(
    ("words", "text"),
    [("--help", "estimate"), ("--version", f"latticear {la.__version__}"), ("train --help", "--size")],
)
def test_help_and_version_are_quick(words, text):
    """They import nothing that takes long, and of the package the command line and the table of old names alone."""
    printed, modules = imported_by(*words.split())
    assert text in printed
    assert not modules & HEAVY
    assert {name.split(".")[1] for name in modules if name.startswith("latticear.")} == {"cli", "deprecated"}


def test_every_verb_explains_itself():
    commands = typer.main.get_command(app).commands
    assert set(commands) == set(cli.__all__) - {"app"}
    overview = succeed("--help")
    for verb, command in commands.items():
        assert f"Usage: latticear {verb}" in succeed(verb, "--help")
        assert command.help.split()[0] in succeed(verb, "-h")
        assert verb in overview


def test_shell_completion():
    for shell in ("bash", "zsh", "fish"):
        script = subprocess.run(
            [EXECUTABLE], env=os.environ | {"_LATTICEAR_COMPLETE": f"source_{shell}"}, capture_output=True, text=True
        )
        assert "_LATTICEAR_COMPLETE=complete_" in script.stdout
    words = {"_LATTICEAR_COMPLETE": "complete_bash", "COMP_WORDS": "latticear est", "COMP_CWORD": "1"}
    done = subprocess.run([EXECUTABLE], env=os.environ | words, capture_output=True, text=True)
    assert done.stdout.split() == ["estimate"]


# mistakes: what, and words that its line must have


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --size 4", "train needs --out"),
        ("train --out a", "hamiltonian.shape must be given (--size on the command line)"),
        ("train --size 4 --out a --set model.widht=4", "unknown key 'model.widht'; did you mean 'model.width'?"),
        ("train --size 4 --out a --set model.width", "--set takes section.key=value, got 'model.width'"),
        ("train --size 4 --out a --set model.kernel_size=4", "kernel_size must be odd and positive, got 4"),
        ("train --size 4 --out a --set model.name=rnn", "model.name must be one of"),
        ("train --size 4 --out a --set training.batch_size=true", "training.batch_size: input should be a valid"),
        ("train --size 4 --out a --temperature=-1", "temperature must be positive and finite"),
        ("train --size 4 --out a --temperature 0", "temperature must be positive and finite"),
        ("train --size 4 --out a --temperature nan", "temperature: input should be a finite number"),
        ("train --size 4 --out a --objective variational", "objective must be one of"),
        ("train --size 4 --out a --from {run} --grow", "--grow starts from a small lattice that it trains itself"),
        ("train --size 16 --out a --grow", "--grow needs an even lattice larger than 16, got 16x16"),
        ("train --size 34 --out a --grow --data {data}", "--grow draws configurations by Monte Carlo"),
        ("train --size 4 --out a --from nowhere", "nowhere is not a run directory"),
        ("train --size 4 --out a --from {run} --set model.width=5", "the weights do not fit"),
        ("train --size 4 --out a --objective reverse-kl --data {data}", "data is given, but objective reverse-kl"),
        ("train --size 6 --out a --temperature 2.269 --data {data}", "of another Hamiltonian: shape [4, 4] instead"),
        ("train --size 4 --out a --temperature 2.5 --data {data}", "at temperature 2.269, not at the requested 2.5"),
        ("train --size 4 --out a --data none.h5", "none.h5: No such file or directory"),
        ("train --size 4 --out a --data text", "text has no row of numbers, only 'no numbers'"),
        ("train --size 4 --out a --data binary", "binary is neither HDF5, .npy, .npz nor text"),
        ("train --size 4 --out a --data {data} --data text", "--data takes one file, got"),
        ("train --size 4 --out a --dataset spins", "data.dataset says how a file is read: name it by training.data"),
        (
            "train --size 4 --temperature 2.269 --out a --data {data} --dataset up",
            "has no dataset 'up'; it has spins (400, 4, 4)",
        ),
        (
            "train --size 4 --out a --data {data} --set data.value=1",
            "did you mean 'data.values'?",
        ),
        ("train --size 4 --out a --data {data} --set data.values=up", "data.values: input should be"),
        (
            "train --size 4 --out a --data {data} --set 'data.values={{up = 1}}'",
            "give a token for each number, {-1 = 0, 1 = 1}, got 'up'",
        ),
        ("train --size 4 --out a --data cut.h5 --temperature 2.269", "cut.h5"),
        ("train --size 4 --out a --data threes.npy", "Ising takes spins -1, 1, tokens 0..1 or numbers 1..2, got 3"),
        ("train --size 4 --out a --data flat.npy", "must hold numbers of shape (n, 4, 4), got float64 (5, 15)"),
        ("train --size 4 --out a --data evil.npy", "evil.npy is not a readable .npy file of numbers"),
        ("train --size 4 --out a --device tpu", "device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'"),
        ("train --size 4 --out a --device cuda", "PyTorch sees no CUDA device"),
        ("train --out {run}", "already exists; continue it with --resume or name another --out"),
        ("train --size 4 --out text/a", "cannot write text/a (Not a directory)"),
        ("train --size 4 --out text", "text already exists"),
        ("train --out text --resume", "text is not a run directory"),
        ("train --out {run} --resume --seed 1", "seed is 0 there, got 1"),
        ("train --out {run} --resume --size 6", "hamiltonian.shape is (4, 4) there, got (6, 6)"),
        ("train --out {run} --resume --set training.steps=99", "training.steps is 12 there, got 99"),
        ("train --out foreign --resume", "the newest checkpoint is not one of this run"),
        ("train none.toml --out a", "none.toml: No such file or directory"),
        ("train . --out a", ".: Is a directory"),
        ("train text --out a", "text is not valid TOML"),
        ("train binary --out a", "binary is not valid TOML"),
        ("estimate none", "none is not a run directory"),
        ("estimate empty", "empty has no checkpoint yet; continue it with train --resume"),
        ("estimate damaged", "model.safetensors is not a readable checkpoint"),
        ("estimate {run} --method exact", "method must be one of ['auto', 'is', 'smc', 'mcmc'], got 'exact'"),
        (
            "estimate {run} --temperature warm",
            "must be one or several numbers, e.g. 2.1 2.269 2.5, got 'warm'",
        ),
        ("estimate {run} --temperature 2,", "--temperature must be one or several numbers"),
        ("estimate {run} --temperature=-2", "temperature must be positive and finite"),
        ("estimate {run} --device cuda", "PyTorch sees no CUDA device"),
        ("estimate {run} --data text", "text has no row of numbers"),
        ("estimate {run} --dataset spins", "--dataset names an array in the file --data, got 'spins' without one"),
        ("sample {run} -o {data}", "mc.h5 already exists"),
        ("sample {run} -o text.h5 --append", "text.h5 cannot be continued"),
        ("sample {run} -o none/s.h5", "none/s.h5 cannot be made: No such file or directory"),
        ("sample {run} -o text/s.h5", "Not a directory"),
        ("sample empty -o s.h5", "empty has no checkpoint yet"),
        ("mc --size 4 -o {data}", "mc.h5 already exists"),
        (
            "mc --size 4 -o m.h5 --method wolf",
            "method must be one of metropolis, heat-bath, swendsen-wang, wolff, parallel-tempering, "
            "kawasaki, population-annealing, got 'wolf'",
        ),
        (
            "mc --size 4 -o m.h5 --method population-annealing --chains 4",
            "population-annealing has no chains: leave out",
        ),
        (
            "mc --size 4 -o m.h5 --thinning 0",
            "--thinning must be a whole number of at least 1 (1e6 works too), got '0'",
        ),
        ("mc --size 4 -o m.h5 --device cuda", "PyTorch sees no CUDA device"),
        ("mc -o m.h5", "hamiltonian.shape must be given"),
        ("exact --size 4 --temperature=-1", "temperature must be positive and finite"),
        ("exact --size 40 --set hamiltonian.field=0.1", "there is no exact method for Ising(shape=[40, 40]"),
        (
            "exact --size 12x13 --temperature 0.001 --set hamiltonian.name=edwards_anderson",
            "at T = 0.001; use a smaller lattice, or no field, and a higher temperature if the couplings",
        ),
        ("info none", "none: No such file or directory"),
        ("info text", "text has no row of numbers"),
        ("info evil.pkl", "evil.pkl is a pickle, which can run any code"),
        ("info .", ". is not a run directory"),
        ("report none", "none is not a run directory"),
        ("report empty", "empty has no checkpoint yet"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(tmp_path, monkeypatch, run, data, command, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    Path("text").write_text("no numbers\n", encoding="utf-8")
    Path("text.h5").write_text("no numbers\n", encoding="utf-8")
    Path("binary").write_bytes(b"\xff\xfe\x00")
    Path("cut.h5").write_bytes(data.read_bytes()[:-2000])
    np.save("threes.npy", np.full((5, 4, 4), 3))
    np.save("flat.npy", np.ones((5, 15)))
    Path("evil.pkl").write_bytes(pickle.dumps(print))
    Path("evil.npy").write_bytes(b"\x93NUMPY" + pickle.dumps(print))
    shutil.copytree(run, "empty", ignore=lambda *_: ["step-8", "step-12"])
    shutil.copytree(run, "damaged")
    shutil.copytree(run, "foreign")
    torch.save({"step": 12, "model": {}}, without_sums(Path("foreign")) / "checkpoints/step-12/trainer.pt")
    Path("damaged/checkpoints/step-12/model.safetensors").write_bytes(b"damaged")
    before = sorted(Path().iterdir())
    assert words in refusal(*shlex.split(command.format(run=run, data=data)))
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [
        "",
        "trian",
        "estimate",
        "sample a",
        "exact --sise 4",
    ],
)
def test_words_that_make_no_command_are_usage_errors(command):
    code, stdout, stderr = invoke(*shlex.split(command))
    assert code == 2
    assert "Usage: latticear" in stdout + stderr


def test_names_with_brackets_are_names(tmp_path):
    out = tmp_path / "[red]a[/]:smile:"
    assert f"finished: {out};" in succeed("train", *tiny.OPTIONS, "--set", "training.steps=1", "--out", out)


def test_estimates_from_more_samples_are_not_replaced_in_silence(copy):
    succeed("estimate", copy, "-n", "300", "--no-check")
    replaced = "estimates.json had estimates from 300 samples, these from 200 replace them"
    assert replaced in succeed("estimate", copy, "-n", "200", "--no-check")
    assert "replace" not in succeed("estimate", copy, "-n", "300", "--no-check")
