"""The one door for configurations: arrays, tensors, samples and files of any common layout become tokens."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.data.contents import CONFIGURATIONS, Stored, contents_of
from latticear.data.decoding import all_tokens, decoder
from latticear.data.foreign import check_packing
from latticear.data.layouts import Layout, layout_of
from latticear.data.origin import check_origin, check_states, is_ours
from latticear.data.statements import Temperatures, check_parameters, stated_temperatures, unused
from latticear.data.values import Coding, Values, coding_of, distinct_values
from latticear.hamiltonians import TemperatureRange
from latticear.samples import Samples, token_dtype
from latticear.spaces import ConfigurationSpace

__all__ = ["ConversionNote", "Loaded", "load", "load_configurations", "load_noted"]

_BLOCK_SITES = 2**22
_ARRAY = "the array"


class ConversionNote(UserWarning):
    """Says in one line how configurations were read, where that was not as they stood."""


class Loaded(NamedTuple):
    """Configurations as tokens.

    Attributes:
        tokens: `(n, H, W)`, or `(n, C, H, W)` with C components at each site; the smallest unsigned type.
        lead: extents of the axes that counted configurations: `(n,)`, `(T, n)`, or `()` for a single one.
        note: one line that says what was converted; empty if nothing was.
        attributes: attributes of the file, if the configurations come from one.
        temperatures: T of each configuration, `(n,)`, float64; None if the source states none, or none was asked for.
    """

    tokens: Tensor
    lead: tuple[int, ...]
    note: str = ""
    attributes: Mapping[str, Any] = MappingProxyType({})
    temperatures: Tensor | None = None


class _Source(NamedTuple):
    """An array of configurations, with what is known of it.

    Attributes:
        name: what it is called in messages.
        data: the array.
        prefer: "states" or "tokens", if the source says what the numbers are.
        strict: whether it can hold nothing else.
        standard: whether it is known to be in the standard layout.
        remarks: what else has to be said about reading it.
        file: a file of NumPy that holds this array, if there is one.
        attributes: attributes of the file.
        temperatures: the temperatures that the file states.
        unused: remarks about what the file states besides.
    """

    name: str
    data: Stored
    prefer: str | None = None
    strict: bool = False
    standard: bool = False
    remarks: tuple[str, ...] = ()
    file: str | None = None
    attributes: Mapping[str, Any] = MappingProxyType({})
    temperatures: Temperatures | None = None
    unused: tuple[str, ...] = ()


def load_configurations(
    data: Any,
    system: ConfigurationSpace,
    *,
    dataset: str | None = None,
    values: Values = None,
    temperature: float | TemperatureRange | None = None,
    say: Callable[[str], None] | None = None,
) -> Tensor:
    """Configurations of any source as tokens `(n, H, W)`, or `(n, C, H, W)` with C components at each site.

    Sources: NumPy arrays and tensors of any type of real numbers, nested lists, `Samples`; and files, which are HDF5,
    `.npy`, `.npz`, or text with one configuration in each row, also compressed by gzip.

    Layouts: (n, H, W), (n, H*W), (n, 1, H, W), (n, H, W, 1), (T, n, H, W), and (H, W) for one configuration; with C
    components (n, C, H, W), (n, H, W, C), (T, n, C, H, W) and (C, H, W).

    Values: those of the system (`system.states`, such as -1 and 1 for `Ising`), tokens 0..q-1, booleans, -1 and 1 for
    any two states, and 1..q. What fits in several ways that differ is refused with the lines that make it unique. A
    tensor of the type that `samples.tokens` has, and unsigned integers where the system has a negative value, are taken
    for tokens; in an HDF5 file `/spins` are values of the system and `/tokens` are tokens.

    Args:
        data: the array, or the path of the file.
        system: the Hamiltonian, or the `Grid`, of the configurations.
        dataset: name of the array in an HDF5 or `.npz` file with several, such as "run1/spins".
        values: "states" or "tokens", if it is one of them; or a token for each number, such as `{-1: 0, 1: 1}`.
        temperature: compared with the temperature that a file states, if it states one: /temperature, one number or one
            for each configuration, or an attribute temperature, T or beta. Of several temperatures, the configurations
            at this one are taken; of a `TemperatureRange`, all in it.
        say: called with a line that says what was converted, if anything was; by default this line is a
            `ConversionNote`, a warning.

    Returns:
        Tokens of the smallest unsigned type.

    Raises:
        ValueError: if the source holds no configurations of this system, or can be read in several ways; if it states
            another Hamiltonian, temperature, coupling or field; or if it has a dataset `/where`: configurations with
            sites held fixed, which `read_batches` reads, are not samples of the whole distribution.
        OSError: if the file does not exist, or another process is writing it.

    Example:
        >>> import numpy as np
        >>> from latticear.hamiltonians import Ising
        >>> rows = np.array([[1, -1, 1, 1], [-1, -1, -1, 1]])
        >>> load_configurations(rows, Ising((2, 2)), say=print).tolist()
        the array: 2 configurations: shape (2, 4) as (n, H*W), values -1, 1 as spins
        [[[1, 0], [1, 1]], [[0, 0], [0, 1]]]
    """
    return load_noted(data, system, dataset=dataset, values=values, temperature=temperature, say=say).tokens


def load_noted(
    data: Any, system: ConfigurationSpace, *, say: Callable[[str], None] | None = None, **how: Any
) -> Loaded:
    """Configurations as `load` returns them, after the line about their conversion has been said, or is a warning."""
    loaded = load(data, system, **how)
    if loaded.note and say is not None:
        say(loaded.note)
    elif loaded.note:
        warnings.warn(loaded.note, ConversionNote, stacklevel=_level_of_caller())
    return loaded


def load(
    data: Any,
    system: ConfigurationSpace,
    *,
    dataset: str | None = None,
    values: Values = None,
    temperature: float | TemperatureRange | None = None,
) -> Loaded:
    """Configurations with the axes that counted them, their temperatures, and the line that says what was converted.

    Arguments and errors are those of `load_configurations`.
    """
    if not isinstance(system, ConfigurationSpace):
        raise ValueError(f"a Hamiltonian or a Grid is needed to read configurations, got {system!r}")
    if isinstance(data, Tensor) and values is None and dataset is None and _are_tokens(data, system):
        return Loaded(data.cpu(), tuple(data.shape[:1]))
    with _source(data, system, dataset, temperature) as source:
        if source.temperatures is not None and temperature is not None:
            _check_single(source.name, source.temperatures, temperature)
        if source.strict and values is None and tuple(source.data.shape[1:]) == system.size:
            loaded = Loaded(_written(source, system), source.data.shape[:1], "", source.attributes)
        else:
            loaded = _converted(source, system, values)
    return _at(loaded, source, temperature)


def _check_single(name: str, stated: Temperatures, temperature: float | TemperatureRange) -> None:
    """Raise ValueError if the only temperature that a file states is another one."""
    if stated.values.size == 1 and not stated.among((1,)).at(temperature).all():
        found = float(stated.as_temperatures.reshape(()))
        raise ValueError(f"{name} holds configurations at temperature {found}, not at the requested {temperature}")


def _at(loaded: Loaded, source: _Source, temperature: float | TemperatureRange | None) -> Loaded:
    """The configurations at a temperature, or in a range; all of them if none is asked for or stated."""
    remarks = list(source.unused)
    if source.temperatures is not None and temperature is not None:
        n, stated = len(loaded.tokens), source.temperatures.among(loaded.lead)
        loaded = loaded._replace(temperatures=torch.from_numpy(stated.as_temperatures))
        used = stated.at(temperature)
        if not used.any():
            raise ValueError(
                f"{source.name} holds {n:,} configurations at {stated.shown}, none at the requested {temperature}"
            )
        if not used.all():
            where = f"in T = {temperature}" if isinstance(temperature, TemperatureRange) else f"at T = {temperature:g}"
            remarks.append(f"{int(used.sum()):,} of {n:,} configurations are {where}: these are used")
            loaded = _rows(loaded, torch.from_numpy(used))
    if not remarks:
        return loaded
    said = "; ".join(remarks)
    return loaded._replace(note=f"{loaded.note}; {said}" if loaded.note else f"{source.name}: {said}")


def _rows(loaded: Loaded, used: Tensor) -> Loaded:
    """Some of the configurations; whole chains, or whole measurements of all chains, keep their two axes."""
    lead: tuple[int, ...] = (int(used.sum()),)
    if len(loaded.lead) == 2:
        table = used.view(loaded.lead)
        if bool((table == table[0]).all()):
            lead = (loaded.lead[0], int(table[0].sum()))
        elif bool((table == table[:, :1]).all()):
            lead = (int(table[:, 0].sum()), loaded.lead[1])
    assert loaded.temperatures is not None
    return loaded._replace(tokens=loaded.tokens[used], lead=lead, temperatures=loaded.temperatures[used])


def _are_tokens(data: Tensor, system: ConfigurationSpace) -> bool:
    """Whether a tensor is what `samples.tokens` is."""
    if data.dtype != token_dtype(system.n_tokens) or tuple(data.shape[1:]) != system.size or not data.numel():
        return False
    return int(data.min()) >= 0 and int(data.max()) < system.n_tokens


@contextmanager
def _source(
    data: Any, system: ConfigurationSpace, dataset: str | None, temperature: float | TemperatureRange | None
) -> Iterator[_Source]:
    if isinstance(data, str | os.PathLike):
        with _in_file(Path(data), system, dataset, temperature) as source:
            yield source
        return
    if dataset is not None:
        raise ValueError(f"dataset names an array in a file, got {dataset!r} with an array in memory: leave it out")
    yield _in_memory(data, system)


def _in_memory(data: Any, system: ConfigurationSpace) -> _Source:
    if not isinstance(data, Tensor | np.ndarray | list | tuple) and isinstance(data, Iterable):
        data = list(data) if not hasattr(data, "__array__") else data
    if isinstance(data, list | tuple) and data and all(isinstance(part, Samples) for part in data):
        data = Samples.cat(data)
    is_tensor = isinstance(data, Tensor | Samples)
    if isinstance(data, Samples):
        if data.where is not None:
            raise ValueError("these samples have sites held fixed and are no samples of the whole distribution")
        data = data.tokens
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.dtype == torch.bfloat16 else data).numpy()
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{_ARRAY} must have rows of equal length: {error}") from error
    is_token_type = is_tensor and array.dtype == np.dtype(str(token_dtype(system.n_tokens)).removeprefix("torch."))
    prefer = "tokens" if is_token_type or _must_be_tokens(array, system) else None
    return _Source(_ARRAY, array, prefer, standard=is_token_type)


def _must_be_tokens(array: Stored, system: ConfigurationSpace) -> bool:
    """Whether an array of unsigned integers cannot be meant as values of the system, since one of them is negative."""
    return array.dtype.kind == "u" and bool(system.states.min() < 0)


@contextmanager
def _in_file(
    path: Path, system: ConfigurationSpace, dataset: str | None, temperature: float | TemperatureRange | None
) -> Iterator[_Source]:
    with contents_of(path, system.size) as contents:
        name = contents.chosen(dataset)
        check_origin(path, contents.attributes, system)
        temperatures, more = None, []
        if system.has_energy:
            check_parameters(contents, name, system)
        if system.has_energy and temperature is not None:
            ranged = isinstance(temperature, TemperatureRange)
            temperatures = stated_temperatures(contents, name, conditions=ranged)
            more = unused(contents, name, temperatures)
        array = contents.arrays[name]
        if contents.beside(name, "where") is not None or contents.beside(name, "log_q_given") is not None:
            raise ValueError(
                f"{path} holds configurations with sites held fixed (/where), which are no samples of the whole "
                f"distribution; name a file without /where"
            )
        last = name.split("/")[-1]
        stated = {"spins": "states", "tokens": "tokens"}.get(last)
        if last == "tokens":
            check_states(path, contents.beside(name, "states"), system)
        remarks = [f"dataset {name}"] if name and name not in CONFIGURATIONS else []
        remarks += ["the first line is a header"] if contents.header else []
        yield _Source(
            str(path),
            array,
            stated or ("tokens" if _must_be_tokens(array, system) else None),
            strict=last == "tokens" or (is_ours(contents.attributes) and system.kind in contents.attributes),
            standard=contents.kind == "HDF5" and stated is not None,
            remarks=tuple(remarks),
            file=str(path) if contents.kind == ".npy" and not contents.compressed else None,
            attributes=contents.attributes,
            temperatures=temperatures,
            unused=tuple(more),
        )


def _written(source: _Source, system: ConfigurationSpace) -> Tensor:
    """The tokens of a file of latticear, in one pass."""
    return all_tokens(source.name, source.data, system, decoder(source.prefer == "tokens", system))


def _converted(source: _Source, system: ConfigurationSpace, values: Values) -> Loaded:
    layout = _layout(source, system)
    n = math.prod(layout.lead)
    try:
        tokens = torch.empty((n, *system.size), dtype=token_dtype(system.n_tokens))
    except RuntimeError as error:
        raise ValueError(f"{source.name} holds {n} configurations, which do not fit into memory") from error
    data = source.data if layout.lead else source.data[()][None]
    step = max(1, _BLOCK_SITES // max(1, math.prod(data.shape[1:])))
    blocks = [slice(start, start + step) for start in range(0, data.shape[0], step)]
    numbers = distinct_values((np.asarray(data[rows]) for rows in blocks), source.name, 4 * system.n_tokens + 16)
    coding = coding_of(numbers, system, values, source.name, prefer=source.prefer, strict=source.strict)
    done = 0
    for rows in blocks:
        part = coding.decode(np.ascontiguousarray(layout.arrange(np.asarray(data[rows]))))
        tokens[done : done + len(part)] = torch.from_numpy(part)
        done += len(part)
    return Loaded(tokens, layout.lead, _note(source, system, layout, coding, n), source.attributes)


def _layout(source: _Source, system: ConfigurationSpace) -> Layout:
    shape, dtype = tuple(source.data.shape or ()), source.data.dtype
    if dtype.kind not in "biuf":
        raise ValueError(f"{source.name} must hold numbers of shape (n, {str(system.size)[1:-1]}), got {dtype} {shape}")
    if 0 in shape:
        raise ValueError(f"{source.name} holds no configuration")
    try:
        return layout_of(shape, system.size, source.name, dtype, standard=source.standard)
    except ValueError:
        if system.n_tokens == 2:
            check_packing(source.name, dtype, shape, system.size, source.file)
        raise


def _note(source: _Source, system: ConfigurationSpace, layout: Layout, coding: Coding, n: int) -> str:
    """The line that says what was converted; empty if values or tokens of the system stood there as they are taken."""
    shape, parts = tuple(source.data.shape), list(source.remarks)
    if not layout.is_standard:
        parts.append(f"shape {shape} as {layout.label}")
    known = source.prefer == "tokens" or (source.name == _ARRAY and source.data.dtype.kind in "iu")
    if parts or not coding.is_plain or (coding.label == "tokens" and not known):
        parts.append(f"values {coding.shown()} as {coding.label}")
    return f"{source.name}: {n} configuration{'s' if n > 1 else ''}: {', '.join(parts)}" if parts else ""


def _level_of_caller() -> int:
    """The `stacklevel` at which `warnings.warn`, called by the function that calls this one, names the user's line."""
    package, level = __name__.split(".")[0], 1
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
