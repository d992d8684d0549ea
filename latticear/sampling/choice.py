"""Which drawer serves a network: the compiled engine, the one of PyTorch, or the plain reference."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from latticear.random_numbers import log_softmax
from latticear.sampling.lowering import lower
from latticear.sampling.native import NativeEngine
from latticear.sampling.probe import probe_of, random_condition, randomise
from latticear.sampling.reference import Autoregressive, Drawn, Given, draw_reference
from latticear.sampling.schedule import raster_rank, schedule_of
from latticear.sampling.torch_engine import Engine

__all__ = ["BLOCK", "METHODS", "Drawer", "drawer", "kernels_of"]

BLOCK = {"cpu": 256, "cuda": 4096}
"""Configurations that PyTorch draws together, at most, by device type."""

SHARE = 8
"""The rings take at most one part in so many of a CUDA device's memory."""

METHODS = ("wavefront", "reference")
"""Ways to draw, by name; all give the same tokens for the same uniform numbers."""

_engines: WeakKeyDictionary[Any, tuple[Any, Drawer | None]] = WeakKeyDictionary()


class Drawer(Protocol):
    """Draws configurations, a block at a time."""

    @property
    def block(self) -> int:
        """How many are drawn in one call, at most."""

    @property
    def padded(self) -> bool:
        """True if the rounding depends on how many are drawn, so that a block must always be full."""

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw from uniform numbers, float64 `(B, C H W)`, but for the sites held fixed."""


class Reference:
    """One pass of the whole network for each rank."""

    padded = True

    def __init__(self, model: Autoregressive) -> None:
        self._model = model
        self.block = BLOCK[model.rank.device.type]

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        return draw_reference(self._model, u, condition, given)


class Kernels(Drawer, Protocol):
    """A network of an order of its own, compiled; it reads the weights anew at each call."""

    @property
    def parameters(self) -> list[Tensor]:
        """Those that have a gradient."""

    def fit(self) -> bool:
        """Whether the weights lie in memory as the kernels read them."""

    def log_prob(self, tokens: Tensor, sites: Tensor | None = None) -> Tensor:
        """Log-probabilities `(B,)` of complete configurations `(B, N)`, or of some sites given the others."""

    def gradients(self, tokens: Tensor, weights: Tensor) -> list[Tensor]:
        """Those of the weighted sum of log-probabilities by each of the parameters."""


class OwnOrder:
    """A network that draws by itself, in an order that is not that of the raster.

    Args:
        model: with `draw_block` and `block`.
        kernels: what draws the same faster; None if there are none to trust.
    """

    def __init__(self, model: Any, kernels: Kernels | None = None) -> None:
        self._model, self.kernels = ref(model), kernels  # it is kept as long as the model, and must not keep it
        self._block: int = model.block[model.rank.device.type]

    @property
    def block(self) -> int:
        return self._block if self.kernels is None else max(self._block, self.kernels.block)

    @property
    def padded(self) -> bool:
        return self.kernels is None or not self.kernels.fit()

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        if self.kernels is not None and self.kernels.fit():
            return self.kernels.draw(u, condition, given)
        model = self._model()
        assert model is not None
        drawn: Drawn = model.draw_block(u, condition, given)
        return drawn


def drawer(model: Autoregressive, method: str = "wavefront") -> Drawer:
    """What draws from a model by a method of `METHODS`.

    A network that no engine can serve (one that is not traced, an order of its own) is drawn by the
    reference. An engine is trusted only if it draws from a copy with random weights with the probabilities that the
    copy itself states, and is built anew when anything but the weights has changed.

    Raises:
        ValueError: for a network whose layers read what they must not.
    """
    if method == "reference" or not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        return Reference(model)
    key, known = _signature(model), _engines.get(model)
    if known is None or known[0] != key:
        with torch.inference_mode(False), torch.no_grad(), _evaluating(model):
            known = _engines[model] = (key, _engine(model))
    return known[1] or Reference(model)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Trace what samples are drawn from: a network may do otherwise in training."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _signature(model: nn.Module) -> Any:
    """All that tracing reads but the weights: modules, their plain attributes, their buffers and hooks."""
    first = next(model.parameters())
    parts: list[Any] = [first.device, first.dtype]
    modules: list[nn.Module] = [model]
    while modules:  # several times as fast as model.modules(), and asked for at every draw
        module = modules.pop()
        modules += (child for child in module._modules.values() if child is not None)
        plain = [(name, _trace_of(value)) for name, value in vars(module).items() if name not in _OF_TORCH]
        buffers = [
            (b.data_ptr(), 0 if b.is_inference() else b._version) for b in module._buffers.values() if b is not None
        ]
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
        parts.append((id(module), *plain, *buffers, hooks))
    return tuple(parts)


_OF_TORCH = frozenset(vars(nn.Module()))
"""What every module has: parameters, buffers and children, which are seen otherwise, and the mode."""

_PLAIN = (int, float, str, bool, tuple, list, dict, type(None))


def _trace_of(value: Any) -> Any:
    """What changes with a value: itself, or the identity of an object and its own plain attributes."""
    if isinstance(value, _PLAIN):
        return repr(value)
    within = {} if isinstance(value, nn.Module | Tensor) else getattr(value, "__dict__", {})
    return id(value), *((name, repr(v)) for name, v in within.items() if isinstance(v, _PLAIN))


def _engine(model: Any) -> Drawer | None:
    if hasattr(model, "draw_block"):
        return OwnOrder(model, _trusted_kernels(model))
    schedule = schedule_of(model)
    if schedule is None:
        return None
    if not schedule.in_time:
        if any(node.is_incremental for node in schedule.graph.nodes):
            return None
        raise ValueError(
            f"{type(model).__name__} is not autoregressive: its layers read the token of their own site or of later "
            f"ones; la.check_autoregressive(model) names the sites"
        )
    if not torch.equal(model.rank.cpu(), raster_rank(model.shape, schedule.slope)):
        return None
    try:
        worst = max(_error(engine, probe) for probe in [_random(model)] for engine in _built(probe, 4))
    except Exception as error:  # of code that is not ours, or that we misread
        worst, reason = math.inf, f"an engine raised {type(error).__name__}: {error}"
    else:
        reason = f"an engine's log_q is off by {worst:.1e}"
    if worst > TOLERANCE:
        warnings.warn(
            f"{type(model).__name__} is drawn by the reference, slowly: {reason}. See 'Add a model' in CONTRIBUTING.md",
            stacklevel=2,
        )
        return None
    return _built(model, None)[0]


def kernels_of(model: Any) -> Any:
    """The kernels that serve a network with an order of its own as it is now, or None."""
    if torch.compiler.is_compiling():
        return None
    kernels = getattr(drawer(model), "kernels", None)
    return kernels if kernels is not None and kernels.fit() else None


def _trusted_kernels(model: Any) -> Kernels | None:
    """Those of a network, if on a copy with random weights they do what its logits state."""
    if not hasattr(model, "kernels") or (kernels := model.kernels()) is None or not kernels.fit():
        return None
    probe = _random(model)
    worst = _disagreement(probe.kernels(), probe)
    if worst > TOLERANCE:
        warnings.warn(
            f"{type(model).__name__} is drawn and trained by PyTorch, slowly: its kernels are off by {worst:.1e}",
            stacklevel=2,
        )
        return None
    return kernels


@torch.enable_grad()
def _disagreement(kernels: Any, probe: Any) -> float:
    """How far log_q and gradients of a few configurations are from those of the logits, relative to them."""
    u = torch.rand(4, math.prod(probe.shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    probe.requires_grad_()
    drawn = kernels.draw(u)
    log_p = log_softmax(probe.logits(drawn.tokens).movedim(1, -1))
    stated = log_p.gather(-1, drawn.tokens[..., None]).flatten(1).sum(1)
    weights = stated.detach()
    pairs = [(drawn.log_q, weights), (kernels.log_prob(drawn.tokens.flatten(1)), weights)]
    expected = torch.autograd.grad(stated, kernels.parameters, weights)
    pairs += zip(kernels.gradients(drawn.tokens.flatten(1), weights), expected, strict=True)
    error = torch.stack([(a - b).abs().max() / (1 + b.abs().max()) for a, b in pairs]).max().item()
    return math.inf if math.isnan(error) else error


TOLERANCE = 1e-8
"""Relative difference, in float64, of the log_q that an engine draws with from the one that the network states."""


def _random(model: Any) -> Any:
    probe = probe_of(model)
    randomise(probe, torch.Generator().manual_seed(0))
    return probe


def _error(engine: Drawer, probe: Any) -> float:
    """How far the log_q of four configurations is from the one that the network states, relative to it."""
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(4, probe.n_components * math.prod(probe.shape), generator=generator, dtype=torch.float64)
    condition = random_condition(probe, 4, generator)
    drawn = engine.draw(u, condition)
    stated = probe.log_prob(drawn.tokens, condition)
    error = ((drawn.log_q - stated) / (1 + stated.abs())).abs().max().item()
    return math.inf if math.isnan(error) else error


def _built(model: Any, block: int | None) -> list[Drawer]:
    """The engines that can serve a model, the fastest first; PyTorch's draws blocks of a given or the usual size."""
    schedule, like = schedule_of(model), next(model.parameters())
    assert schedule is not None
    # the kernels know one table for all configurations, and one token a site
    beyond = model.bias is not None and (model.bias.n_maps > 0 or model.bias.n_components > 1)
    nodes = None if beyond else lower(schedule, like)
    native: list[Drawer] = [] if nodes is None else [NativeEngine(model, schedule, nodes)]
    if native and block is None:
        return native
    if block is None:
        block = BLOCK[like.device.type]
        if like.device.type == "cuda":
            room = torch.cuda.get_device_properties(like.device).total_memory // SHARE
            block = min(block, 2 ** int(math.log2(max(1, room // Engine(model, schedule, 1, like).memory))))
    return [*native, Engine(model, schedule, block, like)]
