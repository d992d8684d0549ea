"""Options that a command does not have, or has twice: one line that says what to write."""

import inspect
import re
from typing import get_args

import pytest
import typer
from support import tiny
from support.verbs import invoke, refusal, succeed

from latticear.cli import app
from latticear.cli.options import whole
from latticear.cli.verb import BOUNDARIES, KEYS, OPTIONS, SETTINGS, SeveralTemperatures, Verb
from latticear.runs.config import load_config
from latticear.runs.schema import keys_named

COMMANDS = typer.main.get_command(app).commands


def test_every_command_answers():
    assert all(isinstance(command, Verb) for command in COMMANDS.values())
    several = {name for name, command in COMMANDS.items() if isinstance(command, SeveralTemperatures)}
    assert several == {"estimate", "scan"}


def test_the_answers_exist():
    options = {name for command in COMMANDS.values() for param in command.params for name in param.opts}
    assert set(OPTIONS.values()) <= options
    assert not set(OPTIONS) & options
    keys = {key for section in ("hamiltonian", "model", "training") for key in keys_named(section)}
    assert set(KEYS.values()) <= keys
    for setting in (*SETTINGS.values(), *BOUNDARIES.values()):
        assert load_config(None, ["hamiltonian.shape=[4, 4]", "hamiltonian.periodic=true", setting])


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train --beta 0.4", "T = 1/beta, use --temperature 2.5"),
        ("mc --beta=0.5 -o m.h5", "T = 1/beta, use --temperature 2.0"),
        ("train --beta 0.4:0.5", "T = 1/beta, use --temperature 2.0:2.5"),
        ("exact --beta cold", "use --temperature T, with T = 1/beta"),
        ("exact --beta 0", "use --temperature T, with T = 1/beta"),
        ("exact --beta", "use --temperature T, with T = 1/beta"),
        ("estimate a --beta 0.4", "T = 1/beta, use --temperature 2.5"),
        ("train --field 0.1 --out a", "use --set hamiltonian.field=0.1"),
        ("mc -o m.h5 --field -0.1", "use --set hamiltonian.field=-0.1"),
        ("exact --coupling=-1", "use --set hamiltonian.coupling=-1"),
        ("exact -J -1", "use --set hamiltonian.coupling=-1"),
        ("scan --couplings 'my glass.h5'", "use --set 'hamiltonian.couplings=my glass.h5'"),
        ("train --boundary open", "use --set hamiltonian.periodic=false"),
        ("train --bc periodic", "use --set hamiltonian.periodic=true"),
        ("train --periodic '[true, false]'", "use --set 'hamiltonian.periodic=[true, false]'"),
        ("train --boundary", "use --set hamiltonian.periodic=VALUE"),
        ("mc --pbc -o m.h5", "use --set hamiltonian.periodic=true"),
        ("train --lr 1e-3", "use --set training.learning_rate=1e-3"),
        ("train --learning-rate 1e-3", "use --set training.learning_rate=1e-3"),
        ("compare a.toml --batch-size 64", "use --set training.batch_size=64"),
        ("train --width 64", "use --set model.width=64"),
        ("train --layers 6", "use --set model.depth=6"),
        ("train --epochs 100", "use --steps 100"),
        ("train -L 8 -T 2", "use --size 8"),
        ("mc -T 2 -o m.h5", "use --temperature 2"),
        ("mc --gpu -o m.h5", "use --device cuda"),
        (
            "estimate a --field 0.1",
            "a run keeps hamiltonian.field as it was trained; for another, latticear train --set hamiltonian.field=0.1",
        ),
    ],
)
def test_an_option_that_does_not_exist(words, answer):
    words = [word for quoted, plain in re.findall(r"'([^']*)'|(\S+)", words) for word in [quoted or plain]]
    unknown = next(word.partition("=")[0] for word in words if word.partition("=")[0] in answered())
    assert refusal(*words) == f"{words[0]} has no option {unknown}: {answer}"


def answered() -> set[str]:
    keys = {
        f"--{key.replace('_', '-')}" for section in ("hamiltonian", "model", "training") for key in keys_named(section)
    }
    return {*OPTIONS, *KEYS, *SETTINGS, "--beta", "--gpu"} | (keys - {"--data", "--objective"})


@pytest.mark.parametrize("words", ["mc -o m.h5 --width 3", "exact --steps 3", "info a --beta 2", "train --wings"])
def test_options_of_which_nothing_is_known_stay_usage_errors(words):
    code, _, stderr = invoke(*words.split())
    assert code == 2
    assert "No such option" in stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train --size 4 --size 6 --out a", "--size is given twice, 4 and 6: give it once"),
        ("train --size 4 --out a -o b", "-o is given twice, a and b: give it once"),
        ("mc --size 4 -n 5 --number=6 -o m.h5", "--number is given twice, 5 and 6: give it once"),
        ("mc --size 4 -n5 -n 6 -o m.h5", "-n is given twice, 5 and 6: give it once"),
        ("exact --temperature 2 --temperature 3", "--temperature is given twice, 2 and 3: give it once"),
        ("scan --temperature 1 2 --temperature 3 -o s", "twice, 1,2 and 3: give all after one --temperature"),
    ],
)
def test_an_option_given_twice(words, answer):
    assert refusal(*words.split()).endswith(answer)


def test_what_may_be_repeated(run, tmp_path):
    repeated = ("--append", "--append", "--device", "cpu", "-o", tmp_path / "s.h5")
    assert "5 configurations" in succeed("sample", run, "-n", 5, *repeated)
    assert "Usage" in succeed("train", "--size", "4", "--help")


def test_short_flags(tmp_path):
    flags = ("--hamiltonian", "blume_capel", "--model", "made", "--steps", "2e0")
    succeed("train", "--size", 3, "--temperature", 1, *flags, "--set", "training.batch_size=8", "--out", tmp_path / "a")
    config = load_config(tmp_path / "a" / "run.toml")
    assert (config.space["name"], config.model["name"], config.training["steps"]) == ("blume_capel", "made", 2)
    words = ("--temperature", "1", "--size", "3", *flags, "-n", "50", "--set", "training.batch_size=8")
    succeed("scan", *words, "--out", tmp_path / "s")
    config = load_config(tmp_path / "s" / "3x3" / "T1" / "run.toml")
    assert (config.space["name"], config.model["name"], config.training["steps"]) == ("blume_capel", "made", 2)
    assert "Potts" in succeed("exact", "--size", 3, "--temperature", 1, "--hamiltonian", "potts")
    assert "5 configurations" in succeed("mc", "--hamiltonian", "potts", "--size", 3, "-n", 5, "-o", tmp_path / "m.h5")
    line = refusal("train", "--levels", 4, "--hamiltonian", "potts", "--out", tmp_path / "b")
    assert line == "--levels trains on data without a Hamiltonian, got --hamiltonian potts; leave one of them out"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("mc --size 4 -n 1e99 -o m.h5", "-n must be at most 1e+12, got '1e99'"),
        ("train --size 4 --steps 1e99 --out a", "--steps must be at most 1e+12, got '1e99'"),
        (
            "train --size 4 --steps 1.5 --out a",
            "--steps must be a whole number of at least 1 (1e6 works too), got '1.5'",
        ),
        (
            "mc --size 4 --chains 1.5 -o m.h5",
            "--chains must be a whole number of at least 1 (1e6 works too), got '1.5'",
        ),
        ("mc --size 4 --chains 1e13 -o m.h5", "--chains must be at most 1e+12, got '1e13'"),
        (
            "mc --size 4 --thinning 0 -o m.h5",
            "--thinning must be a whole number of at least 1 (1e6 works too), got '0'",
        ),
        ("mc --seed=-1 -o m.h5", "--seed must be a whole number from 0 to 2^63 - 1, got '-1'"),
        ("mc --seed -1 -o m.h5", "--seed must be a whole number from 0 to 2^63 - 1, got '-1'"),
        ("mc --seed=1e30 -o m.h5", "--seed must be a whole number from 0 to 2^63 - 1, got '1e30'"),
        ("estimate a --seed x", "--seed must be a whole number from 0 to 2^63 - 1, got 'x'"),
        ("estimate a --skip -1", "--skip must be a whole number of at least 0 (1e6 works too), got '-1'"),
        ("scan --workers two", "--workers must be a whole number of at least 1 (1e6 works too), got 'two'"),
        ("info a --threads 0", "--threads must be a whole number of at least 1 (1e6 works too), got '0'"),
        ("mc --temperature cold -o m.h5", "--temperature must be a number, got 'cold'"),
        ("train --minutes few --out a", "--minutes must be a number, got 'few'"),
        ("exact --size 100000", "--size must give at most 1e+07 sites, got '100000'"),
    ],
)
def test_numbers_that_nobody_means(words, answer):
    assert refusal(*words.split()) == answer


def test_every_number_is_parsed_in_one_way():
    """A number of Typer's own would be refused in a box."""
    for command in app.registered_commands:
        for param in inspect.signature(command.callback).parameters.values():
            kind = (get_args(param.annotation) or (param.annotation,))[0]
            assert not {int, float} & {kind, *get_args(kind)}, param


@pytest.mark.parametrize(
    ("text", "number"), [("1e9", 10**9), ("7", 7), ("9223372036854775807", 2**63 - 1), ("1234567890123456789", None)]
)
def test_whole_numbers_are_exact(text, number):
    assert whole(0, 2**63 - 1, "", "")(text) == (int(text) if number is None else number)


def test_a_run_that_is_there_or_is_not(run, tmp_path):
    for words in ((), ("--size", "4"), ("--grow",), ("none.toml",)):
        line = refusal("train", *words, "--out", run)
        assert line == f"the run {run} already exists; continue it with --resume or name another --out"
    said = succeed("train", *tiny.OPTIONS, "--steps", "1", "--out", tmp_path / "typo", "--resume")
    assert said.startswith(f"there was no run in {tmp_path / 'typo'} to resume: a new one begins\n")
    for command in ("train", "scan", "compare"):
        words = {"scan": ("--temperature", "2"), "compare": ("a.toml",)}.get(command, ())
        line = refusal(command, "--size", "4", *words, "--out", "table.csv")
        assert line == "--out names a folder, got table.csv: leave out the ending .csv"


def test_an_interruption_before_the_first_step_says_that_nothing_was_saved(tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("latticear.workflows.train_run", interrupted)
    code, stdout, _ = invoke("train", "--size", "4", "--out", tmp_path / "a")
    assert (code, stdout) == (130, "interrupted before the first step: nothing was saved\n")
