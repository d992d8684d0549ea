"""Configs: the target, the network and the training of a run, read from TOML, checked, and written to TOML."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w
import torch

from latticear.checksums import ChangedFileWarning, toml_is_as_written
from latticear.data.couplings import Couplings
from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, hamiltonian_from_dict
from latticear.models import MODELS, AbstractModel, PixelCNN, TensorNetwork
from latticear.runs.bond_dimension import bias_of, check_bond_dimension
from latticear.runs.own_couplings import FILE as COUPLINGS, file_of_couplings
from latticear.runs.schema import GRID, HAMILTONIAN, checked_data
from latticear.runs.trees import Tree, config_tree
from latticear.spaces import Grid
from latticear.tables import brief
from latticear.targets import TARGETS, AbstractTarget, GridTarget, for_a_network, target_of
from latticear.targets.networks import (
    AUTO,
    WITHOUT_ENERGY,
    NetworkChoice,
    build_network,
    default_network,
    default_sampler,
)
from latticear.training.suited import ADDED_LATER as TRAINING_ADDED_LATER, suited_options

__all__ = [
    "RunConfig",
    "brought_up_to_date",
    "build_model",
    "load_config",
    "parse_config",
    "resolve_device",
    "stored",
    "stored_config",
    "to_toml",
]

SEARCHED = {"bond_dimension": "auto", "target_ess": 0.99}
"""Options of a tensor network that is taken because nothing is named: its search takes seconds on most lattices."""

FIXED = ("composition", "magnetization")
"""Keys of `[hamiltonian]` that fix the composition of any system; a config has them where they are given."""

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
        choice: the network and why it was chosen; None if the user named it.
        couplings: the couplings that were read from the file which `[hamiltonian]` names; None if it names none.
        data: the section `[data]`: `dataset` and `values`, as `load_configurations` takes them, and `check`, where they
            are given.
    """

    place: Tree
    seed: int
    device: str
    space: Tree
    model: Tree
    training: Tree
    target: AbstractTarget = field(compare=False, repr=False)
    data: Tree = field(default_factory=dict)
    choice: NetworkChoice | None = field(compare=False, repr=False, default=None)
    couplings: Couplings | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        """The target, the network and the training, one line each."""
        sections = {"model": dict(self.model), "training": dict(self.training)}
        lines = [f"RunConfig: {self.target}, seed={self.seed}, device={self.device}"]
        for name, section in sections.items():
            named = f"{section.pop('name')}, " if "name" in section else ""
            lines.append(f"  {name}: {named}{', '.join(f'{key}={brief(value)}' for key, value in section.items())}")
        return "\n".join(lines)

    @property
    def reading(self) -> Tree:
        """How the data are read, as `load_configurations` takes it."""
        return {key: value for key, value in self.data.items() if key != "check"}

    def to_dict(self, *, with_places: bool = True) -> Tree:
        """The config as nested dictionaries, from which `parse_config` rebuilds it.

        Args:
            with_places: whether to include what may change while a run stays the same: the device, and where the file
                of couplings is, whose digest stands for it.
        """
        top, space = self.place | {"seed": self.seed}, self.space
        if with_places:
            top |= {"device": self.device}
        elif self.couplings is not None:
            space = {key: value for key, value in space.items() if key not in ("couplings", "index")}
        data = {"data": self.data} if self.data else {}
        return top | {self.target.space.kind: space, "model": self.model, "training": self.training, **data}


def load_config(
    path: str | Path | None, overrides: Iterable[str] = (), values: Tree | None = None, *, needs_energy: bool = False
) -> RunConfig:
    """Read, merge and check a config: `parse_config(config_tree(path, overrides, values))`."""
    return parse_config(config_tree(path, overrides, values), needs_energy=needs_energy)


def stored_config(path: Path, values: Tree | None = None) -> RunConfig:
    """The config in the `run.toml` of a run, which may have been written by an earlier version.

    A file that is not as it was written is told by a warning: a user may change it.

    Args:
        path: the file.
        values: nested dictionary of keys that take precedence.

    Raises:
        ValueError: for unreadable TOML, an unknown key or an invalid value.
        OSError: if the file cannot be read.
    """
    tree = config_tree(path)
    if toml_is_as_written(path.read_text(encoding="utf-8")) is False:
        warnings.warn(
            f"{path} has changed since it was written (its checksum differs), and is used as it is; if you changed it, "
            f"remove its first line",
            ChangedFileWarning,
            stacklevel=2,
        )
    return parse_config(config_tree(None, (), values, brought_up_to_date(tree)))


def brought_up_to_date(tree: Tree) -> Tree:
    """A complete config that an earlier version wrote, with the options that this version has besides.

    Those options have the values that describe the same network and the same training.
    """
    model = tree.get("model", {})
    network = MODELS.get(str(model.get("name"))) if isinstance(model, dict) else None
    tree = tree if network is None else tree | {"model": network.added_later | model}
    training = tree.get("training", {})
    return tree | {"training": TRAINING_ADDED_LATER | training} if isinstance(training, dict) else tree


def parse_config(
    tree: Tree, complete: Completion | None = None, *, needs_energy: bool = False, trains: bool = False
) -> RunConfig:
    """Check a config given as nested dictionaries, and add the keys that it does not contain.

    Args:
        tree: the config, with a section `[hamiltonian]` or a section `[grid]`.
        complete: adds the keys of a grid that follow from its data; called after the given keys have been checked.
        needs_energy: whether to refuse a config with a `[grid]`.
        trains: whether a network to train is asked for, even if nothing about one is named.

    Raises:
        ValueError: for an unknown key (with the most similar valid key) or an invalid value.
    """
    if "grid" not in tree:
        return _hamiltonian_config(tree, trains)
    if needs_energy:
        raise ValueError("this needs a Hamiltonian at a temperature; the configurations of a [grid] have no energy")
    return _grid_config(tree, complete)


def _hamiltonian_config(tree: Tree, trains: bool) -> RunConfig:
    top, sections = _divided(tree, "hamiltonian")
    defaults = {key: default for kind in TARGETS for key, default in kind.keys.items()}
    top = HAMILTONIAN.top(top, defaults)
    sections["hamiltonian"].setdefault("name", "ising")
    file = file_of_couplings(sections["hamiltonian"])
    hamiltonian = HAMILTONIAN.space(sections["hamiltonian"])
    couplings = None if file is None else file.read(hamiltonian)
    hamiltonian = {key: value for key, value in hamiltonian.items() if key not in FIXED or value is not None}
    place = {key: _number_or_range(key, top.pop(key)) for key in defaults}
    system = hamiltonian_from_dict(hamiltonian | ({} if couplings is None else couplings.arguments))
    target = target_of(system, **place)
    trains |= bool(sections["model"] or sections["training"])
    choice = _chosen(sections["model"], default_network(target.space) if trains else default_sampler(target))
    if sections["model"]["name"] == TensorNetwork.name and target.only is not None:
        sections["model"] = ({"bond_dimension": "auto"} if trains else SEARCHED) | sections["model"]
    model = HAMILTONIAN.model(sections["model"])
    if model.get("composition") is not None and target.space.composition is None:
        raise ValueError(
            "model.composition follows from that of the system: give hamiltonian.composition, and leave it out"
        )
    target = for_a_network(target, model.get("n_condition_maps", 0))
    _replace_auto(model, target)
    check_bond_dimension(model, target)
    if model.get("bond_dimension", 0) is None:
        del model["bond_dimension"]
    objective = target.suited_objective(bool(sections["training"].get("data")))
    suited = _suited(sections, objective, model.get("translation_invariant", True), target.only)
    training = HAMILTONIAN.training(suited | sections["training"])
    model |= {key: model.get(key) or value for key, value in target.model_options.items()}
    if model.get("composition", ()) is None:
        del model["composition"]
    if "n_components" in model:
        model["n_components"] = sections["model"].get("n_components", hamiltonian["components"])
    model |= MODELS[model["name"]].settled(hamiltonian["shape"], model)
    if file is not None and couplings is not None:
        hamiltonian |= file.keys(couplings)
    data = _reading(sections["data"], training)
    checked = RunConfig(target.place, **top, space=hamiltonian, model=model, training=training, target=target)
    return replace(checked, data=data, choice=choice, couplings=couplings)


def _grid_config(tree: Tree, complete: Completion | None) -> RunConfig:
    top, sections = _divided({key: value for key, value in tree.items() if (key, value) != ("hamiltonian", {})}, "grid")
    given = [f"[{key}]" if key == "hamiltonian" else key for key in ("hamiltonian", "temperature") if key in top]
    if given:
        raise ValueError(f"{' and '.join(given)} cannot go with a [grid], which has no energy; leave one out")
    if sections["training"].get("objective") == "reverse-kl":
        raise ValueError("training.objective reverse-kl needs an energy, which a [grid] does not have; use forward-kl")
    top = GRID.top(top, {})
    choice = _chosen(sections["model"], WITHOUT_ENERGY)
    model = GRID.model(sections["model"])
    if not MODELS[model["name"]].has_weights:
        raise ValueError(f"model.name {model['name']} has no weights and learns nothing: name another for a [grid]")
    training = GRID.training(_suited(sections, GridTarget.objective) | sections["training"])
    data = _reading(sections["data"], training)
    if complete is not None and training["data"]:
        GRID.space({"shape": (1, 1), **sections["grid"]})
        complete(sections["grid"], sections["model"], training["data"], data.get("dataset"))
        model = GRID.model(sections["model"])
    grid = GRID.space(sections["grid"])
    space = Grid(**{key: value for key, value in grid.items() if key != "n_classes"})
    target = GridTarget(space, grid["n_classes"], model["n_condition"])
    _replace_auto(model, target)
    model |= MODELS[model["name"]].settled(space.shape, model)
    config = RunConfig({}, **top, space=grid, model=model, training=training, target=target, data=data)
    return replace(config, choice=choice)


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


def _suited(
    sections: dict[str, Tree],
    objective: str | None,
    shares_weights: bool = True,
    system: AbstractHamiltonian | None = None,
) -> Tree:
    """The training options that suit the network, for a target whose only objective is given."""
    network, has_data = MODELS[sections["model"]["name"]], bool(sections["training"].get("data"))
    return suited_options(
        network,
        objective,
        shares_weights=shares_weights,
        has_data=has_data,
        system=system,
        looks_ahead=sections["model"].get("bond_dimension") is not None,
    )


def _chosen(model: Tree, default: NetworkChoice) -> NetworkChoice | None:
    """Add a network to a section `[model]` that names none; returns None if it names one.

    It is the default one, or `tensor_network` if the section has a bond dimension, or `pixelcnn` if it has options of
    `pixelcnn` that these do not have.
    """
    if "name" in model:
        return None
    if "bond_dimension" in model:
        default = NetworkChoice(TensorNetwork.name, "model.bond_dimension is an option of it")
    options, others = (inspect.signature(MODELS[name]).parameters for name in (default.name, PixelCNN.name))
    for key in model:
        if key not in options and key in others:
            default = NetworkChoice(PixelCNN.name, f"model.{key} is an option of it")
    model["name"] = default.name
    return default


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


def build_model(config: RunConfig, bias: BoltzmannBias | None = None) -> AbstractModel:
    """Build the network of a config, with random initial weights that depend on the seed alone.

    Args:
        config: the config.
        bias: the known-neighbour term of this config, if it is at hand with sums over later sites that took some time.

    Raises:
        ValueError: for an invalid argument of the network, a symmetry that the Hamiltonian does not have, or several
            components at a site for a network that has one.
    """
    name = config.model["name"]
    beside = {"name", "boltzmann_bias", *({"bond_dimension"} - inspect.signature(MODELS[name]).parameters.keys())}
    options = {key: value for key, value in config.model.items() if key not in beside}
    config.target.check_spin_flip(options.get("spin_flip_symmetric", False), "model.spin_flip_symmetric")
    if config.model.get("boltzmann_bias"):
        options["bias"] = bias_of(config.model, config.target) if bias is None else bias
    return build_network(config.target, config.model["name"], options, config.seed)


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


def stored(config: RunConfig) -> tuple[str, dict[str, bytes]]:
    """The content of run.toml, and the further files of a run directory that its config needs, by name.

    Couplings that the config takes from a file are copied, so that the run does not need that file any more.
    """
    if config.couplings is None:
        return to_toml(config), {}
    space = {key: value for key, value in config.space.items() if key != "index"} | {"couplings": COUPLINGS}
    return to_toml(replace(config, space=space)), {COUPLINGS: config.couplings.to_hdf5()}


def _without_none(tree: Tree) -> Tree:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}
