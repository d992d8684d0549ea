"""Couplings on disk: what is read, and one clear error for what is none."""

import h5py
import numpy as np
import pytest
import torch

import latticear as la
from latticear.data.couplings import Couplings

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
        (COUPLINGS[0, 0], 0, r"extent 2 two bonds join the same sites"),  # two rows i, j, J
        (COUPLINGS[0, 0, :1, :2], 0, r"got float64 \(1, 2\)"),
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
    with pytest.raises(ValueError, match=r"must have a dataset /couplings, it has \['J'\]"):
        la.data.read_couplings(_file(tmp_path / "other.h5", COUPLINGS, "J"), SHAPE)
    (tmp_path / "text.h5").write_text("+ - +")
    with pytest.raises(ValueError, match=r"is neither HDF5 nor \.npy, nor a text with rows i j J \(line 1: '\+ - \+'"):
        la.data.read_couplings(tmp_path / "text.h5", SHAPE)
    (tmp_path / "bytes").write_bytes(b"\xff\x00\xfe")
    with pytest.raises(ValueError, match="nor a text of numbers"):
        la.data.read_couplings(tmp_path / "bytes", SHAPE)
    with pytest.raises(FileNotFoundError):
        la.data.read_couplings(tmp_path / "none.h5", SHAPE)


# lists of bonds and matrices

GLASS = la.EdwardsAnderson((3, 4), np.random.default_rng(1).normal(size=(2, 3, 4)).tolist())
"""A glass without doubled bonds."""


def _rows(system=GLASS, **changes):
    """The rows i, j, J of a system, some of them changed: {"row3": (0, 1, 2.0)}."""
    rows = [
        (i, j, -table[0, 0].item()) for (i, j), table in zip(system.bonds.tolist(), system.bond_energies, strict=True)
    ]
    return [changes.get(f"row{number}", row) for number, row in enumerate(rows, 1)]


def _text(path, rows):
    path.write_text("# i j J\n\n" + "".join(f"{i} {j}, {coupling!r}  # a bond\n" for i, j, coupling in rows))
    return path


def _matrix(rows, n):
    matrix = np.zeros((n, n))
    for i, j, coupling in rows:
        matrix[i, j] = matrix[j, i] = coupling
    return matrix


def test_every_layout_is_the_same_glass(tmp_path):
    np.save(tmp_path / "maps.npy", GLASS.couplings)
    np.save(tmp_path / "list.npy", np.array(_rows()))
    np.save(tmp_path / "matrix.npy", _matrix(_rows(), 12))
    np.savetxt(tmp_path / "matrix.txt", _matrix(_rows(), 12))
    files = [tmp_path / name for name in ("maps.npy", "list.npy", "matrix.npy", "matrix.txt")]
    files += [
        _text(tmp_path / "list.txt", [(j, i, c) for i, j, c in reversed(_rows())]),
        _file(tmp_path / "h.h5", _rows()),
    ]
    for file in files:
        np.testing.assert_array_equal(la.data.read_couplings(file, (3, 4)), GLASS.couplings)


def test_a_list_has_the_bonds_of_its_lattice(tmp_path):
    cylinder = la.EdwardsAnderson((3, 4), periodic=(False, True), missing=[(1, 1)], seed=3)
    file = _text(tmp_path / "list.txt", _rows(cylinder))
    found = la.data.read_couplings(file, (3, 4), lattice=cylinder.lattice)
    again = la.EdwardsAnderson((3, 4), found.tolist(), periodic=(False, True), missing=[(1, 1)])
    assert torch.equal(again.bond_energies, cylinder.bond_energies)
    with pytest.raises(ValueError, match=r"lacks 8 of the 24 bonds of .*, such as \(\d+, \d+\): list them with J"):
        la.data.read_couplings(file, (3, 4))


def test_a_matrix_of_all_pairs(tmp_path):
    random = la.SherringtonKirkpatrick((2, 3), seed=1)
    matrix = (random.matrix + random.matrix.T).numpy()
    np.save(tmp_path / "m.npy", matrix)
    np.save(tmp_path / "several.npy", np.stack([0 * matrix, matrix]))
    for file, index in (("m.npy", 0), ("several.npy", 1)):
        found = la.data.read_coupling_matrix(tmp_path / file, 6, index)
        assert torch.equal(la.SherringtonKirkpatrick((2, 3), couplings=found).bond_energies, random.bond_energies)
    listed = _text(tmp_path / "list.txt", _rows(random))
    np.testing.assert_array_equal(la.data.read_coupling_matrix(listed, 6), matrix)
    with pytest.raises(ValueError, match=r"lacks 1 of the 15 pairs .* such as \(0, 1\): .* hamiltonian.name pair"):
        la.data.read_coupling_matrix(_text(tmp_path / "less.txt", _rows(random)[1:]), 6)
    with pytest.raises(ValueError, match=r"must be symmetric, got J\[0, 1\] = .* J\[1, 0\] = 0; .* by J \+ J.T"):
        la.data.read_coupling_matrix(_file(tmp_path / "triangle.h5", np.triu(matrix)), 6)
    with pytest.raises(ValueError, match=r"must be 0 on the diagonal, got J\[0, 0\] = 1"):
        la.data.read_coupling_matrix(_file(tmp_path / "diagonal.h5", matrix + np.eye(6)), 6)


def test_bonds_of_a_pair_hamiltonian(tmp_path):
    rows = [(0, 5, -1.0), (4, 1, 0.5), (3, 4, 0.25)]
    with h5py.File(tmp_path / "two.h5", "w") as h5:
        h5["bonds"], h5["couplings"] = [row[:2] for row in rows], [row[2] for row in rows]
    for file in (_text(tmp_path / "list.txt", rows), tmp_path / "two.h5"):
        bonds, couplings = la.data.read_bonds(file, 6)
        assert (bonds.tolist(), couplings.tolist()) == ([[0, 5], [4, 1], [3, 4]], [-1.0, 0.5, 0.25])
    bonds, couplings = la.data.read_bonds(_file(tmp_path / "matrix.h5", _matrix(rows, 6)), 6)
    assert (bonds.tolist(), couplings.tolist()) == ([[0, 5], [1, 4], [3, 4]], [-1.0, 0.5, 0.25])
    with h5py.File(tmp_path / "two.h5", "a") as h5:
        del h5["bonds"]
        h5["bonds"] = [[0, 5]]
    with pytest.raises(ValueError, match=r"/bonds must have shape \(3, 2\), got \(1, 2\)"):
        la.data.read_bonds(tmp_path / "two.h5", 6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 0, 2.0), r"twice, as \(0, 1\) in row 1 and as \(1, 0\) in row 3: list it once"),
        ((0, 1, 2.0), r"twice, as \(0, 1\) in row 1 and as \(0, 1\) in row 3"),
        (
            (0, 2, 2.0),
            r"a bond between sites 0 and 2, which are no neighbours on .* pair takes any",
        ),
        ((2, 2, 2.0), "row 3: a bond joins two different sites, got 2 twice"),
        ((2, 12, 2.0), r"row 3: sites are numbered y W \+ x = 0..11, got 12"),
        ((-1, 2, 2.0), r"row 3: sites are numbered y W \+ x = 0..11, got -1"),
        ((0.5, 2, 2.0), r"row 3: sites are numbered y W \+ x = 0..11, got 0.5"),
        ((2, 3, float("nan")), "couplings must be finite, got nan"),
        ((2, 3, "x"), r"nor a text with rows i j J \(line 5: \"2 3, 'x'"),
        ((2, "", 1.0), r"\(line 5: .*2 numbers instead of 3"),
    ],
)
def test_what_is_no_list_of_bonds(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        la.data.read_couplings(_text(tmp_path / "list.txt", _rows(row3=row)), (3, 4))


def test_sites_counted_from_one_are_recognised(tmp_path):
    rows = [(i + 1, j + 1, c) for i, j, c in _rows()]
    with pytest.raises(ValueError, match=r"got 12; these seem to be numbered from 1: subtract 1"):
        la.data.read_couplings(_text(tmp_path / "list.txt", rows), (3, 4))


def test_a_digest_is_that_of_the_numbers():
    values, bonds = torch.rand(3), torch.tensor([[0, 1], [1, 2], [2, 3]])
    digests = {Couplings(values).digest, Couplings(values, bonds).digest, Couplings(values.flip(0), bonds).digest}
    assert len(digests) == 3
    assert Couplings(values.clone(), bonds.clone()).digest in digests
