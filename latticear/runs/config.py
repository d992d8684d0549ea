"""TOML <-> schema <-> constructors: what a run is made of. The only file that knows pydantic."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_type_hints

import tomli_w
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from latticear.data.reading import MAX_CONDITION
from latticear.exact import T_C
from latticear.hamiltonians import (
    HAMILTONIANS,
    AbstractHamiltonian,
    BoltzmannBias,
    EdwardsAndersonDisorder,
    TemperatureRange,
    hamiltonian_from_dict,
    temperature_or_range,
)
from latticear.lattice import Lattice
from latticear.models import MODELS, AbstractModel, MultiscalePixelCNN, PixelCNN
from latticear.runs.trees import Tree, config_tree
from latticear.spaces import ConfigurationSpace, Grid
from latticear.training import fit

__all__ = [
    "AnyConfig",
    "GridConfig",
    "RunConfig",
    "build_hamiltonian",
    "build_model",
    "build_space",
    "load_any",
    "load_config",
    "parse_any",
    "parse_config",
    "resolve_device",
    "to_toml",
]

LARGE = 16
"""Extent from which a lattice is served by the multiscale network, if no other is named."""

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class _Section(BaseModel):
    model_config = _STRICT


def _schema(name: str, of: Callable[..., Any], leave_out: Iterable[str], extra: Tree) -> type[_Section]:
    """A section whose keys are the arguments of a constructor, with their types and defaults."""
    shared = get_type_hints(AbstractModel.__init__) | get_type_hints(Lattice.__init__)
    hints = shared | get_type_hints(of.__init__ if inspect.isclass(of) else of)
    fields: Tree = {
        key: (hints[key], ... if parameter.default is parameter.empty else parameter.default)
        for key, parameter in inspect.signature(of).parameters.items()
        if key not in leave_out
    }
    return create_model(name, __base__=_Section, **{**fields, **extra})


def _family(
    members: Mapping[str, Any], leave_out: Iterable[str], extra: Tree, instead: Tree | None = None
) -> dict[str, type[_Section]]:
    """A section for each member: with `extra` keys, and `instead` of some of its arguments others of that name."""

    def replaced(cls: Any) -> Tree:
        return {key: value for key, value in (instead or {}).items() if key in inspect.signature(cls).parameters}

    return {
        name: _schema(cls.__name__, cls, leave_out, {**extra, **replaced(cls), "name": (Literal[name], name)})
        for name, cls in members.items()
    }


_HAMILTONIANS = _family(HAMILTONIANS, (), {"components": (int, Field(1, ge=1))})
_MODELS = _family(
    MODELS,
    {"shape", "n_tokens", "bias"},
    {"spin_flip_symmetric": (bool | Literal["auto"], "auto"), "boltzmann_bias": (bool, True)},
    {
        "periodic": (bool | tuple[bool, bool] | Literal["auto"], "auto"),
        "translation_invariant": (bool | Literal["auto"], "auto"),
    },
)
_TRAINING = _schema(
    "Training",
    fit,
    {"model", "hamiltonian", "temperature", "seed", "data", "condition", "resume"},
    {"data": (str, ""), "checkpoint_every": (int, Field(100, ge=1))},
)

_GRID = _schema("Grid", Grid, (), {"n_classes": (int, Field(0, ge=0, le=MAX_CONDITION))})
_GRID_MODELS = _family(
    MODELS,
    {"shape", "n_tokens", "bias", "n_components", "n_condition_maps"},
    {},
    {"periodic": (bool | tuple[bool, bool] | Literal["auto"], "auto")},
)
_GRID_TRAINING = _schema(
    "Training",
    fit,
    {"model", "hamiltonian", "temperature", "seed", "data", "condition", "resume", "anneal", "augment"},
    {
        "objective": (Literal["forward-kl"], "forward-kl"),
        "data": (str, ...),
        "checkpoint_every": (int, Field(100, ge=1)),
    },
)


class _GridTop(_Section):
    seed: int = Field(0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class _Top(_GridTop):
    temperature: float | tuple[float, float] | str = T_C


class RunConfig(BaseModel):
    """One run, complete: temperature, seed, device and the sections `hamiltonian`, `model`, `training`.

    The temperature may be a range, `[1.5, 3.5]` in TOML or the text "1.5:3.5": the run then serves all of it.
    """

    temperature: float | tuple[float, float]
    seed: int
    device: str
    hamiltonian: Tree
    model: Tree
    training: Tree

    @property
    def served(self) -> float | TemperatureRange:
        """The temperature, or the range of them, that the run serves."""
        return temperature_or_range(self.temperature)


class GridConfig(BaseModel):
    """One run on a grid, complete: seed, device and the sections `grid`, `model`, `training`; no temperature."""

    served: ClassVar[None] = None

    seed: int
    device: str
    grid: Tree
    model: Tree
    training: Tree


AnyConfig = RunConfig | GridConfig


def load_config(path: str | Path | None, overrides: Iterable[str] = (), values: Tree | None = None) -> RunConfig:
    """A complete, checked run: `parse_config(config_tree(...))`."""
    return parse_config(config_tree(path, overrides, values))


def load_any(path: str | Path | None, overrides: Iterable[str] = (), values: Tree | None = None) -> AnyConfig:
    """A complete, checked run on a Hamiltonian or on a grid: `parse_any(config_tree(...))`."""
    return parse_any(config_tree(path, overrides, values))


def parse_config(tree: Tree) -> RunConfig:
    """Check a nested dictionary and fill in what it does not say.

    Raises:
        ValueError: for an unknown key (with the nearest valid name) or a value of the wrong kind.
    """
    if "grid" in tree:
        raise ValueError("this needs a Hamiltonian at a temperature; the configurations of a [grid] have no energy")
    tree, sections = _sections(tree, "hamiltonian")
    top = _validated(_Top, tree, "", also=sections)
    top["temperature"] = _temperature(top["temperature"])
    sections["hamiltonian"].setdefault("name", "ising")
    hamiltonian = _validated(_member(_HAMILTONIANS, sections, "hamiltonian"), sections["hamiltonian"], "hamiltonian.")
    sections["model"].setdefault("name", _default_network(hamiltonian))
    model = _validated(_member(_MODELS, sections, "model"), sections["model"], "model.")
    if model.get("translation_invariant") == "auto":
        model["translation_invariant"] = hamiltonian_from_dict(hamiltonian).is_homogeneous
    shares = model.get("translation_invariant", True)
    training = _validated(_TRAINING, _training(sections, top["temperature"], shares), "training.")
    config = RunConfig(**top, hamiltonian=hamiltonian, model=model, training=training)
    if isinstance(config.served, TemperatureRange):
        config.model["n_condition"] = config.model["n_condition"] or 1
    if hamiltonian["name"] == EdwardsAndersonDisorder.name:
        config.model["n_condition_maps"] = config.model["n_condition_maps"] or 2
    if hamiltonian["components"] > 1 and "n_components" in sections["model"] | model:
        config.model["n_components"] = sections["model"].get("n_components", hamiltonian["components"])
    if config.model["spin_flip_symmetric"] == "auto":
        config.model["spin_flip_symmetric"] = build_hamiltonian(config).spin_flip
    if config.model.get("periodic") == "auto":
        config.model["periodic"] = build_hamiltonian(config).lattice.periodic
    return config


def _default_network(hamiltonian: Tree) -> str:
    """The multiscale network for a large lattice, if a site has one token, which is what it draws."""
    large = max(hamiltonian["shape"]) >= LARGE and hamiltonian["components"] == 1
    return (MultiscalePixelCNN if large else PixelCNN).name


def _training(sections: dict[str, Tree], temperature: float | tuple[float, float], shares: bool) -> Tree:
    """The section as asked for, upon the options that serve the network best.

    Args:
        sections: as asked for.
        temperature: of the run.
        shares: whether the sites share their perceptrons. Those of single sites learn data by heart.
    """
    defaults = dict(MODELS[sections["model"]["name"]].training_defaults)
    if not shares and not sections["training"].get("data"):
        defaults |= {"objective": "reverse-kl", "learning_rate": 0.01}
    if isinstance(temperature, tuple) or sections["hamiltonian"]["name"] == EdwardsAndersonDisorder.name:
        defaults.pop("objective", None)  # a range, or disorder, has the one objective alone
    elif sections["training"].get("data"):
        defaults.setdefault("objective", "forward-kl")
    return defaults | sections["training"]


def parse_any(tree: Tree) -> AnyConfig:
    """`parse_config`, or where there is a `[grid]` instead of a `[hamiltonian]`, the same for a grid."""
    if "grid" not in tree:
        return parse_config(tree)
    tree, sections = _sections(
        {key: value for key, value in tree.items() if (key, value) != ("hamiltonian", {})}, "grid"
    )
    energies = [f"[{key}]" if key == "hamiltonian" else key for key in ("hamiltonian", "temperature") if key in tree]
    if energies:
        raise ValueError(f"{' and '.join(energies)} cannot go with a [grid], which has no energy; leave one out")
    if sections["training"].get("objective") == "reverse-kl":
        raise ValueError("training.objective reverse-kl needs an energy, which a [grid] has not; use forward-kl")
    top = _validated(_GridTop, tree, "", also=sections)
    sections["model"].setdefault("name", "pixelcnn")
    training = _validated(_GRID_TRAINING, sections["training"], "training.")  # its data may say what the grid is
    grid = _validated(_GRID, sections["grid"], "grid.")
    model = _validated(_member(_GRID_MODELS, sections, "model"), sections["model"], "model.")
    if model.get("periodic") == "auto":
        model["periodic"] = False
    return GridConfig(**top, grid=grid, model=model, training=training)


def _sections(tree: Tree, first: str) -> tuple[Tree, dict[str, Tree]]:
    """What stands at the top, and the sections: the first of this name, `model` and `training`."""
    sections = {key: tree.get(key, {}) for key in (first, "model", "training")}
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise ValueError(f"[{key}] must be a section of keys, got {section!r}")
        sections[key] = dict(section)
    return {key: value for key, value in tree.items() if key not in sections}, sections


def build_space(config: AnyConfig) -> ConfigurationSpace:
    """The Hamiltonian or the grid that the config names."""
    if isinstance(config, RunConfig):
        return build_hamiltonian(config)
    return Grid(**{key: value for key, value in config.grid.items() if key != "n_classes"})


def build_hamiltonian(config: RunConfig) -> AbstractHamiltonian:
    """The Hamiltonian that the config names."""
    return hamiltonian_from_dict(config.hamiltonian)


def build_model(config: AnyConfig, space: ConfigurationSpace) -> AbstractModel:
    """The network that the config names, for this Hamiltonian or grid, with fresh weights of the seed alone.

    Raises:
        ValueError: for an argument that makes no network, a symmetry that the Hamiltonian does not have, or components
            that the network cannot have.
    """
    network = MODELS[config.model["name"]]
    arguments = {key: value for key, value in config.model.items() if key not in ("name", "boltzmann_bias")}
    if isinstance(config, RunConfig) and isinstance(space, AbstractHamiltonian):
        arguments["bias"] = _bias(config, space)
    if space.n_components > 1:
        if "n_components" not in inspect.signature(network).parameters:
            raise ValueError(
                f"model.name {network.name} has one component at a site, the {space.kind} has {space.n_components}"
            )
        arguments.setdefault("n_components", space.n_components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return network(space.shape, space.n_tokens, **arguments)


def _bias(config: RunConfig, hamiltonian: AbstractHamiltonian) -> BoltzmannBias | None:
    if config.model["spin_flip_symmetric"] and not hamiltonian.spin_flip:
        raise ValueError(
            f"model.spin_flip_symmetric is true, but {hamiltonian} does not have that symmetry; leave it out"
        )
    if not config.model["boltzmann_bias"]:
        return None
    return hamiltonian.bias(None if isinstance(config.served, TemperatureRange) else config.served)


def resolve_device(name: str) -> torch.device:
    """The device of `--device auto|cpu|cuda`; auto takes CUDA where there is one.

    Raises:
        ValueError: for another name, or cuda where PyTorch sees none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {name!r}")
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise ValueError("device cuda was asked for, but PyTorch sees no CUDA device; use --device auto or cpu")
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


def to_toml(config: AnyConfig) -> str:
    """The complete config as TOML; `load_any` reads it back unchanged."""
    return tomli_w.dumps(_without_none(config.model_dump()))


def _temperature(value: float | tuple[float, float] | str) -> float | tuple[float, float]:
    if isinstance(value, str):
        try:
            low, high = (float(part) for part in value.split(":"))
            value = low, high
        except ValueError as error:
            raise ValueError(f"temperature must be a number, or a range such as 1.5:3.5, got {value!r}") from error
    checked = temperature_or_range(value)
    return (checked.low, checked.high) if isinstance(checked, TemperatureRange) else checked


def _member(family: dict[str, type[_Section]], sections: Tree, section: str) -> type[_Section]:
    name = sections[section]["name"]
    if str(name) not in family:
        near = difflib.get_close_matches(str(name), family, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{section}.name must be one of {sorted(family)}, got {name!r}{hint}")
    return family[name]


def _validated(schema: type[_Section], tree: Tree, prefix: str, also: Iterable[str] = ()) -> Tree:
    try:
        return schema(**{key: _plain(value) for key, value in tree.items()}).model_dump()
    except ValidationError as error:
        known = [*schema.model_fields, *also]
        of_each_key = {str(e["loc"][0]): e for e in reversed(error.errors())}  # a union fails once for each member
        sentences = [_sentence(e, key, tree.get(key), prefix, known) for key, e in reversed(of_each_key.items())]
        raise ValueError("; ".join(sentences)) from error
    except TypeError as error:
        raise ValueError(f"keys must be strings: {error}") from error


def _sentence(error: ErrorDetails, key: str, value: Any, prefix: str, known: Iterable[str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key {prefix + key!r}{_nearest(key, known, prefix)}"
    if value is None:
        option = {"shape": "--size", "levels": "--levels", "data": "--data"}.get(key)
        hint = f" ({option} on the command line)" if option else ""
        return f"{prefix}{key} must be given{hint}"
    return f"{prefix}{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {value!r}"


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {prefix + near[0]!r}?" if near else f"; valid: {', '.join(sorted(known))}"


def _plain(value: Any) -> Any:
    """What constructors take: lists as tuples, 1e3 as 1000."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_none(tree: Tree) -> Tree:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}
