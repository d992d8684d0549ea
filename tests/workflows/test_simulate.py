"""`mc` on several processes, and continued: the file and the averages of chains that nobody has interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support import tiny
from support.threaded import side_by_side
from support.verbs import invoke, refusal

import latticear as la
from latticear.data.chains import ChainWriter
from latticear.data.reading import read_metadata
from latticear.montecarlo import CHAIN_METHODS
from latticear.processes import ALONE, Processes
from latticear.runs.config import load_config
from latticear.workflows import monte_carlo_run, simulate

pytestmark = pytest.mark.filterwarnings("ignore::latticear.estimation.estimates.UnreliableEstimateWarning")

GLASS = {"hamiltonian": {"name": "edwards_anderson", "shape": [4, 4], "distribution": "gaussian"}, "temperature": 1.5}
SCHEDULE = {"n_chains": 10, "thermalization": 20, "thinning": 2}


def simulated(out: Path, n: int, method: str | None, processes: Processes = ALONE, **changes: Any):
    options = {"seed": 2, "device": "cpu", "schedule": SCHEDULE, "report": tiny.silent, "append": True} | changes
    return monte_carlo_run(out, load_config(None, values=GLASS), n, method=method, processes=processes, **options)


def content(path: Path) -> dict[str, np.ndarray]:
    """All datasets of a file."""
    found = {}
    with h5py.File(path) as h5:
        h5.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def assert_same_file(a: Path, b: Path) -> None:
    ours, theirs = content(a), content(b)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("method", [name for name in CHAIN_METHODS if name != "kawasaki"])
def test_a_file_is_continued_as_if_nothing_had_happened(tmp_path, method):
    """By one process after two were stopped in the middle of a measurement, and by two after that."""
    whole = simulated(tmp_path / "whole.h5", 75, method)
    side_by_side(2, lambda processes: simulated(tmp_path / "parts.h5", 24, method, processes))
    assert simulated(tmp_path / "parts.h5", 24, None).to_dict() == simulated(tmp_path / "b.h5", 24, method).to_dict()
    simulated(tmp_path / "parts.h5", 40, method)
    last, other = side_by_side(2, lambda processes: simulated(tmp_path / "parts.h5", 75, None, processes))
    assert other is None
    assert last.to_dict() == whole.to_dict()
    assert_same_file(tmp_path / "whole.h5", tmp_path / "parts.h5")


@pytest.mark.parametrize("method", ["heat-bath", "parallel-tempering"])
def test_a_signal_stops_all_processes_and_the_file_goes_on(tmp_path, method, monkeypatch):
    class Stops:
        """The signal comes to the second process, during its second measurement."""

        def __init__(self) -> None:
            self.asked = 0

        def __enter__(self) -> Stops:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    class Second(Stops):
        @property
        def requested(self) -> bool:
            self.asked += 1
            return self.asked == 2

    stopped = []

    def part(processes: Processes) -> None:
        with pytest.raises(KeyboardInterrupt):
            simulated(tmp_path / "parts.h5", 75, method, processes)
        stopped.append(processes.rank)

    Stops.requested = False
    kinds = iter((Stops, Second))
    monkeypatch.setattr(simulate, "StopSignals", lambda: next(kinds)())
    side_by_side(2, part)
    monkeypatch.undo()
    assert sorted(stopped) == [0, 1]
    assert read_metadata(tmp_path / "parts.h5")["n_samples"] == 20
    result, whole = simulated(tmp_path / "parts.h5", 75, method), simulated(tmp_path / "whole.h5", 75, method)
    assert result.to_dict() == whole.to_dict()
    assert_same_file(tmp_path / "whole.h5", tmp_path / "parts.h5")


def without_state(path: Path) -> None:
    with h5py.File(path, "r+") as h5:
        del h5["chains"]


@pytest.mark.parametrize("method", ["metropolis", "parallel-tempering"])
def test_chains_without_a_state_run_again_from_their_start(tmp_path, method):
    """Files of version 0.1.0 have none, nor has one whose writer was killed before the first was kept."""
    for name, n in (("parts", 43), ("whole", 75)):
        simulated(tmp_path / f"{name}.h5", n, method)
    without_state(tmp_path / "parts.h5")
    simulated(tmp_path / "parts.h5", 75, method)
    assert_same_file(tmp_path / "whole.h5", tmp_path / "parts.h5")


def test_a_state_behind_the_configurations_or_ahead_of_them(tmp_path):
    out, whole = tmp_path / "parts.h5", tmp_path / "whole.h5"
    simulated(out, 30, "heat-bath")
    simulated(whole, 75, "heat-bath")
    early = content(out)["chains/state"]
    simulated(out, 60, "heat-bath")
    late = content(out)["chains/state"]
    with h5py.File(out, "r+") as h5:
        h5["chains/state"][:] = early
    simulated(out, 75, "heat-bath")
    assert_same_file(whole, out)
    out.unlink()
    simulated(out, 30, "heat-bath")
    with h5py.File(out, "r+") as h5:
        h5["chains/state"][:] = late
    simulated(out, 75, "heat-bath")
    assert_same_file(whole, out)


def test_other_configurations_are_not_continued(tmp_path):
    out = tmp_path / "a.h5"
    simulated(out, 30, "heat-bath")
    without_state(out)
    with h5py.File(out, "r+") as h5:
        h5["spins"][25, 0, 0] *= -1
    with pytest.raises(ValueError, match="its configurations from 20 are not those of these chains"):
        simulated(out, 60, "heat-bath")


def test_a_state_that_does_not_fit_or_is_damaged_is_refused(tmp_path):
    out = tmp_path / "a.h5"
    simulated(out, 30, "heat-bath")
    simulated(tmp_path / "other.h5", 30, "wolff")
    wrong = content(tmp_path / "other.h5")["chains/state"]
    for state, message in ((wrong, "no state of 10 chains of heat-bath"), (wrong[5:], "the state of its chains is")):
        with h5py.File(out, "r+") as h5:
            h5["chains/state"].resize(len(state), axis=0)
            h5["chains/state"][:] = state
        with pytest.raises(ValueError, match=f"a.h5 cannot be continued: .*{message}"):
            simulated(out, 60, "heat-bath")


MC = ("mc", "--size", "3", "--temperature", "2", "--seed", "1", "--chains", "5")


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("begun") / "a.h5"
    assert invoke(*MC, "-n", "50", "-o", out)[0] == 0
    return out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "mc --size 3 --temperature 2 --seed 1 -n 60 --method wolff",
            "its method is swendsen-wang, this run's is wolff",
        ),
        ("mc --size 3 --temperature 2 --seed 1 -n 60 --chains 6", "its n_chains is 5, this run's is 6"),
        ("mc --size 3 --temperature 2 --seed 1 -n 60 --thinning 3", "its thinning is 10, this run's is 3"),
        ("mc --size 3 --temperature 2 --seed 2 -n 60", "its seed is 1, this run's is 2"),
        ("mc --size 3 --temperature 3 --seed 1 -n 60", "its temperature is 2.0, this run's is 3.0"),
        ("mc --size 4 --temperature 2 --seed 1 -n 60", "its hamiltonian is"),
        (
            "mc --size 3 --temperature 2 --seed 1 -n 40",
            "holds 50 configurations already: -n must be 50 or more, got 40",
        ),
        ("mc --size 3 --temperature 2 --seed 1 -n 60 --method population-annealing", "has no chains, it draws all"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(begun, words, message):
    before = begun.read_bytes()
    assert message in refusal(*words.split(), "-o", begun, "--append")
    assert begun.read_bytes() == before


def test_refusals_of_the_file(begun, tmp_path):
    assert "already exists; continue it with --append or name another file" in refusal(*MC, "-o", begun)
    assert "--append continues an HDF5 file" in refusal(*MC, "-o", tmp_path / "a.npy", "--append")
    (tmp_path / "text.h5").write_text("text")
    assert "text.h5 cannot be continued" in refusal(*MC, "-o", tmp_path / "text.h5", "--append")


def test_a_finished_file_prints_its_averages_again(begun):
    before = begun.read_bytes()
    first, again = (invoke(*MC, "-n", "50", "-o", begun, "--append", "--json")[1] for _ in range(2))
    assert first == again
    assert la.load_configurations(begun, la.Ising((3, 3))).shape == (50, 3, 3)
    assert len(before) == len(begun.read_bytes())


LONG = ("mc", "--size", "4", "--temperature", "1.5", "--hamiltonian", "edwards_anderson", "--chains", "6")


@pytest.mark.parametrize(("number", "victims"), [(signal.SIGKILL, [0, 1]), (signal.SIGTERM, [1])])
def test_processes_that_a_signal_ended_are_continued_by_one(server, tmp_path, number, victims):
    """SIGKILL ends both, again until something is kept; SIGTERM comes to the second one, which stops the first."""
    words = (*LONG, "--thinning", "2", "--thermalization", "40", "--method", "parallel-tempering")
    out, done = tmp_path / "a.h5", 0
    command = (*words, "-n", "1000000", "-o", "a.h5", "--append")
    for attempt in range(20):
        ended = server.run_together(
            tmp_path, *command, size=2, once="a.h5", after=1.0 + attempt, number=number, victims=victims
        )
        assert [each.code for each in ended] == ([-9, -9] if number == signal.SIGKILL else [75, 75])
        if number == signal.SIGTERM:
            assert "continue with the same command and --append" in ended[0].stdout
            assert ended[1][1:] == ("", "")
        done = read_metadata(out)["n_samples"]
        if done:
            break
    assert done > 0
    more = ("-n", done + 50, "--json")
    continued, whole = (invoke(*words, *more, "-o", path, "--append")[1] for path in (out, tmp_path / "whole.h5"))
    assert continued == whole
    assert_same_file(out, tmp_path / "whole.h5")


def test_what_all_processes_refuse_is_said_once(server, tmp_path):
    (tmp_path / "a.npy").touch()
    ended = server.run_together(tmp_path, *LONG, "-o", "a.npy", size=2)
    assert [each.code for each in ended] == [1, 1]
    said = "".join(each.stdout + each.stderr for each in ended)
    assert said == "2 processes on 1 machine\nerror: a.npy already exists; name another file\n"


def test_a_writer_refuses_what_is_not_of_its_chains(tmp_path):
    ising = la.Ising((3, 3))
    (batch,) = la.monte_carlo(ising, 2.0, n=4, n_chains=4)
    attributes = {"seed": 0, "temperature": 2.0}
    with ChainWriter(tmp_path / "a.h5", ising, attributes=attributes, has_log_q=False) as writer:
        assert writer.state is None
        writer.extend(batch, ising.token_energy(batch.tokens), 0)
        writer.extend(batch, ising.token_energy(batch.tokens), 0)
        assert writer.n_written == 4
        with pytest.raises(ValueError, match="are not those of these chains"):
            writer.extend(batch[1:], ising.token_energy(batch.tokens[1:]), 0)
