"""Stages: the number of components of its own site that each channel depends on, for sites with several components.

When a front is drawn, its sites get one component after the other. A channel of stage c depends on the first c
components of its own site; it is computed as soon as these are drawn, a channel of stage 0 before the first one. So
every channel is computed once for each site, however many components there are.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from latticear.sampling.tracing import ELEMENTWISE, HERE, Graph, Node

__all__ = ["stages_in_order", "stages_of"]


def stages_of(graph: Graph) -> dict[str, Any]:
    """The stage of every channel, by name of the node: int64 `(channels,)`, or a tuple of such for a node of parts.

    If sites have several components, tokens of component c have the stage c + 1, at which they can be read at their own
    site. A layer with an attribute `own_site`, bool `(out_channels, in_channels)`, reads those channels at the site
    itself for which it is True; a layer without this attribute reads all channels.
    """
    tokens, *others = graph.nodes
    if graph.n_components == 1:  # without components, no channel depends on the token of its own site
        return {node.name: torch.zeros(node.channels, dtype=torch.long) for node in graph.nodes}
    per_component = tokens.channels // graph.n_components
    stages: dict[str, Any] = {tokens.name: torch.arange(tokens.channels) // per_component + 1}
    for node in others:
        stages[node.name] = _stages(node, [stages[name] for name in node.inputs], stages)
    return stages


def stages_in_order(graph: Graph, stages: dict[str, Any]) -> bool:
    """True if no logit depends on its own component or a later component of its site."""
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
    """The stages of a node that may mix channels in any way: the latest stage of its inputs, for all channels."""
    return torch.full((node.channels,), max(int(source.max()) for source in inputs))
