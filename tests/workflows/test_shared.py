"""Samples that several processes draw together: files and numbers are those of one process, whatever happens."""

import json
import re
import shutil
import signal

import h5py
import numpy as np
import pytest
from support import draws, tiny
from support.files import give
from support.verbs import succeed

from latticear.data.journal import JournaledFile
from latticear.processes import ALONE
from latticear.runs.directory import load_model

N = "3001"
"""No multiple of a block, or of the number of processes."""


@pytest.fixture(scope="module")
def runs(run, tmp_path_factory):
    """A run at one temperature, one that covers a range, and one of a network that draws in steps."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(run, folder / "a")
    tiny.train(folder / "range", "temperature=[2.0, 3.0]", "training.steps=3")
    tiny.train(folder / "steps", "model.name=multiscale", "training.steps=3")
    give(folder / "given.h5", np.ones((3, 4, 4)), np.stack([np.eye(4)] * 3))
    return folder


def _together(server, folder, size, *words):
    """What the first process prints, where nothing goes wrong and the others are silent."""
    ended = server.run_together(folder, *words, size=size)
    assert [each.code for each in ended] == [0] * size, ended
    assert [each[1:] for each in ended[1:]] == [("", "")] * (size - 1)
    assert ended[0].stderr.startswith(f"{size} processes on 1 machine\n")
    return ended[0].stdout


def _stored(path):
    """All that a file holds, but for its origin."""
    with h5py.File(path) as file:
        found = {name: dataset[()].tolist() for name, dataset in file.items()}
        return found | {name: str(value) for name, value in file.attrs.items() if name != "provenance"}


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("a", "-n", N), 2),
        (("a", "-n", "5"), 3),
        (("range", "-n", "700", "--temperature", "2.4"), 2),
        (("a", "-n", "1500", "--given", "given.h5"), 3),
    ],
)
def test_the_file_is_that_of_one_process(server, runs, words, size):
    assert server.run(runs, "sample", *words, "-o", "one.h5").code == 0
    printed = _together(server, runs, size, "sample", *words, "-o", "all.h5")
    assert printed == f"all.h5: {words[2]} configurations\n"
    assert _stored(runs / "all.h5") == _stored(runs / "one.h5")
    for name in ("one.h5", "all.h5"):
        (runs / name).unlink()


def test_a_file_is_continued_by_any_number_after_kills_and_signals(server, copy, tmp_path):
    command, stops, file = ("sample", "copy", "-o", "s.h5", "--append", "-n"), [0], tmp_path / "s.h5"
    kill, term = signal.SIGKILL, signal.SIGTERM
    for size, victim, number in ((3, 0, kill), (2, 1, term), (3, 2, kill)):
        ended = server.run_together(
            tmp_path, *command, "1e8", size=size, once="s.h5.journal", after=1.2, victims=[victim], number=number
        )
        codes, said = [each.code for each in ended], "".join(each.stderr for each in ended).partition("machine\n")[2]
        if number == term:
            assert codes == [75] * size
            kept = "interrupted: s.h5 keeps its samples; continue with the same command and --append\n"
            assert ("".join(each.stdout for each in ended), said) == (kept, "")
        else:
            assert codes == [-kill if k == victim else 1 for k in range(size)]
            # without the first process, which had the store, each of the others says that it has ended
            assert said.count("\n") == (size > 1 if victim else size - 1)
            assert said.count("cannot reach the others") == said.count("\n")
            assert said.count("; continue with: the same command and --append\n") == said.count("\n")
        JournaledFile(file, writable=True).close()  # applies what the journal of a killed process has, and removes it
        stops.append(json.loads(succeed("info", file, "--json"))["n_samples"])
        assert stops[-1] > stops[-2] - (number == kill)  # a kill may come before the first commit
    stops.append(stops[-1] + 1000)
    _together(server, tmp_path, 3, *command, str(stops[-1]))
    model = load_model(copy)
    with h5py.File(file) as stored:
        assert len(stored["sample"]) == stops[-1]
        for stop in stops[1:]:
            rows = slice(max(0, stop - 1000), min(stop + 1000, stops[-1]))
            expected = model.sample(rows.stop - rows.start, start=rows.start)
            assert np.array_equal(stored["spins"][rows], 2 * expected.tokens.int() - 1)
            assert np.array_equal(stored["log_q"][rows], expected.log_q)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("a", "-n", N), 2),
        (("range", "-n", "600", "--no-check", "--temperature", "2.4", "2.9"), 3),
        (("a", "-n", N, "--no-check", "--method", "mcmc"), 3),
    ],
)
def test_estimates_are_those_of_one_process(server, runs, words, size):
    words = ("estimate", *words)
    for path in runs.glob("*/estimates.json"):
        path.unlink()
    assert (one := server.run(runs, *words, "--json")).code == 0
    stored = {path: path.read_text() for path in runs.glob("*/estimates.json")}
    for path in stored:
        path.unlink()
    printed = _together(server, runs, size, *words, "--json")
    assert json.loads(printed) == json.loads(one.stdout)
    assert {path: path.read_text() for path in runs.glob("*/estimates.json")} == stored


def test_what_is_not_divided_is_done_by_the_first_process_which_says_so(server, runs):
    words = ("estimate", "steps", "-n", "1000", "--method", "smc", "--no-check")
    assert (one := server.run(runs, *words)).code == 0
    first, rest = _together(server, runs, 2, *words).split("\n", 1)
    assert first == "method smc: not divided, the first of 2 processes does it alone"
    assert rest == one.stdout


def test_the_choice_of_the_method_is_that_of_one_process(server, runs):
    words = ("estimate", "steps", "-n", "6000", "--no-check")
    assert (one := server.run(runs, *words)).code == 0
    assert one.stdout.startswith("importance sampling: ESS ")
    assert _together(server, runs, 3, *words) == one.stdout


def test_the_page_of_a_run_is_that_of_one_process(server, runs):
    for size in (1, 2):
        folder = runs / f"of {size}"
        shutil.copytree(runs / "range", folder / "range")
        ended = server.run_together(folder, "support.draws:reported", size=size)
        assert [(each.code, each.stdout, each.stderr) for each in ended] == [(0, "", "")] * size
    files = sorted(path.relative_to(runs / "of 1") for path in (runs / "of 1" / "range" / "figures").iterdir())
    assert len(files) > 6
    for path in files:
        assert (runs / "of 2" / path).read_bytes() == (runs / "of 1" / path).read_bytes(), path
    pages = [(runs / f"of {size}" / "range" / "report.html").read_text() for size in (1, 2)]
    pages = [re.sub(r"Written [\d-]+T[\d:+]+\.", "", page) for page in pages]
    assert pages[0] == pages[1]


def test_a_file_of_configurations_is_read_by_one_process(server, data, tmp_path):
    shutil.copy(data, tmp_path / "mc.h5")
    one = server.run(tmp_path, "estimate", "mc.h5", "--json")
    ended = server.run_together(tmp_path, "estimate", "mc.h5", "--json", size=2)
    assert [(each.code, each.stdout) for each in ended] == [(0, one.stdout), (0, "")]
    assert ended[0].stderr.endswith(
        "note: the averages of a file: not divided, the first of 2 processes does it alone\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "copy", "-o", "copy/run.toml"), "the ending of copy/run.toml must say what to write"),
        (("sample", "copy", "-o", "there.h5"), "there.h5 already exists; continue it with append"),
        (("estimate", "nowhere"), "nowhere is not a run directory"),
        (("estimate", "copy", "--data", "nowhere.h5"), "nowhere.h5"),
        (("estimate", "copy", "--method", "smc"), "particles that are resampled between steps need a model"),
    ],
)
def test_a_mistake_is_said_once_by_all(server, copy, tmp_path, words, said):
    (tmp_path / "there.h5").touch()
    ended = server.run_together(tmp_path, *words, size=2)
    assert [each.code for each in ended] == [1, 1]
    text = "".join(each.stderr for each in ended).partition("machine\n")[2]
    assert text.startswith(f"error: {said}"), text
    assert text.count("\n") == 1


def test_in_python_each_process_gets_the_estimates_from_all_samples(server, tmp_path):
    alone = draws.estimated(ALONE)
    whole = [list(range(n)) for n in (0, 1, 2, 7, 8, 9, 100)]
    for size in (2, 3):
        ended = server.run_together(tmp_path, "support.draws:run_all", size=size)
        assert [(each.code, each.stderr) for each in ended] == [(0, "")] * size
        found = [json.loads((tmp_path / f"{size}-{rank}.json").read_text()) for rank in range(size)]
        for each in found:
            assert each["estimates"] == alone
            assert each["items"] == [*whole, list(range(23)), "interrupted"]
        blocks = ", ".join(str(256 + rank) for rank in range(size))
        for each in found:
            *alike, different = each["refusals"]
            assert different.startswith(f"the processes draw blocks of {blocks} configurations, which must be equal: ")
            assert alike == ["this is not the same for rank 0 and rank 2: all must see the same files"] * (size - 2)
