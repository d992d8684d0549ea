"""Writing configurations: what is written is read again, and continued as if never interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray
from support.files import ATTRIBUTES, ISING, SEED, ThreeHalves, assert_same_file, contents, stream, write

from latticear.data import load_configurations, read_batches, read_metadata
from latticear.data.writing import SampleWriter
from latticear.hamiltonians import Ising
from latticear.samples import Samples


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 250, block=99)
    samples = stream(250)
    stored = contents(path)
    assert stored["spins"].dtype == np.int8
    np.testing.assert_array_equal(stored["spins"], ISING.spins(samples.tokens))
    np.testing.assert_array_equal(stored["energy"], ISING.energy(ISING.spins(samples.tokens)))
    np.testing.assert_array_equal(stored["log_q"], samples.log_q)
    tokens = load_configurations(path, ISING, temperature=2.5)
    assert tokens.dtype == torch.uint8
    assert torch.equal(tokens, samples.tokens)


def test_metadata(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    found = json.loads(json.dumps(read_metadata(path)))
    assert (found["n_samples"], found["shape"]) == (10, [4, 6])
    assert found["datasets"]["spins"] == {"shape": [10, 4, 6], "dtype": "int8"}
    assert set(found["datasets"]) == {"spins", "log_q", "energy", "sample", "y", "x"}
    attributes = found["attributes"]
    assert attributes["hamiltonian"] == ISING.to_dict()
    assert attributes["beta"] == 0.4
    assert attributes["format_version"] == 1
    assert "nats" in attributes["conventions"]
    assert ATTRIBUTES.items() <= attributes.items()


def test_attributes_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    couplings = np.random.default_rng(0).normal(size=20_000).tolist()
    attributes = {"seed": 2**63 + 1, "couplings": couplings, "pretrained": True, "note": "[not JSON"}
    with SampleWriter(path, ISING, attributes=attributes):
        pass
    assert attributes.items() <= read_metadata(path)["attributes"].items()
    assert "temperature" not in read_metadata(path)["attributes"]
    SampleWriter(path, ISING, attributes=attributes, append=True).close()


@pytest.mark.parametrize("batch_size", [1, 64, 250, 1000])
def test_read_batches(tmp_path: Path, batch_size: int) -> None:
    path = tmp_path / "samples.h5"
    write(path, 250)
    batches = list(read_batches(path, batch_size))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    whole = Samples.cat(batches)
    assert torch.equal(whole.tokens, stream(250).tokens)
    assert torch.equal(whole.log_q, stream(250).log_q)
    assert (whole.seed, whole.condition, whole.provenance) == (SEED, None, {"host": "here"})


def test_condition_components_and_no_log_q(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    condition = torch.rand(20, 3, dtype=torch.float64)
    samples = replace(stream(20, shape=(2, 4, 6)), log_q=None, condition=condition)
    options = {"has_log_q": False, "n_condition": 3, "n_components": 2}
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, **options) as writer:
        writer.write(samples, torch.zeros(20))
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["spins"].dims == ("sample", "component", "y", "x")
        assert data["condition"].dims == ("sample", "condition_component")
        assert "log_q" not in data
    whole = Samples.cat(list(read_batches(path, 7)))
    assert whole.log_q is None
    assert torch.equal(whole.tokens, samples.tokens)
    assert torch.equal(whole.condition, condition)


def test_sites_held_fixed(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    where = torch.rand(250, 4, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    samples = replace(stream(250), where=where, log_q_given=stream(250).log_q - 1)
    energy = ISING.token_energy(samples.tokens)
    for stop in (100, 250):
        with SampleWriter(path, ISING, attributes=ATTRIBUTES, append=True, has_given=True) as writer:
            writer.write(samples[writer.n_written : stop], energy[writer.n_written : stop])
    whole = Samples.cat(list(read_batches(path, 99)))
    assert torch.equal(whole.tokens, samples.tokens)
    for name in ("log_q", "log_q_given", "where"):
        assert torch.equal(getattr(whole, name), getattr(samples, name)), name
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["where"].dims == ("sample", "y", "x")
        assert data["where"].dtype == np.uint8
        assert data["log_q_given"].dims == ("sample",)
        assert data["log_q_given"].attrs["units"] == "nat"
    with (
        SampleWriter(tmp_path / "free.h5", ISING, attributes=ATTRIBUTES) as writer,
        pytest.raises(ValueError, match=r"this file takes .*, got samples with .*'log_q_given'.*'where'"),
    ):
        writer.write(samples, energy)


def test_states_that_are_no_small_integers(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    system = ThreeHalves((4, 6))
    samples = stream(50, q=3)
    with SampleWriter(path, system, attributes=ATTRIBUTES) as writer:
        writer.write(samples, system.token_energy(samples.tokens))
    stored = contents(path)
    assert stored["tokens"].dtype == np.uint8
    assert "spins" not in stored
    np.testing.assert_array_equal(stored["states"], system.states)
    assert torch.equal(load_configurations(path, system), samples.tokens)
    assert torch.equal(next(read_batches(path, 50)).tokens, samples.tokens)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["states"].dims == ("token",)
    SampleWriter(path, system, attributes=ATTRIBUTES, append=True).close()


def test_xarray_names_the_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 120)
    write(path, 130, append=True)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert dict(data.sizes) == {"sample": 130, "y": 4, "x": 6}
        assert data["spins"].dims == ("sample", "y", "x")
        assert data["energy"].dims == data["log_q"].dims == ("sample",)
        for dim, size in data.sizes.items():
            np.testing.assert_array_equal(data.coords[dim], np.arange(size))
        assert data["spins"].sel(sample=129, y=3, x=5) == stream(130).tokens[129, 3, 5].item() * 2 - 1


@pytest.mark.parametrize("stops", [[1, 2, 350], [100, 200, 350], [0, 349, 350, 350]])
def test_append_equals_one_go(tmp_path: Path, stops: list[int]) -> None:
    write(tmp_path / "whole.h5", 350)
    for stop in stops:
        write(tmp_path / "parts.h5", stop, block=64, append=True, commit_seconds=0)
    assert_same_file(tmp_path / "parts.h5", tmp_path / "whole.h5")


def test_append_cuts_to_the_common_length(tmp_path: Path) -> None:
    write(tmp_path / "whole.h5", 350)
    path = tmp_path / "parts.h5"
    write(path, 200)
    with h5py.File(path, "r+") as h5:
        h5["log_q"].resize(150, axis=0)
        h5["sample"].resize(180, axis=0)
    with SampleWriter(path, ISING, attributes=ATTRIBUTES, append=True) as writer:
        assert writer.n_written == 150
    write(path, 350, append=True)
    assert_same_file(path, tmp_path / "whole.h5")


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with pytest.raises(FileExistsError, match=r"samples.h5 already exists; continue it with append"):
        write(path, 20)
    assert read_metadata(path)["n_samples"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attributes": {**ATTRIBUTES, "temperature": 2.6}}, "its temperature is 2.5, this run's is 2.6"),
        ({"attributes": {**ATTRIBUTES, "seed": 8}}, "its seed is 7, this run's is 8"),
        ({"attributes": {**ATTRIBUTES, "model": {"name": "gated"}}}, "its model is .*pixelcnn.*gated"),
        ({"attributes": {**ATTRIBUTES, "model": None}}, "its model is .*, this run's is None"),
        ({"attributes": {**ATTRIBUTES, "method": "wolff"}}, "its method is None, this run's is 'wolff'"),
        ({"has_log_q": False}, "log_q"),
        ({"n_condition": 2}, "condition"),
        ({"n_components": 2}, "component"),
        ({"has_given": True}, "this run writes .*'log_q_given'.*'where'"),
        ({"hamiltonian": Ising((4, 6))}, "its hamiltonian is .*'field': 0.25.*, this run's"),
    ],
)
def test_append_to_something_else(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    before = path.read_bytes()
    options = {"hamiltonian": ISING, "attributes": ATTRIBUTES, **changes}
    with pytest.raises(ValueError, match=f"cannot be continued: .*{message}.*; name another file"):
        SampleWriter(path, options.pop("hamiltonian"), append=True, **options)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_append_ignores_rounding_version_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with h5py.File(path, "r+") as h5:
        h5.attrs["latticear_version"] = "0.0.1"
    same = {**ATTRIBUTES, "temperature": 2.5 * (1 + 1e-15), "provenance": {"host": "there"}}
    write(path, 20, append=True, attributes=same)
    assert read_metadata(path)["attributes"]["provenance"] == {"host": "here"}


def test_append_to_a_file_of_others(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    with h5py.File(path, "w") as h5:
        h5["spins"] = np.ones((3, 4, 6), np.int8)
    with pytest.raises(ValueError, match="latticear did not write it"):
        write(path, 10, append=True)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="it is not an intact HDF5 file"):
        write(path, 10, append=True)


def test_append_to_a_file_that_declares_rows_it_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write(path, 10)
    with h5py.File(path, "r+") as h5:
        h5["spins"].resize(2**50, axis=0)
    with pytest.raises(ValueError, match="it is damaged: spins lacks the data of its 1125899906842624 rows"):
        write(path, 20, append=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed 7, got samples of seed 8"),
        ({"log_q": None}, r"takes \['spins', 'log_q', 'energy'\]|takes \['energy', 'log_q', 'spins'\]"),
        ({"tokens": torch.zeros(10, 4, 5, dtype=torch.uint8)}, r"spins must have shape \(10, 4, 6\)"),
        ({"tokens": torch.full((10, 4, 6), 2, dtype=torch.uint8)}, "tokens must be below 2, got 2"),
    ],
)
def test_wrong_samples_write_nothing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "samples.h5"
    with SampleWriter(path, ISING, attributes=ATTRIBUTES) as writer:
        writer.write(stream(10), torch.zeros(10))
        with pytest.raises(ValueError, match=message):
            writer.write(replace(stream(20, 10), **change), torch.zeros(10))
        writer.write(stream(20, 10), torch.zeros(10))
    assert torch.equal(load_configurations(path, ISING), stream(20).tokens)
    with pytest.raises(ValueError, match="is closed"):
        writer.write(stream(10), torch.zeros(10))


def test_an_error_between_writes_keeps_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"

    def blocks() -> Iterator[Samples]:
        yield stream(30)
        raise KeyboardInterrupt

    def run() -> None:
        with SampleWriter(path, ISING, attributes=ATTRIBUTES, commit_seconds=1e9) as writer:
            for samples in blocks():
                writer.write(samples, torch.zeros(30))

    with pytest.raises(KeyboardInterrupt):
        run()
    assert torch.equal(load_configurations(path, ISING), stream(30).tokens)


def test_open_file_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    with SampleWriter(path, ISING, attributes=ATTRIBUTES):
        with pytest.raises(BlockingIOError, match="is open elsewhere"):
            write(path, 10, append=True)
        with pytest.raises(BlockingIOError, match="is being written"):
            read_metadata(path)
    with h5py.File(path), pytest.raises(BlockingIOError, match="is open elsewhere"):
        write(path, 10, append=True)
