"""The receptive field: which tokens the logits of a site depend on, and which earlier ones they miss.

Found in two ways that have nothing in common and must agree: from the taps of the traced network, and by replacing
tokens, which serves any network. What a network does not see it cannot learn: small kernels alone leave a blind spot,
and on a torus it hides close neighbours around the boundary. The bias knows its own neighbours besides.
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
    """A network cannot see across its lattice."""


class ReceptiveField(NamedTuple):
    """What is known at one site when it is drawn; all masks are bool `(H, W)`.

    Attributes:
        site: (y, x).
        seen: what other sites the network's logits of this one depend on.
        known: sites whose bond with this one the bias knows exactly, around a periodic boundary too.
        earlier: what precedes this site in raster order.
    """

    site: tuple[int, int]
    seen: Tensor
    known: Tensor
    earlier: Tensor

    @property
    def blind_spot(self) -> Tensor:
        """Earlier sites that the network does not see, whether or not the bias knows them."""
        return self.earlier & ~self.seen


def field_of(model: Any, site: tuple[int, int]) -> ReceptiveField | None:
    """The receptive field of a site from the taps; None for a network that offsets do not describe.

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
    seen[site] &= model.n_components == 1  # a component sees those before it
    return ReceptiveField(site, seen, _known(model, site), order < order[site])


@torch.no_grad()
def dependences(model: Any, *, n_trials: int = 3, seed: int = 0) -> Tensor:
    """Which logits move when a token is replaced: bool `(C N, C N)`, C = 1 for most networks, N = H W.

    `dependences[i, j]` is True if the logits of site i, bias included, moved in any trial when site j took another
    token; with components, entry `c N + i` is component c of site i. Each trial is a random configuration in a float64
    copy of the network with random weights of its own (a zero weight or a dead unit would hide a connection).

    Args:
        model: any model; it is left as it is.
        n_trials: configurations and sets of weights tried.
        seed: of both.
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
    """The slope s of the order `s y + x` in which a model draws, None for another order.

    1 for a single row, where any is the same.
    """
    rank = model.rank.cpu()
    slope = int(rank[1, 0] - rank[0, 0]) if model.shape[0] > 1 else 1
    return slope if torch.equal(rank, raster_rank(model.shape, slope)) else None


def summary(model: Any) -> dict[str, Any]:
    """The receptive field in short, as JSON values; those of a network that offsets do not describe are None.

    Keys:
        slope: s; sites of equal `s y + x` are drawn together. None for a network with another order.
        ticks: passes to draw a configuration, `s (H - 1) + W`, or the phases of another order.
        sees: of all other sites, the share that the network sees from the last one, which comes after all of them.
        blind_spot: how many of the sites before the centre (H // 2, W // 2) the network does not see from there.
        reaches_across: whether the last site's neighbours around both boundaries are seen or known from the bias;
            only a periodic system needs them.
    """
    height, width = model.shape
    centre, last = field_of(model, (height // 2, width // 2)), field_of(model, (height - 1, width - 1))
    known: dict[str, Any] = {"sees": None, "blind_spot": None, "reaches_across": None}
    if centre is not None and last is not None:
        across = [around for around in [(height - 1, 0), (0, width - 1)] if around != last.site]
        known = {
            "sees": int(last.seen.sum()) / max(1, int(last.earlier.sum())),
            "blind_spot": int(centre.blind_spot.sum()),
            "reaches_across": all(bool((last.seen | last.known)[around]) for around in across),
        }
    return {"slope": slope_of(model), "ticks": int(model.rank.max()) + 1, **known}


def warn_of_short_reach(model: Any) -> None:
    """Warn where the last site, which comes after all others, sees no token of some row or column.

    Says nothing of a network that offsets do not describe.
    """
    height, width = model.shape
    field = field_of(model, (height - 1, width - 1))
    if field is None:
        return
    rows, columns = (int((field.seen | (field.earlier.logical_not())).any(axis).sum()) for axis in (1, 0))
    if (rows, columns) == (height, width):
        return
    around = "" if model.bias is None else ", but for the neighbours that the bias knows"
    warnings.warn(
        f"{type(model).__name__}: the last site of {height}x{width} sees {rows} of {height} rows and {columns} of "
        f"{width} columns{around}; a larger kernel_size, more depth or dilation reaches further",
        ReceptiveFieldWarning,
        stacklevel=4,
    )


def _seen(graph: Graph, site: tuple[int, int]) -> Tensor:
    """Back from the logits through the taps, on the lattice alone: outside of it every layer reads zeros."""
    needed = {node.name: torch.zeros(graph.shape, dtype=torch.bool) for node in graph.nodes}
    needed[graph.nodes[-1].name][site] = True
    for node in reversed(graph.nodes):
        for name in node.inputs:
            for dy, dx in node.offsets:
                needed[name] |= F.pad(needed[node.name], (dx, -dx, dy, -dy))  # shifted by the tap
    return needed[graph.nodes[0].name]


def _known(model: Any, site: tuple[int, int]) -> Tensor:
    known = torch.zeros(model.shape, dtype=torch.bool)
    if model.bias is not None:
        index = site[0] * model.shape[1] + site[1]
        tables = model.bias.energies[index]  # (K, neighbour's token, own token); zero for a neighbour of higher rank
        tells = (tables != tables[:, :1]).flatten(1).any(1)
        known.view(-1)[model.bias.sites[index][tells].cpu()] = True
    return known
