"""What an HDF5 file of configurations holds.

`latticear.data.writing` writes it, `latticear.data.reading` reads it.

    /spins      int8 (sample[, component], y, x), or /tokens (smallest unsigned type) and /states
                float64 (token) where a state is no small integer
    /log_q      float64 (sample), nats, where the sampler knows it
    /energy     float64 (sample), extensive, of a Hamiltonian; a grid has none
    /condition  float64 (sample, condition_component), where there is one

Where sites were held fixed, /log_q is that of the others, and there are

    /log_q_given  float64 (sample), nats, of the sites held fixed
    /where        uint8 of the shape of /spins, 1 at those sites, 0 where a spin was drawn

with the attribute `given`, a fingerprint of what was held, and in `provenance.given` path, number n and provenance of
the configurations given: sample i holds the sites of configuration i modulo n. Such configurations are no samples of
the whole distribution. A file that is to be given has /spins or /tokens, and /where (sample, y, x), or (y, x) for all
its configurations; what they are where it is 0 does not matter.

The dimensions are datasets of indices, so that `xarray.open_dataset(path, engine="h5netcdf")` names them;
attributes of the file say what the configurations are of. Structured values (Hamiltonian or grid, model, provenance)
are JSON."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from latticear.hamiltonians import hamiltonian_from_dict
from latticear.spaces import ConfigurationSpace, Grid

__all__ = [
    "FORMAT_VERSION",
    "Column",
    "columns_of",
    "complete_attributes",
    "decode_attributes",
    "empty_file",
    "same_value",
    "short_repr",
    "space_of",
    "spin_table",
]

FORMAT_VERSION = 1

_CONVENTIONS = (
    "Configurations are rows of a square lattice (y, x). "
    "energy: extensive, every bond counted once, in the unit of the coupling. "
    "log_q: log-probability with which the sampler drew the configuration, in nats. "
    "where: 1 at sites that were held fixed; log_q is then that of the other sites, "
    "log_q_given that of these, each given those drawn or held before it. "
    "temperature: in the unit of the coupling, k_B = 1, beta = 1/temperature. "
    "sample: index in the stream of the seed."
)
_GRID_CONVENTIONS = (
    "Configurations are rows of a grid (y, x). The values of the tokens 0, 1, ... are ascending. "
    "log_q: log-probability with which the sampler drew the configuration, in nats, given its condition. "
    "where: 1 at sites that were held fixed; log_q is then that of the other sites, "
    "log_q_given that of these, each given those drawn or held before it. "
    "sample: index in the stream of the seed."
)
_UNITS = {
    "energy": "coupling",
    "log_q": "nat",
    "log_q_given": "nat",
    "temperature": "coupling",
    "beta": "1/coupling",
    "spins": "1",
}
_CHUNK_BYTES = 2**18
_SCALAR_CHUNK = 4096
# The oldest format with checksums of headers and of long attributes: damage is noticed. Later ones mark a file as open
# for writing, and HDF5 then refuses one whose writer was killed.
_HDF5_VERSION = ("v108", "v108")
# Level 1 makes Ising spins 4.5 (T = 5) to 7 times (T_c) smaller; level 4 is half as fast for a quarter less.
_GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}


class Column(NamedTuple):
    """A dataset that grows with the samples.

    Attributes:
        dtype: of its numbers.
        dims: names of its dimensions, `sample` first.
        shape: of one sample's part.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def chunks(self) -> tuple[int, ...]:
        size = math.prod(self.shape)
        return (min(_SCALAR_CHUNK, max(1, _CHUNK_BYTES // (size * self.dtype.itemsize))), *self.shape)


def spin_table(space: ConfigurationSpace) -> np.ndarray | None:
    """The spin of each token as int8 `(q,)`; None where a state is no integer in -128..127."""
    states = space.states.double().cpu()
    table = states.clamp(-128, 127).to(torch.int8)
    return table.numpy() if torch.equal(table.double(), states) else None


def decode_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a file as plain values; JSON text becomes what it says."""
    return {name: _decode(value) for name, value in attributes.items()}


def same_value(a: Any, b: Any) -> bool:
    """Equality of attributes; numbers to a relative 1e-12, since beta = 1/T is rounded."""
    if isinstance(a, float) and isinstance(b, float | int) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-12)
    return bool(a == b)


def short_repr(value: Any) -> str:
    """A value in a message: 100 characters of it."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        value = json.loads(json.dumps(value.tolist(), default=str))
    if isinstance(value, str) and (value[:1] in ("{", "[") or value == "null"):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _encode(value: Any) -> Any:
    """A number or string as it stands, all else as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def complete_attributes(space: ConfigurationSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given attributes and those every file has, as they will be read again.

    Raises:
        ValueError: if the seed is missing.
    """
    if given.get("seed") is None:
        raise ValueError(f"attributes must contain the seed of the samples, got {sorted(given)}")
    values = {
        **given,
        "format_version": FORMAT_VERSION,
        "latticear_version": version("latticear"),
        space.kind: space.to_dict(),
        "conventions": _CONVENTIONS if space.kind == "hamiltonian" else _GRID_CONVENTIONS,
        "units": _UNITS,
    }
    if given.get("temperature") is not None:
        values["beta"] = 1 / float(given["temperature"])
    return {name: _decode(_encode(value)) for name, value in values.items() if value is not None}


def columns_of(
    space: ConfigurationSpace, has_log_q: bool, n_condition: int, n_components: int, has_given: bool
) -> dict[str, Column]:
    """The growing datasets; the configurations come first."""
    dims: tuple[str, ...] = ("sample", "y", "x")
    shape: tuple[int, ...] = space.shape
    if n_components:
        dims, shape = ("sample", "component", "y", "x"), (n_components, *shape)
    if spin_table(space) is not None:
        columns = {"spins": Column(np.dtype(np.int8), dims, shape)}
    else:
        columns = {"tokens": Column(np.min_scalar_type(space.n_tokens - 1), dims, shape)}
    number = np.dtype(np.float64)
    if has_log_q:
        columns["log_q"] = Column(number, ("sample",), ())
    if space.kind == "hamiltonian":
        columns["energy"] = Column(number, ("sample",), ())
    if n_condition:
        columns["condition"] = Column(number, ("sample", "condition_component"), (n_condition,))
    if has_given:
        columns["log_q_given"] = Column(number, ("sample",), ())
        columns["where"] = Column(np.dtype(np.uint8), dims, shape)
    return columns


def empty_file(space: ConfigurationSpace, columns: dict[str, Column], attributes: dict[str, Any]) -> bytes:
    """The file before its first sample, made in memory: a disk that is full must not fail inside HDF5."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=_HDF5_VERSION) as h5:
        for name, value in attributes.items():
            _set_attribute(h5, name, _encode(value))
        _make_scale(h5, "sample", 0)
        for name, column in columns.items():
            compression = _GZIP if column.dtype.kind in "iu" else {}
            h5.create_dataset(
                name,
                shape=(0, *column.shape),
                maxshape=(None, *column.shape),
                dtype=column.dtype,
                chunks=column.chunks,
                **compression,
            )
            _attach_scales(h5, name, column.dims)
        if "tokens" in columns:
            h5["states"] = space.states.double().cpu().numpy()
            _attach_scales(h5, "states", ("token",))
    return content.getvalue()


def _attach_scales(h5: h5py.File, name: str, dims: tuple[str, ...]) -> None:
    dataset = h5[name]
    if name in _UNITS:
        _set_attribute(dataset, "units", _UNITS[name])
    for axis, dim in enumerate(dims):
        if dim not in h5:
            _make_scale(h5, dim, dataset.shape[axis])
        dataset.dims[axis].attach_scale(h5[dim])


def _make_scale(h5: h5py.File, name: str, size: int) -> None:
    grows: dict[str, Any] = {"maxshape": (None,), "chunks": (_SCALAR_CHUNK,), "shuffle": True, **_GZIP}
    h5.create_dataset(name, data=np.arange(size), **(grows if name == "sample" else {}))
    h5[name].make_scale(name)


def _set_attribute(target: h5py.File | h5py.Dataset, name: str, value: bool | int | float | str) -> None:
    """Texts as fixed-length strings: those of variable length lie in a heap without checksums."""
    if not isinstance(value, str):
        target.attrs[name] = value
        return
    content = value.encode()
    dtype = h5py.string_dtype("utf-8", max(1, len(content)))
    target.attrs.create(name, np.array(content, dtype=dtype), dtype=dtype)


def space_of(attributes: Mapping[str, Any]) -> ConfigurationSpace:
    """The Hamiltonian or grid that the attributes of a file state.

    Raises:
        ValueError: if they state none, or one that cannot be.
    """
    stated = attributes.get("grid")
    if stated is None:
        return hamiltonian_from_dict(attributes["hamiltonian"])
    if not isinstance(stated, dict) or stated.get("name") != Grid.name:
        raise ValueError(f"the attribute grid must describe a grid, got {stated!r}")
    try:
        return Grid(**{key: value for key, value in stated.items() if key != "name"})
    except TypeError as error:
        raise ValueError(f"no grid can be built from {stated}: {error}") from error
