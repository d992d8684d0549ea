"""What the condition alone determines of a network: inputs that PyTorch computes for the compiled kernels.

Conditions that follow each other and are equal are one *instance*; everything is computed once for each instance.
Index suffixes: c channel, t target, u instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.hamiltonians import BoltzmannBias
from latticear.models.multiscale.compiled_couplings import CompiledCouplings, Source
from latticear.models.multiscale.coupling_network import instances_of
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.threads import thread_count

__all__ = ["GivenInputs", "GivenNetworks"]


class GivenInputs(NamedTuple):
    """The inputs of the kernels for B configurations, B a multiple of the number of lanes.

    Attributes:
        n: B.
        scales: minus the inverse temperatures, float64 `(B,)`; None if no energies are computed.
        couplings: factors of the energies of bonds, float64 `(n_couplings, B)`; None for factors of 1.
        n_instances: the number of instances.
        instances: int32 `(B,)`, the instance of each configuration; None if each has its own.
        added: by the name of the phase, what is added to its hidden layers, one after the other, `(rows, T or 1, U)`,
            or, if it has none, to its log-odds or logits.
        factors: by the name of the phase, the gauge sign of the spin at the first tap and then the factors of the spins
            at all taps, `(1 + n_taps, T, U)`.
    """

    n: int
    scales: Tensor | None
    couplings: Tensor | None
    n_instances: int
    instances: Tensor | None
    added: dict[str, Tensor]
    factors: dict[str, Tensor]

    @property
    def learned(self) -> list[Tensor]:
        """The inputs that depend on parameters."""
        return [*self.added.values(), *self.factors.values()]


class GivenNetworks:
    """Computes the inputs from conditions; its parameters are those of the modules that read the condition.

    Args:
        phases: the phases by name.
        bias: the energies that the kernels compute from bonds, or None.
        embed: the embedding of the condition, or None.
    """

    def __init__(self, phases: Mapping[str, PhaseModule], bias: BoltzmannBias | None, embed: nn.Module | None) -> None:
        self._bias, self._embed = bias, embed
        reading = {
            key: (phase, phase.network)
            for key, phase in phases.items()
            if phase.network is not None and len(phase.network.conditions)
        }
        gauged = {key: (phase.couplings, network) for key, (phase, network) in reading.items() if phase.couplings}
        embedded = {} if embed is None else {key: part for key, part in reading.items() if key not in gauged}
        self._gauged = list(gauged)
        self._couplings = CompiledCouplings(list(gauged.values()))
        self._gauge = next((couplings.gauge for couplings, _ in gauged.values()), None)
        self._embedded = {key: _Embedded(*part) for key, part in embedded.items()}
        modules: list[nn.Module | None] = [network.conditions for _, network in reading.values()]
        modules += [*(couplings for couplings, _ in gauged.values()), embed if embedded else None]
        self._sources = [source for module in modules if module is not None for source in _sources(module)]

    @property
    def reads_condition(self) -> bool:
        """Whether anything depends on the condition."""
        of_bias = self._bias is not None and (self._bias.temperature is None or self._bias.n_maps > 0)
        return of_bias or bool(self._gauged or self._embedded)

    @property
    def depends_on_number(self) -> bool:
        """Whether the rounding depends on how many configurations there are."""
        return bool(self._embedded)

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters that the inputs depend on, each once."""
        found = (parameters[name] for parameters, name in self._sources)
        return list(dict.fromkeys(weight for weight in found if weight is not None))

    def fit(self, dtype: torch.dtype | None) -> bool:
        """Whether the layers of the condition have as many rows as those that they enter, and their number type."""
        return self._couplings.fit(dtype) and all(phase.fit(dtype) for phase in self._embedded.values())

    def inputs(self, n: int, condition: Tensor | None, like: Tensor, instruction_set: int) -> GivenInputs:
        """The inputs for n configurations and their conditions; with a gradient if gradients are enabled.

        Args:
            n: number of configurations.
            condition: `(n, k)`; None if nothing depends on it.
            like: a tensor of the type of the weights.
            instruction_set: index among the instruction sets of this machine.
        """
        scales = couplings = None
        if self._bias is not None:
            strengths = self._bias.strengths(n, condition)
            scales = (-1 / strengths.temperatures).contiguous()
            couplings = None if strengths.couplings is None else strengths.couplings.T.contiguous()
        if condition is None or not (self._gauged or self._embedded):
            return GivenInputs(n, scales, couplings, n, None, {}, {})
        distinct, instances = instances_of(condition)
        added, factors = self._of_embedding(distinct), {}
        if self._gauge is not None:
            found = self._couplings(self._gauge.values(distinct.double(), like), instruction_set)
            for key, (of_layers, of_spins) in zip(self._gauged, found, strict=True):
                added[key], factors[key] = of_layers, of_spins
        rows = None if len(distinct) == n else instances.to(torch.int32)
        return GivenInputs(n, scales, couplings, len(distinct), rows, added, factors)

    def _of_embedding(self, condition: Tensor) -> dict[str, Tensor]:
        if not self._embedded:
            return {}
        assert self._embed is not None
        with thread_count(1):
            embedded_ctu = F.silu(self._embed(condition)).flatten(2).permute(1, 2, 0)
            if embedded_ctu.shape[1] == 1:  # one product for all phases
                weights = [rows for phase in self._embedded.values() for rows in phase.weights()]
                products = _product(torch.cat(weights), embedded_ctu)
                parts = products.split([phase.n_rows for phase in self._embedded.values()])
                return dict(zip(self._embedded, parts, strict=True))
            return {
                key: _product(torch.cat(phase.weights()), embedded_ctu[:, phase.sites])
                for key, phase in self._embedded.items()
            }

    def gradients(self, inputs: list[Tensor], by_inputs: list[Tensor]) -> list[Tensor]:
        """The gradients by `parameters` from the derivatives by some of the inputs that have a gradient."""
        learning = [weight for weight in self.parameters if weight.requires_grad]
        if not learning or not inputs:
            return [torch.zeros_like(weight) for weight in self.parameters]
        with thread_count(1 if self._embedded else torch.get_num_threads()):
            found = torch.autograd.grad(inputs, learning, by_inputs, allow_unused=True, materialize_grads=True)
        of = dict(zip(learning, found, strict=True))
        return [of[weight] if weight in of else torch.zeros_like(weight) for weight in self.parameters]


class _Embedded:
    """The weights with which the embedded condition enters the network of a phase.

    Attributes:
        sites: the targets of the phase.
        n_rows: number of rows of all weights.
    """

    def __init__(self, phase: PhaseModule, network: PatchNetwork) -> None:
        self.sites = phase.sites
        self._sources = _sources(network.conditions)
        self._entered = [len(cast(Tensor, layer.bias)) for layer in network.layers] or [len(network.bias)]
        self._of_odds = not len(network.layers) and self._entered == [2]
        self.n_rows = 1 if self._of_odds else sum(self._entered)

    def weights(self) -> list[Tensor]:
        """One matrix for each layer, or, if there is none, one for the log-odds or logits."""
        found = [cast(Tensor, parameters[name]) for parameters, name in self._sources]
        return [found[0][1:] - found[0][:1]] if self._of_odds else found

    def fit(self, dtype: torch.dtype | None) -> bool:
        """Whether there is one with the right number of rows for each layer, in this number type."""
        found = [parameters[name] for parameters, name in self._sources]
        return len(found) == len(self._entered) and all(
            weight is not None and weight.ndim == 2 and len(weight) == n_rows and weight.dtype == dtype
            for weight, n_rows in zip(found, self._entered, strict=True)
        )


def _sources(module: nn.Module) -> list[Source]:
    """All parameters of a module."""
    parts: list[Any] = list(module.modules())
    return [
        (part._parameters, name) for part in parts for name, weight in part._parameters.items() if weight is not None
    ]


def _product(weights: Tensor, embedded: Tensor) -> Tensor:
    return (weights @ embedded.flatten(1)).view(len(weights), *embedded.shape[1:])
