"""Damages a file of a run, a scan or an export in one place, and tells what the verbs make of it.

Every mutation must be refused in one line, or change nothing that a verb prints or writes: never a traceback, never
other numbers. `tests/test_damage.py` does a few; many more by hand:

    PYTHONPATH=tests python -m support.mutate FIRST_SEED NUMBER [FILE]
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from latticear.cli import app
from latticear.runs.directory import RunDirectory
from support import tiny

SCAN = ["--size", "3", "--temperature", "2:2.6:2", "-n", "100", "--chains", "1"]
SCAN += [word for key in tiny.SETS for word in ("--set", key)]

TOLD = ("run.toml has changed since it was written", "metrics.jsonl is missing", "environment.json is missing")
"""What is used although it is not as it was written: a user may change it, or remove it; a note says so."""

CHANGING = ("seconds", "elapsed", "command")
"""Keys whose values differ from call to call."""

Outcome = tuple[str, Any]
"""How a verb ended: "refused" with its line, "crashed" with its traceback, "told" with its notes, or "done" with what
it printed and wrote."""


def make(folder: Path) -> Path:
    """A run that stopped after 8 of its 12 steps, with estimates; samples, an array, and a scan."""
    folder.mkdir()
    with chdir(folder):
        _run("train", *tiny.OPTIONS, "--out", "run")
        RunDirectory(Path("run")).discard_checkpoint(tiny.STEPS)
        RunDirectory(Path("run")).truncate_metrics(8)
        _run("estimate", "run", "-n", "200", "--method", "is", "--no-check")
        _run("sample", "run", "-n", "40", "--seed", "3", "-o", "samples.h5")
        _run("mc", "--size", "4", "--temperature", str(tiny.TEMPERATURE), "-n", "60", "-o", "chain.npy")
        _run("scan", *SCAN, "--out", "scan")
    return folder


def _run(*words: str) -> Outcome:
    result = CliRunner().invoke(app, list(words), prog_name="latticear")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return "crashed", repr(result.exception)
    if result.exit_code:
        lines = result.stderr.splitlines()
        return ("refused" if [line.startswith("error: ") for line in lines][-1:] == [True] else "crashed"), lines
    told = [line for line in result.stderr.splitlines() if any(words in line for words in TOLD)]
    return ("told", told) if told else ("done", result.stdout)


def _numbers(outcome: Outcome) -> Outcome:
    """Printed JSON without what differs from call to call."""
    kind, text = outcome
    return (kind, _steady(json.loads(text))) if kind == "done" else outcome


def _steady(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _steady(value) for key, value in tree.items() if key not in CHANGING and not _is_digest(value)}
    return [_steady(value) for value in tree] if isinstance(tree, list) else tree


def _is_digest(value: Any) -> bool:
    """Whether a value is a digest; where the name of its key is damaged, the key is read as one more."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _info() -> Outcome:
    return _numbers(_run("info", "run", "--json"))


def _estimate() -> Outcome:
    return _numbers(_run("estimate", "run", "-n", "100", "--method", "is", "--no-check", "--json"))


def _resume() -> Outcome:
    kind, text = _run("train", "--out", "run", "--resume")
    if kind != "done":
        return kind, text
    found = tiny.content(Path("run"))
    return kind, found | {"config": [line for line in found["config"].splitlines() if not line.startswith("#")]}


def _append() -> Outcome:
    from support.files import contents

    kind, text = _run("sample", "run", "-n", "60", "--seed", "3", "-o", "samples.h5", "--append")
    return (kind, {k: v.tolist() for k, v in contents(Path("samples.h5")).items()}) if kind == "done" else (kind, text)


def _forward(file: str) -> Callable[[], Outcome]:
    return lambda: _numbers(_run("estimate", "run", "-n", "100", "--method", "is", "--data", file, "--json"))


def _scan() -> Outcome:
    return _numbers(_run("scan", *SCAN, "--out", "scan", "--resume", "--json"))


VERBS: dict[str, dict[str, Callable[[], Outcome]]] = {
    "run": {"info": _info, "estimate": _estimate, "resume": _resume},
    "scan": {"scan": _scan},
    "samples.h5": {"append": _append, "data": _forward("samples.h5")},
    "chain.npy": {"data": _forward("chain.npy")},
    "chain.npy.sha256": {"data": _forward("chain.npy")},
}
"""For each part of the folder the verbs that read it."""

WEIGHTS = (10, 3, 4, 2, 1)
"""How often each of them is damaged."""


Outcomes = dict[str, dict[str, Outcome]]
"""For each part of the folder and each verb how it ends."""


def expected(folder: Path) -> Outcomes:
    """What each verb makes of what is not damaged."""
    found: Outcomes = {}
    for part, verbs in VERBS.items():
        found[part] = {}
        for name, verb in verbs.items():
            found[part][name] = _tried(folder, verb, lambda: None)
            assert found[part][name][0] == "done", found[part][name]
    return found


def _tried(folder: Path, verb: Callable[[], Outcome], damage: Callable[[], object]) -> Outcome:
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(folder, Path(place) / "copy")
        with chdir(copy):
            damage()
            return verb()


def damage(rng: random.Random, only: str = "") -> str:
    """Damage a file below the working directory; returns what was done to which file."""
    files = sorted(path for path in Path().rglob("*") if path.is_file() and only in str(path))
    parts = [[file for file in files if file.parts[0] == part] for part in VERBS]
    (chosen,) = rng.choices(parts, [w if part else 0 for w, part in zip(WEIGHTS, parts, strict=True)])
    file = rng.choice(chosen)
    content = bytearray(file.read_bytes())
    kind = rng.choice(["flip", "flip", "flip", "byte", "block", "cut", "remove", "value", "value", "line"])
    at = rng.randrange(max(len(content), 1))
    if kind == "flip" and content:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "byte" and content:
        content[at] = rng.choice(b'0123456789eE.-"{}\x00\xff')
    elif kind == "block":
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    elif kind == "cut":
        del content[at:]
    elif kind == "value":
        content = _other_value(rng, content)
    elif kind == "line":
        lines = bytes(content).splitlines(keepends=True)
        content = bytearray(b"".join(line for line in lines if line != rng.choice(lines)))
    if kind == "remove" and file.name != "estimates.json":  # without it a run is one that was not estimated
        file.unlink()
    else:
        file.write_bytes(content)
    return f"{kind} at {at} in {file}"


def _other_value(rng: random.Random, content: bytearray) -> bytearray:
    """Replace one digit of a text by another one."""
    digits = [k for k, byte in enumerate(content) if chr(byte).isdigit()]
    if digits:
        content[rng.choice(digits)] = rng.choice(b"0123456789")
    return content


def trouble(folder: Path, before: Outcomes, seed: int, *, every: bool, only: str = "") -> list[str]:
    """What is wrong with how the verbs take the damage of a seed; empty if nothing is.

    Args:
        folder: what `make` made.
        before: what `expected` found.
        seed: of the damage.
        every: whether to try all verbs that read the damaged file, or one of them.
        only: part of the names of the files to damage.
    """
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(folder, Path(place) / "copy")
        with chdir(copy):
            what = damage(random.Random(seed), only)
    part = next(part for part in VERBS if what.split(" in ")[1].split("/")[0] == part)
    names = list(VERBS[part])
    found = []
    for name in names if every else [names[seed % len(names)]]:
        outcome = _tried(folder, VERBS[part][name], lambda: damage(random.Random(seed), only))
        COUNTS[outcome[0]] += 1
        if outcome[0] == "crashed" or (outcome[0] == "done" and outcome != before[part][name]):
            found.append(f"{seed}: {what}: {name}: {str(outcome)[:300]}")
    return found


COUNTS: Counter[str] = Counter()


def _in_fork(action: Callable[[], list[str]]) -> list[str]:
    """The same in a fork, so that a crash of the process is seen."""
    sys.stdout.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        found = action()
        os.write(write, json.dumps([found, COUNTS]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return [f"the process died by signal {os.WTERMSIG(status)}"]
    found, counts = json.loads(text)
    COUNTS.clear()
    COUNTS.update(counts)
    return found


def main(first: int, number: int, only: str = "") -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = make(Path(place) / "made")
        before = expected(folder)
        for seed in range(first, first + number):
            for line in _in_fork(lambda seed=seed: trouble(folder, before, seed, every=True, only=only)):
                print(f"seed {seed}: {line}", flush=True)
    print(dict(COUNTS))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
