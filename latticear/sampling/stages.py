"""Which components of its own site each channel waits for, where a site has several.

When a front is drawn, its sites get one component after the other. A channel of stage c is computed when the first c
components of its own site are drawn, and reads no later one; of stage 0, before the first. So every channel is computed
once for each site, however many components there are.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from latticear.sampling.tracing import ELEMENTWISE, HERE, Graph, Node

__all__ = ["stages_in_order", "stages_of"]


def stages_of(graph: Graph) -> dict[str, Any]:
    """The stage of every channel, by name of the node: int64 `(channels,)`, or a tuple of those of its parts.

    Tokens have one too, as they are read at their own site: c + 1 for component c, where there are several. A layer
    with an attribute `own_site`, bool `(out_channels, in_channels)`, reads there what that says; any other, all.
    """
    tokens, *others = graph.nodes
    if graph.n_components == 1:  # a single token is never read at its own site
        return {node.name: torch.zeros(node.channels, dtype=torch.long) for node in graph.nodes}
    per_component = tokens.channels // graph.n_components
    stages: dict[str, Any] = {tokens.name: torch.arange(tokens.channels) // per_component + 1}
    for node in others:
        stages[node.name] = _stages(node, [stages[name] for name in node.inputs], stages)
    return stages


def stages_in_order(graph: Graph, stages: dict[str, Any]) -> bool:
    """True if no logit waits for its own component or a later one."""
    logits = stages[graph.nodes[-1].name]
    return bool((logits <= torch.arange(len(logits)) // (len(logits) // graph.n_components)).all())


def _stages(node: Node, inputs: list[Any], stages: dict[str, Any]) -> Any:
    if node.has_weights:
        return _of_taps(node, inputs[0])
    if node.is_constant:
        return torch.zeros(node.channels, dtype=torch.long)
    if node.function is operator.getitem:
        return inputs[0][node.arguments[1]]
    if node.function is torch.chunk:
        n_chunks = node.options.get("chunks", node.arguments[1] if len(node.arguments) > 1 else 1)
        return torch.chunk(inputs[0], n_chunks)
    if node.function is torch.cat:
        parts = node.options.get("tensors", node.arguments[0] if node.arguments else ())
        return torch.cat(fx.map_arg(parts, lambda part: stages[part.name]))
    mixes = node.is_incremental or (isinstance(node.function, nn.Module) and not isinstance(node.function, ELEMENTWISE))
    if mixes or any(len(source) not in (1, node.channels) for source in inputs):
        return _latest(node, inputs)
    return torch.stack([source.expand(node.channels) for source in inputs]).amax(0)


def _of_taps(node: Node, source: Tensor) -> Tensor:
    if HERE[0] not in node.offsets:
        return torch.zeros(node.channels, dtype=torch.long)
    own_site = getattr(node.layer, "own_site", None)
    return _latest(node, [source]) if own_site is None else (own_site.cpu() * source).amax(1)


def _latest(node: Node, inputs: list[Tensor]) -> Tensor:
    """For what may mix channels in any way."""
    return torch.full((node.channels,), max(int(source.max()) for source in inputs))
