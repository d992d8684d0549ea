"""Evaluation mode lasts as long as it is asked for, and every module is given its own mode back."""

import pytest
from torch import nn

from latticear.sampling.modes import evaluated, evaluating


def _network() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2))
    network.train()
    network[1].eval()  # frozen, say
    return network


def _modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


def test_modes_come_back():
    network = _network()
    before = _modes(network)
    assert before == [True, True, False, True]
    with evaluating(network):
        assert not any(_modes(network))
    assert _modes(network) == before
    with pytest.raises(RuntimeError, match="stop"), evaluating(network):
        raise RuntimeError("stop")
    assert _modes(network) == before


def test_batches_are_made_in_evaluation_mode():
    network, seen = _network(), []
    before = _modes(network)

    def batches():
        for k in range(3):
            seen.append(any(_modes(network)))
            yield k

    for _ in evaluated(network, batches()):
        assert _modes(network) == before
    assert seen == [False] * 3
    assert _modes(network) == before
