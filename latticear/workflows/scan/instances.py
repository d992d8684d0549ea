"""The instances of a scan: the couplings of each size from files, and the config of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from latticear.data.couplings import Instance, shape_of_couplings
from latticear.hamiltonians import (
    AbstractDisorder,
    EdwardsAnderson,
    EdwardsAndersonDisorder,
    Ising,
    SherringtonKirkpatrick,
)
from latticear.runs.config import RunConfig
from latticear.runs.trees import Tree
from latticear.workflows.instances import config_for_instance, digest_of, file_and_numbers, instances_in
from latticear.workflows.scan.point import Shape, size_name

__all__ = [
    "InstanceOfSize",
    "InstancesOfSizes",
    "check_further",
    "check_instances",
    "instances_of_sizes",
    "without_instances",
]

SCANNED = (EdwardsAnderson.name, SherringtonKirkpatrick.name, EdwardsAndersonDisorder.name)
"""Names of the Hamiltonians of which a file may hold several instances."""


ALONE = "scan a single one by --set hamiltonian.couplings=FILE --set hamiltonian.index=K"
"""What to do with one instance."""


class InstanceOfSize(NamedTuple):
    """One instance of a size.

    Attributes:
        config: the config of its first point; that of the network for all instances where there is one.
        instance: its file and number.
        digest: the digest of its couplings.
    """

    config: RunConfig
    instance: Instance
    digest: str


class InstancesOfSizes(NamedTuple):
    """The instances of all sizes of a scan.

    Attributes:
        by_size: the instances of each size; empty where the scan is of one system for each size.
        have_own_networks: whether each has networks of its own, rather than one for all.
    """

    by_size: Mapping[Shape, Sequence[InstanceOfSize]] = MappingProxyType({})
    have_own_networks: bool = False

    @property
    def settings(self) -> Tree:
        """The digests of the couplings, which determine the results, by size and number, as JSON values."""
        return {
            size_name(shape): {str(each.instance.number): each.digest for each in some}
            for shape, some in self.by_size.items()
        }


def check_instances(texts: Sequence[str], section: Any) -> None:
    """Check that `--instances` goes with the section `[hamiltonian]` of a config.

    Raises:
        ValueError: for a system that takes no file of instances, or couplings that are given besides; for a network for
            all instances without any.
    """
    if not isinstance(section, dict):
        return  # `parse_config` says so
    name = section.get("name", Ising.name)
    if texts and name not in SCANNED:
        raise ValueError(f"--instances is for couplings of {', '.join(SCANNED)}, this scan is for {name}: leave it out")
    if texts and (given := [key for key in ("couplings", "index") if section.get(key) is not None]):
        raise ValueError(f"--instances names the couplings of each size, got hamiltonian.{given[0]} too: leave one out")
    if not texts and name == EdwardsAndersonDisorder.name:
        raise ValueError(f"a scan of {name} is over instances: give their couplings by --instances FILE")


def without_instances(settings: Tree) -> Tree:
    """The settings of a scan but for its instances, of which there may be more later."""
    return {key: value for key, value in settings.items() if key != "instances"}


def check_further(out: Path, new: Tree, old: Tree) -> None:
    """Check that a scan can go on with these instances, those that it has and perhaps more of them.

    Args:
        out: folder of the scan.
        new: digests by size and number, as `InstancesOfSizes.settings`.
        old: those of the scan so far.

    Raises:
        ValueError: for other instances; says which.
    """
    if bool(new) != bool(old):
        which = "without --instances" if new else "over --instances"
        raise ValueError(f"{out} holds another scan, {which}: name another --out")
    for size, digests in old.items():
        for number, digest in digests.items():
            if new[size].get(number) != digest:
                what = "has other couplings now" if number in new[size] else "is left out now"
                raise ValueError(
                    f"{out} holds another scan: instance {number} of {size} {what}; give all instances that it has, "
                    f"and more if you want, or name another --out"
                )


def instances_of_sizes(texts: Sequence[str], bases: Sequence[RunConfig]) -> InstancesOfSizes:
    """The instances that `--instances` names, each file for the size that it has couplings for.

    Args:
        texts: values of `--instances`, `FILE`, `FILE:0-9` or `FILE:0,3,5`, in any order.
        bases: the config of the first point of each size.

    Raises:
        ValueError: for a size without a file, a file without a size, or couplings that do not fit.
        OSError: if a file cannot be read.
    """
    if not texts:
        return InstancesOfSizes()
    sizes = {base.target.space.shape: base for base in bases}
    of_size: dict[Shape, str] = {}
    for text in texts:
        shape = _size_of(text, sizes)
        if shape in of_size:
            raise ValueError(
                f"--instances {of_size[shape]} and {text} are both for the size {size_name(shape)}: give one file, "
                f"with all numbers after one colon"
            )
        of_size[shape] = text
    if missing := [size_name(shape) for shape in sizes if shape not in of_size]:
        raise ValueError(
            f"no --instances for the size {', '.join(missing)}, got {', '.join(texts)}: give a file for each size"
        )
    is_for_all = isinstance(bases[0].target.space, AbstractDisorder)
    found = {
        shape: [_instance(base, instance, is_for_all) for instance in instances_in(of_size[shape], shape, ALONE)]
        for shape, base in sizes.items()
    }
    return InstancesOfSizes(found, not is_for_all)


def _size_of(text: str, sizes: Mapping[Shape, RunConfig]) -> Shape:
    """The size that a file of instances is for."""
    path, _ = file_and_numbers(text)
    held = shape_of_couplings(path)
    for (height, width), base in sizes.items():
        n = height * width
        one = (n, n) if isinstance(base.target.space, SherringtonKirkpatrick) else (2, height, width)
        if one in (held, held[1:]):
            return height, width
    raise ValueError(
        f"{path} holds couplings of the shape {held}, which is none of the sizes {', '.join(map(size_name, sizes))}: "
        f"scan its size too, or leave it out"
    )


def _instance(base: RunConfig, instance: Instance, is_for_all: bool) -> InstanceOfSize:
    """One instance with its config; instance K is trained and sampled with the seed of the scan plus K."""
    if is_for_all:
        return InstanceOfSize(base, instance, digest_of(base, instance))
    config = config_for_instance(base, instance)
    assert config.couplings is not None
    return InstanceOfSize(
        replace(config, seed=(config.seed + instance.number) % 2**63), instance, config.couplings.digest
    )
