"""Checksums, by which a file that has changed since it was written is noticed when it is read.

    JSON objects   the key `sha256`, the digest of everything else in the object
    TOML           a comment in the first line, with the digest of all keys
    other files    a list of digests in the format of `sha256sum`: SHA256SUMS in their folder, or NAME.sha256 beside one

JSON and TOML are digested by their content: a file that is only formatted anew is as it was. HDF5 files have checksums
of their own (`latticear.data.hdf5`).
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "NO_TEXT",
    "SUMS",
    "ChangedFileWarning",
    "DamagedError",
    "Prefix",
    "Sums",
    "begun_anew",
    "digest",
    "digest_of",
    "json_bytes",
    "missing_or_changed",
    "read_json",
    "read_sums",
    "sealed",
    "sealed_toml",
    "sums_beside",
    "sums_of",
    "toml_is_as_written",
    "unsealed",
]

SUMS = "SHA256SUMS"
"""Name of the file with the digests of the other files in its folder."""

NO_TEXT = "it is not text in UTF-8"
"""What is wrong with a file of text whose bytes are none."""

KEY = "sha256"
"""The key of a JSON object with the digest of the other keys."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_PREFIX = re.compile(r"# the first (\d+) bytes of (.+): ([0-9a-f]{64})")
_TOML = re.compile(r"# sha256 ([0-9a-f]{64})")


class DamagedError(ValueError):
    """A file is not as it was written."""


class ChangedFileWarning(UserWarning):
    """A file that a user may change is not as it was written."""


class Prefix(NamedTuple):
    """The digest of the first bytes of a file that grows.

    Attributes:
        size: number of bytes.
        digest: their digest.
    """

    size: int
    digest: str

    def fits(self, content: bytes) -> bool:
        """Whether a file with this content begins with those bytes."""
        return len(content) >= self.size and digest(content[: self.size]) == self.digest


class Sums(NamedTuple):
    """The content of a list of digests.

    Attributes:
        files: digests of whole files by their names.
        prefixes: digests of the beginnings of files that grow, by the names of these files.
    """

    files: dict[str, str]
    prefixes: dict[str, Prefix]


def digest(content: bytes) -> str:
    """The SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its digest as a last key."""
    plain = json.loads(json.dumps({key: value for key, value in content.items() if key != KEY}))
    return plain | {KEY: _digest_of_tree(plain)}


def unsealed(content: Mapping[str, Any]) -> tuple[dict[str, Any], bool | None]:
    """A JSON object without its digest, and whether the digest fits; None if there is none."""
    plain = {key: value for key, value in content.items() if key != KEY}
    return plain, None if KEY not in content else content[KEY] == _digest_of_tree(plain)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """The content of a JSON file with its digest."""
    return (json.dumps(sealed(content), indent=2) + "\n").encode()


def read_json(file: Path) -> tuple[dict[str, Any], bool]:
    """The JSON object in a file, without its digest, and whether it has one.

    Raises:
        DamagedError: if the file does not hold a JSON object, or not the one that was written.
        OSError: if the file cannot be read.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it must hold a JSON object, got {type(content).__name__}")
    except UnicodeDecodeError as error:
        raise DamagedError(f"{file} is damaged ({NO_TEXT})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file} is damaged ({error})") from error
    content, as_written = unsealed(content)
    if as_written is False:
        raise DamagedError(f"{file} is damaged (its checksum differs: it has changed since it was written)")
    return content, bool(as_written)


def sealed_toml(text: str) -> str:
    """TOML with its digest as a comment in the first line."""
    return f"# sha256 {_digest_of_tree(tomllib.loads(text))} of the values below\n{text}"


def toml_is_as_written(text: str) -> bool | None:
    """Whether the digest in the first line of TOML fits; None if there is none.

    Raises:
        tomllib.TOMLDecodeError: if the text is not TOML.
    """
    found = _TOML.match(text)
    return None if found is None else found[1] == _digest_of_tree(tomllib.loads(text))


def sums_of(files: Mapping[str, bytes | Path], prefixes: Mapping[str, bytes] | None = None) -> bytes:
    """The content of a list of digests.

    Args:
        files: contents, or paths, of files by their names.
        prefixes: contents of files that grow, by their names.
    """
    lines = [f"{digest_of(c) if isinstance(c, Path) else digest(c)}  {name}" for name, c in files.items()]
    lines += [_prefix_line(name, content) for name, content in (prefixes or {}).items()]
    return ("\n".join(lines) + "\n").encode()


def begun_anew(path: Path, name: str) -> bytes:
    """The content of a list of digests once a file that grows is lost, and begins anew: it was empty then.

    Args:
        path: the list.
        name: name of the file that grows.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    others = [line for line in lines if not ((found := _PREFIX.fullmatch(line)) and found[2] == name)]
    return ("\n".join([*others, _prefix_line(name, b"")]) + "\n").encode()


def read_sums(path: Path) -> Sums:
    """Read a list of digests; an empty one if there is none, or where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return Sums({}, {})
    whole = [found for line in lines if (found := _LINE.fullmatch(line))]
    parts = [found for line in lines if (found := _PREFIX.fullmatch(line))]
    return Sums({line[2]: line[1] for line in whole}, {line[2]: Prefix(int(line[1]), line[3]) for line in parts})


def sums_beside(file: Path) -> Path:
    """The path of the list of digests of one file alone: NAME.sha256 in the same folder."""
    return file.with_name(file.name + ".sha256")


def missing_or_changed(file: Path, sums: Sums) -> str:
    """What is wrong with a file by a list of digests; empty if nothing is, or if the list does not have it."""
    if file.name not in sums.files:
        return ""
    if not file.exists():
        return "it is missing"
    return "" if digest_of(file) == sums.files[file.name] else "it has changed since it was written"


def _prefix_line(name: str, content: bytes) -> str:
    return f"# the first {len(content)} bytes of {name}: {digest(content)}"


def _digest_of_tree(content: Mapping[str, Any]) -> str:
    return digest(json.dumps(content, sort_keys=True, default=str).encode())
