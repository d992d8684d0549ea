"""Tracing: the graph of the values that a network computes at each site, from which its sampling schedule is derived.

The graph follows from the code of the network: its `_logits` is traced. Layers that read other sites declare the
offsets at which they do. Everything else must act on each site separately: common modules and functions, and modules
that declare it by `acts_on_sites = True`, which must accept `(rows, C)` as well as `(B, C, H, W)`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock, get_ident
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from latticear.lattice import configuration_size

__all__ = ["ELEMENTWISE", "HERE", "NEVER", "Graph", "Incremental", "Node", "Offset", "one_hot", "trace"]

Offset = tuple[int, int]
"""(dy, dx), the offset of a tap: the output at (y, x) depends on the input at (y + dy, x + dx)."""

HERE: tuple[Offset, ...] = ((0, 0),)

NEVER = 2**30
"""Tick of a value that cannot be computed in time at a slope."""

ELEMENTWISE = (nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout)
"""Modules that act on each number separately."""

_FUNCTIONS = {
    *(torch.relu, torch.tanh, torch.sigmoid, torch.cat, torch.chunk, torch.add, torch.mul),
    *(F.relu, F.elu, F.gelu, F.silu),
    *(operator.add, operator.mul, operator.sub, operator.neg, operator.getitem),
}
"""Functions that act on each site separately, with channels as dimension 1 both in `(B, C, H, W)` and `(rows, C)`."""


class Incremental(Protocol):
    """A layer that offsets cannot describe: a recurrent state, a cache of keys and values, a strided level.

    A module with these methods is not traced; it computes its output itself, one front (the sites of equal `s y + x`,
    s being the slope) after the other. It gets its inputs at the sites of the front only, and stores whatever it needs
    of earlier sites in its state.
    """

    def ready(self, time: int, slope: int, shape: tuple[int, int]) -> int:
        """Number of ticks after a front at which its output is known, if its input is known after `time` ticks.

        `NEVER` if the output cannot be computed front by front at this slope.
        """

    def begin(self, lanes: int, like: Tensor) -> Any:
        """The state before the first front for `lanes` configurations, on the device and of the type of `like`."""

    def step(self, state: Any, y: Tensor, x: Tensor, *inputs: Tensor) -> Tensor:
        """The output at the n sites (y, x) of the next front from the inputs there, `(n, lanes, C)` each."""


@dataclass(frozen=True)
class Node:
    """A value that a network computes, with C channels at each site.

    Attributes:
        name: unique name.
        channels: C; 0 for a tuple of values, which only the next nodes take apart.
        inputs: names of the nodes that it reads; empty for the one-hot tokens.
        offsets: the offsets at which it reads its input, without those that lie outside the lattice for every site;
            `HERE` for a node that acts on each site separately.
        layer: the module with the weights of a node with taps, an `Incremental` layer, or the module that embeds the
            condition; None for other nodes.
        function: the function or module that computes a node without taps.
        arguments: positional arguments of the function, with a traced node in place of each value.
        options: keyword arguments of the function.
        per_site: for a constant, whether it differs from site to site.
    """

    name: str
    channels: int
    inputs: tuple[str, ...] = ()
    offsets: tuple[Offset, ...] = HERE
    layer: nn.Module | None = None
    function: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    per_site: bool = False

    @property
    def is_constant(self) -> bool:
        """True if this value depends on the condition alone; it is then the same at every site, or a map."""
        return _reads_condition(self.layer)

    @property
    def is_map(self) -> bool:
        """True if this value is a constant that differs from site to site."""
        return self.is_constant and self.per_site

    @property
    def is_incremental(self) -> bool:
        """True if an `Incremental` layer computes this value."""
        return _is_incremental(self.layer)

    @property
    def has_weights(self) -> bool:
        """True if this value is a sum over taps."""
        return self.layer is not None and not (self.is_constant or self.is_incremental)

    def weights(self, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The current weights of the layer at its offsets, `(n_taps, in_channels, out_channels)`, and its bias.

        `places` are indices of the layer's taps, on its device; None looks for those of the offsets.
        """
        layer: Any = self.layer
        if hasattr(layer, "tap_weights"):
            taps_kio = layer.tap_weights()[self.places if places is None else places].detach()
        else:
            taps_kio = layer.weight[:, :, 0, 0].T[None].detach()
        return taps_kio, taps_kio.new_zeros(self.channels) if layer.bias is None else layer.bias.detach()

    @property
    def places(self) -> list[int]:
        """Where the layer has the tap of each of the offsets."""
        layer: Any = self.layer
        if not hasattr(layer, "tap_weights"):
            return [0]
        every = {offset: k for k, offset in enumerate(layer.offsets)}
        return [every[offset] for offset in self.offsets]

    def apply(self, values: Mapping[str, Any]) -> Any:
        """The value of a node without taps, from the values of its inputs by name, each `(rows, C)`."""
        assert self.function is not None
        arguments, options = fx.map_arg((self.arguments, dict(self.options)), lambda source: values[source.name])
        return self.function(*arguments, **options)


@dataclass(frozen=True)
class Graph:
    """The values that a network computes at each site.

    Attributes:
        nodes: the values in the order of their computation, from the one-hot tokens to the logits; with components,
            channel `c q + t` of tokens and logits belongs to token t of component c.
        shape: (H, W) of the lattice.
        n_components: C, number of tokens at each site.
    """

    nodes: tuple[Node, ...]
    shape: tuple[int, int]
    n_components: int = 1


def one_hot(tokens: Tensor, n_tokens: int, dtype: torch.dtype) -> Tensor:
    """Tokens as indicator channels: `(B, H, W)` to `(B, q, H, W)`, or `(B, C, H, W)` to `(B, C q, H, W)`."""
    if n_tokens - 1 > torch.iinfo(tokens.dtype).max:  # the tokens to compare with would overflow
        tokens = tokens.long()
    levels = torch.arange(n_tokens, device=tokens.device, dtype=tokens.dtype)
    channels = (tokens.unsqueeze(-3) == levels.view(-1, 1, 1)).flatten(1, -3)
    return channels.to(dtype).contiguous(memory_format=torch.channels_last)  # convolutions on CPUs are fastest so


_tracing = Lock()
"""Only one thread traces at a time, because fx patches modules for the whole process while it traces."""


class _Tracer(fx.Tracer):
    traced_func_name = "_logits"

    """Traces one network in one thread; calls of modules, which fx has patched, in other threads work as usual."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=(one_hot,))
        self._thread = get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = hasattr(m, "offsets") or _is_incremental(m) or _reads_condition(m) or _declares_sites(m)
        return ours or super().is_leaf_module(m, module_qualified_name)


class _Channels(fx.Interpreter):
    """Runs a traced network once, to find the channels of each value and which values differ between sites."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.channels: dict[str, int] = {}
        self.maps: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.channels[n.name] = value.shape[1] if isinstance(value, Tensor) and value.ndim == 4 else 0
        if self.channels[n.name] and value.shape[2:] != (1, 1):
            self.maps.add(n.name)
        return value


class _Interpreted(fx.GraphModule):
    """A graph without the code that PyTorch writes for it.

    That code is never run here, and it registers the functions that tracing leaves whole, for ever: every later trace
    in the process would patch them all.
    """

    def recompile(self) -> Any:
        return None


@torch.no_grad()
def trace(model: Any) -> Graph | None:
    """The graph of a model's `_logits`; None if offsets and functions of single sites do not describe it.

    Args:
        model: a module with `shape`, `n_tokens`, `n_components`, `conditioning` and `_logits(tokens, condition)`, in
            which `one_hot` embeds the tokens and modules with `reads_condition = True` embed the condition, `(B, k)`
            to `(B, C, 1, 1)` or `(B, C, H, W)`.
    """
    try:
        with _tracing:
            traced = _Interpreted(model, _Tracer().trace(model))
        shapes = _Channels(traced)
        like = next(model.parameters())
        condition = like.new_zeros(1, model.conditioning.size) if model.conditioning.size else None
        size = configuration_size(model.shape, model.n_components)
        shapes.run(torch.zeros(1, *size, dtype=torch.long, device=like.device), condition)
    except Exception:  # code that cannot be traced may raise anything; such a network is drawn by the reference
        return None
    nodes: dict[fx.Node, Node] = {}
    for at in traced.graph.nodes:
        if at.op == "output":
            result = at.args[0]
            whole = result in nodes and next(reversed(nodes)) is result
            ends = {shapes.channels[result.name], next(iter(nodes.values())).channels} if whole else set()
            fits = ends == {model.n_components * model.n_tokens}
            return Graph(tuple(nodes.values()), tuple(model.shape), model.n_components) if fits else None
        if at.op in ("placeholder", "get_attr"):
            continue
        sources = [source for source in at.all_input_nodes if source in nodes]
        if at.target is one_hot and at.args[0].target == "tokens" and not nodes:
            nodes[at] = Node(at.name, shapes.channels[at.name])
        elif at.op == "call_module" and _reads_condition(layer := traced.get_submodule(str(at.target))):
            is_map = at.name in shapes.maps
            nodes[at] = Node(at.name, shapes.channels[at.name], offsets=(), layer=layer, per_site=is_map)
        elif sources:
            node = _node(at, traced, shapes.channels[at.name])
            varies = any(not nodes[source].is_constant for source in sources)
            if node is None or not varies or len(sources) < len(at.all_input_nodes):
                return None
            nodes[at] = replace(node, offsets=tuple(offset for offset in node.offsets if _fits(offset, model.shape)))
        elif any(source.op == "placeholder" for source in at.all_input_nodes):
            return None
    return None


def _node(at: fx.Node, traced: fx.GraphModule, channels: int) -> Node | None:
    inputs = tuple(source.name for source in at.all_input_nodes)
    if at.op == "call_module":
        layer: Any = traced.get_submodule(str(at.target))
        if layer._forward_hooks or layer._forward_pre_hooks:
            return None
        if _is_incremental(layer):
            return Node(at.name, channels, inputs, HERE, layer)
        if hasattr(layer, "offsets"):
            return Node(at.name, channels, inputs, tuple(layer.offsets), layer)
        if _is_site_convolution(layer):
            return Node(at.name, channels, inputs, HERE, layer)
        if _declares_sites(layer) or (isinstance(layer, ELEMENTWISE) and not getattr(layer, "inplace", False)):
            return Node(at.name, channels, inputs, HERE, None, layer, at.args, at.kwargs)
    if at.op == "call_function" and at.target in _FUNCTIONS and _acts_on_sites(at):
        return Node(at.name, channels, inputs, HERE, None, at.target, at.args, at.kwargs)
    return None


def _acts_on_sites(at: fx.Node) -> bool:
    """True for a call that has the same meaning for `(rows, C)` as for `(B, C, H, W)`."""
    if at.target is operator.getitem:
        source, k = at.args
        return isinstance(source, fx.Node) and source.target is torch.chunk and isinstance(k, int)
    if at.target in (torch.cat, torch.chunk):
        position = 1 if at.target is torch.cat else 2
        return bool(at.kwargs.get("dim", at.args[position] if len(at.args) > position else 0) == 1)
    return not (at.kwargs.get("inplace") or "out" in at.kwargs)


def _fits(offset: Offset, shape: tuple[int, int]) -> bool:
    """Whether a tap lies inside the lattice for at least one site."""
    return abs(offset[0]) < shape[0] and abs(offset[1]) < shape[1]


def _reads_condition(layer: nn.Module | None) -> bool:
    return getattr(layer, "reads_condition", False)


def _declares_sites(layer: nn.Module) -> bool:
    return getattr(layer, "acts_on_sites", False)


def _is_incremental(layer: nn.Module | None) -> bool:
    return hasattr(layer, "begin") and hasattr(layer, "step")


def _is_site_convolution(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride, layer.padding, layer.groups) == (
        (1, 1),
        (1, 1),
        (0, 0),
        1,
    )
