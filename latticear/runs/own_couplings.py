"""Couplings that a config takes from a file: `hamiltonian.couplings = "glass.h5"`.

A run has a copy of them, `couplings.h5` in its directory, and their digest in `run.toml`. So the run does not need the
file any more, and a copy, or a file, that has changed since is noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from latticear.data.couplings import TAKE_A_FILE, Couplings, couplings_for
from latticear.hamiltonians import CONSTRUCTORS
from latticear.hamiltonians.named import OPTIONS
from latticear.lattice import Lattice
from latticear.runs.trees import DIGEST, Tree

__all__ = ["FILE", "FileOfCouplings", "file_of_couplings"]

FILE = "couplings.h5"
"""Name of the file of couplings in a run directory."""


class FileOfCouplings(NamedTuple):
    """The keys of `[hamiltonian]` that name a file of couplings.

    Attributes:
        path: the file.
        instance: its index, where the file holds several.
        digest: the digest that the couplings must have; None for any couplings.
    """

    path: Path
    instance: int | None
    digest: str | None

    def read(self, section: Tree) -> Couplings:
        """Read the couplings for the Hamiltonian of a section, whose other keys have been checked.

        Raises:
            ValueError: for a file that does not fit, or has other couplings than those of the digest.
            OSError: if the file cannot be read.
        """
        lattice = Lattice(section["shape"], **{key: section[key] for key in OPTIONS if key in section})
        couplings = couplings_for(section["name"], self.path, lattice, self.instance)
        if self.digest not in (None, couplings.digest):
            raise ValueError(
                f"{self.path} has changed: its couplings have the digest {couplings.digest}, this config was made for "
                f"{self.digest}; restore the file, or begin another run"
            )
        if couplings.bonds is not None and section.get("bonds") is not None:
            raise ValueError(f"{self.path} has bonds, and hamiltonian.bonds is given besides: leave one of them out")
        return couplings

    def keys(self, couplings: Couplings) -> Tree:
        """The keys that name the file, with the digest of its couplings."""
        index = {} if self.instance is None else {"index": self.instance}
        return {"couplings": str(self.path), DIGEST: couplings.digest, **index}


def file_of_couplings(section: Tree) -> FileOfCouplings | None:
    """Take the keys that name a file of couplings out of a section `[hamiltonian]`; None if no file is named.

    Raises:
        ValueError: for a Hamiltonian that takes no file, an index that is not a whole number, or a digest that is not a
            text.
    """
    path: Any = section.get("couplings")
    if not isinstance(path, str) or section["name"] not in CONSTRUCTORS:
        return None
    if section["name"] not in TAKE_A_FILE:
        raise ValueError(
            f"hamiltonian.couplings is a file for {', '.join(TAKE_A_FILE)}, got hamiltonian.name {section['name']}"
            + ("; its runs take couplings by --instance" if "disorder" in section["name"] else "")
        )
    del section["couplings"]
    index, digest = section.pop("index", None), section.pop(DIGEST, None)
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise ValueError(f"hamiltonian.index must be a whole number, got {index!r}")
    if digest is not None and not isinstance(digest, str):
        raise ValueError(f"hamiltonian.{DIGEST} must be a text, got {digest!r}")
    return FileOfCouplings(Path(path).resolve(), index, digest)
