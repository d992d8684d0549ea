"""Configs: the target, the network and the training of a run, read from TOML, checked, and written to TOML."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch

from latticear.hamiltonians import hamiltonian_from_dict
from latticear.models import MODELS, AbstractModel, MultiscalePixelCNN, PixelCNN
from latticear.runs.schema import GRID, HAMILTONIAN, checked_data
from latticear.runs.trees import Tree, config_tree
from latticear.spaces import Grid
from latticear.targets import TARGETS, AbstractTarget, GridTarget, target_of

__all__ = ["AUTO", "RunConfig", "build_model", "load_config", "parse_config", "resolve_device", "to_toml"]

LARGE = 16
"""Lattices of this extent or larger have the multiscale network by default."""

AUTO = {"translation_invariant": "is_homogeneous", "spin_flip_symmetric": "spin_flip", "periodic": "periodic"}
"""Keys of `[model]` that may be "auto", each with the property of the target whose value they then take."""

Completion = Callable[[Tree, Tree, str, str | None], None]
"""A function of the sections `grid` and `model`, the path of the data and the dataset in it; adds the keys that follow
from the data."""


@dataclass(frozen=True)
class RunConfig:
    """The complete config of a run.

    Attributes:
        place: the keys at the top of the file that describe the target: `temperature`, a number or a range, written
            `(1.5, 3.5)`, in TOML `[1.5, 3.5]` or "1.5:3.5"; empty for a grid.
        seed: seed of the initial weights and of the training.
        device: "auto", "cpu" or "cuda".
        space: the section `[hamiltonian]` or `[grid]`.
        model: the section `[model]`.
        training: the section `[training]`.
        target: the target, built from `place`, `space` and `model`.
        data: the section `[data]`: `dataset` and `values`, as `load_configurations` takes them, where they are given.
    """

    place: Tree
    seed: int
    device: str
    space: Tree
    model: Tree
    training: Tree
    target: AbstractTarget = field(compare=False, repr=False)
    data: Tree = field(default_factory=dict)

    def to_dict(self, *, with_device: bool = True) -> Tree:
        """The config as nested dictionaries, from which `parse_config` rebuilds it."""
        top = self.place | {"seed": self.seed} | ({"device": self.device} if with_device else {})
        data = {"data": self.data} if self.data else {}
        return top | {self.target.space.kind: self.space, "model": self.model, "training": self.training, **data}


def load_config(
    path: str | Path | None, overrides: Iterable[str] = (), values: Tree | None = None, *, needs_energy: bool = False
) -> RunConfig:
    """Read, merge and check a config: `parse_config(config_tree(path, overrides, values))`."""
    return parse_config(config_tree(path, overrides, values), needs_energy=needs_energy)


def parse_config(tree: Tree, complete: Completion | None = None, *, needs_energy: bool = False) -> RunConfig:
    """Check a config given as nested dictionaries, and add the keys that it does not contain.

    Args:
        tree: the config, with a section `[hamiltonian]` or a section `[grid]`.
        complete: adds the keys of a grid that follow from its data; called after the given keys have been checked.
        needs_energy: whether to refuse a config with a `[grid]`.

    Raises:
        ValueError: for an unknown key (with the most similar valid key) or an invalid value.
    """
    if "grid" not in tree:
        return _hamiltonian_config(tree)
    if needs_energy:
        raise ValueError("this needs a Hamiltonian at a temperature; the configurations of a [grid] have no energy")
    return _grid_config(tree, complete)


def _hamiltonian_config(tree: Tree) -> RunConfig:
    top, sections = _divided(tree, "hamiltonian")
    defaults = {key: default for kind in TARGETS for key, default in kind.keys.items()}
    top = HAMILTONIAN.top(top, defaults)
    sections["hamiltonian"].setdefault("name", "ising")
    hamiltonian = HAMILTONIAN.space(sections["hamiltonian"])
    place = {key: _number_or_range(key, top.pop(key)) for key in defaults}
    sections["model"].setdefault("name", _default_network(hamiltonian))
    model = HAMILTONIAN.model(sections["model"])
    target = target_of(hamiltonian_from_dict(hamiltonian), **place)
    _replace_auto(model, target)
    training = HAMILTONIAN.training(_training(sections, target, model.get("translation_invariant", True)))
    model |= {key: model[key] or value for key, value in target.model_options.items()}
    if "n_components" in model:
        model["n_components"] = sections["model"].get("n_components", hamiltonian["components"])
    data = _reading(sections["data"], training)
    return RunConfig(target.place, **top, space=hamiltonian, model=model, training=training, target=target, data=data)


def _grid_config(tree: Tree, complete: Completion | None) -> RunConfig:
    top, sections = _divided({key: value for key, value in tree.items() if (key, value) != ("hamiltonian", {})}, "grid")
    given = [f"[{key}]" if key == "hamiltonian" else key for key in ("hamiltonian", "temperature") if key in top]
    if given:
        raise ValueError(f"{' and '.join(given)} cannot go with a [grid], which has no energy; leave one out")
    if sections["training"].get("objective") == "reverse-kl":
        raise ValueError("training.objective reverse-kl needs an energy, which a [grid] does not have; use forward-kl")
    top = GRID.top(top, {})
    sections["model"].setdefault("name", PixelCNN.name)
    training = GRID.training(sections["training"])
    data = _reading(sections["data"], training)
    model = GRID.model(sections["model"])
    if complete is not None and training["data"]:
        GRID.space({"shape": (1, 1), **sections["grid"]})
        complete(sections["grid"], sections["model"], training["data"], data.get("dataset"))
        model = GRID.model(sections["model"])
    grid = GRID.space(sections["grid"])
    space = Grid(**{key: value for key, value in grid.items() if key != "n_classes"})
    target = GridTarget(space, grid["n_classes"], model["n_condition"])
    _replace_auto(model, target)
    return RunConfig({}, **top, space=grid, model=model, training=training, target=target, data=data)


def _reading(section: Tree, training: Tree) -> Tree:
    """The checked section `[data]`, which needs a file of data."""
    data = checked_data(section)
    if data and not training["data"]:
        raise ValueError(f"data.{next(iter(data))} says how a file is read: name it by training.data (--data)")
    return data


def _divided(tree: Tree, first: str) -> tuple[Tree, dict[str, Tree]]:
    """Split a config into the keys at its top and its sections: `first`, `model`, `training` and `data`."""
    sections = {key: tree.get(key, {}) for key in (first, "model", "training", "data")}
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise ValueError(f"[{key}] must be a section of keys, got {section!r}")
        sections[key] = dict(section)
    return {key: value for key, value in tree.items() if key not in sections}, sections


def _replace_auto(model: Tree, target: AbstractTarget) -> None:
    for key, name in AUTO.items():
        if model.get(key) == "auto":
            model[key] = getattr(target, name)


def _number_or_range(key: str, value: Any) -> Any:
    """Convert the text LOW:HIGH to (low, high); return any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        low, high = (float(part) for part in value.split(":"))
    except ValueError as error:
        raise ValueError(f"{key} must be a number, or a range such as 1.5:3.5, got {value!r}") from error
    return low, high


def _default_network(hamiltonian: Tree) -> str:
    """Name of the default network: multiscale for a large lattice with one component, which is all that it can draw."""
    is_large = max(hamiltonian["shape"]) >= LARGE and hamiltonian["components"] == 1
    return (MultiscalePixelCNN if is_large else PixelCNN).name


def _training(sections: dict[str, Tree], target: AbstractTarget, shares_weights: bool) -> Tree:
    """The section `[training]` of a user, completed by the defaults that suit the network and the target.

    Args:
        sections: the sections of the config, as a user wrote them.
        target: the target of the training.
        shares_weights: whether the network has the same weights at each site. A network with separate weights for each
            site overfits a data set; its default objective is reverse-kl.
    """
    defaults = dict(MODELS[sections["model"]["name"]].training_defaults)
    if not shares_weights and not sections["training"].get("data"):
        defaults |= {"objective": "reverse-kl", "learning_rate": 0.01}
    if target.objective is not None:
        defaults.pop("objective", None)
    elif sections["training"].get("data"):
        defaults.setdefault("objective", "forward-kl")
    return defaults | sections["training"]


def build_model(config: RunConfig) -> AbstractModel:
    """Build the network of a config, with random initial weights that depend on the seed alone.

    Raises:
        ValueError: for an invalid argument of the network, a symmetry that the Hamiltonian does not have, or several
            components at a site for a network that has one.
    """
    network, space = MODELS[config.model["name"]], config.target.space
    arguments = {key: value for key, value in config.model.items() if key not in ("name", "boltzmann_bias")}
    if arguments.get("spin_flip_symmetric") and space.has_energy and not config.target.spin_flip:
        raise ValueError(f"model.spin_flip_symmetric is true, but {space} does not have that symmetry; leave it out")
    if config.model.get("boltzmann_bias"):
        arguments["bias"] = config.target.bias()
    if space.n_components > 1:
        if "n_components" not in inspect.signature(network).parameters:
            raise ValueError(
                f"model.name {network.name} has one component at a site, the {space.kind} has {space.n_components}"
            )
        arguments.setdefault("n_components", space.n_components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return network(space.shape, space.n_tokens, **arguments)


def resolve_device(name: str) -> torch.device:
    """The device of `--device auto|cpu|cuda`; auto is CUDA if PyTorch sees a CUDA device, else the CPU.

    Raises:
        ValueError: for another name, or cuda if PyTorch sees no CUDA device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {name!r}")
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise ValueError("device is cuda, but PyTorch sees no CUDA device; use --device auto or cpu")
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


def to_toml(config: RunConfig) -> str:
    """The complete config as TOML; `load_config` rebuilds the same config from it."""
    return tomli_w.dumps(_without_none(config.to_dict()))


def _without_none(tree: Tree) -> Tree:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}
