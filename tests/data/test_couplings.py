"""Couplings on disk: what is read, and one clear error for what is none."""

import h5py
import numpy as np
import pytest

import latticear as la

SHAPE = (2, 3)
COUPLINGS = np.random.default_rng(0).normal(size=(4, 2, *SHAPE))


def _file(path, values, name="couplings"):
    with h5py.File(path, "w") as h5:
        h5[name] = values
    return path


def test_one_instance_or_several(tmp_path):
    one = la.data.read_couplings(_file(tmp_path / "one.h5", COUPLINGS[3]), SHAPE)
    several = _file(tmp_path / "several.h5", COUPLINGS)
    np.testing.assert_array_equal(one, COUPLINGS[3])
    np.testing.assert_array_equal(la.data.read_couplings(several, SHAPE), COUPLINGS[0])
    np.testing.assert_array_equal(la.data.read_couplings(several, SHAPE, 3), COUPLINGS[3])


def test_whole_numbers_are_numbers(tmp_path):
    signs = np.sign(COUPLINGS[0]).astype(np.int8)
    found = la.data.read_couplings(_file(tmp_path / "signs.h5", signs), SHAPE)
    assert str(found.dtype) == "torch.float64"
    np.testing.assert_array_equal(found, signs)


@pytest.mark.parametrize(
    ("values", "index", "message"),
    [
        (COUPLINGS[:, :, :, :2], 0, r"shape \(2, 2, 3\) or .* got float64 \(4, 2, 2, 2\)"),
        (COUPLINGS[0, 0], 0, r"got float64 \(2, 3\)"),
        (1.0, 0, r"got float64 \(\)"),
        (["a", "b"], 0, "must hold numbers"),
        (COUPLINGS, 4, r"holds instances 0\.\.3, got 4"),
        (COUPLINGS, -1, r"holds instances 0\.\.3, got -1"),
        (COUPLINGS[0], 1, r"holds instances 0\.\.0, got 1"),
        (COUPLINGS[:0], 0, "holds no instance"),
        (np.where(COUPLINGS[1, 0, 0, 0] == COUPLINGS, np.nan, COUPLINGS), 1, "must be finite, got nan"),
        (np.where(COUPLINGS[0, 0, 0, 0] == COUPLINGS, np.inf, COUPLINGS), 0, "must be finite, got inf"),
    ],
)
def test_what_is_no_instance(tmp_path, values, index, message):
    with pytest.raises(ValueError, match=message):
        la.data.read_couplings(_file(tmp_path / "wrong.h5", values), SHAPE, index)


def test_files_without_couplings(tmp_path):
    with pytest.raises(ValueError, match=r"must have a dataset /couplings .* it has \['J'\]"):
        la.data.read_couplings(_file(tmp_path / "other.h5", COUPLINGS, "J"), SHAPE)
    (tmp_path / "text.h5").write_text("+ - +")
    with pytest.raises(ValueError, match="is neither HDF5"):
        la.data.read_couplings(tmp_path / "text.h5", SHAPE)
    with pytest.raises(FileNotFoundError):
        la.data.read_couplings(tmp_path / "none.h5", SHAPE)
