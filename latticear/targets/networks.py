"""Which network suits a target, and how it is built."""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

from latticear.arguments import did_you_mean
from latticear.models import MODELS, AbstractModel, MultiscalePixelCNN, PixelCNN, TensorNetwork
from latticear.models.multiscale.nearest import has_seam
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget
from latticear.targets.choice import target_of

__all__ = [
    "AUTO",
    "WITHOUT_ENERGY",
    "NetworkChoice",
    "build_network",
    "default_model",
    "default_network",
    "default_sampler",
]

AUTO = {"translation_invariant": "is_homogeneous", "spin_flip_symmetric": "spin_flip", "periodic": "periodic"}
"""Options of networks that by default have the value of a property of the target."""


class NetworkChoice(NamedTuple):
    """A network and why it was chosen.

    Attributes:
        name: its name in `MODELS`.
        reason: half a sentence, to follow "since".
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"network: {self.name}, since {self.reason}"


WITHOUT_ENERGY = NetworkChoice(PixelCNN.name, "it assumes nothing about data that have no energy")
"""The choice for a grid."""


MANY_NEIGHBOURS = 8
"""With more neighbours than this the order of scales has no advantage."""


def default_network(space: Any) -> NetworkChoice:
    """The network to take for a system unless a user names one: the best of those measured, in the same time.

    `benchmarks/defaults.py` measures them; docs/networks.md shows the table from which this rule follows.

    Args:
        space: the Hamiltonian, or a `Grid`.
    """
    if not space.has_energy:
        return WITHOUT_ENERGY
    if space.n_components > 1:
        return NetworkChoice(PixelCNN.name, "a site has several components, which multiscale cannot draw")
    if space.composition is not None:
        return NetworkChoice(PixelCNN.name, "a fixed composition needs sites that are drawn one after the other")
    if _n_neighbours(space) > MANY_NEIGHBOURS:
        return NetworkChoice(PixelCNN.name, "sites have too many neighbours to tell near ones from far ones")
    if getattr(space, "next_nearest", 0.0) < 0 and has_seam(space.shape, space.lattice.periodic):
        return NetworkChoice(PixelCNN.name, "stripes do not fit into the unit cells of multiscale on an odd torus")
    return NetworkChoice(MultiscalePixelCNN.name, "it has the largest ESS for its time on systems of this kind")


MOST_SITES = {True: 128**2, False: 256**2}
"""The largest lattices, closed in both directions and others, whose sums over later sites take minutes."""

MOST_TOKENS = {True: 4, False: 16}
"""Likewise the largest numbers of states: the time grows with their sixth power where columns are closed."""


def default_sampler(target: AbstractTarget) -> NetworkChoice:
    """What to take for a target if a user names neither a network nor anything about its training.

    That is a tensor network, with which nothing has to be trained, where it can be had in minutes, and otherwise the
    default network. `benchmarks/which_sampler.py` compares them; docs/which-sampler.md shows the table.
    """
    space: Any = target.space
    choice = default_network(space)
    if not space.has_energy or not space.has_bonds or target.covers_range or space.n_components > 1:
        return choice
    if space.composition is not None:  # a sum over later sites does not know what is left for them
        return choice
    closed = all(space.lattice.periodic)
    if math.prod(space.shape) > MOST_SITES[closed] or space.n_tokens > MOST_TOKENS[closed]:
        return choice
    try:
        target.bias(1)
    except ValueError:  # bonds that reach too far, or couplings that are not given
        return choice
    return NetworkChoice(TensorNetwork.name, "it needs no training (name a network, or steps, to train one)")


def _n_neighbours(space: Any) -> int:
    """The largest number of sites that a site interacts with; 0 where the energy is no sum over bonds."""
    if not space.has_bonds or not len(space.bonds):
        return 0
    return int(space.bonds.flatten().bincount().max())


def default_model(
    hamiltonian: ConfigurationSpace | AbstractTarget,
    temperature: float | tuple[float, float] | None = None,
    *,
    name: str | None = None,
    seed: int = 0,
    **options: Any,
) -> AbstractModel:
    """Build the network that the command line would train: the default one for a system, with all that it can know.

    It has the symmetries, the boundaries and the known-neighbour term of the Hamiltonian. Train it by `fit`.

    Args:
        hamiltonian: the Hamiltonian; or a `Grid`, or any target of `latticear.targets`.
        temperature: T > 0, in units of the coupling, or a range (low, high); None for a grid.
        name: a name in `MODELS`; None for the network that suits the system best (`targets.default_network`).
        seed: seed of the initial weights.
        options: arguments of the network, such as `width`, in place of its defaults; and `bond_dimension`, chi of the
            sum over later sites in its logits, for any network that draws in raster order.

    Raises:
        ValueError: for an unknown name, or options that the network or the system does not allow.
        TypeError: for an option that the network does not have.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> default_model(Ising((4, 4)), 2.269).name
        'multiscale'
    """
    target = target_of(hamiltonian, temperature=temperature)
    if name is None:
        looks_ahead = options.get("bond_dimension") is not None and target.space.composition is None
        name = TensorNetwork.name if looks_ahead else default_network(target.space).name
    if name not in MODELS:
        raise ValueError(f"name must be one of {sorted(MODELS)}, got {name!r}{did_you_mean(name, MODELS)}")
    valid = inspect.signature(MODELS[name]).parameters
    known = {key: getattr(target, attribute) for key, attribute in AUTO.items() if key in valid}
    bond_dimension = None if "bond_dimension" in valid else options.pop("bond_dimension", None)
    if bond_dimension is not None:
        known["bias"] = target.bias(bond_dimension)
    elif "bias" not in options and target.has_energy and target.space.has_bonds:
        known["bias"] = target.bias()
    return build_network(target, name, known | target.model_options | options, seed)


def build_network(target: AbstractTarget, name: str, options: dict[str, Any], seed: int) -> AbstractModel:
    """Build a network for a target, with random initial weights.

    Args:
        target: the target; it gives the shape and the numbers of tokens and components.
        name: a name in `MODELS`.
        options: arguments of the network.
        seed: seed of the initial weights.

    Raises:
        ValueError: for an invalid argument of the network, a symmetry that the Hamiltonian does not have, or several
            components at a site for a network that has one.
        TypeError: for an option that the network does not have.
    """
    network, space = MODELS[name], target.space
    if space.composition is not None and "composition" not in inspect.signature(network).parameters:
        raise ValueError(f"model.name {name} takes no composition: name another network, such as {PixelCNN.name}")
    target.check_spin_flip(options.get("spin_flip_symmetric", False))
    if space.n_components > 1:
        if "n_components" not in inspect.signature(network).parameters:
            raise ValueError(
                f"model.name {network.name} has one component at a site, the {space.kind} has {space.n_components}"
            )
        options = {"n_components": space.n_components} | options
    return network(space.shape, space.n_tokens, **options, seed=seed)
