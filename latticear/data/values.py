"""What the numbers in a user's array stand for: values of the system, tokens, or another code of the same states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from latticear.samples import token_dtype
from latticear.spaces import ConfigurationSpace

__all__ = ["Coding", "Values", "coding_of", "distinct_values"]

Values = Mapping[Any, int] | Literal["auto", "states", "tokens"] | None
"""What numbers stand for: a token for each number; the values of the system; tokens; or, for None and "auto", whatever
the numbers can be."""

SHOWN = 6
"""How many numbers a message names."""


class Coding(NamedTuple):
    """The token that each number of an array stands for.

    Attributes:
        label: what the numbers are, in words.
        numbers: float64 `(k,)`, the numbers that occur, ascending.
        tokens: `(k,)`, the token of each of them.
        is_plain: whether the numbers are values of the system or tokens, up to rounding.
    """

    label: str
    numbers: np.ndarray
    tokens: np.ndarray
    is_plain: bool = False

    def decode(self, block: np.ndarray) -> np.ndarray:
        """The tokens of an array of the same numbers."""
        if block.dtype.itemsize == 1:
            table = np.zeros(256, dtype=self.tokens.dtype)
            table[self.numbers.astype(block.dtype).view(np.uint8)] = self.tokens
            return table[block.view(np.uint8)]
        return self.tokens[np.searchsorted(self.numbers, block)]

    def shown(self) -> str:
        return _listed(self.numbers)


def distinct_values(blocks: Iterable[np.ndarray], name: str, most: int) -> np.ndarray:
    """The numbers that occur in an array, ascending, as float64; no more than are needed to see that they are too many.

    Raises:
        ValueError: if a number is not finite.
    """
    found = np.empty(0)
    for block in blocks:
        if block.dtype.itemsize == 1:
            occurs = np.flatnonzero(np.bincount(block.reshape(-1).view(np.uint8), minlength=256)).astype(np.uint8)
            new = occurs.view(block.dtype).astype(np.float64)
        else:
            flat = block.reshape(-1)
            if flat.dtype.kind == "f" and not np.isfinite(flat).all():
                raise ValueError(f"{name} must hold finite numbers, got {flat[~np.isfinite(flat)][0]}")
            new = _new(flat, found)
        found = np.union1d(found, new)
        if len(found) > most:
            break
    return found


def _new(flat: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The numbers of an array that are not found yet, by sorting a few of its numbers, seldom all of them."""
    found = np.union1d(found, flat[:1000].astype(np.float64)) if flat.size else found
    place = np.searchsorted(found, flat).clip(max=max(0, len(found) - 1))
    return np.union1d(found, flat[found[place] != flat].astype(np.float64)) if flat.size else found


def coding_of(
    numbers: np.ndarray, space: ConfigurationSpace, values: Values, name: str, *, prefer: str | None, strict: bool
) -> Coding:
    """What the numbers of an array stand for.

    Args:
        numbers: the numbers that occur, ascending.
        space: the system.
        values: what the user says that they stand for.
        name: what the array is called in errors.
        prefer: "states" or "tokens", if the source says so; None if it says nothing.
        strict: whether the source can hold nothing else than what it says.

    Raises:
        ValueError: if the numbers have no meaning for this system, or two that differ.
    """
    if isinstance(values, Mapping):
        return _mapped(numbers, space, values, name)
    if values not in (None, "auto", "states", "tokens"):
        raise ValueError(
            f"values must be 'states', 'tokens', or a token for each number {{-1: 0, 1: 1}}, got {values!r}"
        )
    stated = values if values in ("states", "tokens") else prefer
    fits = _readings(numbers, space)
    if values in ("states", "tokens") or strict:
        fits = {key: coding for key, coding in fits.items() if key == stated}
    if not fits:
        raise ValueError(_nothing_fits(numbers, space, name, stated if strict or values == stated else None))
    if stated in fits:
        return fits[stated]
    states, tokens = fits.get("states"), fits.get("tokens")
    if states is not None and tokens is not None and not np.array_equal(states.tokens, tokens.tokens):
        raise ValueError(_ambiguous(states, space, name))
    return next(iter(fits.values()))


def _readings(numbers: np.ndarray, space: ConfigurationSpace) -> dict[str, Coding]:
    """All that the numbers can stand for, the likeliest first."""
    q, states = space.n_tokens, space.states.double().cpu().numpy()
    dtype = np.dtype(str(token_dtype(q)).removeprefix("torch."))
    nearest = np.searchsorted((states[1:] + states[:-1]) / 2, numbers)
    gap = 1e-5 * np.diff(states).min() if (states % 1).any() else 0.0  # a text, or single precision, rounds fractions
    whole = bool((numbers % 1 == 0).all())
    low, high = numbers.min(), numbers.max()
    found: dict[str, Coding] = {}
    if (np.abs(numbers - states[nearest]) <= gap).all():
        found["states"] = Coding(space.noun, numbers, nearest.astype(dtype), is_plain=True)
    if whole and low >= 0 and high < q:
        found["tokens"] = Coding("tokens", numbers, numbers.astype(dtype), is_plain=True)
    if q == 2 and low == -1 and set(numbers) <= {-1.0, 1.0}:
        found["signs"] = Coding("the lower and the upper state", numbers, (numbers > 0).astype(dtype))
    if whole and low >= 1 and high == q:
        found["counted"] = Coding(f"the states numbered 1..{q}", numbers, (numbers - 1).astype(dtype))
    return found


def _mapped(numbers: np.ndarray, space: ConfigurationSpace, values: Mapping[Any, int], name: str) -> Coding:
    try:
        tokens = {float(number): token for number, token in values.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"values must give a token for each number, such as {{-1: 0, 1: 1}}, got {values!r}"
        ) from error
    for token in tokens.values():
        if isinstance(token, bool) or not isinstance(token, int | np.integer) or not 0 <= token < space.n_tokens:
            raise ValueError(f"values must map numbers to tokens 0..{space.n_tokens - 1}, got {token!r}")
    for number in numbers:
        if number not in tokens:
            raise ValueError(f"{name} holds {number:g}, which is not among the keys of values, {_listed(list(tokens))}")
    dtype = np.dtype(str(token_dtype(space.n_tokens)).removeprefix("torch."))
    found = np.array([tokens[number] for number in numbers], dtype=dtype)
    return Coding(f"tokens {_listed(found)}", numbers, found)


def _nothing_fits(numbers: np.ndarray, space: ConfigurationSpace, name: str, stated: str | None) -> str:
    q, states = space.n_tokens, space.states.tolist()
    plain = [] if states == list(range(q)) else [f"tokens 0..{q - 1}"]
    readings = {"states": f"{space.noun} {_listed(states)}", "tokens": f"tokens 0..{q - 1}"}
    taken = readings[stated] if stated else ", ".join([readings["states"], *plain]) + f" or numbers 1..{q}"
    return (
        f"{name}: {type(space).__name__} takes {taken}, got {_listed(numbers)}; say what they are by "
        f"values={{number: token, ...}} (data.values in a config)"
    )


def _ambiguous(states: Coding, space: ConfigurationSpace, name: str) -> str:
    listed, values = states.shown(), space.states.tolist()
    text = (
        f"{name}: {listed} can be {space.noun} of {type(space).__name__} or tokens 0..{space.n_tokens - 1}: say "
        f"values='states' or values='tokens' (data.values in a config)"
    )
    if min(values) < 0:
        table = _listed(values, len(values))
        text += (
            f", or convert the array: {space.noun} by `x = np.searchsorted([{table}], x).astype(np.uint8)`, tokens by "
            f"`x = x.astype(np.uint8)`"
        )
    return text


def _listed(numbers: Any, most: int = SHOWN) -> str:
    texts = [f"{number:.6g}" for number in numbers]
    if len(texts) > most:
        texts = [*texts[: most - 1], "...", texts[-1]]
    return ", ".join(texts)
