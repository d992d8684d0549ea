"""Conditions: labels become one-hot vectors, numbers stay, and what is neither is one clear error."""

import h5py
import numpy as np
import pytest
import torch

import latticear as la
from latticear.data.labels import encoded, written_condition


def _file(path, condition, n=3):
    with h5py.File(path, "w") as h5:
        h5["spins"] = np.zeros((n, 2, 2), np.int8)
        if condition is not None:
            h5["condition"] = condition
    return path


def test_labels_become_one_hot_vectors():
    assert torch.equal(encoded(np.array([1, 0, 3]), 4), torch.eye(4)[[1, 0, 3]])
    numbers = np.array([[0.5, -1.0]])
    assert encoded(numbers, 0).tolist() == encoded(numbers, 2).tolist() == [[0.5, -1.0]]
    with pytest.raises(ValueError, match=r"labels must be 0\.\.2, got 0\.\.3"):
        encoded(np.array([0, 3]), 3)
    with pytest.raises(ValueError, match="there are no classes"):
        encoded(np.array([0]), 0)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, None),
        (np.array([2, 0, 1], np.uint8), [2, 0, 1]),
        (np.array([[2], [0], [1]], np.int64), [2, 0, 1]),
        (np.array([0.5, 1, 2], np.float32), [[0.5], [1], [2]]),
        (np.eye(3)[:, :2], [[1, 0], [0, 1], [0, 0]]),
        (np.eye(3, 2, dtype=np.int8), [[1, 0], [0, 1], [0, 0]]),
    ],
)
def test_conditions_of_a_file(tmp_path, stored, expected):
    found = la.data.read_condition(_file(tmp_path / "c.h5", stored))
    assert (found is None) if expected is None else (found.tolist() == expected)


def test_a_npy_file_has_no_condition(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((3, 2, 2)))
    assert la.data.read_condition(tmp_path / "c.npy") is None


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.zeros(4, int), "for each of the 3 configurations"),
        (np.zeros((2, 5)), "for each of the 3 configurations"),
        (np.zeros((3, 2, 2)), "for each of the 3 configurations"),
        (np.zeros((3, 0)), "for each of the 3 configurations"),
        (np.zeros((3, 5000)), "up to 4096 numbers"),
        (1.0, "for each of the 3 configurations"),
        (["a", "b", "c"], "for each of the 3 configurations"),
        (np.array([[0.0], [np.nan], [1.0]]), r"must be finite, got \[nan\] in row 1"),
        (np.array([0.0, 1.0, np.inf]), r"must be finite, got \[inf\] in row 2"),
        (np.array([0, -1, 1]), "labels in /condition must be 0, 1, .* got -1"),
        (np.array([0, 2**40, 1]), "labels in /condition must be 0, 1, .* got 1099511627776"),
        (np.array([0, 2**63, 1], np.uint64), "labels in /condition must be 0, 1, .* got 9223372036854775808"),
    ],
)
def test_conditions_that_are_none(tmp_path, stored, words):
    with pytest.raises(ValueError, match=words) as refused:
        la.data.read_condition(_file(tmp_path / "c.h5", stored))
    assert str(refused.value).startswith(str(tmp_path / "c.h5"))
    assert "\n" not in str(refused.value)


def test_a_group_is_no_condition(tmp_path):
    path = _file(tmp_path / "c.h5", None)
    with h5py.File(path, "r+") as h5:
        h5.create_group("condition")
    with pytest.raises(ValueError, match="/condition must hold a label"):
        la.data.read_condition(path)


def test_conditions_as_a_user_writes_them():
    assert written_condition("2", 3, 3).tolist() == [0, 0, 1]
    assert written_condition("0.25,0.75,0", 3, 3).tolist() == [0.25, 0.75, 0]  # a mixture of classes
    assert written_condition("2", 0, 1).tolist() == [2]
    assert written_condition("-1, 1e-1", 0, 2).tolist() == pytest.approx([-1, 0.1])


@pytest.mark.parametrize(
    ("text", "n_classes", "n_condition", "words"),
    [
        ("3", 3, 3, r"a class 0\.\.2, got '3'"),
        ("-1", 3, 3, r"a class 0\.\.2, got '-1'"),
        ("a", 3, 3, r"a class 0\.\.2, got 'a'"),
        ("", 3, 3, r"a class 0\.\.2, got ''"),
        ("1,2", 3, 3, r"a class 0\.\.2 or 3 finite numbers separated by commas, got '1,2'"),
        ("1", 0, 2, "2 finite numbers separated by commas, got '1'"),
        ("1,x", 0, 2, "2 finite numbers separated by commas, got '1,x'"),
        ("1,nan", 0, 2, "2 finite numbers separated by commas, got '1,nan'"),
        ("1", 0, 0, "the model takes no condition"),
    ],
)
def test_conditions_that_cannot_be(text, n_classes, n_condition, words):
    with pytest.raises(ValueError, match=words):
        written_condition(text, n_classes, n_condition)
