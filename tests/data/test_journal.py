"""The crash-safe file: whatever ends the writer, and whenever, the last commit can be read and continued."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from support.disk import Disk
from support.files import ATTRIBUTES, ISING, assert_same_file, stream, write, write_large

from latticear.data import journal, load_configurations, read_metadata
from latticear.data.writing import SampleWriter
from latticear.hamiltonians import Ising
from latticear.samples import Samples


class Images:
    """Copies of a file and its journal as they lie on disk half-way through each change of either, each state once."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.folders: list[Path] = []
        self._states: set[tuple[bytes | None, ...]] = set()
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
        files = (self.path, journal.journal_path(self.path))
        state = tuple(file.read_bytes() if file.exists() else None for file in files)
        if state in self._states:
            return
        self._states.add(state)
        folder = self.path.parent / f"image-{len(self.folders)}"
        folder.mkdir()
        for file, content in zip(files, state, strict=True):
            if content is not None:
                (folder / file.name).write_bytes(content)
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
            assert torch.equal(load_configurations(path, ISING), stream(lengths[-1]).tokens)
        torn += not opens_alone(path, lengths[-1])
        write(path, 350, append=True)
        assert_same_file(path, tmp_path / "whole.h5")
    assert lengths == sorted(lengths)
    assert set(lengths) == {0, 100, 150, 240, 330, 350}
    assert 0 < torn < len(lengths)  # the journal is needed, but only while a commit is applied


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
from support.disk import Disk
from support.files import ATTRIBUTES, ISING, stream
from latticear.data import SampleWriter, read_metadata
path, random = Path({path!r}), random.Random(0)
samples = stream(1000)
def run(progress):
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, append=True, commit_seconds=0) as writer:
        for start in range(writer.n_written, 1000):
            block = samples[start:start + 1]
            writer.write(block, ISING.token_energy(block.tokens))
            os.write(progress, b".")

for _ in range(12):
    progress, end = os.pipe()
    if (child := os.fork()) == 0:
        run(end)
        os._exit(0)
    os.close(end)
    for _ in range(random.randint(0, 10)):
        os.read(progress, 1)
    time.sleep(random.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    print(killed, read_metadata(path)["n_samples"] if path.exists() else 0)
"""


def run_python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)


def test_killed_runs_continue(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    done = run_python(KILLED.format(tests=str(Path(__file__).parents[1]), path=str(path)))
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
from support.disk import Disk
from support.files import ATTRIBUTES, ISING, stream
from latticear import SampleWriter
from support.files import write_large
forgotten = SampleWriter(Path({path!r}).with_name("forgotten.h5"), ISING, attributes=ATTRIBUTES)
forgotten.write(stream(10), ISING.token_energy(stream(10).tokens))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_large(Path({path!r}))
except OSError as error:
    print(error)
"""


def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write_large(tmp_path / "whole.h5")
    limit = (tmp_path / "whole.h5").stat().st_size * 4 // 5
    done = run_python(FULL.format(tests=str(Path(__file__).parents[1]), path=str(path), limit=limit))
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
        assert n == 0 or torch.equal(load_configurations(path, ISING), stream(n).tokens)
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
    assert torch.equal(load_configurations(writer.path, system), samples.tokens[:10])


def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "samples.h5"
    with pytest.raises(FileNotFoundError, match=r"samples.h5 cannot be made: No such file or directory"):
        write(path, 10)


def test_the_disk_has_each_step_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New data before the journal that refers to them, the journal before the file changes, the file before it goes."""
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * journal.SECTOR))
    file = journal.JournaledFile(path, writable=True)
    disk = Disk(tmp_path, monkeypatch)
    file.write(b"in place")
    file.seek(2 * journal.SECTOR)
    file.write(b"at the end")
    file.commit()
    assert disk.acts == [
        "write file",
        "sync file",
        "write file.journal",
        "sync file.journal",
        "write file",
        "cut file",
        "sync file",
        "cut file.journal",
    ]
    file.close()


def test_the_disk_has_a_new_file_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path / "samples.h5", 10)
    assert disk.acts[:2] == ["sync .samples.h5.new", "rename samples.h5"]
