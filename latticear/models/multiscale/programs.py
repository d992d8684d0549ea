"""The argument of the compiled kernels: the phases of a network and the sites to draw, as C structures."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latticear.hamiltonians import BoltzmannBias
from latticear.kernels import structures
from latticear.models.multiscale.given import GivenInputs
from latticear.models.multiscale.phases import PatchNetwork, PhaseModule
from latticear.models.multiscale.tables import bonds_of, numbered, tables_of

__all__ = ["MOST_BONDS", "Program", "Programs", "n_outputs_of", "place_of", "width_of"]

MOST_NEIGHBOURS = 8
"""Largest number of neighbours for tables with an entry for each of the 2^8 patterns of their tokens.

The energies of more neighbours are added one by one.
"""

MOST_BONDS = 1024
"""Largest number of neighbours of a site whose energies the kernels add."""


class Program(NamedTuple):
    """The argument of the kernels: phases and sites to draw.

    Attributes:
        order: the C structure that describes the phases in their order.
        records: the C structures of the phases, to which `order` points.
        keys: the names of the phases.
        kept: objects whose memory these structures point to, kept alive with them.
    """

    order: structures.Order
    records: Any
    keys: list[str]
    kept: Any

    def given(self, inputs: GivenInputs, by_inputs: Mapping[int, Tensor] | None = None) -> Program:
        """The same with the inputs that follow from the conditions; the derivatives by them are added to `by_inputs`.

        Args:
            inputs: the inputs.
            by_inputs: a tensor for each input that has a gradient, by its `id`.
        """
        if inputs.scales is None and not inputs.learned:
            return self
        records = type(self.records).from_buffer_copy(self.records)
        for record, key in zip(records, self.keys, strict=True):
            added, factors = inputs.added.get(key), inputs.factors.get(key)
            record.by_target = added is not None and added.shape[1] > 1
            record.added, record.factors = place_of(added), place_of(factors)
            if by_inputs is not None:
                record.by_added, record.by_factors = (place_of(by_inputs.get(id(part))) for part in (added, factors))
        order = _ordered(self.order, records)
        order.n_padded, order.n_instances = inputs.n, inputs.n_instances
        order.instances, order.scales, order.couplings = map(
            place_of, (inputs.instances, inputs.scales, inputs.couplings)
        )
        return Program(order, records, self.keys, (self.kept, inputs, by_inputs))


class Programs:
    """The programs of a network, for all sites and for some of them.

    Args:
        n_tokens: q.
        phases: the phases by name, in their order.
        bias: the energies of known neighbours, or None.
        biased: for each phase by name, whether the bias adds to its logits.
        weights: for each phase the address of the pointers to its weights; None without a network.

    Attributes:
        energies: whether the kernels compute energies from bonds rather than look up what they contribute.
        whole: the program for all sites.
    """

    def __init__(
        self,
        n_tokens: int,
        phases: Mapping[str, PhaseModule],
        bias: BoltzmannBias | None,
        biased: Mapping[str, bool],
        weights: Sequence[int | None],
    ) -> None:
        self.energies = bias is not None and not _has_tables(n_tokens, bias)
        self._records = (structures.Phase * len(phases))()
        self._keys = list(phases)
        self._kept: list[Any] = []  # arrays that the records point to
        n_sites = sum(len(phase.sites) for phase in phases.values())
        self._phase_of, self._target_of = (torch.empty(n_sites, dtype=torch.int32) for _ in range(2))
        looked_up = None if self.energies else bias
        for k, (record, (key, phase), place) in enumerate(zip(self._records, phases.items(), weights, strict=True)):
            self._phase_of[phase.sites] = k
            self._target_of[phase.sites] = torch.arange(len(phase.sites), dtype=torch.int32)
            terms = tables_of(phase, looked_up, biased.get(key, False))
            arrays = (_indices(phase.sites), _indices(phase.taps.T), *terms)
            self._kept.append(arrays)
            record.n_targets, record.n_taps, record.n_terms = *arrays[1].shape, arrays[3].shape[1]
            record.sites, record.taps, record.neighbours, record.tables = map(place_of, arrays)
            record.bonded = biased.get(key, False)
            if phase.network is not None:
                record.depth, record.n_outputs = len(phase.network.layers), n_outputs_of(phase)
                record.width, record.weights = width_of(phase.network), place
        self._order = structures.Order(
            n_sites=n_sites,
            n_tokens=n_tokens,
            degree=0 if bias is None else bias.sites.shape[1],
            gauged=any(phase.gauged for phase in phases.values()),
            symmetric=n_tokens > 2 and any(phase.symmetric for phase in phases.values()),
            n_phases=len(phases),
        )
        if bias is not None and self.energies:
            self._set_bonds(phases, bias)
        self.whole = self.of(torch.arange(n_sites))

    def _set_bonds(self, phases: Mapping[str, PhaseModule], bias: BoltzmannBias) -> None:
        """Let the records point to the bonds of the phases, from which the kernels compute energies."""
        bonds = [bonds_of(phase, bias) for phase in phases.values()]
        pairs, parts = numbered(bonds)
        self._order.pairs = pairs.data_ptr()
        self._kept.append(pairs)
        for record, of_phase, part in zip(self._records, bonds, parts, strict=True):
            fields = of_phase.fields.contiguous()
            record.n_later, record.bonds, record.fields = part.shape[1] - 1, part.data_ptr(), fields.data_ptr()
            self._kept.append((part, fields))

    def of(self, sites: Tensor) -> Program:
        """The program that draws these sites; site `sites[i]` uses column i of the uniform numbers."""
        phase_of = self._phase_of[sites]
        columns = phase_of.argsort(stable=True)
        drawn, columns = self._target_of[sites[columns]], columns.to(torch.int32)
        records = type(self._records).from_buffer_copy(self._records)
        start = 0
        for record, n in zip(records, phase_of.bincount(minlength=len(records)).tolist(), strict=True):
            record.n_drawn = n
            record.drawn, record.columns = (array.data_ptr() + array.itemsize * start for array in (drawn, columns))
            start += n
        return Program(_ordered(self._order, records), records, self._keys, (drawn, columns))


def _ordered(order: structures.Order, records: Any) -> structures.Order:
    """A copy of `order` with other phases."""
    copy = structures.Order.from_buffer_copy(order)
    copy.phases = ctypes.addressof(records)
    return copy


def n_outputs_of(phase: PhaseModule) -> int:
    """The number of outputs of the network of a phase."""
    return 1 if phase.gauged else phase.n_tokens


def width_of(network: PatchNetwork) -> int:
    """The width of the hidden layers, 0 if there are none."""
    return 0 if network.weight is None else network.weight.shape[1]


def place_of(tensor: Tensor | None) -> int | None:
    """The address of a tensor in memory."""
    return None if tensor is None else tensor.data_ptr()


def _has_tables(n_tokens: int, bias: BoltzmannBias) -> bool:
    """Whether the energies follow from the pattern of the neighbours' tokens alone, and the patterns are few."""
    fixed = bias.temperature is not None and not bias.n_maps
    return n_tokens == 2 and fixed and bias.sites.shape[1] <= MOST_NEIGHBOURS


def _indices(sites: Tensor) -> Tensor:
    return sites.to(torch.int32).contiguous()
