"""What is measured of configurations."""

import pytest
import torch
from support.systems import SYSTEMS

from latticear.estimation.estimates import Estimates
from latticear.estimation.measurement import measurements
from latticear.estimation.named.request import RESERVED
from latticear.samples import Samples


@pytest.mark.parametrize("name", SYSTEMS)
def test_magnetisation_and_energy_are_those_of_the_system(name):
    system = SYSTEMS[name]
    tokens = torch.randint(system.n_tokens, (20, *system.size), generator=torch.Generator().manual_seed(0))
    tokens = tokens.to(torch.uint8)
    (found,) = measurements(Samples(tokens, None, 0), system, [1.0], None)
    assert found.m.tolist() == pytest.approx(system.magnetization(tokens).tolist())
    assert found.energy.tolist() == pytest.approx(system.token_energy(tokens).tolist())


def test_no_observable_takes_a_key_of_the_results():
    found = Estimates({}, temperature=1.0, n=10, diagnostics={}, method="is")
    assert found.to_dict().keys() <= RESERVED
