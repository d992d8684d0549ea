"""What the condition alone determines of a network: inputs that PyTorch computes for the compiled kernels.

Conditions that follow each other and are equal are one *instance*; everything is computed once for each instance.
Index suffixes: c channel, t target, u instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.hamiltonians import BoltzmannBias
from latticear.models.multiscale.compiled_couplings import CompiledCouplings
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
        self._gauged = {key: part for key, part in reading.items() if part[0].couplings is not None}
        self._embedded = (
            {} if embed is None else {key: part for key, part in reading.items() if key not in self._gauged}
        )
        networks = [(phase.couplings, network) for phase, network in self._gauged.values() if phase.couplings]
        self._couplings = CompiledCouplings(networks)
        self._gauge = networks[0][0].gauge if networks else None

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
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the inputs depend on, each once."""
        modules: list[nn.Module | None] = [network.conditions for _, network in self._every]
        modules += [phase.couplings for phase, _ in self._gauged.values()]
        modules += [self._embed] if self._embedded else []
        found = (weight for module in modules if module is not None for weight in module.parameters())
        return list(dict.fromkeys(found))

    def fit(self, dtype: torch.dtype | None) -> bool:
        """Whether the layers of the condition have as many rows as those that they enter, and their number type."""
        return self._couplings.fit(dtype) and all(
            condition.shape == (len(entered), condition.shape[1]) and condition.dtype == dtype
            for _, network in self._embedded.values()
            for condition, entered in zip(_weights(network), _entered(network), strict=True)
        )

    @property
    def _every(self) -> list[tuple[PhaseModule, PatchNetwork]]:
        return [*self._gauged.values(), *self._embedded.values()]

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
            weights = {key: _rows(network) for key, (_, network) in self._embedded.items()}
            if embedded_ctu.shape[1] == 1:  # one product for all phases
                products = _product(torch.cat(list(weights.values())), embedded_ctu)
                return dict(zip(weights, products.split([len(rows) for rows in weights.values()]), strict=True))
            sites = {key: phase.sites for key, (phase, _) in self._embedded.items()}
            return {key: _product(rows, embedded_ctu[:, sites[key]]) for key, rows in weights.items()}

    def gradients(self, inputs: list[Tensor], by_inputs: list[Tensor]) -> list[Tensor]:
        """The gradients by `parameters` from the derivatives by some of the inputs that have a gradient."""
        learning = [weight for weight in self.parameters if weight.requires_grad]
        if not learning or not inputs:
            return [torch.zeros_like(weight) for weight in self.parameters]
        with thread_count(1 if self._embedded else torch.get_num_threads()):
            found = torch.autograd.grad(inputs, learning, by_inputs, allow_unused=True, materialize_grads=True)
        of = dict(zip(learning, found, strict=True))
        return [of[weight] if weight in of else torch.zeros_like(weight) for weight in self.parameters]


def _weights(network: PatchNetwork) -> list[Tensor]:
    """The weights of the embedded condition, one for each layer, or one for the logits."""
    return [cast(Tensor, module.weight) for module in network.conditions]


def _entered(network: PatchNetwork) -> list[Tensor]:
    """The biases of what they enter."""
    return [cast(Tensor, layer.bias) for layer in network.layers] or [network.bias]


def _rows(network: PatchNetwork) -> Tensor:
    """The weights of the embedded condition in all layers, one after the other, or in the log-odds or logits."""
    weights = _weights(network)
    if not len(network.layers) and len(network.bias) == 2:
        return weights[0][1:] - weights[0][:1]
    return torch.cat(weights)


def _product(weights: Tensor, embedded: Tensor) -> Tensor:
    return (weights @ embedded.flatten(1)).view(len(weights), *embedded.shape[1:])
