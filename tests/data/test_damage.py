"""Damage in HDF5 files is refused with the rows that stand, and never continued; a crash of HDF5 ends nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.files import ATTRIBUTES, ISING, contents, stream, write

from latticear.checksums import DamagedError
from latticear.data import damage, load_configurations, read_batches
from latticear.data.damage import death_of
from latticear.data.hdf5 import opened
from latticear.data.writing import SampleWriter

GOLDEN = Path(__file__).parents[1] / "golden" / "v0_1_0"


def _spoil(path: Path, name: str, chunk: int = 0, *, fletcher32: bool = True) -> None:
    """Change one bit in a chunk of a dataset."""
    with h5py.File(path) as h5:
        assert h5[name].fletcher32 is fletcher32
        at = h5[name].id.get_chunk_info(chunk).byte_offset
    content = bytearray(path.read_bytes())
    content[at + 17] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["spins", "log_q", "energy", "sample"])
def test_one_changed_bit_is_not_continued(tmp_path, name):
    path = tmp_path / "samples.h5"
    write(path, 300)
    _spoil(path, name)
    before = path.read_bytes()
    with pytest.raises(DamagedError, match=rf"cannot be continued: /{name} in rows 0 to 299 cannot be read"):
        write(path, 350, append=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_stands_is_said(tmp_path):
    path = tmp_path / "samples.h5"
    samples = stream(1000)
    with SampleWriter(path, ISING, attributes=ATTRIBUTES) as writer:
        for _ in range(9):
            writer.write(samples, ISING.token_energy(samples.tokens))
    _spoil(path, "log_q", 1)
    with pytest.raises(DamagedError) as caught:
        list(read_batches(path, 5000))
    said = str(caught.value)
    assert "/log_q in rows 4096 to 8191 cannot be read (checksums differ)" in said
    assert "rows before 4096 stand in all datasets" in said
    assert "/energy, /sample, /spins, /x, /y stand" in said
    assert "the same seed gives the same configurations" in said
    assert len(load_configurations(path, ISING)) == 9000  # which reads the spins alone


def test_a_chunk_that_the_index_has_lost_is_no_chunk_of_zeros(tmp_path):
    path = tmp_path / "samples.h5"
    write(path, 300)
    energy, content = contents(path)["energy"], bytearray(path.read_bytes())
    with h5py.File(path) as h5:
        place = h5["energy"].id.get_chunk_info(0)
    at = content.index(place.byte_offset.to_bytes(8, "little"))  # in the index, after the first element of the chunk
    content[at - 15] ^= 16  # which is now element 4096
    path.write_bytes(content)
    with h5py.File(path) as h5:
        assert not np.array_equal(h5["energy"][()], energy)  # HDF5 itself does not notice
    with pytest.raises(DamagedError, match="is damaged: the index of /energy does not have the 1 chunks"), opened(path):
        pass


def test_files_of_version_0_1_0_have_no_checksums_and_are_continued(tmp_path):
    path = tmp_path / "samples.h5"
    path.write_bytes((GOLDEN / "samples.h5").read_bytes())
    with opened(path) as h5:
        assert set(damage.unchecked(h5)) == set(h5)
        assert damage.damaged_rows(h5) == []
    _spoil(path, "spins", fletcher32=False)
    with pytest.raises(ValueError, match="is damaged: /spins in rows 0 to 39"):
        list(read_batches(path, 100))


def test_a_fork_dies_in_the_place_of_the_process():
    assert death_of(lambda: None) == ""
    assert death_of(lambda: 1 / 0) == ""
    assert death_of(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == "it crashes the HDF5 library (SIGSEGV)"


def test_what_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(damage, "PATIENCE", 1)
    assert death_of(signal.pause) == "the HDF5 library does not end with it in 1 s"


def test_a_file_that_crashes_the_library_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "samples.h5"
    write(path, 30)
    before, parent = path.read_bytes(), os.getpid()

    def crash(h5: h5py.File) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr("latticear.data.hdf5.check_index", crash)
    monkeypatch.setattr("latticear.data.writing.check_index", crash)
    with pytest.raises(DamagedError, match=r"samples\.h5 is damaged: it crashes the HDF5 library \(SIGSEGV\)"):
        list(read_batches(path, 100))
    with pytest.raises(ValueError, match=r"cannot be continued: it is damaged: it crashes the HDF5 library"):
        write(path, 40, append=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
