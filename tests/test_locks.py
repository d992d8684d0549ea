"""Locks on files hold between processes, are shared or not, and end with the process."""

import subprocess
import sys
import time

import pytest

from latticear.locks import lock

HOLD = """
import sys
from latticear.locks import lock
file = open(sys.argv[1], "rb")
lock(file, shared=sys.argv[2] == "shared")
print("locked", flush=True)
sys.stdin.read()
"""

WAIT = """
import sys
from latticear.locks import lock
with open(sys.argv[1], "rb") as file:
    print("begins", flush=True)
    lock(file, wait=True)
    print("has it", flush=True)
"""


def start(code, *words):
    command = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout.readline()
    return process


def end(process):
    process.kill()
    process.communicate()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize("kind", ["alone", "shared"])
def test_a_lock_ends_with_its_process(path, kind):
    process = start(HOLD, path, kind)
    with path.open("rb") as file:
        with pytest.raises(BlockingIOError):
            lock(file)
        if kind == "shared":
            lock(file, shared=True)
        else:
            with pytest.raises(BlockingIOError):
                lock(file, shared=True)
        assert file.read() == path.read_bytes() == b"content"  # what is locked can be read
        end(process)
        lock(file)


def test_a_lock_ends_with_its_file(path):
    with path.open("rb") as first, path.open("rb") as second:
        lock(first)
        with pytest.raises(BlockingIOError):
            lock(second)
        first.close()
        lock(second)


def test_a_lock_is_waited_for(path):
    with path.open("rb") as file:
        lock(file)
        process = start(WAIT, path)
        time.sleep(0.2)
        assert process.poll() is None
    assert process.communicate(timeout=60)[0] == "has it\n"


def test_without_locks_in_the_file_system_work_goes_on(path, monkeypatch):
    def fail(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("latticear.locks._lock", fail)
    with path.open("rb") as file:
        lock(file)
