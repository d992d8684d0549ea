"""The key `model.bond_dimension` of a config: the sum over later sites in the logits of a network."""

from __future__ import annotations

from latticear.hamiltonians import BoltzmannBias
from latticear.models import MODELS, TensorNetwork
from latticear.models.bond_dimension import Limits
from latticear.runs.trees import Tree
from latticear.targets import AbstractTarget

__all__ = ["bias_of", "check_bond_dimension", "limits_of"]

KEY = "model.bond_dimension"


def check_bond_dimension(model: Tree, target: AbstractTarget) -> None:
    """Check that a network and a target go with the sum over later sites that a config asks for, if it does.

    Args:
        model: the section `[model]`, complete.
        target: the target of the config.

    Raises:
        ValueError: says what to do instead.
    """
    name, asked = model["name"], model.get("bond_dimension")
    if asked is None:
        return
    if isinstance(asked, int) and asked < 1:
        raise ValueError(f'{KEY} must be at least 1, or "auto", got {asked}')
    is_network = name != TensorNetwork.name
    subject, remedy = (KEY, "leave it out") if is_network else (f"model.name {name}", "name another network")
    if not MODELS[name].draws_in_raster_order:
        raise ValueError(
            f"{KEY} needs a network that draws the sites one after the other in raster order, which {name} does not: "
            f"name one, such as model.name=pixelcnn or tensor_network, or leave it out"
        )
    if asked == "auto" and is_network:
        raise ValueError(f"{KEY} auto is for model.name tensor_network, got {name}: give a number, such as 8")
    if target.covers_range:
        raise ValueError(f"{subject} is for one temperature, got {target.noun}: give one temperature, or {remedy}")
    if not is_network:
        try:
            limits_of(model).check()
        except ValueError as error:
            raise ValueError(f"model.{error}") from error
    if not model["boltzmann_bias"]:
        raise ValueError(
            f"{subject} adds the sum over later sites to the known neighbours, which model.boltzmann_bias = false "
            f"leaves out: leave out that key"
        )


def limits_of(model: Tree) -> Limits:
    """When the search for a bond dimension ends, as the section `[model]` of a tensor network says."""
    return Limits(*(model[key] for key in Limits._fields))


def bias_of(model: Tree, target: AbstractTarget) -> BoltzmannBias | None:
    """The known-neighbour term of a config, with the sum over later sites if it asks for that.

    Raises:
        ValueError: for a system that has no such sum; says what to do instead.
    """
    asked = model.get("bond_dimension")
    if asked is None:
        return target.bias()
    try:
        return target.bias(1 if asked == "auto" else asked)
    except ValueError as error:
        if model["name"] == TensorNetwork.name:
            raise ValueError(f"model.name {TensorNetwork.name}: {error}; name another network") from error
        raise ValueError(f"{KEY}: {error}{'' if 'leave' in str(error) else '; leave it out'}") from error
