"""Verifies the checksums of everything that a run, a scan or a data file consists of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from latticear.checksums import (
    NO_TEXT,
    SUMS,
    DamagedError,
    missing_or_changed,
    read_json,
    read_sums,
    sums_beside,
    toml_is_as_written,
)
from latticear.data.contents import contents_of
from latticear.data.damage import unchecked
from latticear.data.hdf5 import opened, what_stands
from latticear.runs.checkpoints import problems_of
from latticear.runs.config import stored_config
from latticear.runs.directory import RunDirectory
from latticear.runs.metrics import METRICS
from latticear.workflows.scan.records import SETTINGS, read_point

__all__ = ["Checked", "check", "summary_of"]

NO_CHECKSUM = "no checksum"


class Checked(NamedTuple):
    """A file whose checksum was verified.

    Attributes:
        path: the file.
        problem: what is wrong with it; empty if nothing is.
        has_checksum: whether it has one; without it only what can be read is known.
    """

    path: Path
    problem: str = ""
    has_checksum: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Path, state ("as written", "damaged" or "no checksum") and, where there is one, the problem."""
        state = "damaged" if self.problem else "as written" if self.has_checksum else NO_CHECKSUM
        return {"path": str(self.path), "state": state} | ({"problem": self.problem} if self.problem else {})


def check(path: Path) -> Iterator[Checked]:
    """Verify all checksums of a run directory, the folder of a scan, a checkpoint or a data file.

    Figures and pages are left out: `latticear report` draws them again.

    Raises:
        FileNotFoundError: if there is nothing of the kind at the path.
    """
    if not path.is_dir():
        yield _data_file(path)
    elif (path / SETTINGS).exists():
        yield from _scan(path)
    elif (path / "model.safetensors").exists() or (path / SUMS).exists():
        yield from _checkpoint(path)
    else:
        yield from _run(RunDirectory(path))


def summary_of(found: list[Checked]) -> str:
    """One line about all files.

    Example:
        >>> summary_of([Checked(Path("a")), Checked(Path("b"), has_checksum=False)])
        '2 files, none damaged; 1 has no checksum'
        >>> summary_of([Checked(Path("a"))] * 34)
        '34 files, all as written'
    """
    n, damaged = len(found), sum(bool(file.problem) for file in found)
    bare = sum(not file.has_checksum and not file.problem for file in found)
    counted = f"{n} file{'' if n == 1 else 's'}"
    if not damaged and not bare:
        return f"{counted}, {'as written' if n == 1 else 'all as written'}"
    tail = f"; {bare} {'has' if bare == 1 else 'have'} no checksum" if bare else ""
    return f"{counted}, {damaged or 'none'} damaged{tail}"


def _run(run: RunDirectory) -> Iterator[Checked]:
    yield _config(run.config_path)
    for file in sorted(run.path.glob("*.json")):
        yield _json(file)
    if (run.path / "couplings.h5").exists():
        yield _data_file(run.path / "couplings.h5")
    if not (run.path / "environment.json").exists():
        yield Checked(run.path / "environment.json", "it is missing")
    checkpoints = run.checkpoints()
    for checkpoint in checkpoints:
        yield from _checkpoint(checkpoint)
    record = run.record
    problem = record.problem() or ("" if record.path.exists() else "it is missing")
    yield Checked(run.path / METRICS, problem, record.has_checksum() or not checkpoints)


def _config(file: Path) -> Checked:
    try:
        as_written = toml_is_as_written(file.read_text(encoding="utf-8"))
        if as_written is not False:
            stored_config(file)
    except UnicodeDecodeError:
        return Checked(file, NO_TEXT)
    except (ValueError, OSError) as error:
        return Checked(file, str(error))
    problem = "it has changed since it was written; if you changed it, remove its first line"
    return Checked(file, problem if as_written is False else "", as_written is not None)


def _json(file: Path) -> Checked:
    try:
        return Checked(file, has_checksum=read_json(file)[1])
    except (DamagedError, OSError) as error:
        return Checked(file, _without_name(file, error))


def _checkpoint(folder: Path) -> Iterator[Checked]:
    sums = read_sums(folder / SUMS)
    for name, problem in problems_of(folder).items():
        yield Checked(folder / name, problem, name in sums.files)


def _scan(folder: Path) -> Iterator[Checked]:
    yield _json(folder / SETTINGS)
    for file in sorted((folder / "points").rglob("*.json")):
        try:
            read_point(file)
        except (DamagedError, OSError) as error:
            yield Checked(file, _without_name(file, error))
        else:
            yield _json(file)
    sums = read_sums(folder / SUMS)
    for name in sorted({"table.h5", "table.csv", "scan.png"} | sums.files.keys()):
        if name in sums.files or (folder / name).exists():
            yield Checked(folder / name, missing_or_changed(folder / name, sums), name in sums.files)
    for config in sorted(folder.rglob("run.toml"), key=lambda config: (len(config.parts), config)):
        yield from _run(RunDirectory(config.parent))


def _data_file(path: Path) -> Checked:
    try:
        with contents_of(path) as contents:
            kind, compressed = contents.kind, contents.compressed
        if kind == "HDF5" and not compressed:
            with opened(path) as h5:
                return Checked(path, what_stands(h5), not unchecked(h5))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        return Checked(path, _without_name(path, error))
    has_own = compressed or kind == ".npz"
    return Checked(path, has_checksum=has_own or path.name in read_sums(sums_beside(path)).files)


def _without_name(file: Path, error: Exception) -> str:
    """The message of an error without the name of the file that it begins with."""
    return " ".join(str(error).removeprefix(f"{file} is damaged").removeprefix(":").split())
