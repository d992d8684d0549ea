"""What a test sees of the order in which files reach the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latticear.data import journal

__all__ = ["Disk"]


class Disk:
    """Listens to what is synced, renamed, and written to files under a journal.

    Attributes:
        acts: "sync NAME", "rename NAME" (the new one), "write NAME" and "cut NAME", in their order, names relative to
            the folder; the same act twice in a row is one. A rename of what was not synced to its last byte says so.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.acts: list[str] = []
        self._folder, self._synced = folder, dict[int, int]()
        monkeypatch.setattr(os, "fsync", self._sync)
        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, self._renaming(getattr(os, name)))
        for name, word in (("_write_at", "write"), ("_truncate", "cut")):
            monkeypatch.setattr(journal, name, self._changing(getattr(journal, name), word))

    def _sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._synced[status.st_ino] = status.st_size
        (path,) = [path for path in (self._folder, *self._folder.rglob("*")) if path.stat().st_ino == status.st_ino]
        self._note("sync", path)

    def _renaming(self, rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Path, target: Path) -> None:
            files = [path for path in (source, *source.rglob("*")) if path.is_file()]
            late = [path.name for path in files if self._synced.get(path.stat().st_ino) != path.stat().st_size]
            rename(source, target)
            self._note("rename", target, *late)

        return renamed

    def _changing(self, change: Callable[..., None], word: str) -> Callable[..., None]:
        def changed(file: Any, *arguments: Any) -> None:
            change(file, *arguments)
            self._note(word, Path(file.name))

        return changed

    def _note(self, word: str, path: Path, *unsynced: str) -> None:
        act = " ".join([word, str(path.relative_to(self._folder)), *(f"with {name} not synced" for name in unsynced)])
        if self.acts[-1:] != [act]:
            self.acts.append(act)
