"""The networks of the couplings of all phases, compiled for the CPU, with their gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from latticear.kernels import structures
from latticear.kernels.library import library
from latticear.models.multiscale.coupling_network import CouplingNetwork
from latticear.models.multiscale.phases import PatchNetwork

__all__ = ["CompiledCouplings", "Source"]

Source = tuple[dict[str, Tensor | None], str]
"""A weight, given by the dictionary and the key under which its module keeps it, since a parameter may be replaced."""


class CompiledCouplings:
    """What the couplings tell the perceptrons of some phases: what is added to their layers, and factors of the spins.

    The weights are read anew at each call. The result for an instance of the couplings depends neither on the others in
    the same call nor on the number of threads.

    Args:
        networks: for each phase its network of the couplings and its perceptron.
    """

    def __init__(self, networks: Sequence[tuple[CouplingNetwork, PatchNetwork]]) -> None:
        self._records = (structures.Couplings * len(networks))()
        self._kept: list[list[Tensor]] = []  # arrays that the records point to
        own = [_sources(*pair) for pair in networks]
        self._sources = [source for sources in own for source in sources]
        self._sizes = [size for pair in networks for size in _sizes(*pair)]
        self._ends = list(accumulate(map(len, own)))
        for record, (couplings, network) in zip(self._records, networks, strict=True):
            gauge = couplings.gauge
            tables = (gauge.parents, gauge.tree, gauge.ends, gauge.window, gauge.taps)
            self._kept.append([table.to(torch.int32).contiguous() for table in tables])
            record.parents, record.tree, record.ends, record.window, record.taps = map(_place, self._kept[-1])
            record.n_offsets, record.n_targets = gauge.tree.shape
            record.n_bonds, record.n_taps = gauge.n_bonds, len(gauge.taps)
            record.width, record.depth = len(couplings.weigh.weight[0]), len(network.layers)
            record.n_added = _width(network)

    def fit(self, dtype: torch.dtype | None) -> bool:
        """Whether all weights have the shapes, the type and the memory layout that the kernels read."""
        weights = self._weights
        return len(weights) == len(self._sizes) and all(
            weight is size
            if weight is None or size is None
            else weight.shape == size and weight.dtype == dtype and weight.is_contiguous() and weight.is_cpu
            for weight, size in zip(weights, self._sizes, strict=True)
        )

    def __call__(self, values: Tensor, instruction_set: int) -> list[tuple[Tensor, Tensor]]:
        """What is added, `(rows, T, U)`, and the factors, `(1 + n_taps, T, U)`, for each phase; with their gradients.

        Args:
            values: what `Gauge.values` makes of the couplings of U instances.
            instruction_set: index among the instruction sets of this machine.
        """
        weights = [weight for weight in self._weights if weight is not None]
        found = _Coupled.apply(self, values, instruction_set, *weights)
        return list(zip(found[::2], found[1::2], strict=True))

    def outputs(self, values: Tensor, instruction_set: int) -> tuple[Tensor, ...]:
        """What is added and the factors for each phase, one after the other."""
        records, found, n = self._copy(), [], values.shape[1]
        for record in records:
            sizes = (record.depth * record.n_added, record.n_targets, n), (1 + record.n_taps, record.n_targets, n)
            found += [values.new_empty(size) for size in sizes]
            record.added, record.factors = map(_place, found[-2:])
        self._call(records, values, None, instruction_set)
        return tuple(found)

    def gradients(self, values: Tensor, instruction_set: int, by_outputs: Sequence[Tensor]) -> list[Tensor]:
        """The gradients by all weights from the derivatives by the outputs."""
        records, by_outputs = self._copy(), [derivative.contiguous() for derivative in by_outputs]
        for record, added, factors in zip(records, by_outputs[::2], by_outputs[1::2], strict=True):
            record.by_added, record.by_factors = _place(added), _place(factors)
        found = [None if weight is None else torch.empty_like(weight) for weight in self._weights]
        pointers, _kept = self._pointers(found)
        self._call(records, values, pointers, instruction_set)
        return [gradient for gradient in found if gradient is not None]

    def _call(self, records: Any, values: Tensor, gradients: Any, instruction_set: int) -> None:
        kernels, n, n_threads = library(), len(records), torch.get_num_threads()
        weights, _kept = self._pointers(self._weights)
        for record, place in zip(records, weights, strict=True):
            record.weights = place
        is_double = int(values.dtype == torch.float64)
        size = kernels.latticear_couplings_size(records, n, is_double, int(gradients is not None), n_threads)
        memory = torch.empty(size, dtype=torch.uint8)
        kernels.latticear_couplings(
            records,
            n,
            values.shape[1],
            values.data_ptr(),
            gradients,
            instruction_set,
            is_double,
            n_threads,
            memory.data_ptr(),
        )

    def _copy(self) -> Any:
        return type(self._records).from_buffer_copy(self._records)

    def _pointers(self, tensors: Sequence[Tensor | None]) -> tuple[Any, Any]:
        """For each phase a pointer to the pointers to its tensors, and these, to be kept alive."""
        starts = (0, *self._ends[:-1])
        own = [
            (ctypes.c_void_p * (end - start))(*map(_place, tensors[start:end]))
            for start, end in zip(starts, self._ends, strict=True)
        ]
        return (ctypes.c_void_p * len(own))(*map(ctypes.addressof, own)), own

    @property
    def _weights(self) -> list[Tensor | None]:
        return [parameters.get(name) for parameters, name in self._sources]


class _Coupled(torch.autograd.Function):
    """Recomputes all activations in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, couplings: CompiledCouplings, values: Tensor, instruction_set: int, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(values, *weights)
        ctx.couplings, ctx.instruction_set = couplings, instruction_set
        return couplings.outputs(values, instruction_set)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        values, *_ = ctx.saved_tensors  # raises if any weight has changed since the forward pass
        return (None, None, None, *ctx.couplings.gradients(values, ctx.instruction_set, by_outputs))


def _sources(couplings: CouplingNetwork, network: PatchNetwork) -> list[Source]:
    """Weight and bias of each layer in the order of the kernels; the layers of the condition have no bias."""
    linear = [layer for layer in couplings.layers if isinstance(layer, nn.Linear)]
    layers: list[Any] = [*linear, couplings.weigh, *network.conditions]
    return [(layer._parameters, name) for layer in layers for name in ("weight", "bias")]


def _sizes(couplings: CouplingNetwork, network: PatchNetwork) -> list[tuple[int, ...] | None]:
    """The shapes that the kernels expect."""
    n_bonds, n_taps = couplings.gauge.n_bonds, len(couplings.gauge.taps)
    width = len(couplings.weigh.weight[0])
    layers = [(width, n_bonds), (width, width), (n_taps, width)]
    own: list[tuple[int, ...] | None] = [size for layer in layers for size in (layer, layer[:1])]
    return own + [(_width(network), width), None] * len(network.layers)


def _width(network: PatchNetwork) -> int:
    assert network.weight is not None
    return network.weight.shape[1]


def _place(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
