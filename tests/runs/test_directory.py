"""Run directories: whatever ends a write, what has a name is complete; what is read can do no harm."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest
import torch
from support.disk import Disk
from support.rundirs import CPU, save_step, small_model

from latticear import files
from latticear.runs import directory as rundir
from latticear.runs.directory import KEEP, RunDirectory, load_model, write_atomically


class Killed(BaseException):
    """Ends a process at a chosen moment: nothing may catch it."""


def _check_complete(run: RunDirectory) -> None:
    """Every checkpoint that has a name can be used."""
    for checkpoint in run.checkpoints():
        step = int(checkpoint.name.removeprefix("step-"))
        assert run.load_trainer(checkpoint, CPU)["step"] == step
        assert torch.equal(load_model(checkpoint).head.weight, small_model(step).head.weight)


def _hidden(run: RunDirectory) -> list[str]:
    return [path.name for path in (run.path / "checkpoints").iterdir() if path.name.startswith(".")]


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", "seed = 0\n", {"command": "train"})


def test_a_new_run_is_complete(run):
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "environment.json",
        "metrics.jsonl",
        "run.toml",
    ]
    assert run.config_path.read_text().endswith("of the values below\nseed = 0\n")
    assert run.read_json("environment.json") == {"command": "train"}
    assert run.metrics() == run.checkpoints() == []
    assert run.latest() is None
    assert os.listdir(run.path.parent) == ["run"]


def test_what_exists_is_not_made_again(tmp_path, run):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("run", "file", "folder"):
        with pytest.raises(FileExistsError, match=f"{name} already exists; continue it with --resume or name another"):
            RunDirectory.create(tmp_path / name, "", {})
    assert (tmp_path / "file").read_text() == "mine"
    assert run.config_path.read_text().endswith("\nseed = 0\n")


def test_a_path_without_a_run_is_said(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="is not a run directory"):
            RunDirectory(path)


@pytest.mark.parametrize("k", range(3))
def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch, k):
    _fail_at(monkeypatch, k)
    with pytest.raises(OSError, match=r"cannot write .*run \(No space left on device\)"):
        RunDirectory.create(tmp_path / "run", "", {})
    assert os.listdir(tmp_path) == []


def test_a_run_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write .*file/run \(Not a directory\)"):
        RunDirectory.create(tmp_path / "file" / "run", "", {})


def test_the_half_of_a_killed_creation_is_no_hindrance(tmp_path):
    (tmp_path / ".run.new" / "checkpoints" / "step-3").mkdir(parents=True)
    assert RunDirectory.create(tmp_path / "run", "", {}).checkpoints() == []
    assert os.listdir(tmp_path) == ["run"]


def test_checkpoints_are_read_back(run):
    model = small_model(7)
    weights = {name: w + 1 if name == "head.bias" else w for name, w in model.state_dict().items()}
    trainer = {"step": 7, "model": model.state_dict(), "average": None, "rate": 1e-3}
    path = run.save_checkpoint(model, weights, trainer)
    assert path == run.latest() == run.path / "checkpoints" / "step-7"
    assert sorted(file.name for file in path.iterdir()) == ["SHA256SUMS", "model.safetensors", "trainer.pt"]
    for loaded in (load_model(run.path), load_model(path)):
        assert loaded.to_dict() == model.to_dict()
        assert not loaded.training
        assert all(torch.equal(w, weights[name]) for name, w in loaded.state_dict().items())
    found = run.load_trainer(path, CPU)
    assert (found["step"], found["average"], found["rate"]) == (7, None, 1e-3)
    assert all(torch.equal(w, found["model"][name]) for name, w in model.state_dict().items())


def test_checkpoints_are_as_readable_as_any_other_file(run):
    before = os.umask(0o022)
    try:
        path = save_step(run, 1)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o644}


def test_the_newest_checkpoints_are_kept_in_the_order_of_numbers(run):
    for step in (8, 9, 10, 100):
        save_step(run, step)
    assert [path.name for path in run.checkpoints()] == ["step-10", "step-100"]
    assert len(run.checkpoints()) == KEEP
    assert run.latest().name == "step-100"
    (run.path / "checkpoints" / "step-nine").mkdir()
    assert run.latest().name == "step-100"


def test_a_checkpoint_is_written_once(run):
    first = save_step(run, 1)
    model = small_model(5)
    assert run.save_checkpoint(model, model.state_dict(), {"step": 1}) == first
    _check_complete(run)


def _fail_at(monkeypatch, k: int) -> None:
    """The k-th file to be written meets a full disk, half of it written."""
    write, count = rundir.write_durably, iter(range(1000))

    def failing(path: Path, content: bytes) -> None:
        if next(count) == k:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    for owner in (rundir, files):
        monkeypatch.setattr(owner, "write_durably", failing)


@pytest.mark.parametrize("k", range(2))
def test_a_full_disk_costs_only_the_checkpoint_being_written(run, monkeypatch, k):
    with monkeypatch.context() as patch:
        _fail_at(patch, k)
        with pytest.raises(OSError, match=r"step-1 \(No space left on device\); there is no checkpoint before it"):
            save_step(run, 1)
    save_step(run, 2)
    with monkeypatch.context() as patch:
        _fail_at(patch, k)
        with pytest.raises(
            OSError, match=r"cannot write .*step-3 .*the last good checkpoint is .*step-2; .*--resume"
        ) as failed:
            save_step(run, 3)
    assert failed.value.errno == errno.ENOSPC
    assert [path.name for path in run.checkpoints()] == ["step-2"]
    assert _hidden(run) == []
    _check_complete(run)
    save_step(run, 3)
    _check_complete(run)


def _kill_at(monkeypatch, k: int, after: bool) -> None:
    """End the process before or after its k-th act on the disk; before a file is whole, half of it is there."""
    count = iter(range(10_000))

    def wrap(act):
        def acting(*args, **kwargs):
            now = next(count) == k
            if now and not after:
                if act is write:
                    args[0].write_bytes(args[1][: len(args[1]) // 2])
                raise Killed
            result = act(*args, **kwargs)
            if now:
                raise Killed
            return result

        return acting

    write = rundir.write_durably
    for owner, name in (
        (rundir, "write_durably"),
        (files, "write_durably"),
        (os, "fsync"),
        (os, "rmdir"),
        (os, "unlink"),
        (Path, "rename"),
        (Path, "mkdir"),
    ):
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_moment_leaves_complete_checkpoints(tmp_path, monkeypatch, after):
    """Three checkpoints are saved, the last of which removes the first; each act on the disk is once the last one."""
    survived = set()
    for k in range(10_000):
        run = RunDirectory.create(tmp_path / str(k), "", {})
        with monkeypatch.context() as patch:
            _kill_at(patch, k, after)
            try:
                for step in (1, 2, 3):
                    save_step(run, step)
            except Killed:
                pass
            else:
                break
        _check_complete(run)
        survived.add(run.latest() and run.latest().name)
        save_step(run, 4)
        assert _hidden(run) == []
        assert run.latest().name == "step-4"
        _check_complete(run)
    assert k > 20
    assert survived == {None, "step-1", "step-2", "step-3"}


def test_the_half_of_a_killed_checkpoint_is_passed_over_and_swept(run):
    save_step(run, 1)
    half = run.path / "checkpoints" / ".step-2.new"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert run.latest().name == "step-1"
    save_step(run, 3)
    assert not half.exists()


def test_a_checkpoint_can_be_discarded(run):
    save_step(run, 1)
    save_step(run, 2)
    run.discard_checkpoint(2)
    run.discard_checkpoint(5)
    assert run.last_good() == f"the last good checkpoint is {run.path / 'checkpoints' / 'step-1'}"


def test_a_run_without_checkpoint_has_nosmall_model(run):
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint yet; continue it with train --resume"):
        load_model(run.path)


def test_metrics_are_read_to_the_last_whole_line(run):
    rows = [{"step": k, "loss": 1 / k} for k in range(1, 6)]
    for row in rows:
        run.log(row)
    assert run.metrics() == rows
    file = run.path / "metrics.jsonl"
    whole = file.read_bytes()
    for cut in range(len(whole) - len(json.dumps(rows[-1])), len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert run.metrics() == rows[:4]
    for junk in (b"\x00\x00\x00", b"\xff\xfe{", b'{"step": 6'):
        file.write_bytes(whole + junk)
        assert run.metrics() == rows
    run.truncate_metrics(3)
    assert run.metrics() == rows[:3]
    run.log(rows[3])
    assert file.read_bytes() == b"".join(whole.splitlines(keepends=True)[:4])
    run.truncate_metrics(0)
    assert file.read_bytes() == b""


def test_a_full_disk_in_the_log_is_said(run, monkeypatch):
    (run.path / "metrics.jsonl").unlink()
    (run.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"metrics\.jsonl \(No space left on device\); there is no checkpoint before it"):
        run.log({"step": 1})


def test_small_files_are_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "estimates.json"
    write_atomically(file, b"old")
    _fail_at(monkeypatch, 0)
    with pytest.raises(OSError, match=r"cannot write .*estimates\.json \(No space left on device\)"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["estimates.json"]
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"


def test_json_that_is_damaged_is_named(run):
    (run.path / "environment.json").write_text('{"comm')
    with pytest.raises(ValueError, match=r"environment\.json is damaged"):
        run.read_json("environment.json")
    assert run.read_json("estimates.json") == {}


def test_the_disk_has_files_and_folder_before_they_get_their_name(tmp_path, monkeypatch):
    """After a power failure, too, what has a name is complete; the log reaches to the checkpoint at least."""
    disk = Disk(tmp_path, monkeypatch)
    run = RunDirectory.create(tmp_path / "run", "", {})
    files = [f"sync .run.new/{name}" for name in ("run.toml", "environment.json", "metrics.jsonl")]
    assert disk.acts == [*files, "sync .run.new", "rename run", "sync ."]
    disk.acts.clear()
    save_step(run, 1)
    folder = "run/checkpoints/.step-1.new"
    assert disk.acts == [
        f"sync {folder}/model.safetensors",
        f"sync {folder}/trainer.pt",
        f"sync {folder}/SHA256SUMS",
        "sync run/metrics.jsonl",
        f"sync {folder}",
        "rename run/checkpoints/step-1",
        "sync run/checkpoints",
    ]
    disk.acts.clear()
    run.write_json("estimates.json", {"n": 1})
    run.truncate_metrics(0)
    assert disk.acts == [
        act for name in ("estimates.json", "metrics.jsonl") for act in (f"sync run/.{name}.new", f"rename run/{name}")
    ]
