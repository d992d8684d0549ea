"""The class of all commands: it answers options that do not exist, and options that are given twice, in one line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand

from latticear.cli.display import fail
from latticear.cli.launched import is_first

__all__ = ["SeveralTemperatures", "Verb"]

OPTIONS = {
    "-L": "--size",
    "--l": "--size",
    "--length": "--size",
    "--shape": "--size",
    "-T": "--temperature",
    "--t": "--temperature",
    "--temp": "--temperature",
    "--n-samples": "-n",
    "--samples": "-n",
    "--epochs": "--steps",
    "--iterations": "--steps",
    "--network": "--model",
    "--architecture": "--model",
    "--system": "--hamiltonian",
    "--output": "--out",
    "--burn-in": "--thermalization",
    "--warmup": "--thermalization",
}
"""What others call an option of ours."""

KEYS = {
    "-J": "coupling",
    "--j": "coupling",
    "--h": "field",
    "--boundary": "periodic",
    "--boundaries": "periodic",
    "--boundary-conditions": "periodic",
    "--bc": "periodic",
    "--lattice": "geometry",
    "--n-states": "q",
    "--lr": "learning_rate",
    "--batch": "batch_size",
    "--bs": "batch_size",
    "--hidden": "width",
    "--channels": "width",
    "--features": "width",
    "--layers": "depth",
    "--kernel": "kernel_size",
}
"""What others call a key of our configs. A key under its own name needs no line here."""

SETTINGS = {
    "--open": "hamiltonian.periodic=false",
    "--obc": "hamiltonian.periodic=false",
    "--pbc": "hamiltonian.periodic=true",
}
"""Options without a value, with the setting that does the same."""

BOUNDARIES = {
    "open": "hamiltonian.periodic=false",
    "free": "hamiltonian.periodic=false",
    "periodic": "hamiltonian.periodic=true",
    "antiperiodic": "hamiltonian.antiperiodic=true",
}
"""The names of boundary conditions, with the setting that means them."""


class _Given(NamedTuple):
    """An option as it is given on the command line.

    Attributes:
        name: its name there.
        value: its value; of an unknown option the next word, if that is no option; None for an option without a value.
        option: the option of the command; None if the command has none of this name.
    """

    name: str
    value: str | None
    option: Any


class Verb(TyperCommand):
    """A command that answers wrong options in one line, each of them, also what a parser does not take."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._check(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if isinstance(error, typer.BadParameter) and error.param and str(error.message).startswith("must be"):
                fail(ValueError(f"{error.param.opts[0]} {error.message}"))
            if not is_first():
                raise typer.Exit(2) from None  # the first process says it for all
            raise  # an option without a value, and the like

    def _check(self, ctx: Any, args: list[str]) -> None:
        earlier: dict[str, str | None] = {}
        for name, value, option in self._given(ctx, args):
            if option is None:
                if remedy := self._remedy(ctx, name, value):
                    fail(ValueError(f"{self.name} has no option {name}: {remedy}"))
                return
            if option.multiple or option.is_flag:
                continue
            if value is not None and _is_number(value) and not (value.isascii() and value == value.strip()):
                fail(ValueError(f"{name} has a character that is no digit, got {value!a}: type the number again"))
            if option.name in earlier:
                fail(ValueError(f"{name} is given twice, {earlier[option.name]} and {value}: {self._once(name)}"))
            earlier[option.name] = value

    def _given(self, ctx: Any, args: list[str]) -> Iterator[_Given]:
        options = self._options(ctx)
        words = list(args)
        while words and words[0] != "--":
            word = words.pop(0)
            if not word.startswith("-") or word == "-" or _is_number(word):
                continue
            name, equals, value = word.partition("=")
            if not word.startswith("--"):
                name, value = word[:2], word[2:]
                equals = value
            option = options.get(name)
            if equals:
                yield _Given(name, value, option)
            elif option is None:
                has_value = bool(words) and (not words[0].startswith("-") or _is_number(words[0]))
                yield _Given(name, words[0] if has_value else None, None)
            else:
                yield _Given(name, words.pop(0) if words and not option.is_flag else None, option)

    def _options(self, ctx: Any) -> dict[str, Any]:
        """The options of this command by each of their names."""
        return {
            name: param
            for param in self.get_params(ctx)
            for name in (*param.opts, *param.secondary_opts)
            if name.startswith("-")
        }

    def _once(self, name: str) -> str:
        return "give it once"

    def _remedy(self, ctx: Any, name: str, value: str | None) -> str | None:
        """What to write in place of an option that the command does not have; None if nothing is known."""
        options = self._options(ctx)
        if name.lower() == "--beta" and "--temperature" in options:
            return _temperature(value)
        if OPTIONS.get(name) in options:
            return f"use {shlex.join([OPTIONS[name], value or 'VALUE'])}"
        if name == "--gpu" and "--device" in options:
            return "use --device cuda"
        setting = self._setting(name, value)
        if setting is None:
            return None
        if "--set" in options and ctx.info_name != "estimate":
            return f"use --set {shlex.quote(setting)}"
        key = setting.partition("=")[0]
        return f"a run keeps {key} as it was trained; for another, latticear train --set {shlex.quote(setting)}"

    def _setting(self, name: str, value: str | None) -> str | None:
        """The setting KEY=VALUE of a config that an option means; None if there is no such key."""
        from latticear.runs.schema import keys_named

        key = KEYS.get(name, name.lstrip("-").replace("-", "_"))
        if name in SETTINGS:
            return SETTINGS[name]
        if key == "periodic" and value in BOUNDARIES:
            return BOUNDARIES[str(value)]
        sections = ("hamiltonian",) if self.name in ("mc", "exact") else ("hamiltonian", "model", "training")
        found = (f"{section}.{key}" for section in sections if key in keys_named(section))
        return next((f"{place}={'VALUE' if value is None else value}" for place in found), None)


class SeveralTemperatures(Verb):
    """A command whose option `--temperature` takes all numbers that follow it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _joined(args))

    def _once(self, name: str) -> str:
        return "give all after one --temperature" if name == "--temperature" else super()._once(name)


def _temperature(beta: str | None) -> str:
    """What to write in place of `--beta`: the temperature, or the range of temperatures, 1/beta."""
    try:
        values = [float(part) for part in (beta or "").split(":")]
        if len(values) <= 2 and all(0 < value < math.inf for value in values):
            return f"T = 1/beta, use --temperature {':'.join(repr(1 / value) for value in reversed(values))}"
    except ValueError:
        pass
    return "use --temperature T, with T = 1/beta"


def _joined(args: list[str]) -> list[str]:
    """Replace the arguments `--temperature 2.1 2.269` by `--temperature 2.1,2.269`."""
    joined: list[str] = []
    for arg in args:
        if _is_number(arg) and joined[-2:-1] == ["--temperature"] and _is_number(joined[-1]):
            joined[-1] += f",{arg}"
        else:
            joined.append(arg)
    return joined


def _is_number(text: str) -> bool:
    try:
        return all(math.isfinite(float(part)) for part in text.split(","))
    except ValueError:
        return False
