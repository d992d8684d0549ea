import pytest

import latticear as la


def test_a_search_finds_what_is_proven_and_is_bounded_by_it():
    glass = la.EdwardsAnderson((4, 4), seed=1)
    proven, searched = la.ground_state(glass), la.ground_state(glass, "parallel-tempering", n=160)
    assert proven.proven
    assert searched.proven
    assert searched.energy == proven.energy == float(glass.token_energy(searched.tokens[None])[0])
    assert searched.degeneracy == proven.degeneracy


def test_a_search_alone_is_not_proven():
    found = la.ground_state(la.SherringtonKirkpatrick((3, 3)), "parallel-tempering", n=160)
    assert not found.proven
    assert found.energy == pytest.approx(la.ground_state(la.SherringtonKirkpatrick((3, 3))).energy)
    assert "not proven" in repr(found)


def test_other_methods_are_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        la.ground_state(la.Ising((3, 3)), "simplex")
