"""The base class of all models: the exact log-probability of every configuration, and sampling from it."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from itertools import repeat
from typing import Any, ClassVar, Self, TypedDict

import torch
from torch import Tensor, nn

from latticear import deprecated
from latticear.arguments import check_integer, check_keywords, described
from latticear.hamiltonians import BoltzmannBias, hamiltonian_from_dict
from latticear.lattice import check_shape, configuration_size
from latticear.models.conditions import ConditionEmbedding, Conditioning
from latticear.models.dropout import of_configurations
from latticear.processes import ALONE, Processes
from latticear.random_numbers import own_random_state
from latticear.samples import Samples
from latticear.sampling.choice import BLOCK, InBlocks
from latticear.sampling.composition import in_turn, log_remaining_of
from latticear.sampling.modes import evaluated, full_precision
from latticear.sampling.receptive import warn_of_short_reach
from latticear.sampling.reference import Drawer, Drawn
from latticear.sampling.stream import draw
from latticear.spaces import check_composition
from latticear.tables import brief
from latticear.threads import wait_passively

__all__ = ["AbstractModel", "Common", "check_is_model"]


class Common(TypedDict, total=False):
    """Options that every network takes and passes to `AbstractModel`, where they are described."""

    spin_flip_symmetric: bool
    bias: BoltzmannBias | None
    n_condition: int
    n_condition_maps: int
    composition: tuple[int, ...] | None
    seed: int


class _Seeded(ABCMeta):
    """The class of the classes of networks: a call of one builds a network whose weights depend on `seed` alone."""

    takes_seed: bool
    """Whether the constructor of the class has an argument `seed` of its own; only then is the seed passed on."""

    takes_common: bool
    """Whether the constructor passes keyword arguments that it does not list to `AbstractModel`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        check_keywords(cls, kwargs, _SHARED if cls.takes_common else ())
        with own_random_state(kwargs.get("seed", 0)):
            if not cls.takes_seed:
                kwargs.pop("seed", None)
            return super().__call__(*args, **kwargs)


class AbstractModel(nn.Module, metaclass=_Seeded):
    """An autoregressive network over the tokens of a lattice.

    `log q(tokens) = sum over sites of log q(token | tokens of lower rank)`: normalised by construction. The rank of a
    site is its position in the autoregressive order. To add a network, define `name` and `_logits`, and call
    `_set_rank` in the constructor; everything else is inherited. `forward` is `log_prob`, so that wrappers of the
    module (DDP, compile) act on the function that is trained.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        spin_flip_symmetric: make the probability exactly invariant under token -> q - 1 - token at all sites, at twice
            the cost.
        bias: the known-neighbour term `hamiltonian.bias(temperature)`, which adds the exact energies of bonds to sites
            of lower rank to the logits; or None. With a bond dimension, `hamiltonian.bias(temperature,
            bond_dimension=8)`, it adds the sum over later sites as well, and the last layer of the network, `head`,
            begins at zero: before training, the network has exactly the probabilities of the tensor network.
        n_condition: k, length of the condition vector of each configuration; 0 for none.
        n_condition_maps: number of condition maps of each configuration, each with one value per site; 0 for none.
        composition: how many sites have each token, q numbers that add up to H W; None to draw all configurations. The
            network then draws the configurations with this composition and no others: the probability of token t at a
            site is `exp(logit_t) n_t / sum`, where n_t is how many of the sites to come must have token t. With equal
            logits all allowed configurations are equally probable.
        n_components: C, number of tokens at each site. Component c is conditioned on all components of the sites of
            lower rank and on the components before c of its own site.
        seed: seed of the initial weights. Networks with the same arguments and the same seed have the same weights;
            PyTorch's global random state has no influence and is not changed.

    Raises:
        ValueError: for q < 2, a negative n_condition or n_condition_maps, n_components < 1, a bias for another shape,
            number of tokens or number of components, a bias without the spin-flip symmetry that the model is to have,
            a bias that takes its temperature or couplings from a condition that the model does not have, or a
            composition that does not add up, lacks that symmetry or is given to a network that cannot keep it.

    Attributes:
        rank: int64 `(H, W)`; sites of equal rank are conditionally independent given the sites of lower rank.
        conditioning: layout of a condition, `conditioning.size` numbers for each configuration.
    """

    name: ClassVar[str]
    rank: Tensor

    sites_at_once: ClassVar[dict[str, int]] = {"cpu": 2**14, "cuda": 2**22}
    """Number of sites that `log_prob` passes through the network at a time, by type of device.

    With so few sites activations stay in the cache of a CPU, which reduces the time to a third at L = 32; a hidden
    layer of 64 channels takes 1 GB of the memory of a GPU.
    """

    training_defaults: ClassVar[dict[str, Any]] = {}
    """Options of `fit` that suit this network better than the general defaults; its configs start from them."""

    has_weights: ClassVar[bool] = True
    """Whether there is something to train; a network without weights is trained in a single step."""

    draws_in_raster_order: ClassVar[bool] = True
    """Whether sites can be drawn one after the other, row by row, as a sum over later sites needs it."""

    holds_phases: ClassVar[bool] = True
    """Whether a network of this class can give several phases their probabilities, so that it is trained to."""

    added_later: ClassVar[dict[str, Any]] = {}
    """Options that descriptions written by earlier versions lack, with the values that such networks have."""

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
        composition: tuple[int, ...] | None = None,
        n_components: int = 1,
        seed: int = 0,
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
        self.composition = None if composition is None else self._checked_composition(composition)
        if bias is not None and bias.n_components != n_components:
            raise ValueError(
                f"the bias is for n_components = {bias.n_components}, the model for n_components = {n_components}; "
                "use the bias of a Hamiltonian with as many components"
            )
        if bias is not None and (bias.shape, bias.n_tokens) != (self.shape, n_tokens):
            raise ValueError(
                f"the bias is for shape {bias.shape} with {bias.n_tokens} tokens, "
                f"the model for {self.shape} with {n_tokens}"
            )
        if bias is not None and spin_flip_symmetric and not bias.spin_flip:
            raise ValueError(
                "spin_flip_symmetric needs a Hamiltonian with that symmetry, but the Hamiltonian of the bias lacks it"
            )
        if bias is not None and bias.temperature is None and not n_condition:
            raise ValueError(
                "the bias takes its temperature from the condition, so the model needs n_condition of at least 1, got 0"
            )
        if bias is not None and bias.n_maps and n_condition_maps < bias.n_maps:
            raise ValueError(
                f"the bias takes its couplings from the last {bias.n_maps} condition maps, so the model needs "
                f"n_condition_maps of at least {bias.n_maps}, got {n_condition_maps}"
            )
        self.bias = copy.deepcopy(bias)  # a copy, because `attach` adapts it to the order of this model

    def _checked_composition(self, composition: tuple[int, ...]) -> tuple[int, ...]:
        """The composition; ValueError if it does not add up, or this network cannot keep it."""
        if type(self).own_drawer is not AbstractModel.own_drawer or self.draw_block is not None:
            raise ValueError(
                f"{self.name} cannot keep a composition, because a sampler of its own draws its sites; use a network "
                f"that draws site after site, such as pixelcnn"
            )
        if self.n_components > 1:
            raise ValueError(f"a composition goes with one token at each site, got n_components = {self.n_components}")
        counts = check_composition(composition, self.n_tokens, math.prod(self.shape))
        if self.spin_flip_symmetric and counts != counts[::-1]:
            raise ValueError(
                f"spin_flip_symmetric needs a composition with that symmetry, got {counts}; leave spin_flip_symmetric "
                f"out"
            )
        return counts

    def __repr__(self) -> str:
        """Shape, tokens and arguments in a line or two; `print(*model.children())` shows the layers."""
        if not hasattr(self, "shape"):
            return f"{type(self).__name__}()"
        parts = [f"{self.shape}, n_tokens={self.n_tokens}"]
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if name not in ("shape", "n_tokens", "bias") and (name not in _SHARED or value != _SHARED[name].default):
                parts.append(f"{name}={brief(value)}")
        n = sum(weights.numel() for weights in self.parameters())
        about = [] if self.bias is None else [str(self.bias)]
        device = next((weights.device for weights in self.parameters()), torch.device("cpu"))
        about += [f"{n:,} parameters" + ("" if device.type == "cpu" else f" on {device}")]
        return f"{type(self).__name__}({', '.join(parts)})\n  {', '.join(about)}"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Add the options of `Common` to the signature, in place of `**common`, as configs and `to_dict` read it.

        Without `**common` only `seed` is added, which every class takes.

        A class without a `name` is called by the name of the class.
        """
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__
        signature = inspect.signature(cls.__init__)
        _, *own = signature.parameters.values()
        cls.takes_seed = cls.__init__ is not AbstractModel.__init__ and "seed" in signature.parameters
        shared, added = inspect.signature(AbstractModel.__init__).parameters, ["seed"]
        cls.takes_common = bool(own) and own[-1].kind is inspect.Parameter.VAR_KEYWORD
        if cls.takes_common:
            own, added = own[:-1], list(Common.__annotations__)
        own += (shared[name] for name in added if name not in signature.parameters)
        cls.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]

    def _set_rank(self, rank: Tensor) -> None:
        """Set the rank of every site, `(H, W)`; the bias then drops its bonds to sites of equal or higher rank.

        Beside a sum over later sites the last layer, `head`, is set to zero.
        """
        self.register_buffer("rank", rank, persistent=False)
        if self.bias is not None:
            self.bias.attach(rank)
            if self.bias.in_raster_order and isinstance(head := getattr(self, "head", None), nn.Module):
                for weight in head.parameters():
                    nn.init.zeros_(weight)
        warn_of_short_reach(self)

    @property
    def conditioned(self) -> bool:
        """Whether the model is conditional, that is, takes a condition for each configuration."""
        return self.conditioning.size > 0

    def set_condition_range(self, low: Tensor, high: Tensor) -> None:
        """Rescale condition vectors for the layers: the range from low to high, `(k,)` each, becomes -1 to 1."""
        for module in self.modules():
            if isinstance(module, ConditionEmbedding):
                module.centre.copy_((low + high) / 2)
                module.scale.copy_(torch.where(high > low, (high - low) / 2, 1.0))

    def condition_of(self, vector: Tensor | None = None, maps: Tensor | None = None) -> Tensor:
        """Join condition vectors and maps to the conditions that this model takes: float64 `(B, conditioning.size)`.

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
        """Logits before symmetrisation, `(B, q, H, W)`; entry `[b, :, y, x]` depends only on tokens of lower rank.

        With components `(B, C q, H, W)`: channel `c q + t` belongs to token t of component c, and may also depend on
        the components before c of the same site.
        """

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Unnormalised log-probabilities of each site given the sites of lower rank: `(B, q, H, W)`.

        `logits[b, t, y, x]` belongs to token t at (y, x), given the tokens of configuration b at sites of lower rank.
        With components `(B, q, C, H, W)`. With spin-flip symmetry the logits are `l_t(s) = g_t(s) + g_flip(t)(flip s)`,
        where g are the logits of the network: they are equivariant, so that the probability of a configuration is
        invariant.
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
        """Reshape `(B, C q, H, W)` to `(B, q, C, H, W)` if sites have components."""
        if self.n_components == 1:
            return logits
        return logits.unflatten(1, (self.n_components, self.n_tokens)).transpose(1, 2)

    def log_prob(self, tokens: Tensor, condition: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Exact log-probability of each configuration, in nats: float64 `(B,)`.

        With a fixed composition it is -inf for configurations of another one.

        Args:
            tokens: integers `(B, H, W)`, or `(B, C, H, W)` for C > 1.
            condition: for a conditional model `(B, conditioning.size)`, or one row for all configurations, from
                `condition_of`; None for other models.
            known: the log-probabilities `(B,)` of these configurations if the sampler has just computed them, else
                None; a network that can attach the gradient to given values does not compute them again.

        Raises:
            ValueError: if tokens or condition have another shape, or for tokens outside 0..q-1.
        """
        if not torch.compiler.is_compiling():
            wait_passively()
            self._check(tokens, condition)
        condition = None if condition is None else condition.expand(len(tokens), -1)
        size = max(1, self.sites_at_once[tokens.device.type] // math.prod(tokens.shape[1:]))
        conditions = repeat(None) if condition is None else condition.split(size)
        values = repeat(None) if known is None else known.split(size)
        parts = []
        with nullcontext() if torch.compiler.is_compiling() else full_precision(tokens.device):
            for k, part in enumerate(zip(tokens.split(size), conditions, values, strict=False)):
                of_configurations(k * size, len(part[0]))
                parts.append(self._log_prob(*part))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _log_prob(self, tokens: Tensor, condition: Tensor | None, known: Tensor | None) -> Tensor:
        logits = self.logits(tokens, condition).double()
        if self.composition is not None:
            counts = torch.tensor(self.composition, device=tokens.device)
            remaining_bnq = log_remaining_of(tokens.flatten(1), counts, in_turn(self.rank))
            logits = logits + remaining_bnq.transpose(1, 2).view_as(logits)
        log_p = logits.log_softmax(1)
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
            seed: seed of the random-number stream, in [0, 2^64).
            start: index of the first sample in the stream of this seed.
            method: "wavefront", or "reference", the plain loop over ranks, which draws the same tokens.
            condition: for a conditional model `(n, conditioning.size)`, or one row for all samples.
            given: tokens to hold fixed, `(H, W)` or `(n, H, W)`, with components `(C, H, W)` or `(n, C, H, W)`; the
                other sites are drawn. `log_q` is then the log-probability of the drawn sites only, so that weights
                `exp(-beta E) / q` estimate the Boltzmann distribution with the held sites fixed; `log_q_given` is the
                log-probability of the held sites.
            where: bool mask of one of the shapes of `given`, True at the sites to hold fixed. At fixed composition the
                drawn sites leave what the held ones need, whether they come earlier or later.

        Raises:
            ValueError: for an unknown method, a seed out of range, n < 1, or tokens or a mask of the wrong shape.
        """
        n = check_integer("n", n, least=1)
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
        processes: Processes = ALONE,
    ) -> Iterator[Samples]:
        """Yield the samples of `sample` batch by batch, in constant memory.

        The argument `stream` selects one of the random-number streams of the seed (`latticear.random_numbers`). With
        `processes`, which `la.processes.together` gives, each of them makes this call and gets its own batches:
        batch i of all is that of process i modulo their number.
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
            processes=processes,
        )
        yield from evaluated(self, batches)  # no dropout: it would change the probabilities that weights use

    @property
    def n_products(self) -> int:
        """About the number of multiply-adds of a pass over one configuration: each weight once at each site."""
        passes = 2 if self.spin_flip_symmetric else 1
        return passes * math.prod(self.shape) * sum(weight.numel() for weight in self.parameters())

    def counterparts(self, name: str) -> list[str]:
        """Names of parameters of a network for another lattice whose values fit parameter `name`, the best first."""
        return [name]

    @classmethod
    def settled(cls, shape: tuple[int, int], options: dict[str, Any]) -> dict[str, Any]:
        """The options that the network would choose by itself for this shape, among those of `options` that are None.

        A config states them, so that it describes the same network even if the choice is made differently one day.
        """
        return {}

    def to_dict(self) -> dict[str, Any]:
        """JSON values from which `from_dict` builds the same network, without its weights and their seed."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "seed" or type(self).takes_seed]
        values = {name: getattr(self, name) for name in names}
        if self.composition is None:
            values.pop("composition", None)  # as in descriptions by versions that did not know it
        if self.bias is not None:
            values["bias"] = self.bias.to_dict()
        return {"name": self.name, **{k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the network of this class that `to_dict` described, with fresh weights.

        Raises:
            ValueError: for an argument that the network does not take, or a value that it refuses.
        """
        arguments = cls.added_later | {name: value for name, value in values.items() if name != "name"}
        arguments["shape"] = tuple(arguments.get("shape", ()))
        try:
            if arguments.get("bias") is not None:
                target = dict(arguments["bias"])
                arguments["bias"] = hamiltonian_from_dict(target.pop("hamiltonian")).bias(**target)
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
                f"convert spins to tokens by hamiltonian.tokens(spins)"
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
            hint = "; join vector and maps by condition_of" if self.n_condition_maps else ""
            raise ValueError(
                f"condition must have {size} entries for this model, shape {(size,)} or {(n, size)}, got "
                f"{tuple(condition.shape)}{hint}"
            )
        if not condition.isfinite().all():
            raise ValueError("condition must be finite numbers, got nan or infinity")
        if self.bias is not None:
            self.bias.check(condition)


def check_is_model(value: object) -> None:
    """Raise ValueError unless a value is a network."""
    if not isinstance(value, AbstractModel):
        raise ValueError(f"a model is needed, an instance of latticear.models.AbstractModel, got {described(value)}")


_SHARED = inspect.signature(AbstractModel.__init__).parameters
"""Arguments that all networks share; a repr shows them where they differ from their defaults."""

deprecated.keep_names(__name__)
