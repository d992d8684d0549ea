"""Damage in one place of any file is refused in one line, or changes nothing that a verb prints or writes."""

import pytest
from support import mutate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = mutate.make(tmp_path_factory.mktemp("damage") / "made")
    return folder, mutate.expected(folder)


@pytest.mark.parametrize("first", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(20, 100, 20))])
def test_damage_is_refused_or_changes_nothing(made, first):
    mutate.COUNTS.clear()
    found = [line for seed in range(first, first + 20) for line in mutate.trouble(*made, seed, every=False)]
    assert found == []
    assert mutate.COUNTS["refused"] >= 3  # the damage is there
