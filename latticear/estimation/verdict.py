"""Whether a number can be trusted: one of three words, with the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ALONE", "NOT_TRUSTED", "TRUSTED", "UNCHECKED", "Verdict"]

TRUSTED, UNCHECKED, NOT_TRUSTED = "trusted", "unchecked", "not trusted"

ALONE = "nothing independent to compare it with"
"""The reason of a number to which nothing has been compared."""


class Verdict(str):
    """One of "trusted", "unchecked" and "not trusted", with the reasons.

    A number is "not trusted" if there is an objection to it. It is "trusted" if independent evidence agrees with it,
    without a doubt about how far that evidence reaches. Otherwise it is "unchecked": nothing is known to be wrong, but
    an error that no diagnostic of the same samples can see, such as a part of the distribution that they lack, is not
    excluded either.

    Attributes:
        reasons: for "trusted", what agrees with the number; otherwise what speaks against it or is missing.

    Example:
        >>> verdict = Verdict.of(evidence=["the exact value"])
        >>> verdict == "trusted", verdict.reasons
        (True, ('the exact value',))
    """

    reasons: tuple[str, ...]

    def __new__(cls, word: str, reasons: Iterable[str] = ()) -> Verdict:
        if word not in (TRUSTED, UNCHECKED, NOT_TRUSTED):
            raise ValueError(f"a verdict is {TRUSTED!r}, {UNCHECKED!r} or {NOT_TRUSTED!r}, got {word!r}")
        verdict = super().__new__(cls, word)
        verdict.reasons = tuple(reasons)
        return verdict

    @classmethod
    def of(cls, *, objections: Iterable[str] = (), doubts: Iterable[str] = (), evidence: Iterable[str] = ()) -> Verdict:
        """The verdict that follows from what speaks against a number, what is missing, and what agrees with it."""
        objections, doubts, evidence = (tuple(dict.fromkeys(reasons)) for reasons in (objections, doubts, evidence))
        if objections:
            return cls(NOT_TRUSTED, objections)
        if evidence and not doubts:
            return cls(TRUSTED, evidence)
        return cls(UNCHECKED, doubts or (ALONE,))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Verdict:
        """The verdict in a JSON object with the keys verdict and reasons; in one of 0.1.0, with the key reliable."""
        if "verdict" in content:
            return cls(content["verdict"], content.get("reasons", ()))
        return cls(UNCHECKED, (ALONE,)) if content.get("reliable", True) else cls(NOT_TRUSTED)

    @property
    def reliable(self) -> bool:
        """Whether there is no objection."""
        return self != NOT_TRUSTED
