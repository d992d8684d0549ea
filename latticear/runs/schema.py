"""Checks the sections of a config against the signatures of constructors. The only file that uses pydantic."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from latticear.arguments import did_you_mean
from latticear.data.reading import MAX_CONDITION
from latticear.hamiltonians import CONSTRUCTORS
from latticear.lattice import Lattice
from latticear.models import MODELS, AbstractModel
from latticear.runs.trees import Tree
from latticear.spaces import Grid
from latticear.training import TrainingOptions

__all__ = ["GRID", "HAMILTONIAN", "Sections", "checked_data", "keys_named", "schemas"]

_PERIODIC = {"periodic": (bool | tuple[bool, bool] | Literal["auto"], "auto")}
_EVERY = {"checkpoint_every": (int, Field(100, ge=1))}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class _Family(NamedTuple):
    """A section with a key `name`, which selects a constructor; its other keys are the arguments of that constructor.

    Attributes:
        members: constructors by name; classes may be added to this mapping later.
        leave_out: arguments of the constructors that are not keys of the section.
        extra: keys of the section that are not arguments, with type and default.
        instead: types and defaults that replace those of the argument of the same name.
        besides: keys of the section for constructors without an argument of that name, with type and default.
    """

    members: Mapping[str, Any]
    leave_out: Iterable[str] = ()
    extra: Mapping[str, Any] = MappingProxyType({})
    instead: Mapping[str, Any] = MappingProxyType({})
    besides: Mapping[str, Any] = MappingProxyType({})

    def checked(self, section: str, values: Tree) -> Tree:
        """The section with defaults for the keys that are not given.

        Raises:
            ValueError: for an unknown key or an invalid value.
        """
        name = values["name"]
        if str(name) not in self.members:
            hint = did_you_mean(name, self.members)
            raise ValueError(f"{section}.name must be one of {sorted(self.members)}, got {name!r}{hint}")
        return _checked(self.schema(name), values, f"{section}.")

    def schema(self, name: str) -> type[_Section]:
        """The keys of the section for a member."""
        cls = self.members[name]
        arguments = inspect.signature(cls).parameters
        replaced = {key: value for key, value in self.instead.items() if key in arguments}
        added = {key: value for key, value in self.besides.items() if key not in arguments}
        extra = {**self.extra, **replaced, **added, "name": (Literal[name], name)}
        return _schema(cls.__name__, cls, self.leave_out, extra)


class Sections(NamedTuple):
    """The checks of the sections of a config; each returns a section completed by its defaults.

    Attributes:
        kind: name of the section that describes the configurations, `hamiltonian` or `grid`.
        space: checks the section of that name.
        model: checks the section `model`.
        training: checks the section `training`.
    """

    kind: str
    space: Callable[[Tree], Tree]
    model: Callable[[Tree], Tree]
    training: Callable[[Tree], Tree]

    def top(self, values: Tree, place: Mapping[str, Any]) -> Tree:
        """Check the keys at the top of a config: seed, device and the keys of targets.

        Args:
            values: the keys that are given.
            place: the keys of all targets, with their defaults.

        Raises:
            ValueError: for an unknown key (with the most similar valid key) or an invalid value.
        """
        keys: Tree = {key: (type(default) | tuple[float, float] | str, default) for key, default in place.items()}
        schema = create_model("Top", __base__=_Top, **keys)
        return _checked(schema, values, "", also=(self.kind, "model", "training", "data"))


class _Data(_Section):
    dataset: str = ""
    values: dict[str, int] | Literal["auto", "states", "tokens"] = "auto"
    check: bool = True


def checked_data(values: Tree) -> Tree:
    """Check the section `[data]`, how `training.data` is read and whether it is examined; returns the keys given.

    Raises:
        ValueError: for an unknown key or an invalid value.
    """
    section = _checked(_Data, values, "data.")
    for number in section["values"] if isinstance(section["values"], dict) else ():
        try:
            float(number)
        except ValueError as error:
            raise ValueError(
                f"data.values must give a token for each number, {{-1 = 0, 1 = 1}}, got {number!r}"
            ) from error
    return {key: value for key, value in section.items() if value != _Data.model_fields[key].default}


class _Top(_Section):
    seed: int = Field(0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"


def _schema(name: str, of: Callable[..., Any], leave_out: Iterable[str], extra: Tree) -> type[_Section]:
    """The schema of a section whose keys are the arguments of a constructor, with their types and defaults."""
    shared = get_type_hints(AbstractModel.__init__) | get_type_hints(Lattice.__init__)
    hints = shared | get_type_hints(of.__init__ if inspect.isclass(of) else of)
    fields: Tree = {
        key: (hints[key], ... if parameter.default is parameter.empty else parameter.default)
        for key, parameter in inspect.signature(of).parameters.items()
        if key not in leave_out
    }
    return create_model(name, __base__=_Section, **{**fields, **extra})


def _checked(schema: type[_Section], tree: Tree, prefix: str, also: Iterable[str] = ()) -> Tree:
    try:
        return schema(**{key: _plain(value) for key, value in tree.items()}).model_dump()
    except ValidationError as error:
        valid = [*schema.model_fields, *also]
        by_key = {str(e["loc"][0]): e for e in reversed(error.errors())}  # a union gives an error for each member
        words = {str(e["loc"][0]): e["ctx"]["expected"] for e in error.errors() if e["type"] == "literal_error"}
        sentences = []
        for key, e in reversed(by_key.items()):
            sentence = _sentence(e, key, tree.get(key), prefix, valid)
            is_other = key in words and e["type"] != "literal_error"
            sentences.append(sentence.replace(", got ", f" or {words[key]}, got ", 1) if is_other else sentence)
        raise ValueError("; ".join(sentences)) from error
    except TypeError as error:
        raise ValueError(f"keys must be strings: {error}") from error


def _sentence(error: ErrorDetails, key: str, value: Any, prefix: str, valid: Iterable[str]) -> str:
    """What is wrong with the value of a key, as one sentence of a message."""
    if error["type"] == "extra_forbidden":
        return f"unknown key {prefix + key!r}{_suggestion(key, list(valid), prefix)}"
    if value is None:
        option = {"shape": "--size", "levels": "--levels", "data": "--data"}.get(key)
        hint = f" ({option} on the command line)" if option else ""
        return f"{prefix}{key} must be given{hint}"
    return f"{prefix}{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {value!r}"


def _suggestion(name: str, valid: list[str], prefix: str) -> str:
    """The most similar valid key, or all valid keys if none is similar."""
    near = difflib.get_close_matches(name, valid, 1, 0.5)
    return f"; did you mean {prefix + near[0]!r}?" if near else f"; valid: {', '.join(sorted(valid))}"


def _plain(value: Any) -> Any:
    """Convert a value of TOML to the type that constructors take: a list to a tuple, 1e3 to 1000."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value


_COMPOSITION = {"composition": (tuple[int, ...] | None, None), "magnetization": (float | None, None)}
_HAMILTONIANS = _Family(CONSTRUCTORS, extra={"components": (int, Field(1, ge=1)), **_COMPOSITION})
_MODELS = _Family(
    MODELS,
    {"shape", "n_tokens", "bias", "seed"},
    {"spin_flip_symmetric": (bool | Literal["auto"], "auto"), "boltzmann_bias": (bool, True)},
    {**_PERIODIC, "translation_invariant": (bool | Literal["auto"], "auto")},
    {"bond_dimension": (Annotated[int, Field(ge=1)] | Literal["auto"] | None, None)},
)
_TRAINING = _schema("Training", TrainingOptions, (), {"data": (str, ""), **_EVERY})

HAMILTONIAN = Sections(
    "hamiltonian",
    lambda values: _HAMILTONIANS.checked("hamiltonian", values),
    lambda values: _MODELS.checked("model", values),
    lambda values: _checked(_TRAINING, values, "training."),
)
"""Checks of a config with a `[hamiltonian]`."""


def keys_named(section: str) -> set[str]:
    """All keys that the section `hamiltonian`, `model` or `training` of a config may have."""
    if section == "training":
        return set(_TRAINING.model_fields)
    family = {"hamiltonian": _HAMILTONIANS, "model": _MODELS}[section]
    arguments = {key for member in family.members.values() for key in inspect.signature(member).parameters}
    return (arguments - set(family.leave_out)) | set(family.extra)


_GRID = _schema("Grid", Grid, (), {"n_classes": (int, Field(0, ge=0, le=MAX_CONDITION))})
_GRID_MODELS = _Family(
    MODELS, {"shape", "n_tokens", "bias", "n_components", "n_condition_maps", "composition", "seed"}, instead=_PERIODIC
)
_GRID_TRAINING = _schema(
    "Training",
    TrainingOptions,
    {"anneal", "augment"},
    {"objective": (Literal["forward-kl"], "forward-kl"), "data": (str, ...), **_EVERY},
)

GRID = Sections(
    "grid",
    lambda values: _checked(_GRID, values, "grid."),
    lambda values: _GRID_MODELS.checked("model", values),
    lambda values: _checked(_GRID_TRAINING, values, "training."),
)
"""Checks of a config with a `[grid]`."""


def schemas() -> dict[str, dict[str, tuple[Callable[..., Any], type[BaseModel]]]]:
    """What each section of a config may hold: by section and by the `name` in it the constructor and the keys.

    Sections without a `name` have one entry, whose name is empty.
    """
    families = {"hamiltonian": _HAMILTONIANS, "model": _MODELS}
    found: dict[str, dict[str, tuple[Callable[..., Any], type[BaseModel]]]] = {
        section: {name: (family.members[name], family.schema(name)) for name in family.members}
        for section, family in families.items()
    }
    return found | {
        "training": {"": (TrainingOptions, _TRAINING)},
        "grid": {"": (Grid, _GRID)},
        "data": {"": (checked_data, _Data)},
    }
