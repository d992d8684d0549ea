"""The trained runs that the package ships: where they are, their cards, and whether they are as they were written.

    shipped/NAME/run.toml, environment.json, ...  a run directory; couplings.h5 where its couplings are those of a file
    shipped/NAME/card.toml                        how it was made, how good it is, and the SHA-256 of all other files

They have no state of a training. Where a run is named, `pretrained:NAME` means one of them. They belong to the package,
so that nothing is written into them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from latticear.arguments import did_you_mean
from latticear.checksums import DamagedError, digest_of, toml_is_as_written
from latticear.estimation.numbers import with_error

__all__ = [
    "CARD",
    "FOLDER",
    "PREFIX",
    "PRETRAINED",
    "Card",
    "Pretrained",
    "Reached",
    "check_is_writable",
    "is_shipped",
    "located",
    "named",
]

PREFIX = "pretrained:"
"""What stands before the name of a shipped run, where any run may be named."""

FOLDER = Path(__file__).parent / "shipped"
"""The folder of the shipped runs."""

CARD = "card.toml"
"""The file that says how a shipped run was made, and how good it is."""


class Reached(NamedTuple):
    """What a network reaches at one temperature.

    Attributes:
        temperature: T.
        n: number of samples.
        ess, ess_error: the effective sample size by importance weights, a share of n, and its error.
        log_z, log_z_error: ln Z of the weighted samples, and its error.
        log_z_exact: the value to compare with.
        exact_error: the error of that value; 0 where it is exact.
        exact_by: the method that gave it.
    """

    temperature: float
    n: int
    ess: float
    ess_error: float
    log_z: float
    log_z_error: float
    log_z_exact: float
    exact_error: float
    exact_by: str

    def __str__(self) -> str:
        value = f"exact {self.log_z_exact:.10g}"
        if self.exact_error:
            value = f"{self.exact_by} {with_error(self.log_z_exact, self.exact_error)}"
        ess, log_z = with_error(self.ess, self.ess_error), with_error(self.log_z, self.log_z_error)
        return f"n = {self.n}: ESS {ess}, ln Z {log_z}, {value}"


@dataclass(frozen=True, repr=False)
class Card:
    """How a shipped run was made, and how good it is.

    Attributes:
        name: what stands after `pretrained:`.
        summary: what it is for, in one line.
        command: the command line that trained it.
        seconds: duration of the training, all included.
        finished: when it ended, in ISO 8601.
        processor, threads: what trained it.
        parameters: number of weights.
        weights: SHA-256 of the file of weights.
        versions: of the software, by name.
        reached: what the network reaches, at each temperature that was looked at.
        files: SHA-256 of each file by its path in the folder of the run.
    """

    name: str
    summary: str
    command: str
    seconds: float
    finished: str
    processor: str
    threads: int
    parameters: int
    weights: str
    versions: dict[str, str]
    reached: list[Reached]
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a card.

        Raises:
            DamagedError: if it is missing, or not as it was written.
        """
        try:
            text = path.read_text(encoding="utf-8")
            if not toml_is_as_written(text):
                raise ValueError("its checksum differs: it has changed since it was written")
            tree = tomllib.loads(text)
            return cls(**tree | {"reached": [Reached(**each) for each in tree["reached"]]})
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise _damaged(path.parent.name, f"{CARD}: {reason}") from error

    def to_dict(self) -> dict[str, Any]:
        """The card as nested dictionaries, as its file has them."""
        return vars(self) | {"reached": [each._asdict() for each in self.reached]}

    @property
    def ess(self) -> float:
        """The smallest ESS of all temperatures that were looked at."""
        return min(each.ess for each in self.reached)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What it says, as labels and texts."""
        trained = f"{self.seconds / 60:.0f} min on {self.threads} thread{'s' if self.threads > 1 else ''}"
        return [
            ("about", self.summary),
            ("parameters", f"{self.parameters:,}"),
            ("command", self.command),
            ("training", f"{trained} of {self.processor}, finished {self.finished[:10]}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
            ("weights", f"sha256 {self.weights}"),
            *((f"T = {each.temperature:.6g}", str(each)) for each in self.reached),
        ]

    def __repr__(self) -> str:
        return "\n".join([f"{PREFIX}{self.name}", *(f"  {label:12s}  {text}" for label, text in self.lines)])

    def __str__(self) -> str:
        return f"{self.summary}; ESS {self.ess:.3f}{' or more' if len(self.reached) > 1 else ''}"


class Pretrained(Mapping[str, Card]):
    """The cards of the shipped runs by their names; it prints a line for each."""

    def __getitem__(self, name: str) -> Card:
        if name not in self._names():
            raise KeyError(name)
        return Card.read(FOLDER / name / CARD)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:{width}s}  {card}" for name, card in self.items())

    @staticmethod
    def _names() -> list[str]:
        return sorted(path.parent.name for path in FOLDER.glob("*/run.toml"))


PRETRAINED = Pretrained()
"""The shipped runs: a card for each name that `la.pretrained` takes."""


def located(path: str | Path) -> Path:
    """The folder of a run that a user names: a path as it is, or the folder that `pretrained:NAME` means.

    The files of a shipped run are verified.

    Raises:
        ValueError: if there is no shipped run of this name; lists those that there are.
        DamagedError: if a file of it is missing, or not as it was written.
    """
    if not str(path).startswith(PREFIX):
        return Path(path)
    name = str(path).removeprefix(PREFIX)
    if name not in PRETRAINED:
        problem = f"there is no pretrained run {name!r}" if name else "a name is missing"
        names, hint = ", ".join(PRETRAINED), did_you_mean(name, PRETRAINED) if name else ""
        raise ValueError(f"{problem}: there are {names} (latticear info {PREFIX} says what they are){hint}")
    folder = FOLDER / name
    for file, digest in PRETRAINED[name].files.items():
        if not (folder / file).is_file():
            raise _damaged(name, f"{file} is missing")
        if digest_of(folder / file) != digest:
            raise _damaged(name, f"{file} has changed since it was written")
    return folder


def is_shipped(path: str | Path) -> bool:
    """Whether a path is that of a shipped run, or lies in one."""
    return FOLDER.resolve() in Path(path).resolve().parents


def named(path: str | Path) -> str:
    """How a user names a run: `pretrained:NAME` for a shipped one, else its path."""
    if not is_shipped(path):
        return str(path)
    return PREFIX + Path(path).resolve().relative_to(FOLDER.resolve()).parts[0]


def check_is_writable(path: str | Path, what: str) -> None:
    """Refuse to write into a shipped run.

    Args:
        path: a run.
        what: what would be written there.

    Raises:
        ValueError: says what to do instead.
    """
    if str(path).startswith(PREFIX) or is_shipped(path):
        raise ValueError(
            f"{named(path)} belongs to the installed package, so that nothing is written into it: give another place "
            f"for {what}"
        )


def _damaged(name: str, problem: str) -> DamagedError:
    return DamagedError(f"{PREFIX}{name} is damaged ({problem}): install latticear again")
