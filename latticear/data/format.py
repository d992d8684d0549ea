"""The format of an HDF5 file of configurations.

`latticear.data.writing` writes such files, `latticear.data.reading` reads them. Their datasets are

    /spins      int8 (sample[, component], y, x); where a state is not a small integer, the file has
                /tokens (smallest unsigned type) and /states float64 (token) instead
    /log_q      float64 (sample), log-probability in nats, where the sampler knows it
    /energy     float64 (sample), extensive, for configurations of a Hamiltonian; a grid has none
    /condition  float64 (sample, condition_component), for configurations that come with a condition

If some sites were held fixed while the others were drawn, /log_q is the log-probability of the drawn sites, and the
file also has

    /log_q_given  float64 (sample), log-probability of the sites held fixed, in nats
    /where        uint8 of the shape of /spins, 1 at the sites held fixed, 0 where a spin was drawn

The attribute `given` is then a fingerprint of the tokens held fixed, and `provenance.given` states path, number n and
provenance of the configurations that they come from: sample i holds the sites of configuration i modulo n. Such
configurations are not samples of the whole distribution. A file whose configurations are to be held fixed in a later
run has /spins or /tokens, and /where with dimensions (sample, y, x), or (y, x) for one mask that all configurations
share; the values at sites where /where is 0 are ignored.

The dimensions are datasets of indices, so that `xarray.open_dataset(path, engine="h5netcdf")` names them. The
attributes of the file state the Hamiltonian or grid, the temperature, the seed and more; structured values
(Hamiltonian or grid, model, provenance) are JSON."""

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
    "HDF5_VERSION",
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
    "where: 1 at sites that were held fixed; log_q is then the log-probability of the other sites, "
    "log_q_given that of the sites held fixed, each site given those drawn or held before it. "
    "temperature: in the unit of the coupling, k_B = 1, beta = 1/temperature. "
    "sample: index in the stream of the seed."
)
_GRID_CONVENTIONS = (
    "Configurations are rows of a grid (y, x). The values of the tokens 0, 1, ... are ascending. "
    "log_q: log-probability with which the sampler drew the configuration, in nats, given its condition. "
    "where: 1 at sites that were held fixed; log_q is then the log-probability of the other sites, "
    "log_q_given that of the sites held fixed, each site given those drawn or held before it. "
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
# The oldest HDF5 format with checksums of headers and of long attributes, which reveal damage. Later formats mark a
# file as open for writing, and HDF5 then refuses to open a file whose writer was killed.
HDF5_VERSION = ("v108", "v108")
# Level 1 makes Ising spins 4.5 (T = 5) to 7 times (T_c) smaller; level 4 is half as fast and saves another quarter.
_GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}


class Column(NamedTuple):
    """A dataset that grows with the samples.

    Attributes:
        dtype: the type of its numbers.
        dims: the names of its dimensions, `sample` first.
        shape: the shape of the entry of one sample.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def chunks(self) -> tuple[int, ...]:
        size = math.prod(self.shape)
        return (min(_SCALAR_CHUNK, max(1, _CHUNK_BYTES // (size * self.dtype.itemsize))), *self.shape)


def spin_table(space: ConfigurationSpace) -> np.ndarray | None:
    """The spin of each token as int8 `(q,)`; None if some state is not an integer in -128..127."""
    states = space.states.double().cpu()
    table = states.clamp(-128, 127).to(torch.int8)
    return table.numpy() if torch.equal(table.double(), states) else None


def decode_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a file as plain Python values, with JSON texts decoded."""
    return {name: _decode(value) for name, value in attributes.items()}


def same_value(a: Any, b: Any) -> bool:
    """Whether two attributes are equal; floats up to a relative 1e-12, since beta = 1/T is rounded."""
    if isinstance(a, float) and isinstance(b, float | int) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=1e-12)
    return bool(a == b)


def short_repr(value: Any) -> str:
    """The repr of a value for use in a message, cut to 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _decode(value.reshape(())[()])  # xarray writes a number as an array of length one
    if isinstance(value, np.ndarray | np.generic):
        value = json.loads(json.dumps(value.tolist(), default=str))
    if isinstance(value, str) and (value[:1] in ("{", "[") or value == "null"):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _encode(value: Any) -> Any:
    """A value as an HDF5 attribute: numbers and strings unchanged, everything else as JSON text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def complete_attributes(space: ConfigurationSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given attributes and those that every file has, as `decode_attributes` will return them.

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
    """The datasets that grow with the samples, by name; the first one holds the configurations."""
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
    """The bytes of a file without samples, built in memory so that a full disk cannot cause a failure inside HDF5."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=HDF5_VERSION) as h5:
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
                fletcher32=True,
                **compression,
            )
            _attach_scales(h5, name, column.dims)
        if "tokens" in columns:
            h5.create_dataset("states", data=space.states.double().cpu().numpy(), fletcher32=True)
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
    h5.create_dataset(name, data=np.arange(size), fletcher32=True, **(grows if name == "sample" else {}))
    h5[name].make_scale(name)


def _set_attribute(target: h5py.File | h5py.Dataset, name: str, value: bool | int | float | str) -> None:
    """Set an attribute; texts get a fixed length, since HDF5 keeps variable-length ones in a heap without checksums."""
    if not isinstance(value, str):
        target.attrs[name] = value
        return
    content = value.encode()
    dtype = h5py.string_dtype("utf-8", max(1, len(content)))
    target.attrs.create(name, np.array(content, dtype=dtype), dtype=dtype)


def space_of(attributes: Mapping[str, Any]) -> ConfigurationSpace:
    """The Hamiltonian or grid that the attributes of a file state.

    Raises:
        ValueError: if the attributes state no Hamiltonian or grid, or one that cannot be built.
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
