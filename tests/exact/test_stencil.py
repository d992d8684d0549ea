"""Derivatives of ln Z from its values at some temperatures and fields."""

import numpy as np
import pytest

import latticear as la
from latticear.exact.stencil import Stencil, central_derivatives
from latticear.exact.tabulated import Tabulated


@pytest.mark.parametrize("half", [1, 2, 3])
def test_the_error_is_of_the_order_of_the_number_of_points(half):
    errors = []
    for step in (0.2, 0.1):
        x = 0.3 + step * np.arange(-half, half + 1)
        derivatives = central_derivatives(np.exp(2 * x), step)
        errors.append(np.abs(derivatives[1:3] / (np.exp(0.6) * np.array([2, 4])) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx([2 * half] * 2, abs=0.3)


@pytest.mark.parametrize(
    "system",
    [la.Ising((3, 4)), la.Ising((3, 4), field=0.3), la.BlumeCapel((3, 3), crystal_field=0.5), la.Potts((2, 4), q=3)],
    ids=str,
)
def test_thermodynamics_of_exact_sums(system):
    """With ln Z to all digits, the derivatives are those of the sum over all configurations."""
    table, exact = Tabulated(system, 1.7), la.exact.enumerate_states(system, 1.7)
    is_number = system.vectors.shape[1] == 1
    m = system.spins(table.tokens).sum((1, 2)).double().numpy()
    stencil = Stencil(system, 1.7, float(np.sqrt(np.exp(table.log_p) @ m**2)) if is_number else None)
    tokens, log_z = table.tokens.long().flatten(1), []
    for factor, field in zip(stencil.factors, stencil.fields, strict=True):
        log_w = -table.energy / 1.7 * factor.item() + field[tokens].sum(1).numpy()
        log_z.append(np.logaddexp.reduce(log_w))
    found = stencil.result("sum", np.array(log_z)).to_dict()
    assert ("binder_cumulant" in found) == is_number
    for name, value in found.items():
        assert value == pytest.approx(getattr(exact, name), rel=1e-6, abs=1e-6), name
