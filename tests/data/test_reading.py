"""Reading configurations: files of others, and files that are damaged, wrong or hostile."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from support.files import ISING, ThreeHalves, give, stream, write

from latticear.data import load_configurations, read_batches, read_given, read_metadata
from latticear.data.writing import SampleWriter
from latticear.hamiltonians import Ising


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), array, allow_pickle=True)
    return path.with_suffix(".npy")


def hdf5(path: Path, name: str = "spins", array: Any = None, **attributes: Any) -> Path:
    with h5py.File(path, "w") as h5:
        h5[name] = np.ones((3, 4, 6), np.int8) if array is None else array
        h5.attrs.update(attributes)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "float16", "float32", ">f8", ">i4"])
@pytest.mark.parametrize("make", [npy, lambda path, array: hdf5(path, array=array)], ids=["npy", "hdf5"])
def test_configurations_of_others(tmp_path: Path, make: Callable[..., Path], dtype: str) -> None:
    tokens = stream(30).tokens if dtype != "uint8" else torch.ones(30, 4, 6, dtype=torch.uint8)
    path = make(tmp_path / "data.h5", ISING.spins(tokens).numpy().astype(dtype))
    assert torch.equal(load_configurations(path, ISING, temperature=2.0), tokens)
    assert read_metadata(path)["n_samples"] == 30


def damaged(path: Path) -> Iterator[Path]:
    write(path, 300)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as h5:
        chunk = h5["spins"].id.get_chunk_info(0)
    content[chunk.byte_offset + 20] ^= 0xFF
    path.write_bytes(content)
    return path


def truncated(path: Path) -> Path:
    write(path, 300)
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


ONES = np.ones((3, 4, 6))
MASK = np.arange(24).reshape(4, 6) % 3 == 0
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path, "No such file"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "empty": (lambda path: text(path, ""), "is empty"),
    "text": (lambda path: text(path, "1 -1 1"), r"shape \(n, 4, 6\), got float64 \(1, 3\)"),
    "truncated": (truncated, "is damaged"),
    "damaged": (damaged, "is damaged"),
    "no spins": (lambda path: hdf5(path, "n", 3), r"must have a dataset /spins .*\['n'\]"),
    "group": (
        lambda path: hdf5(path, "spins/up"),
        r"/spins is a group; choose .* spins/up \(3, 4, 6\) by dataset='spins/up'",
    ),
    "scalar": (lambda path: hdf5(path, array=1), "must have a dataset /spins"),
    "strings": (lambda path: hdf5(path, array=["up", "down"]), "must hold numbers of shape"),
    "shape": (lambda path: hdf5(path, array=ONES[:, :, 1:]), r"shape \(n, 4, 6\), got float64 \(3, 4, 5\)"),
    "no rows": (lambda path: hdf5(path, array=ONES[:0]), "holds no configuration"),
    "no spin": (lambda path: hdf5(path, array=0.5 * ONES), r"takes spins -1, 1, tokens 0..1 .*, got 0.5"),
    "int8 no spin": (lambda path: hdf5(path, array=np.int8(3 * ONES)), r"takes spins -1, 1, tokens 0..1 .*, got 3"),
    "nan": (lambda path: hdf5(path, array=np.nan * ONES), "must hold finite numbers, got nan"),
    "bad token": (
        lambda path: hdf5(path, "tokens", np.uint8(2 * ONES)),
        r"tokens must lie in 0..1, got 2..2",
    ),
    "temperature": (lambda path: hdf5(path, temperature=3.0), "at temperature 3.0, not at the requested 2.5"),
    "hamiltonian": (
        lambda path: hdf5(path, hamiltonian=json.dumps(Ising((4, 6)).to_dict())),
        "another Hamiltonian: field 0.0 instead of 0.25",
    ),
    "npy objects": (lambda path: npy(path, np.array([{}, None])), "not a readable .npy file of numbers"),
    "npy complex": (lambda path: npy(path, 1j * ONES), "must hold numbers of shape"),
    "npy shape": (lambda path: npy(path, ONES[0, 1:]), r"got float64 \(3, 6\)"),
    "npy scalar": (lambda path: npy(path, np.array(1.0)), r"got float64 \(\)"),
    "npy no rows": (lambda path: npy(path, ONES[:0]), "holds no configuration|not a readable .npy"),
    "npy truncated": (
        lambda path: (npy(path, ONES), text(path.with_suffix(".npy"), "\x93NUMPY")),
        "is neither|not a readable .npy|no row of numbers",
    ),
    "sites held fixed": (lambda path: give(path, ONES, MASK), "sites held fixed .* name a file without /where"),
    "npz": (lambda path: np.savez(path.with_suffix(".npz"), a=ONES, b=ONES), "choose one of the arrays a .* b .*'a'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    make(tmp_path / "data.h5")
    path = next(tmp_path.iterdir(), tmp_path / "data.h5")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        load_configurations(path, ISING, temperature=2.5)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# sites to be held fixed


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("n_masks", [0, 3])
def test_given(tmp_path: Path, dtype: type, n_masks: int) -> None:
    """One mask for all configurations, or one each; where it is 0 the spins may be anything."""
    tokens = stream(3).tokens
    where = np.stack([np.roll(MASK, k) for k in range(n_masks)]) if n_masks else MASK
    for anything in (0, np.nan, 7):
        spins = np.where(where, ISING.spins(tokens), anything)
        found, mask = read_given(give(tmp_path / "given.h5", spins, where.astype(dtype)), ISING)
        assert mask.dtype == torch.bool
        assert mask.tolist() == np.broadcast_to(where, (3, 4, 6)).tolist()
        assert found.dtype == torch.uint8
        assert torch.equal(found[mask], tokens[mask])
        assert found.max() <= 1


def test_given_tokens_and_given_samples(tmp_path: Path) -> None:
    path, system = tmp_path / "given.h5", ThreeHalves((4, 6))
    tokens = stream(3, q=3).tokens
    found, mask = read_given(give(path, tokens, MASK, name="tokens"), system)
    assert torch.equal(found[mask], tokens[mask])
    write(tmp_path / "samples.h5", 5)
    with h5py.File(tmp_path / "samples.h5", "r+") as h5:
        h5["where"] = MASK  # as the message says
    found, mask = read_given(tmp_path / "samples.h5", Ising((4, 6)))  # of another field: the spins are the same
    assert torch.equal(found[mask], stream(5).tokens[mask])


BAD_GIVEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path, "No such file"),
    "text": (lambda path: text(path, "1 -1 1"), "is a text file, which cannot hold a mask /where"),
    "truncated": (truncated, "is damaged"),
    "npy": (lambda path: npy(path, ONES), "is a .npy file, which cannot hold a mask /where"),
    "no where": (hdf5, r"no dataset /where.* of shape \(4, 6\), or \(3, 4, 6\) .*'r\+'\) as h5: h5\['where'\] = mask"),
    "no spins": (lambda path: give(path, ONES, MASK, name="magnets"), "must have a dataset /spins"),
    "no rows": (lambda path: give(path, ONES[:0], MASK), "holds no configuration"),
    "shape": (lambda path: give(path, ONES[:, 1:], MASK), r"shape \(n, 4, 6\), got float64 \(3, 3, 6\)"),
    "shape of where": (lambda path: give(path, ONES, MASK[1:]), r"in shape \(4, 6\) or \(3, 4, 6\), got bool \(3, 6\)"),
    "number of masks": (lambda path: give(path, ONES, [MASK] * 2), r"or \(3, 4, 6\), got bool \(2, 4, 6\)"),
    "words": (lambda path: give(path, ONES, [["held"] * 6] * 4), r"must hold 0 or 1 in shape .* got object \(4, 6\)"),
    "two": (lambda path: give(path, ONES, 2 * MASK), "must be 1 at the sites to hold fixed and 0 elsewhere, got 2"),
    "half": (lambda path: give(path, ONES, MASK / 2), "and 0 elsewhere, got 0.5"),
    "nan": (lambda path: give(path, ONES, MASK * np.nan), "and 0 elsewhere, got nan"),
    "spins as mask": (lambda path: give(path, ONES, -1 * MASK), "and 0 elsewhere, got -1"),
    "nothing held": (lambda path: give(path, ONES, 0 * MASK), "0 everywhere: there is no site to hold fixed"),
    "no spin": (lambda path: give(path, 3 * ONES, MASK), r"one of \[-1.0, 1.0\], got 3"),
    "no token": (lambda path: give(path, np.uint8(2 * ONES), MASK, name="tokens"), r"must lie in 0..1, got 2..2"),
}


@pytest.mark.parametrize("case", BAD_GIVEN)
def test_bad_given(tmp_path: Path, case: str) -> None:
    make, message = BAD_GIVEN[case]
    make(tmp_path / "data.h5")
    path = next(tmp_path.iterdir(), tmp_path / "data.h5")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        read_given(path, ISING)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_huge_declared_length(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("spins", shape=(2**50, 4, 6), dtype=np.int8, chunks=(100, 4, 6))
    with pytest.raises(ValueError, match="do not fit into memory"):
        load_configurations(path, ISING)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1e300, 0.1])
def test_log_q_in_a_file_is_the_logarithm_of_a_probability(tmp_path: Path, wrong: float) -> None:
    path = tmp_path / "samples.h5"
    write(path, 30)
    with h5py.File(path, "r+") as h5:
        h5["log_q"][17] = wrong
    with pytest.raises(
        ValueError, match=rf"samples\.h5: /log_q must be the logarithm .* got {re.escape(f'{wrong:g}')} in row 17"
    ):
        list(read_batches(path, 10))


def test_batches_need_a_file_of_latticear(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "data.h5")
    with pytest.raises(ValueError, match="was not written by latticear"):
        read_batches(path, 10)
    write(tmp_path / "samples.h5", 10)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        read_batches(tmp_path / "samples.h5", 0)
    with h5py.File(tmp_path / "samples.h5", "r+") as h5:
        h5.attrs["format_version"] = 2
    with pytest.raises(ValueError, match="has format 2, this latticear reads up to 1"):
        read_batches(tmp_path / "samples.h5", 10)


def test_seed_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attributes must contain the seed"):
        SampleWriter(tmp_path / "samples.h5", ISING, attributes={"temperature": 2.0})
    assert not list(tmp_path.iterdir())
