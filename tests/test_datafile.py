"""HDF5 files of configurations: what is written is read again, whatever ended the writer."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import torch
import xarray
from torch import Tensor

from latticear import journal
from latticear.configurations import read_batches, read_configurations, read_metadata
from latticear.datafile import SampleWriter
from latticear.hamiltonians import AbstractHamiltonian, Ising
from latticear.lattice import Lattice
from latticear.samples import Samples

ISING = Ising((4, 6), coupling=1.0, field=0.25)
SEED = 7
ATTRIBUTES = {
    "seed": SEED,
    "temperature": 2.5,
    "model": {"name": "pixelcnn", "width": 8},
    "provenance": {"host": "here"},
}


class ThreeHalves(AbstractHamiltonian):
    """Spins -0.5, 0.5, 1.5: states that are no integers."""

    name: ClassVar[str] = "three-halves"

    def __init__(self, shape: tuple[int, int]) -> None:
        self.lattice = Lattice(shape)

    @property
    def states(self) -> Tensor:
        return torch.tensor([-0.5, 0.5, 1.5], dtype=torch.float64)

    @property
    def bond_energies(self) -> Tensor:
        return -torch.outer(self.states, self.states).expand(len(self.bonds), 3, 3)

    @property
    def site_energies(self) -> Tensor:
        return torch.zeros(self.n_sites, 3, dtype=torch.float64)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}


def stream(n: int, start: int = 0, shape: tuple[int, ...] = ISING.shape, q: int = 2) -> Samples:
    """Samples start..n-1 of one fixed stream, whatever its pieces."""
    rng = np.random.default_rng(SEED)
    tokens = torch.from_numpy(rng.integers(q, size=(1000, *shape), dtype=np.uint8))
    log_q = torch.from_numpy(np.random.default_rng(SEED + 1).normal(size=1000))
    return Samples(tokens, log_q, SEED)[start:n]


def write(path: Path, n: int, block: int = 100, **options: Any) -> None:
    """Continue (or begin) the stream in a file up to sample n."""
    options = {"attributes": ATTRIBUTES, **options}
    with SampleWriter(path, ISING, **options) as writer:
        for start in range(writer.n_written, n, block):
            samples = stream(min(n, start + block), start)
            writer.write(samples, ISING.token_energy(samples.tokens))


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as h5:
        return {name: item[()] for name, item in h5.items()}


def assert_same_file(path: Path, other: Path) -> None:
    a, b = contents(path), contents(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert read_metadata(path) == read_metadata(other)
    assert list(path.parent.glob(f"*{path.name}*")) == [path]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 250, block=99)
    samples = stream(250)
    stored = contents(path)
    assert stored["spins"].dtype == np.int8
    np.testing.assert_array_equal(stored["spins"], ISING.spins(samples.tokens))
    np.testing.assert_array_equal(stored["energy"], ISING.energy(ISING.spins(samples.tokens)))
    np.testing.assert_array_equal(stored["log_q"], samples.log_q)
    tokens = read_configurations(path, ISING, temperature=2.5)
    assert tokens.dtype == torch.uint8
    assert torch.equal(tokens, samples.tokens)


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    found = json.loads(json.dumps(read_metadata(path)))
    assert (found["n_samples"], found["shape"]) == (10, [4, 6])
    assert found["datasets"]["spins"] == {"shape": [10, 4, 6], "dtype": "int8"}
    assert set(found["datasets"]) == {"spins", "log_q", "energy", "sample", "y", "x"}
    attributes = found["attributes"]
    assert attributes["hamiltonian"] == ISING.to_dict()
    assert attributes["beta"] == 0.4
    assert attributes["format_version"] == 1
    assert "nats" in attributes["conventions"]
    assert ATTRIBUTES.items() <= attributes.items()


def test_attributes_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    couplings = np.random.default_rng(0).normal(size=20_000).tolist()
    attributes = {"seed": 2**63 + 1, "couplings": couplings, "pretrained": True, "note": "[not JSON"}
    with SampleWriter(path, ISING, attributes=attributes):
        pass
    assert attributes.items() <= read_metadata(path)["attributes"].items()
    assert "temperature" not in read_metadata(path)["attributes"]
    SampleWriter(path, ISING, attributes=attributes, append=True).close()


@pytest.mark.parametrize("batch_size", [1, 64, 250, 1000])
def test_read_batches(tmp_path: Path, batch_size: int) -> None:
    path = tmp_path / "samples.h5"
    write(path, 250)
    batches = list(read_batches(path, batch_size))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    whole = Samples.cat(batches)
    assert torch.equal(whole.tokens, stream(250).tokens)
    assert torch.equal(whole.log_q, stream(250).log_q)
    assert (whole.seed, whole.condition, whole.provenance) == (SEED, None, {"host": "here"})


def test_condition_components_and_no_log_q(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    condition = torch.rand(20, 3, dtype=torch.float64)
    samples = replace(stream(20, shape=(2, 4, 6)), log_q=None, condition=condition)
    options = {"has_log_q": False, "n_condition": 3, "n_components": 2}
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, **options) as writer:
        writer.write(samples, torch.zeros(20))
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["spins"].dims == ("sample", "component", "y", "x")
        assert data["condition"].dims == ("sample", "condition_component")
        assert "log_q" not in data
    whole = Samples.cat(list(read_batches(path, 7)))
    assert whole.log_q is None
    assert torch.equal(whole.tokens, samples.tokens)
    assert torch.equal(whole.condition, condition)


def test_states_that_are_no_small_integers(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    system = ThreeHalves((4, 6))
    samples = stream(50, q=3)
    with SampleWriter(path, system, attributes=ATTRIBUTES) as writer:
        writer.write(samples, system.token_energy(samples.tokens))
    stored = contents(path)
    assert stored["tokens"].dtype == np.uint8
    assert "spins" not in stored
    np.testing.assert_array_equal(stored["states"], system.states)
    assert torch.equal(read_configurations(path, system), samples.tokens)
    assert torch.equal(next(read_batches(path, 50)).tokens, samples.tokens)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["states"].dims == ("token",)
    SampleWriter(path, system, attributes=ATTRIBUTES, append=True).close()


def test_xarray_names_the_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 120)
    write(path, 130, append=True)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert dict(data.sizes) == {"sample": 130, "y": 4, "x": 6}
        assert data["spins"].dims == ("sample", "y", "x")
        assert data["energy"].dims == data["log_q"].dims == ("sample",)
        for dim, size in data.sizes.items():
            np.testing.assert_array_equal(data.coords[dim], np.arange(size))
        assert data["spins"].sel(sample=129, y=3, x=5) == stream(130).tokens[129, 3, 5].item() * 2 - 1


@pytest.mark.parametrize("stops", [[1, 2, 350], [100, 200, 350], [0, 349, 350, 350]])
def test_append_equals_one_go(tmp_path: Path, stops: list[int]) -> None:
    write(tmp_path / "whole.h5", 350)
    for stop in stops:
        write(tmp_path / "parts.h5", stop, block=64, append=True, commit_seconds=0)
    assert_same_file(tmp_path / "parts.h5", tmp_path / "whole.h5")


def test_append_cuts_to_the_common_length(tmp_path: Path) -> None:
    write(tmp_path / "whole.h5", 350)
    path = tmp_path / "parts.h5"
    write(path, 200)
    with h5py.File(path, "r+") as h5:
        h5["log_q"].resize(150, axis=0)
        h5["sample"].resize(180, axis=0)
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, append=True) as writer:
        assert writer.n_written == 150
    write(path, 350, append=True)
    assert_same_file(path, tmp_path / "whole.h5")


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with pytest.raises(FileExistsError, match=r"samples.h5 already exists; continue it with append"):
        write(path, 20)
    assert read_metadata(path)["n_samples"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": {**ATTRIBUTES, "temperature": 2.6}}, "its beta is 0.4, this run's is 0.38"),
        ({"attributes": {**ATTRIBUTES, "seed": 8}}, "its seed is 7, this run's is 8"),
        ({"attributes": {**ATTRIBUTES, "model": {"name": "gated"}}}, "its model is .*pixelcnn.*gated"),
        ({"attributes": {**ATTRIBUTES, "model": None}}, "its model is .*, this run's is None"),
        ({"attributes": {**ATTRIBUTES, "method": "wolff"}}, "its method is None, this run's is 'wolff'"),
        ({"has_log_q": False}, "log_q"),
        ({"n_condition": 2}, "condition"),
        ({"n_components": 2}, "component"),
        ({"hamiltonian": Ising((4, 6))}, "its hamiltonian is .*'field': 0.25.*, this run's"),
    ],
)
def test_append_to_something_else(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    before = path.read_bytes()
    options = {"hamiltonian": ISING, "attributes": ATTRIBUTES, **changes}
    with pytest.raises(ValueError, match=f"cannot be continued: .*{message}.*; name another file"):
        SampleWriter(path, options.pop("hamiltonian"), append=True, **options)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_append_ignores_rounding_version_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with h5py.File(path, "r+") as h5:
        h5.attrs["latticear_version"] = "0.0.1"
    same = {**ATTRIBUTES, "temperature": 2.5 * (1 + 1e-15), "provenance": {"host": "there"}}
    write(path, 20, append=True, attributes=same)
    assert read_metadata(path)["attributes"]["provenance"] == {"host": "here"}


def test_append_to_a_file_of_others(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    with h5py.File(path, "w") as h5:
        h5["spins"] = np.ones((3, 4, 6), np.int8)
    with pytest.raises(ValueError, match="latticear did not write it"):
        write(path, 10, append=True)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="it is no intact HDF5 file"):
        write(path, 10, append=True)


def test_append_to_a_file_that_declares_rows_it_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with h5py.File(path, "r+") as h5:
        h5["spins"].resize(2**50, axis=0)
    with pytest.raises(ValueError, match="it is damaged: spins has not the data of 1125899906842624 rows"):
        write(path, 20, append=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed 7, got samples of seed 8"),
        ({"log_q": None}, r"takes \['spins', 'log_q', 'energy'\]|takes \['energy', 'log_q', 'spins'\]"),
        ({"tokens": torch.zeros(10, 4, 5, dtype=torch.uint8)}, r"spins must have shape \(10, 4, 6\)"),
        ({"tokens": torch.full((10, 4, 6), 2, dtype=torch.uint8)}, "tokens must be below 2, got 2"),
    ],
)
def test_wrong_samples_write_nothing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "samples.h5"
    with SampleWriter(path, ISING, attributes=ATTRIBUTES) as writer:
        writer.write(stream(10), torch.zeros(10))
        with pytest.raises(ValueError, match=message):
            writer.write(replace(stream(20, 10), **change), torch.zeros(10))
        writer.write(stream(20, 10), torch.zeros(10))
    assert torch.equal(read_configurations(path, ISING), stream(20).tokens)
    with pytest.raises(ValueError, match="is closed"):
        writer.write(stream(10), torch.zeros(10))


def test_an_error_between_writes_keeps_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"

    def blocks() -> Iterator[Samples]:
        yield stream(30)
        raise KeyboardInterrupt

    def run() -> None:
        with SampleWriter(path, ISING, attributes=ATTRIBUTES, commit_seconds=1e9) as writer:
            for samples in blocks():
                writer.write(samples, torch.zeros(30))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert torch.equal(read_configurations(path, ISING), stream(30).tokens)


def test_open_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    with SampleWriter(path, ISING, attributes=ATTRIBUTES):
        with pytest.raises(BlockingIOError, match="is open elsewhere"):
            write(path, 10, append=True)
        with pytest.raises(BlockingIOError, match="is being written"):
            read_metadata(path)
    with h5py.File(path), pytest.raises(BlockingIOError, match="is open elsewhere"):
        write(path, 10, append=True)


class Images:
    """Copies of a file and its journal as they lie on disk half-way through each change of either."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.folders: list[Path] = []
        self._write, self._truncate = journal._write_at, journal._truncate
        monkeypatch.setattr(journal, "_write_at", self.write_at)
        monkeypatch.setattr(journal, "_truncate", self.truncate)

    def write_at(self, file: Any, start: int, data: bytes) -> None:
        half = len(data) // 2 // journal.SECTOR * journal.SECTOR
        self._write(file, start, data[:half])
        self.copy()
        self._write(file, start + half, data[half:])
        self.copy()

    def truncate(self, file: Any, size: int) -> None:
        self._truncate(file, size)
        self.copy()

    def copy(self) -> None:
        folder = self.path.parent / f"image-{len(self.folders)}"
        folder.mkdir()
        for file in (self.path, journal.journal_path(self.path)):
            if file.exists():
                shutil.copy(file, folder)
        self.folders.append(folder)


def test_every_moment_of_a_run_can_be_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "whole.h5", 350, commit_seconds=0)
    (tmp_path / "run").mkdir()
    images = Images(tmp_path / "run" / "samples.h5", monkeypatch)
    write(images.path, 150, commit_seconds=0)
    write(images.path, 350, block=90, append=True, commit_seconds=0)
    monkeypatch.undo()
    lengths, torn = [], 0
    for folder in images.folders:
        path = folder / "samples.h5"
        lengths.append(read_metadata(path)["n_samples"])
        if lengths[-1]:
            assert torch.equal(read_configurations(path, ISING), stream(lengths[-1]).tokens)
        torn += not opens_alone(path, lengths[-1])
        write(path, 350, append=True)
        assert_same_file(path, tmp_path / "whole.h5")
    assert lengths == sorted(lengths)
    assert set(lengths) == {0, 100, 150, 240, 330, 350}
    assert 0 < torn < len(lengths) / 2  # the journal is needed, but only while a commit is applied


def opens_alone(path: Path, n: int) -> bool:
    """True if the file without its journal is what it is with it."""
    try:
        with h5py.File(path) as h5:
            return all(len(h5[name]) == n and len(h5[name][()]) == n for name in ("spins", "energy", "sample"))
    except (OSError, RuntimeError, KeyError):
        return False


def test_journal_of_another_file_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    images = Images(tmp_path / "run" / "samples.h5", monkeypatch)
    write(images.path, 350, commit_seconds=0)
    monkeypatch.undo()
    path, other = tmp_path / "other.h5", tmp_path / "same.h5"
    for target in (path, other):
        write(target, 120, attributes={**ATTRIBUTES, "note": "x" * 3000})
    sizes = [journal.journal_path(folder / "samples.h5") for folder in images.folders]
    shutil.copy(max(sizes, key=lambda file: file.stat().st_size), journal.journal_path(path))
    assert read_metadata(path)["n_samples"] == 120
    write(path, 120, append=True, attributes={**ATTRIBUTES, "note": "x" * 3000})
    assert_same_file(path, other)


def half_committed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overwrite the middle of a file, but die when the journal is complete and the file still untouched."""
    path.write_bytes(b"a" * 3000)
    file = journal.JournaledFile(path, writable=True)
    file.seek(1000)
    file.write(b"b" * 700)
    monkeypatch.setattr(journal.JournaledFile, "_apply", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        file.commit()
    file.close()
    monkeypatch.undo()


def read_all(path: Path) -> bytes:
    file = journal.JournaledFile(path, writable=False)
    content = file.read(3000)
    file.close()
    return content


def test_complete_journal_counts_and_a_damaged_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    half_committed(path, monkeypatch)
    assert path.read_bytes() == b"a" * 3000
    assert read_all(path) == b"a" * 1000 + b"b" * 700 + b"a" * 1300
    record = bytearray(journal.journal_path(path).read_bytes())
    record[300] ^= 1
    journal.journal_path(path).write_bytes(record)
    assert read_all(path) == b"a" * 3000


def test_new_file_drops_the_journal_of_a_deleted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "samples.h5"
    monkeypatch.setattr(journal.JournaledFile, "_apply", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(path, 100, commit_seconds=0)
    monkeypatch.undo()
    assert read_metadata(path)["n_samples"] == 100
    path.unlink()
    with SampleWriter(path, ISING, attributes=ATTRIBUTES) as writer:
        assert writer.n_written == 0
    assert read_metadata(path)["n_samples"] == 0


KILLED = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_datafile import ATTRIBUTES, ISING, SampleWriter, read_metadata, stream
path, random = Path({path!r}), random.Random(0)
samples = stream(1000)
def run():
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, append=True, commit_seconds=0) as writer:
        for start in range(writer.n_written, 1000):
            block = samples[start:start + 1]
            writer.write(block, ISING.token_energy(block.tokens))
for _ in range(12):
    if (child := os.fork()) == 0:
        run()
        os._exit(0)
    time.sleep(random.uniform(0.02, 0.2))
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    print(killed, read_metadata(path)["n_samples"] if path.exists() else 0)
"""


def run_python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_killed_runs_continue(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    done = run_python(KILLED.format(tests=str(Path(__file__).parent), path=str(path)))
    assert (done.returncode, done.stderr) == (0, "")
    runs = [line.split() for line in done.stdout.splitlines()]
    lengths = [int(n) for _, n in runs]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 0
    assert sum(killed == "True" for killed, _ in runs) >= 3
    write(path, 1000, append=True)
    (tmp_path / ".samples.h5.new").unlink(missing_ok=True)
    write(tmp_path / "whole.h5", 1000)
    assert_same_file(path, tmp_path / "whole.h5")


FULL = """
import resource, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_datafile import ATTRIBUTES, ISING, SampleWriter, stream, write_large
forgotten = SampleWriter(Path({path!r}).with_name("forgotten.h5"), ISING, attributes=ATTRIBUTES)
forgotten.write(stream(10), ISING.token_energy(stream(10).tokens))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_large(Path({path!r}))
except OSError as error:
    print(error)
"""


def write_large(path: Path) -> None:
    """1000 configurations of 16x16, ten at a time."""
    system = Ising((16, 16))
    samples = stream(1000, shape=system.shape)
    with SampleWriter(path, system, attributes=ATTRIBUTES, append=True, commit_seconds=0) as writer:
        for start in range(writer.n_written, 1000, 10):
            block = samples[start : start + 10]
            writer.write(block, system.token_energy(block.tokens))


def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write_large(tmp_path / "whole.h5")
    limit = (tmp_path / "whole.h5").stat().st_size * 4 // 5
    done = run_python(FULL.format(tests=str(Path(__file__).parent), path=str(path), limit=limit))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"writing {path} failed (File too large); it keeps " in done.stdout
    assert len(done.stdout.splitlines()) == 1
    n = read_metadata(path)["n_samples"]
    assert 0 < n < 1000
    assert f"keeps {n} samples: free space and continue with append (--append)" in done.stdout
    write_large(path)
    assert_same_file(path, tmp_path / "whole.h5")
    assert read_metadata(tmp_path / "forgotten.h5")["n_samples"] == 0


class FailingDisk:
    """The k-th write fails, and so do all after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException, k: int) -> None:
        self.left, self.error, self._write = k, error, journal._write_at
        monkeypatch.setattr(journal, "_write_at", self.write_at)

    def write_at(self, *arguments: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error
        self._write(*arguments)


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", FAILURES, ids=["full", "interrupted"])
def test_failure_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    write(tmp_path / "whole.h5", 150)
    for k, path in enumerate(tmp_path / f"{k}.h5" for k in range(1000)):
        SampleWriter(path, ISING, attributes=ATTRIBUTES).close()
        disk = FailingDisk(monkeypatch, error, k)
        raised = None
        try:
            write(path, 150, block=50, append=True, commit_seconds=0)
        except (OSError, KeyboardInterrupt) as failure:
            raised = failure
        monkeypatch.undo()
        if disk.left >= 0:
            break
        n = read_metadata(path)["n_samples"]
        assert n == 0 or torch.equal(read_configurations(path, ISING), stream(n).tokens)
        assert n in (0, 50, 100, 150)
        assert type(raised) is type(error)
        assert isinstance(error, KeyboardInterrupt) or "No space left on device); it keeps" in str(raised)
        write(path, 150, append=True)
        assert_same_file(path, tmp_path / "whole.h5")
    assert k > 20


def test_failure_is_raised_by_the_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Ising((64, 64))
    samples = Samples.cat([stream(1000, shape=system.shape)] * 4)  # 16 MB, more than HDF5 holds back
    with SampleWriter(tmp_path / "samples.h5", system, attributes=ATTRIBUTES, commit_seconds=1e9) as writer:
        writer.write(samples[:10], torch.zeros(10))
        writer.flush()
        writer.write(samples[10:20], torch.zeros(10))
        FailingDisk(monkeypatch, OSError(errno.ENOSPC, "No space left on device"), 0)
        with pytest.raises(OSError, match=r"No space left on device\); it keeps 10 samples"):
            writer.write(samples[20:], torch.zeros(3980))
        assert writer.n_written == 10
    monkeypatch.undo()
    assert torch.equal(read_configurations(writer.path, system), samples.tokens[:10])


def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "samples.h5"
    with pytest.raises(FileNotFoundError, match=r"samples.h5 cannot be made: No such file or directory"):
        write(path, 10)


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), array, allow_pickle=True)
    return path.with_suffix(".npy")


def hdf5(path: Path, name: str = "spins", array: Any = None, **attributes: Any) -> Path:
    with h5py.File(path, "w") as h5:
        h5[name] = np.ones((3, 4, 6), np.int8) if array is None else array
        h5.attrs.update(attributes)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "float16", "float32", ">f8", ">i4"])
@pytest.mark.parametrize("make", [npy, lambda path, array: hdf5(path, array=array)], ids=["npy", "hdf5"])
def test_configurations_of_others(tmp_path: Path, make: Callable[..., Path], dtype: str) -> None:
    tokens = stream(30).tokens if dtype != "uint8" else torch.ones(30, 4, 6, dtype=torch.uint8)
    path = make(tmp_path / "data.h5", ISING.spins(tokens).numpy().astype(dtype))
    assert torch.equal(read_configurations(path, ISING, temperature=2.0), tokens)
    assert read_metadata(path)["n_samples"] == 30


def damaged(path: Path) -> Iterator[Path]:
    write(path, 300)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as h5:
        chunk = h5["spins"].id.get_chunk_info(0)
    content[chunk.byte_offset + 20] ^= 0xFF
    path.write_bytes(content)
    return path


def truncated(path: Path) -> Path:
    write(path, 300)
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


ONES = np.ones((3, 4, 6))
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path, "No such file"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "empty": (lambda path: text(path, ""), "is neither HDF5 nor .npy"),
    "text": (lambda path: text(path, "1 -1 1"), "is neither HDF5 nor .npy"),
    "truncated": (truncated, "is damaged"),
    "damaged": (damaged, "is damaged"),
    "no spins": (lambda path: hdf5(path, "magnets"), r"must have a dataset /spins .*\['magnets'\]"),
    "group": (lambda path: hdf5(path, "spins/up"), "must have a dataset /spins"),
    "scalar": (lambda path: hdf5(path, array=1), "must have a dataset /spins"),
    "strings": (lambda path: hdf5(path, array=["up", "down"]), "must hold numbers of shape"),
    "shape": (lambda path: hdf5(path, array=ONES[:, :, 1:]), r"shape \(n, 4, 6\), got float64 \(3, 4, 5\)"),
    "no rows": (lambda path: hdf5(path, array=ONES[:0]), "holds no configuration"),
    "no spin": (lambda path: hdf5(path, array=0 * ONES), r"one of \[-1.0, 1.0\], got 0"),
    "int8 no spin": (lambda path: hdf5(path, array=np.int8(3 * ONES)), r"one of \[-1.0, 1.0\], got 3"),
    "nan": (lambda path: hdf5(path, array=np.nan * ONES), r"one of \[-1.0, 1.0\], got nan"),
    "bad token": (
        lambda path: hdf5(path, "tokens", np.uint8(2 * ONES)),
        r"tokens must lie in 0..1, got 2..2",
    ),
    "temperature": (lambda path: hdf5(path, temperature=3.0), "at temperature 3.0, asked for is 2.5"),
    "hamiltonian": (
        lambda path: hdf5(path, hamiltonian=json.dumps(Ising((4, 6)).to_dict())),
        "another Hamiltonian: field 0.0 instead of 0.25",
    ),
    "npy objects": (lambda path: npy(path, np.array([{}, None])), "no readable .npy file of numbers"),
    "npy complex": (lambda path: npy(path, 1j * ONES), "must hold numbers of shape"),
    "npy shape": (lambda path: npy(path, ONES[0]), r"got float64 \(4, 6\)"),
    "npy scalar": (lambda path: npy(path, np.array(1.0)), r"got float64 \(1,\)"),
    "npy no rows": (lambda path: npy(path, ONES[:0]), "holds no configuration|no readable .npy"),
    "npy truncated": (
        lambda path: (npy(path, ONES), text(path.with_suffix(".npy"), "\x93NUMPY")),
        "is neither|no readable .npy",
    ),
    "npz": (lambda path: np.savez(path.with_suffix(".npz"), spins=ONES), "is an archive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    make(tmp_path / "data.h5")
    path = next(tmp_path.iterdir(), tmp_path / "data.h5")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        read_configurations(path, ISING, temperature=2.5)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_huge_declared_length(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("spins", shape=(2**50, 4, 6), dtype=np.int8, chunks=(100, 4, 6))
    with pytest.raises(ValueError, match="do not fit into memory"):
        read_configurations(path, ISING)


def test_batches_need_a_file_of_latticear(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "data.h5")
    with pytest.raises(ValueError, match="was not written by latticear"):
        read_batches(path, 10)
    write(tmp_path / "samples.h5", 10)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        read_batches(tmp_path / "samples.h5", 0)
    with h5py.File(tmp_path / "samples.h5", "r+") as h5:
        h5.attrs["format_version"] = 2
    with pytest.raises(ValueError, match="has format 2, this latticear reads up to 1"):
        read_batches(tmp_path / "samples.h5", 10)


def test_seed_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attributes must contain the seed"):
        SampleWriter(tmp_path / "samples.h5", ISING, attributes={"temperature": 2.0})
    assert not list(tmp_path.iterdir())
