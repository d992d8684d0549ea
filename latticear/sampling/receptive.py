"""The receptive field of a site, the sites on which its logits depend, and its blind spot, all other earlier sites.

The receptive field is found in two independent ways, which must agree: from the taps (the offsets at which layers read
their inputs) of the traced network, and by replacing tokens, which works for any network. A network cannot learn a
dependence on sites of its blind spot. Small kernels alone leave a blind spot, which on a torus contains close
neighbours across the boundary. The known-neighbour term (the bias of a model) adds the exact energies of bonds to
earlier sites, whether or not they belong to the receptive field.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.lattice import configuration_size
from latticear.sampling.probe import probe_of, random_condition, randomise
from latticear.sampling.schedule import raster_rank
from latticear.sampling.tracing import Graph, trace

__all__ = [
    "ReceptiveField",
    "ReceptiveFieldWarning",
    "dependences",
    "field_of",
    "slope_of",
    "summary",
    "warn_of_short_reach",
]

AT_ONCE = 512
"""Configurations in one pass of a network in which tokens are replaced."""


class ReceptiveFieldWarning(UserWarning):
    """The receptive field of a network does not reach across its lattice."""


class ReceptiveField(NamedTuple):
    """The sites on which the conditional probability of one site depends; all masks are bool `(H, W)`.

    Attributes:
        site: (y, x).
        seen: the receptive field, other sites on which the network's logits of this site depend.
        known: sites whose bond with this site is in the known-neighbour term, also across a periodic boundary.
        earlier: all sites that precede this site in raster order.
    """

    site: tuple[int, int]
    seen: Tensor
    known: Tensor
    earlier: Tensor

    @property
    def blind_spot(self) -> Tensor:
        """Earlier sites outside the receptive field, whether or not they are in the known-neighbour term."""
        return self.earlier & ~self.seen


def field_of(model: Any, site: tuple[int, int]) -> ReceptiveField | None:
    """The receptive field of a site from the offsets of layers; None if these do not describe the network.

    Args:
        model: any model.
        site: (y, x).

    Raises:
        ValueError: for a site outside the lattice.

    Example:
        >>> from latticear import PixelCNN
        >>> field = field_of(PixelCNN((4, 5), depth=2, kernel_size=3), (3, 2))
        >>> field.seen.int()
        tensor([[0, 0, 0, 0, 0],
                [1, 1, 1, 1, 1],
                [1, 1, 1, 1, 0],
                [1, 1, 0, 0, 0]], dtype=torch.int32)
        >>> int(field.blind_spot.sum())
        6
    """
    if not all(0 <= at < extent for at, extent in zip(site, model.shape, strict=True)):
        raise ValueError(f"site must be (y, x) on the {model.shape[0]} x {model.shape[1]} lattice, got {site}")
    graph = trace(model)
    if graph is None or any(node.is_incremental for node in graph.nodes):
        return None
    order = raster_rank(model.shape, model.shape[1])
    seen = _seen(graph, site)
    seen[site] &= model.n_components == 1  # a component may depend on earlier components of its own site
    return ReceptiveField(site, seen, _known(model, site), order < order[site])


@torch.no_grad()
def dependences(model: Any, *, n_trials: int = 3, seed: int = 0) -> Tensor:
    """Which logits change when a token is replaced: bool `(C N, C N)`, with C tokens at each of the N = H W sites.

    `dependences[i, j]` is True if the logits of site i, including the bias, changed in any trial when site j took
    another token; with components, entry `c N + i` is component c of site i. Each trial uses a random configuration and
    a float64 copy of the network with new random weights (a zero weight or a dead unit would hide a connection).

    Args:
        model: any model; it is not changed.
        n_trials: number of random configurations, each with its own random weights.
        seed: seed of the configurations and weights.
    """
    generator = torch.Generator().manual_seed(seed)
    probe = probe_of(model)
    size = configuration_size(model.shape, model.n_components)
    moved = torch.zeros(math.prod(size), math.prod(size), dtype=torch.bool)
    for _ in range(n_trials):
        randomise(probe, generator)
        tokens = torch.randint(model.n_tokens, size, generator=generator)
        condition = random_condition(model, 1, generator)
        for sources in torch.arange(tokens.numel()).split(max(1, AT_ONCE // model.n_tokens)):
            changed = tokens.flatten().repeat(len(sources), model.n_tokens, 1)
            changed[torch.arange(len(sources)), :, sources] = torch.arange(model.n_tokens)
            given = None if condition is None else condition.expand(changed[..., 0].numel(), -1)
            logits = probe.logits(changed.view(-1, *size), given).flatten(2)
            of_each = logits.unflatten(0, changed.shape[:2])  # source, its token, token and site of the logit
            change = (of_each - of_each[:, :1]).abs().amax((1, 2))
            moved[:, sources] |= (change > 1e-10 * (1 + of_each.abs().amax((1, 2, 3)))[:, None]).T
    return moved


def slope_of(model: Any) -> int | None:
    """The slope s if a model draws its sites in the order `s y + x`; None for another order.

    For a single row all slopes are equivalent, and 1 is returned.
    """
    rank = model.rank.cpu()
    slope = int(rank[1, 0] - rank[0, 0]) if model.shape[0] > 1 else 1
    return slope if torch.equal(rank, raster_rank(model.shape, slope)) else None


def summary(model: Any) -> dict[str, Any]:
    """A summary of the receptive field, as JSON values.

    The last three values are None for a network that the offsets of its layers do not describe.

    Keys:
        slope: s; sites of equal `s y + x` are drawn together. None for a network with another order.
        ticks: number of ticks (passes) to draw a configuration, `s (H - 1) + W`; of ranks for another order.
        sees: fraction of all other sites that are in the receptive field of the last site, which is drawn after them.
        blind_spot: number of sites in the blind spot of the centre (H // 2, W // 2).
        reaches_across: whether the last site's neighbours across both boundaries are in its receptive field or in the
            known-neighbour term; this matters for periodic systems only.
    """
    height, width = model.shape
    centre, last = field_of(model, (height // 2, width // 2)), field_of(model, (height - 1, width - 1))
    values: dict[str, Any] = {"sees": None, "blind_spot": None, "reaches_across": None}
    if centre is not None and last is not None:
        across = [around for around in [(height - 1, 0), (0, width - 1)] if around != last.site]
        values = {
            "sees": int(last.seen.sum()) / max(1, int(last.earlier.sum())),
            "blind_spot": int(centre.blind_spot.sum()),
            "reaches_across": all(bool((last.seen | last.known)[around]) for around in across),
        }
    return {"slope": slope_of(model), "ticks": int(model.rank.max()) + 1, **values}


def warn_of_short_reach(model: Any) -> None:
    """Warn if the receptive field of the last site, which is drawn after all others, misses a whole row or column.

    There is no warning for a network that the offsets of its layers do not describe.
    """
    height, width = model.shape
    field = field_of(model, (height - 1, width - 1))
    if field is None:
        return
    rows, columns = (int((field.seen | (field.earlier.logical_not())).any(axis).sum()) for axis in (1, 0))
    if (rows, columns) == (height, width):
        return
    around = "" if model.bias is None else ", apart from the neighbours whose bonds are in the bias"
    warnings.warn(
        f"{type(model).__name__}: the receptive field of the last site of {height}x{width} covers {rows} of {height} "
        f"rows and {columns} of {width} columns{around}; a larger kernel_size, more depth or dilation reaches further",
        ReceptiveFieldWarning,
        stacklevel=5,
    )


def _seen(graph: Graph, site: tuple[int, int]) -> Tensor:
    """The receptive field of a site, traced from its logits back through the taps of all layers.

    Only taps inside the lattice count, because every layer reads zeros outside of it.
    """
    needed = {node.name: torch.zeros(graph.shape, dtype=torch.bool) for node in graph.nodes}
    needed[graph.nodes[-1].name][site] = True
    for node in reversed(graph.nodes):
        for name in node.inputs:
            for dy, dx in node.offsets:
                needed[name] |= F.pad(needed[node.name], (dx, -dx, dy, -dy))  # shifted by the tap
    return needed[graph.nodes[0].name]


def _known(model: Any, site: tuple[int, int]) -> Tensor:
    """The sites whose bonds with a site are in the known-neighbour term and depend on its token."""
    known = torch.zeros(model.shape, dtype=torch.bool)
    if model.bias is not None:
        index = site[0] * model.shape[1] + site[1]
        tables = model.bias.energies[index]  # (K, neighbour's token, own token); zero for a neighbour of higher rank
        bonded = (tables != tables[:, :1]).flatten(1).any(1)
        known.view(-1)[model.bias.sites[index][bonded].cpu()] = True
    return known
