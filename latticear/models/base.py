"""The base class of all models, which give every configuration's exact log-probability and draw samples with it."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Any, ClassVar, Self, TypedDict

import torch
from torch import Tensor, nn

from latticear.hamiltonians import BoltzmannBias, hamiltonian_from_dict
from latticear.lattice import check_shape, configuration_size
from latticear.models.conditions import ConditionEmbedding, Conditioning
from latticear.samples import Samples
from latticear.sampling.choice import BLOCK, InBlocks
from latticear.sampling.modes import evaluated
from latticear.sampling.receptive import dependences, warn_of_short_reach
from latticear.sampling.reference import Drawer, Drawn
from latticear.sampling.stream import draw

__all__ = ["AbstractModel", "Common", "check_autoregressive"]


class Common(TypedDict, total=False):
    """Options that every network takes and passes on to `AbstractModel`, whose docstring describes them."""

    spin_flip_symmetric: bool
    bias: BoltzmannBias | None
    n_condition: int
    n_condition_maps: int


class AbstractModel(nn.Module, ABC):
    """An autoregressive network over the tokens of a lattice.

    `log q(tokens) = sum over sites of log q(token | tokens of lower rank)` is normalised by construction. A new network
    defines `name` and `_logits`, and calls `_set_rank` at construction; this class provides the rest. `forward` is
    `log_prob`, so that wrappers of the module (DDP, compile) wrap the function that is trained.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        spin_flip_symmetric: make the probability exactly invariant under token -> q - 1 - token everywhere, at twice
            the work.
        bias: `hamiltonian.bias(temperature)`, which adds to the logits `-1/T` times the exact energies of the field and
            of the bonds to known neighbours (sites of lower rank); or None.
        n_condition: length k of the condition vector that each configuration comes with; 0 for none.
        n_condition_maps: number of condition maps, with one value for each site, that each configuration comes with; 0
            for none.
        n_components: number C of tokens at each site. The logits of component c depend on all components of the sites
            of lower rank and on the components before c of its own site.

    Raises:
        ValueError: for q < 2, a negative n_condition or n_condition_maps, n_components < 1, a bias of another shape,
            number of tokens, number of components or symmetry, or a bias that reads its temperature or couplings from
            the condition if the model has no such condition.

    Attributes:
        rank: int64 `(H, W)`; sites of equal rank are independent given those of lower rank.
        conditioning: the layout of a condition, which has `conditioning.size` numbers for each configuration.
    """

    name: ClassVar[str]
    rank: Tensor

    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**14, "cuda": 2**26}
    """Sites in one pass, at most, by device; those of the CPU fit into its cache (a third of the time at L = 32)."""

    training_defaults: ClassVar[dict[str, Any]] = {}
    """Options of `fit` that suit this network better than the general defaults; they are the defaults in configs."""

    draw_block: ClassVar[Callable[..., Drawn] | None] = None
    """A function that draws one block from (u, condition, given), as `draw_reference` does but faster, or None.

    It is for networks whose order of sites the engines do not support.
    """

    block: ClassVar[dict[str, int]] = BLOCK
    """Number of configurations in a block that `draw_block` draws, by device."""

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int,
        *,
        spin_flip_symmetric: bool = False,
        bias: BoltzmannBias | None = None,
        n_condition: int = 0,
        n_condition_maps: int = 0,
        n_components: int = 1,
    ) -> None:
        super().__init__()
        self.shape = check_shape(shape)
        if n_tokens < 2:
            raise ValueError(f"n_tokens must be at least 2, got {n_tokens}")
        if n_condition < 0 or n_condition_maps < 0:
            raise ValueError(
                f"n_condition and n_condition_maps must not be negative, got {n_condition} and {n_condition_maps}"
            )
        if n_components < 1:
            raise ValueError(f"n_components must be at least 1, got {n_components}")
        self.n_tokens, self.n_components = n_tokens, n_components
        self.n_condition, self.n_condition_maps = n_condition, n_condition_maps
        self.conditioning = Conditioning(n_condition, n_condition_maps, self.shape)
        self.spin_flip_symmetric = spin_flip_symmetric
        if bias is not None and bias.n_components != n_components:
            raise ValueError(
                f"the bias is for n_components = {bias.n_components}, the model for n_components = {n_components}"
            )
        if bias is not None and (bias.shape, bias.n_tokens) != (self.shape, n_tokens):
            raise ValueError(
                f"the bias is for shape {bias.shape} with {bias.n_tokens} tokens, "
                f"the model for {self.shape} with {n_tokens}"
            )
        if bias is not None and spin_flip_symmetric and not bias.spin_flip:
            raise ValueError("spin_flip_symmetric needs a Hamiltonian with that symmetry; the one of the bias has not")
        if bias is not None and bias.temperature is None and not n_condition:
            raise ValueError("the temperature of the bias is the condition: the model needs n_condition of at least 1")
        if bias is not None and bias.n_maps and n_condition_maps < bias.n_maps:
            raise ValueError(
                f"the couplings of the bias are the last {bias.n_maps} condition maps: the model needs "
                f"n_condition_maps of at least {bias.n_maps}, got {n_condition_maps}"
            )
        self.bias = copy.deepcopy(bias)  # a copy, since _set_rank attaches the order of this model to it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Replace `**common` by its options in the signature of a network, which configs and `to_dict` read.

        The `name` of a class that sets none is the name of the class.
        """
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__
        signature = inspect.signature(cls.__init__)
        _, *own = signature.parameters.values()
        if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            shared = inspect.signature(AbstractModel.__init__).parameters
            own[-1:] = [shared[name] for name in Common.__annotations__]
        cls.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]

    def _set_rank(self, rank: Tensor) -> None:
        """Set the order of the sites, `(H, W)`, from which a bias finds the bonds to sites of lower rank."""
        self.register_buffer("rank", rank, persistent=False)
        if self.bias is not None:
            self.bias.attach(rank)
        warn_of_short_reach(self)

    @property
    def conditioned(self) -> bool:
        """Whether configurations come with a condition."""
        return self.conditioning.size > 0

    def set_condition_range(self, low: Tensor, high: Tensor) -> None:
        """Set the range of condition vectors, from low to high, `(k,)` each; the layers scale it to -1..1."""
        for module in self.modules():
            if isinstance(module, ConditionEmbedding):
                module.centre.copy_((low + high) / 2)
                module.scale.copy_(torch.where(high > low, (high - low) / 2, 1.0))

    def condition_of(self, vector: Tensor | None = None, maps: Tensor | None = None) -> Tensor:
        """Conditions as this model takes them: float64 `(B, conditioning.size)`.

        Args:
            vector: `(B, k)`, or None if k = 0.
            maps: `(B, n_condition_maps, H, W)`, or None if n_condition_maps = 0.

        Raises:
            ValueError: if one of them has another shape.
        """
        wanted = {"vector": (self.n_condition,), "maps": (self.n_condition_maps, *self.shape)}
        parts = []
        for (name, size), given in zip(wanted.items(), (vector, maps), strict=True):
            if (given is None) != (size[0] == 0) or (given is not None and tuple(given.shape[1:]) != size):
                got = None if given is None else tuple(given.shape)
                raise ValueError(f"{name} of the condition must have shape {('B', *size)}, got {got}")
            if given is not None:
                parts.append(given.flatten(1).double())
        if len({len(part) for part in parts}) != 1:
            raise ValueError(
                f"vector and maps must be of the same number of configurations, got {[len(part) for part in parts]}"
                if parts
                else "this model takes no condition"
            )
        return torch.cat(parts, 1)

    @abstractmethod
    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Logits before symmetrisation, `(B, q, H, W)`; entry `[b, :, y, x]` reads only tokens of lower rank.

        With C > 1 components the shape is `(B, C q, H, W)`: channel `c q + t` is the logit of token t of component c,
        which reads the earlier components of its own site too.
        """

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Unnormalised log-probabilities of each site given the sites of lower rank: `(B, q, H, W)`.

        `logits[b, t, y, x]` belongs to token t at (y, x) given the tokens of configuration b at sites of lower rank.
        With C > 1 components the shape is `(B, q, C, H, W)`.
        With spin-flip symmetry the logits are `l_t(s) = g_t(s) + g_flip(t)(flip s)`, where g are those of `_logits`;
        they are equivariant under a spin flip, so the probability of a configuration is invariant.
        """
        learned = self._symmetric_logits(tokens, condition)
        return learned if self.bias is None else learned + self.bias(tokens, condition)

    def _symmetric_logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        if not self.spin_flip_symmetric:
            return self._by_component(self._logits(tokens, condition))
        both = torch.cat([tokens, self.n_tokens - 1 - tokens])
        twice = None if condition is None else torch.cat([condition, condition])
        straight, flipped = self._by_component(self._logits(both, twice)).chunk(2)
        return straight + flipped.flip(1)

    def _by_component(self, logits: Tensor) -> Tensor:
        """Reshape logits `(B, C q, H, W)` to `(B, q, C, H, W)` if C > 1."""
        if self.n_components == 1:
            return logits
        return logits.unflatten(1, (self.n_components, self.n_tokens)).transpose(1, 2)

    def log_prob(self, tokens: Tensor, condition: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Exact log-probability of each configuration, in nats: float64 `(B,)`.

        Args:
            tokens: integers `(B, H, W)`, or `(B, C, H, W)` for C > 1.
            condition: the conditions of the configurations, `(B, conditioning.size)`, or one row for all, as
                `condition_of` makes them; None for a model without a condition.
            known: log-probabilities `(B,)` of these tokens if the sampler has just returned them, else None; a network
                that can attach the gradient to them does not compute them again.

        Raises:
            ValueError: if tokens or condition have another shape, or for tokens outside 0..q-1.
        """
        if not torch.compiler.is_compiling():
            self._check(tokens, condition)
        condition = None if condition is None else condition.expand(len(tokens), -1)
        size = max(1, self.sites_at_once[tokens.device.type] // math.prod(tokens.shape[1:]))
        conditions = repeat(None) if condition is None else condition.split(size)
        values = repeat(None) if known is None else known.split(size)
        parts = [self._log_prob(*part) for part in zip(tokens.split(size), conditions, values, strict=False)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _log_prob(self, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
        log_p = self.logits(tokens, condition).double().log_softmax(1)
        return log_p.gather(1, tokens.long().unsqueeze(1)).flatten(1).sum(1)

    forward = log_prob

    def own_drawer(self) -> Drawer | None:
        """The sampler that uses `draw_block`; None for a network that the general engines draw."""
        if self.draw_block is None:
            return None
        return InBlocks(self.draw_block, self.block[self.rank.device.type])

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        method: str = "wavefront",
        condition: Tensor | None = None,
        given: Tensor | None = None,
        where: Tensor | None = None,
    ) -> Samples:
        """Draw n independent configurations, each with the log-probability with which it was drawn.

        Sample i of a seed is always the same: `sample(n, seed=s)` is the beginning of `sample(2 * n, seed=s)`, and
        `start` continues where another call ended.

        Args:
            n: number of configurations.
            seed: seed of the random numbers, in [0, 2^64).
            start: index of the first sample in the stream of this seed.
            method: "wavefront", or "reference", a plain loop over the ranks that draws the same tokens.
            condition: the conditions, `(n, conditioning.size)`, or one row for all; None for a model without a
                condition.
            given: tokens to hold fixed, `(H, W)` or `(n, H, W)`, with components `(C, H, W)` or `(n, C, H, W)`; the
                other sites are drawn. `log_q` is then the log-probability of the drawn sites alone, so that weights
                `exp(-beta E) / q` estimate the Boltzmann distribution with those tokens fixed; `log_q_given` is the
                log-probability of the sites held fixed.
            where: bool mask of one of these shapes, True at the sites held fixed.

        Raises:
            ValueError: for an unknown method, a seed out of range, n < 1, or tokens or a mask of the wrong shape.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        batches = self.sample_batches(
            n, seed=seed, start=start, method=method, condition=condition, given=given, where=where
        )
        return Samples.cat(list(batches))

    def sample_batches(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        method: str = "wavefront",
        condition: Tensor | None = None,
        given: Tensor | None = None,
        where: Tensor | None = None,
        stream: int = 0,
    ) -> Iterator[Samples]:
        """Yield the samples of `sample` in batches, so that the memory does not grow with n.

        `stream` numbers independent streams of the same seed; `sample` draws from stream 0.
        """
        self._check_condition(condition, n)
        batches = draw(
            self,
            n,
            seed=seed,
            start=start,
            method=method,
            condition=condition,
            given=given,
            where=where,
            stream=stream,
        )
        yield from evaluated(self, batches)  # in evaluation mode: log_q must not depend on dropout

    def counterparts(self, name: str) -> list[str]:
        """Parameters of a network for another lattice from which parameter `name` may be copied, the best first."""
        return [name]

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `from_dict` builds the same network, without its weights."""
        names = inspect.signature(type(self)).parameters
        values = {name: getattr(self, name) for name in names}
        if self.bias is not None:
            values["bias"] = self.bias.to_dict()
        return {"name": self.name, **{k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the network of this class that `to_dict` described, with fresh weights.

        Raises:
            ValueError: for an argument that the network does not take, or a value that it refuses.
        """
        arguments = {name: value for name, value in values.items() if name != "name"}
        arguments["shape"] = tuple(arguments.get("shape", ()))
        try:
            if arguments.get("bias") is not None:
                target = arguments["bias"]
                arguments["bias"] = hamiltonian_from_dict(target["hamiltonian"]).bias(target["temperature"])
            return cls(**arguments)
        except (TypeError, KeyError) as error:
            raise ValueError(f"{cls.name} cannot be built from {arguments}: {error}") from error

    def _check(self, tokens: Tensor, condition: Tensor | None) -> None:
        expected = configuration_size(self.shape, self.n_components)
        if tuple(tokens.shape[1:]) != expected:
            raise ValueError(f"tokens must have shape {('B', *expected)}, got {tuple(tokens.shape)}")
        if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
            raise ValueError(f"tokens must be integers 0..{self.n_tokens - 1}, got dtype {tokens.dtype}")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.n_tokens:
            raise ValueError(
                f"tokens must lie in 0..{self.n_tokens - 1}, got values {int(tokens.min())}..{int(tokens.max())}; "
                f"spins become tokens by hamiltonian.tokens(spins)"
            )
        self._check_condition(condition, len(tokens))

    def _check_condition(self, condition: Tensor | None, n: int) -> None:
        size = self.conditioning.size
        if condition is None:
            if size:
                raise ValueError(f"condition must have {size} entries for this model, got none")
            return
        if not isinstance(condition, Tensor) or condition.is_complex() or condition.dtype == torch.bool:
            got = condition.dtype if isinstance(condition, Tensor) else type(condition).__name__
            raise ValueError(f"condition must be a tensor of real numbers, got {got}")
        if tuple(condition.shape) not in ((size,), (1, size), (n, size)) or not size:
            hint = "; condition_of joins vector and maps" if self.n_condition_maps else ""
            raise ValueError(
                f"condition must have {size} entries for this model, shape {(size,)} or {(n, size)}, got "
                f"{tuple(condition.shape)}{hint}"
            )
        if not condition.isfinite().all():
            raise ValueError("condition must be finite numbers, got nan or infinity")
        if self.bias is not None:
            self.bias.check(condition)


def check_autoregressive(model: AbstractModel, *, n_trials: int = 3, seed: int = 0) -> None:
    """Check, by replacing tokens, that no site's logits depend on the token of a site of the same or a higher rank.

    With several components, the logits of component c may depend on components before c of the same site, but on no
    other components of that site. Every site in turn takes every other token, in random configurations and in a
    float64 copy of the network whose weights are random (a zero weight would hide a connection).

    Args:
        model: any model; it is not changed.
        n_trials: number of trials, each with new random configurations and weights.
        seed: seed of the configurations and weights.

    Raises:
        ValueError: if the order is violated; the message names the first pair of a site and a site that depends on it.
    """
    moved = dependences(model, n_trials=n_trials, seed=seed)
    rank, n_sites = model.rank.cpu().flatten().repeat(model.n_components), math.prod(model.shape)
    component = torch.arange(len(rank)) // n_sites
    site = torch.arange(len(rank)) % n_sites
    precedes = rank < rank[:, None]  # [reader, source]
    precedes |= (site == site[:, None]) & (component < component[:, None])
    wrong = moved & ~precedes
    if wrong.any():
        source, reader = wrong.T.nonzero()[0].tolist()
        raise ValueError(
            f"not autoregressive: the logits of {_site(reader, model)} (rank {int(rank[reader])}) depend "
            f"on the token of {_site(source, model)} (rank {int(rank[source])})"
        )


def _site(index: int, model: AbstractModel) -> str:
    """A text that names the site, and the component if there are several, of an index into `dependences`."""
    component, site = divmod(index, math.prod(model.shape))
    place = f"site {divmod(site, model.shape[1])}"
    return place if model.n_components == 1 else f"component {component} of {place}"
