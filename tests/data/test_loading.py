"""The one door for configurations: whatever the layout, the numbers and the source, the same tokens."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from support.files import ISING, ThreeHalves, stream, write

import latticear as la
from latticear.data import ConversionNote, load_configurations

TOKENS = stream(6).tokens  # (6, 4, 6)
SHAPE = ISING.shape

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "(n, H, W)": lambda x: x,
    "(n, H*W)": lambda x: x.reshape(6, 24),
    "(n, 1, H, W)": lambda x: x[:, None],
    "(n, H, W, 1)": lambda x: x[..., None],
    "(T, n, H, W)": lambda x: x.reshape(2, 3, 4, 6),
    "(T, n, H*W)": lambda x: x.reshape(2, 3, 24),
}
CODES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "spins": lambda t: 2 * t.astype(np.int8) - 1,
    "tokens": lambda t: t,
    "bool": lambda t: t.astype(bool),
    "1..q": lambda t: t + 1,
    "float spins": lambda t: 2.0 * t - 1,
    "big-endian": lambda t: (2 * t.astype(np.int8) - 1).astype(">i4"),
    "half": lambda t: (2.0 * t - 1).astype(np.float16),
}


def _npz(path: Path, x: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), x)
    return path.with_suffix(".npz")


def _npy(path: Path, x: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), x)
    return path.with_suffix(".npy")


def _hdf5(path: Path, x: np.ndarray, name: str = "run1/magnets") -> Path:
    with h5py.File(path, "w") as h5:
        h5[name] = x
    return path


def _text(path: Path, x: np.ndarray, **options: Any) -> Path:
    np.savetxt(path.with_suffix(".txt"), x.reshape(-1, 24), **options)
    return path.with_suffix(".txt")


def _gz(path: Path) -> Path:
    packed = path.with_suffix(path.suffix + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


SOURCES: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "array": lambda path, x: x,
    "Fortran": lambda path, x: np.asfortranarray(x),
    "strided": lambda path, x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda path, x: np.flip(x, 0).copy()[::-1],
    "list": lambda path, x: x.tolist(),
    "npy": _npy,
    "npz": _npz,
    "HDF5": _hdf5,
    "/spins": lambda path, x: _hdf5(path, x, "spins"),
    "text": _text,
    "CSV": lambda path, x: _text(path, x, delimiter=",", fmt="%g", header="from: elsewhere"),
    "CSV with a header": lambda path, x: _text(
        path, x, delimiter=", ", fmt="%g", comments="", header=", ".join(f"s{k}" for k in range(24))
    ),
    "tabs": lambda path, x: _text(path, x, delimiter="\t", fmt="%d"),
    "npy.gz": lambda path, x: _gz(_npy(path, x)),
    "npz.gz": lambda path, x: _gz(_npz(path, x)),
    "HDF5.gz": lambda path, x: _gz(_hdf5(path, x)),
    "text.gz": lambda path, x: _gz(_text(path, x)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_layout_code_and_source_is_the_same_tokens(tmp_path: Path, source: str) -> None:
    for k, (layout, code) in enumerate(itertools.product(LAYOUTS, CODES)):
        x = LAYOUTS[layout](CODES[code](TOKENS.numpy()))
        said: list[str] = []
        found = load_configurations(SOURCES[source](tmp_path / f"{k}.h5", x), ISING, say=said.append)
        assert found.dtype == torch.uint8
        assert torch.equal(found, TOKENS), (layout, code)
        assert len(said) <= 1
        if layout != "(n, H, W)" and "text" not in source:
            assert "6 configurations: " in said[0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_of_any_type(dtype: torch.dtype, layout: str) -> None:
    x = torch.from_numpy(LAYOUTS[layout](TOKENS.numpy()))
    x = x.to(dtype) if dtype == torch.bool else 2 * x.to(dtype) - 1
    x = x.clone().requires_grad_(dtype.is_floating_point)
    for each in (x, torch.stack([x, x], -1)[..., 0]):
        assert torch.equal(load_configurations(each, ISING, say=[].append), TOKENS)


def test_one_configuration(tmp_path: Path) -> None:
    spins = ISING.spins(TOKENS[:1]).numpy()
    for x in (spins[0], spins[0].ravel(), spins.reshape(1, 24), _text(tmp_path / "a", spins)):
        assert torch.equal(load_configurations(x, ISING, say=[].append), TOKENS[:1])
    np.savetxt(tmp_path / "rows.txt", spins[0])
    assert torch.equal(load_configurations(tmp_path / "rows.txt", ISING, say=[].append), TOKENS[:1])


def test_tokens_pass_as_they_are() -> None:
    assert load_configurations(TOKENS, ISING) is TOKENS
    ashkin_teller = la.AshkinTeller((2, 2))  # q = 4; as many as there are components in another system
    parts = la.Components(ashkin_teller, 2)
    tokens = torch.randint(2, (5, *parts.size), dtype=torch.uint8)
    assert load_configurations(tokens, parts) is tokens
    samples = la.Samples(TOKENS, None, 0)
    assert torch.equal(load_configurations(samples, ISING), TOKENS)
    assert torch.equal(load_configurations([samples, samples], ISING), torch.cat([TOKENS, TOKENS]))


def test_components() -> None:
    system = la.Components(la.AshkinTeller((3, 4)), 2)
    tokens = torch.randint(2, (5, *system.size)).long()
    x = tokens.numpy()
    for each in (x, np.moveaxis(x, 1, -1), x[None], x.reshape(1, 5, 2, 3, 4)):
        assert torch.equal(load_configurations(each, system, say=[].append).long(), tokens)
    assert torch.equal(load_configurations(np.moveaxis(x[0], 0, -1), system, say=[].append).long(), tokens[:1])


def test_fractions_are_known_up_to_rounding(tmp_path: Path) -> None:
    system = ThreeHalves((4, 6))
    phi = la.Phi4((4, 6))
    for space in (system, phi):
        tokens = torch.randint(space.n_tokens, (5, 4, 6))
        spins = space.spins(tokens).numpy()
        np.savetxt(tmp_path / "a.csv", spins.reshape(5, 24), delimiter=",", fmt="%.7g")
        for each in (spins, spins.astype(np.float32), tmp_path / "a.csv"):
            assert torch.equal(load_configurations(each, space, say=[].append).long(), tokens)


def test_the_line_says_what_was_converted(tmp_path: Path) -> None:
    x = TOKENS.numpy()
    path = _text(tmp_path / "a", x, fmt="%d", delimiter=",")
    line = f"{path}: 6 configurations: shape (6, 24) as (n, H*W), values 0, 1 as tokens"
    with pytest.warns(ConversionNote, match=re.escape(line)) as caught:
        la.load_configurations(path, ISING)
    assert caught[0].filename == __file__
    said: list[str] = []
    load_configurations(x + 1, ISING, say=said.append)
    load_configurations(x.astype(bool), ISING, say=said.append)
    load_configurations(_hdf5(tmp_path / "b.h5", 2 * x.astype(int) - 1, "deep/er/x"), ISING, say=said.append)
    assert said == [
        "the array: 6 configurations: values 1, 2 as the states numbered 1..2",
        "the array: 6 configurations: values 0, 1 as tokens",
        f"{tmp_path / 'b.h5'}: 6 configurations: dataset deep/er/x, values -1, 1 as spins",
    ]
    write(tmp_path / "ours.h5", 10)
    np.save(tmp_path / "spins.npy", ISING.spins(TOKENS).numpy())
    for plain in (tmp_path / "ours.h5", tmp_path / "spins.npy", TOKENS.long(), ISING.spins(TOKENS)):
        load_configurations(plain, ISING, say=said.append)
    assert len(said) == 3


# numbers with a meaning of their own


def test_a_map_of_values() -> None:
    x = np.array([5, -2])[TOKENS.numpy()]
    for values in ({5: 0, -2: 1}, {"5": 0, "-2": 1}, {5.0: 0, -2: 1, 7: 1}):
        assert torch.equal(load_configurations(x, ISING, values=values, say=[].append), TOKENS)
    flipped = load_configurations(TOKENS, ISING, values={0: 1, 1: 0}, say=[].append)
    assert torch.equal(flipped, 1 - TOKENS)
    grid = la.Grid((4, 6), 2, values=[10, 20])
    assert torch.equal(load_configurations(x, grid, values={5: 0, -2: 1}, say=[].append), TOKENS)


def test_ambiguous_values_are_refused_with_lines_that_make_them_unique() -> None:
    system = la.BlumeCapel((4, 6))
    x = TOKENS.numpy().astype(int)  # 0 and 1: spins 0, 1 or tokens of the spins -1, 0?
    with pytest.raises(ValueError, match="0, 1 can be spins of BlumeCapel or tokens") as caught:
        load_configurations(x, system)
    as_spins, as_tokens = re.findall("`(x = .*?)`", str(caught.value))
    for line, values, shift in ((as_spins, "states", 1), (as_tokens, "tokens", 0)):
        for found in (load_configurations(_after(line, x), system), load_configurations(x, system, values=values)):
            assert torch.equal(found, TOKENS + shift)
    assert torch.equal(load_configurations(x - 1, system), TOKENS)
    assert torch.equal(load_configurations(2 * x, system), 2 * TOKENS)
    ones = load_configurations(np.ones((2, 4, 6)), la.Ising((4, 6)))
    assert ones.unique().tolist() == [1]  # spin 1 and token 1 are the same


def test_ambiguous_layouts_are_refused_with_lines_that_make_them_unique() -> None:
    system = la.Components(la.AshkinTeller((2, 2)), 2)
    tokens = np.random.default_rng(0).integers(2, size=(5, 2, 2, 2))
    flat = la.Components(la.AshkinTeller((3, 4)), 2)
    for space, x in ((system, tokens), (system, tokens.reshape(5, 8)), (flat, np.zeros((5, 24), int))):
        with pytest.raises(ValueError, match=r"can be \(n, .* or \(n, H") as caught:
            load_configurations(x, space)
        lines = re.findall("`(x = .*?)`", str(caught.value))
        found = [load_configurations(_after(line, x), space, say=[].append) for line in lines]
        assert found[0].shape == found[1].shape == (5, *space.size)
        assert x.any() != torch.equal(found[0], found[1])
        assert torch.equal(found[0].flatten().long(), torch.from_numpy(x).flatten())


HINTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "swapped": lambda x: x.transpose(0, 2, 1),
    "last": lambda x: np.moveaxis(x, 0, -1),
    "stacked": lambda x: x.reshape(-1, 6),
    "columns": lambda x: x.reshape(6, 24).T,
    "row numbers": lambda x: np.concatenate([np.arange(6)[:, None], x.reshape(6, 24)], 1),
    "runs": lambda x: x.reshape(1, 2, 3, 4, 6),
    "packed": lambda x: np.packbits(x.reshape(6, 24), axis=1),
    "packed rows": lambda x: np.packbits(x, axis=-1),
    "packed all": lambda x: np.packbits(x),
}


@pytest.mark.parametrize("case", HINTS)
def test_the_line_in_an_error_converts_the_array(case: str) -> None:
    x = HINTS[case](TOKENS.numpy())
    with pytest.raises(ValueError, match="`x = ") as caught:
        load_configurations(x, ISING)
    lines = re.findall("`(x = .*?)`", str(caught.value))
    assert any(torch.equal(load_configurations(_after(line, x), ISING, say=[].append), TOKENS) for line in lines)


def _after(line: str, x: np.ndarray) -> np.ndarray:
    """The array x after a line of Python."""
    names: dict[str, Any] = {"np": np, "x": x}
    exec(line, names)
    return names["x"]


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "other numbers": (3 * TOKENS.numpy(), {}, "Ising takes spins -1, 1, tokens 0..1 or numbers 1..2, got 0, 3"),
    "a half": (TOKENS / 2, {}, "got 0, 0.5"),
    "many": (np.arange(144.0).reshape(6, 4, 6), {}, r"got 0, 1, 2, 3, 4, \.\.\., 143"),
    "nan": (TOKENS * np.nan, {}, "finite numbers, got nan"),
    "complex": (1j * TOKENS.numpy(), {}, "must hold numbers of shape .* complex128"),
    "words": (np.array(["up", "down"]), {}, "must hold numbers"),
    "nothing": (None, {}, "must hold numbers"),
    "ragged": ([[1, -1], [1]], {}, "rows of equal length"),
    "empty": (np.ones((0, 4, 6)), {}, "holds no configuration"),
    "another lattice": (
        np.ones((3, 5, 5)),
        {},
        r"got float64 \(3, 5, 5\); other layouts: \(n, 24\)",
    ),
    "a token out of range": (TOKENS, {"values": {0: 0, 1: 2}}, "tokens 0..1, got 2"),
    "a number without a token": (TOKENS, {"values": {0: 0}}, "holds 1, which is not among the keys of values"),
    "keys": (TOKENS, {"values": {"up": 1}}, "a token for each number"),
    "a word": (TOKENS, {"values": "spins"}, "must be 'states', 'tokens'"),
    "not states": (TOKENS.long(), {"values": "states"}, "takes spins -1, 1, got 0, 1"),
    "dataset": (TOKENS, {"dataset": "spins"}, "dataset names an array in a file"),
    "held": (la.Samples(TOKENS, None, 0, where=TOKENS > 0), {}, "sites held fixed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_one_line(case: str) -> None:
    data, options, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        load_configurations(data, ISING, **options)
    assert "\n" not in str(caught.value)


def test_a_system_is_needed() -> None:
    with pytest.raises(ValueError, match="a Hamiltonian or a Grid is needed to read configurations, got 'ising'"):
        load_configurations(TOKENS, "ising")  # type: ignore[arg-type]


# files


def test_a_dataset_is_chosen(tmp_path: Path) -> None:
    path, archive = tmp_path / "a.h5", tmp_path / "a.npz"
    spins = ISING.spins(TOKENS).numpy()
    with h5py.File(path, "w") as h5:
        h5["run1/spins"], h5["run2/spins"], h5["energy"] = spins, -spins, np.zeros(6)
    np.savez(archive, a=spins, b=-spins)
    for name, tokens in (("run1/spins", TOKENS), ("/run2/spins", 1 - TOKENS)):
        assert torch.equal(load_configurations(path, ISING, dataset=name, say=[].append), tokens)
    assert torch.equal(load_configurations(archive, ISING, dataset="b", say=[].append), 1 - TOKENS)
    for file, options, message in (
        (path, {}, r"choose one of the arrays run1/spins \(6, 4, 6\), run2/spins \(6, 4, 6\) by dataset='run1/spins'"),
        (path, {"dataset": "run3/spins"}, "has no dataset 'run3/spins'; did you mean 'run[12]/spins'"),
        (path, {"dataset": "run1"}, r"/run1 is a group, which holds run1/spins \(6, 4, 6\)"),
        (archive, {}, r"choose one of the arrays a \(6, 4, 6\), b \(6, 4, 6\) by dataset='a' \(--dataset a\)"),
        (_npy(tmp_path / "c", spins), {"dataset": "x"}, "is a .npy file of one array: leave dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            load_configurations(file, ISING, **options)


def test_a_group_named_spins_is_said_to_be_one(tmp_path: Path) -> None:
    path = _hdf5(tmp_path / "a.h5", ISING.spins(TOKENS).numpy(), "spins/up")
    with pytest.raises(ValueError, match=r"/spins is a group; choose one of the arrays spins/up .*--dataset spins/up"):
        load_configurations(path, ISING)


def _converted(error: str, which: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(re.findall("`(import .*?)`", error)[which], {})


def test_the_lines_for_pickles_and_packed_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the well-known data set of 40x40 spins at 16 temperatures: np.packbits of all of them, pickled."""
    system = la.Ising((40, 40))
    tokens = torch.randint(2, (16 * 3, 40, 40), dtype=torch.uint8)
    packed = np.packbits(tokens.numpy().astype(int).reshape(-1, 1600))
    plain = 2 * tokens.numpy().astype(np.int8) - 1
    for name, content, which in (("packed.pkl", packed, 1), ("plain.pkl", plain, 0)):
        path = tmp_path / name
        for protocol in (0, 2, 5):
            path.write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(ValueError, match=r"is a pickle, which can run any code .* never opened here") as caught:
                load_configurations(path, system)
            assert "\n" not in str(caught.value)
            _converted(str(caught.value), which, tmp_path, monkeypatch)
            assert torch.equal(load_configurations(f"{path}.npy", system, say=[].append), tokens)
    np.save(tmp_path / "bits.npy", packed)
    with pytest.raises(ValueError, match="seems to hold packed bits") as caught:
        load_configurations(tmp_path / "bits.npy", system)
    _converted(str(caught.value), 0, tmp_path, monkeypatch)
    assert torch.equal(load_configurations(tmp_path / "bits.npy", system, say=[].append), tokens)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    np.save(tmp_path / "evil.npy", np.array([Evil()]), allow_pickle=True)
    np.savez(tmp_path / "evil.npz", x=np.array([Evil()]))
    (tmp_path / "evil").write_bytes(gzip.compress(pickle.dumps(Evil())))
    for path in [*tmp_path.iterdir()]:
        with pytest.raises(ValueError, match=r"is a pickle|not a readable \.npy|must have a dataset /spins"):
            load_configurations(path, ISING)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("archived", [True, False])
def test_the_line_for_a_file_of_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archived: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save(ISING.spins(TOKENS), path, _use_new_zipfile_serialization=archived)
    with pytest.raises(ValueError, match="is a PyTorch file: convert it by") as caught:
        load_configurations(path, ISING)
    _converted(str(caught.value), 0, tmp_path, monkeypatch)
    assert torch.equal(load_configurations(f"{path}.npy", ISING), TOKENS)


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "comments": (b"# nothing\n\n", "is empty"),
    "words": (b"some words\nmore words\n", "line 2 has 'more'"),
    "only a header": (b"a,b,c\n", "has no row of numbers"),
    "ragged": (b"1 -1\n1 -1 1\n", "line 2 has 3 numbers, line 1 has 2"),
    "a gap": (b"a,b,c\n1,-1,1\n1,,1\n", "line 3 has 2 numbers, line 2 has 3"),
    "binary": (b"\x00\xff\xfe\x01" * 20, "is neither HDF5, .npy, .npz nor text"),
    "bzip2": (b"BZh91AY&SY", "is compressed by bzip2"),
    "zstd": (b"\x28\xb5\x2f\xfd1", "is compressed by zstd"),
    "matlab": (b"MATLAB 5.0 MAT-file", "scipy.io.loadmat"),
    "netCDF 3": (b"CDF\x01", "is a netCDF 3 file"),
    "zip": (b"PK\x03\x04broken", "is a damaged archive"),
    "gzip": (b"\x1f\x8bbroken", "is a damaged gzip file"),
}


@pytest.mark.parametrize("case", FILES)
def test_other_files_are_one_line(tmp_path: Path, case: str) -> None:
    content, message = FILES[case]
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_configurations(tmp_path / "data", ISING)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "data") in str(caught.value)


def test_an_archive_of_other_things(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"is an archive of \['readme.txt'\], not of NumPy arrays"):
        load_configurations(tmp_path / "a.zip", ISING)


def test_a_table_of_pandas(tmp_path: Path) -> None:
    """Its columns are numbered in the first line; row numbers are a column too many."""
    rows = ISING.spins(TOKENS).numpy().reshape(6, 24).astype(int)
    lines = [",".join(map(str, row)) for row in rows]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(map(str, range(24))), *lines]))
    said: list[str] = []
    assert torch.equal(load_configurations(path, ISING, say=said.append), TOKENS)
    assert "the first line is a header" in said[0]
    path.write_text("\n".join(f"{k},{line}" for k, line in enumerate(lines)))
    with pytest.raises(ValueError, match=r"got float64 \(6, 25\); perhaps `x = x\[:, 1:\]`"):
        load_configurations(path, ISING)


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as h5:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((6, 4, 6))
        properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((6, 4, 6))
        made = h5py.h5d.create(h5.id, b"spins", h5py.h5t.STD_I8LE, space, properties)
        made.write_direct_chunk((0, 0, 0), b"compressed", 0)
    message = r"is intact, but /spins is compressed by the filter zstd \(number 32015\), which is not installed: pip"
    with pytest.raises(ValueError, match=message):
        load_configurations(path, ISING)
    assert la.data.read_metadata(path)["shape"] == [4, 6]  # which needs no filter


def test_a_subset_made_by_xarray_is_read(tmp_path: Path) -> None:
    import xarray

    write(tmp_path / "a.h5", 50)
    with xarray.open_dataset(tmp_path / "a.h5", engine="h5netcdf") as data:
        data.isel(sample=slice(10, 30)).to_netcdf(tmp_path / "b.h5", engine="h5netcdf")
    with h5py.File(tmp_path / "b.h5") as h5:
        assert np.shape(h5.attrs["format_version"]) in ((1,), ())  # of most versions numbers come back as arrays
    assert torch.equal(load_configurations(tmp_path / "b.h5", ISING, temperature=2.5), stream(30, 10).tokens)
    (batch,) = la.data.read_batches(tmp_path / "b.h5", 100)
    assert torch.equal(batch.tokens, stream(30, 10).tokens)
    assert batch.seed == stream(1).seed
    with pytest.raises(ValueError, match=r"at temperature 2\.5, not at"):
        load_configurations(tmp_path / "b.h5", ISING, temperature=2.6)


@pytest.mark.parametrize(
    ("attributes", "options", "message"),
    [
        ({"temperature": np.float32(2.269)}, {"temperature": 2.269}, None),
        ({"temperature": 2.269}, {"temperature": np.float32(2.269)}, None),
        ({"temperature": "2.269"}, {"temperature": 2.269}, None),
        ({"temperature": [2.269]}, {"temperature": 2.269}, None),
        ({"temperature": "T_c"}, {}, None),
        ({"temperature": "T_c"}, {"temperature": 2.269}, "the attribute temperature must be a number, got 'T_c'"),
        ({"temperature": [2.1, 2.2]}, {"temperature": 2.1}, r"must be a number, got \[2.1, 2.2\]"),
        ({"temperature": 2.2690003}, {"temperature": 2.269}, "at temperature 2.2690003, not at the requested 2.269"),
        ({"format_version": "1.2.3", "hamiltonian": None}, {}, None),
        ({"format_version": 1.0}, {}, None),
        ({"format_version": [1]}, {}, None),
        ({"format_version": 1.5}, {}, "format_version must be a whole number, got 1.5"),
        ({"format_version": "one"}, {}, "format_version must be a whole number, got 'one'"),
        ({"format_version": 7}, {}, "has format 7, this latticear reads up to 1"),
    ],
)
def test_attributes(tmp_path: Path, attributes: dict[str, Any], options: dict[str, Any], message: str | None) -> None:
    path = _hdf5(tmp_path / "a.h5", ISING.spins(TOKENS).numpy(), "spins")
    ours = {"hamiltonian": json.dumps(ISING.to_dict())} if "format_version" in attributes else {}
    with h5py.File(path, "r+") as h5:
        h5.attrs.update({name: value for name, value in (ours | attributes).items() if value is not None})
    if message is None:
        assert torch.equal(load_configurations(path, ISING, **options), TOKENS)
    else:
        with pytest.raises(ValueError, match=message):
            load_configurations(path, ISING, **options)


def test_the_old_name_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="read_configurations is now latticear.data.load_configurations"):
        assert la.read_configurations is load_configurations
