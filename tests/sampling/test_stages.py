"""Stages of channels, against what they turn out to wait for when tokens of the own site are replaced."""

import pytest
import torch
from support.networks import NETWORKS, Mixed, OwnGroup, Sum
from torch import Tensor, nn

from latticear.models import PixelCNN
from latticear.sampling.probe import probe_of, randomise
from latticear.sampling.schedule import schedule_of
from latticear.sampling.stages import stages_in_order, stages_of
from latticear.sampling.tracing import Graph, one_hot, trace


def _values(graph: Graph, hot: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """All values of a single site, from its indicator channels `(rows, C q)`."""
    tokens, *others = graph.nodes
    values = {tokens.name: hot}
    for node in others:
        if node.has_weights:
            taps, bias = node.weights()
            values[node.name] = values[node.inputs[0]] @ taps.sum(0) + bias
        else:
            values[node.name] = node.apply(values)
    return values


def check_stages(model) -> None:
    """On a lattice of one site: the last component whose token moves a channel, in any of many configurations."""
    probe, generator = probe_of(model), torch.Generator().manual_seed(0)
    graph, q, n_components = trace(probe), model.n_tokens, model.n_components
    stages = {name: _joined(stage, 0) for name, stage in stages_of(graph).items()}
    found = {name: torch.zeros_like(stage) for name, stage in stages.items()}
    for _ in range(10):  # sets of weights: a unit that is dead in one is alive in another
        randomise(probe, generator)
        tokens = torch.randint(q, (200, n_components), generator=generator)
        before = _values(graph, one_hot(tokens[..., None, None], q, torch.float64)[..., 0, 0])
        for component in range(n_components):
            changed = tokens.clone()
            changed[:, component] = (changed[:, component] + 1) % q
            after = _values(graph, one_hot(changed[..., None, None], q, torch.float64)[..., 0, 0])
            for name, last in found.items():
                moved = (_joined(before[name], 1) - _joined(after[name], 1)).abs().amax(0) > 1e-12
                last[moved] = last[moved].clamp(min=component + 1)
    for name, stage in stages.items():
        assert torch.equal(found[name], stage), name


def _joined(value: Tensor | tuple[Tensor, ...], dim: int) -> Tensor:
    return torch.cat([*value], dim) if isinstance(value, tuple) else value


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("q", "n_components"), [(2, 2), (3, 3), (2, 4)])
def test_stages_against_replaced_tokens(network, q, n_components):
    model = network((1, 1), q, width=12, depth=3, n_components=n_components)
    check_stages(model)
    graph = trace(model)
    stages = stages_of(graph)
    assert stages_in_order(graph, stages)
    assert stages[graph.nodes[-1].name].tolist() == [c for c in range(n_components) for _ in range(q)]


def test_functions_of_groups():
    check_stages(Mixed((1, 1)))


@pytest.mark.parametrize("head", [nn.Conv2d(4, 4, 1), Sum()])
def test_what_may_mix_groups_waits_for_all(head):
    """And is not in order: such a network is not drawn by an engine."""
    graph = trace(Mixed((2, 3), head=head))
    stages = stages_of(graph)
    assert stages[graph.nodes[-1].name].tolist() == [1] * 4
    assert not stages_in_order(graph, stages)
    assert not schedule_of(Mixed((2, 3), head=head)).in_time


def test_a_leak_is_not_in_order():
    graph = trace(OwnGroup((2, 3), n_components=2))
    assert not stages_in_order(graph, stages_of(graph))


def test_one_component_never_waits():
    graph = trace(PixelCNN((3, 4), 3))
    assert all((stage == 0).all() for stage in stages_of(graph).values())
