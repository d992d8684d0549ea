"""What `latticear info` prints: a run directory or a data file in at most twenty lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

__all__ = ["MOST", "card_lines", "file_lines", "run_lines", "shipped_lines"]

MOST = 20
"""Largest number of lines."""

WIDTH = 110
"""Longest text of a line; longer ones are cut."""

QUANTITIES = (
    *("free_energy_per_site", "energy_per_site", "entropy_per_site", "heat_capacity_per_site", "abs_magnetization"),
    *("susceptibility", "ess", "forward_ess", "nll_per_site", "bits_per_site"),
)
"""Estimates that are shown, if there are such."""

UNSHOWN = ("conventions", "units", "format_version", "beta", "weights")
"""Attributes of files that only --json shows."""

Tree = Mapping[str, Any]
Line = tuple[str, str]


def run_lines(path: Path, content: Tree) -> list[str]:
    """Lines about a run: what, where, how far, its estimates, and the next command.

    Args:
        path: the run directory.
        content: what `describe` returns of it.
    """
    from latticear.workflows import words

    config = content["config"]
    what = ", ".join(filter(None, [words.system(config), words.temperature(config)]))
    return _shown(
        f"{path}: {what}", [*_training(content), *_estimates(content.get("estimates")), *_next(path, content)]
    )


def _training(content: Tree) -> Iterator[Line]:
    from latticear.estimation.estimates import with_error
    from latticear.workflows import words

    config, environment, last = content["config"], content.get("environment", {}), content.get("last_step")
    training = config["training"]
    yield "network", words.network(config["model"], content.get("n_parameters"))
    if "bond_dimension" in config["model"]:
        yield "later sites", words.lookahead(config["model"], environment)
    how = (
        f"{training['objective']}, batch of {training['batch_size']}, learning rate {training['learning_rate']:g}, "
        f"seed {config['seed']}"
    )
    yield "training", how if words.learns(config["model"]) else "none: there is nothing to learn"
    done = last["step"] if last else 0
    yield "progress", f"step {done} of {training['steps']}, {words.trained_for(environment, last)}"
    if last and {"free_energy_per_site", "free_energy_error", "ess"} <= last.keys():
        bound = with_error(last["free_energy_per_site"], last["free_energy_error"])
        at = "" if isinstance(config["temperature"], (int, float)) else " in the middle of the range"
        yield "last batch", f"F/N <= {bound} (a variational bound{at}), ESS {last['ess']:.3f}"
    elif last and "loss" in last:
        yield "last batch", f"negative log-likelihood {last['loss']:.5f} nats per site"
    yield "made by", words.machine(environment)
    yield "command", words.command(environment)


def _estimates(content: Tree | None) -> Iterator[Line]:
    from latticear.workflows import words

    if not content:
        return
    if "estimates" in content:
        yield "estimates", f"at {len(content['estimates'])} temperatures"
        for point in content["estimates"][:8]:
            yield "", f"T = {point['temperature']:g}: {_point(point)}"
        return
    trust = "" if "free_energy_per_site" not in content else f": {words.verdict_of(content)}"
    yield "estimates", f"n = {content['n']}{trust}"
    if trust:
        verdict = words.verdict_of(content)
        lead = "in agreement with " if verdict == "trusted" else ""
        yield from (("", f"{lead}{reason}") for reason in verdict.reasons)
    for name in QUANTITIES:
        if isinstance(content.get(name), Mapping):
            yield "", f"{name:24s}{_value(content[name])}"


def _point(point: Tree) -> str:
    from latticear.workflows import words

    names = {"F/N": "free_energy_per_site", "|m|": "abs_magnetization", "ESS": "ess"}
    found = [f"{short} {_value(point[name])}" for short, name in names.items() if name in point]
    return ", ".join(found) + f", {words.verdict_of(point)}"


def _value(entry: Tree) -> str:
    from latticear.estimation.estimates import with_error

    exact = f", exact {entry['exact']:.8g}" if entry.get("exact") is not None else ""
    return with_error(entry["value"], entry["error"]) + exact


def _next(path: Path, content: Tree) -> Iterator[Line]:
    from latticear.workflows import words

    finished = "finished" in content.get("environment", {})
    if not finished:
        yield "next", f"latticear train --out {path} --resume"
    elif not content.get("estimates"):
        yield "next", words.estimate_command(path, content["config"])
    else:
        yield "next", f"latticear report {path}"


def shipped_lines(cards: Mapping[str, Any]) -> list[str]:
    """Lines about the runs that the package ships: a line for each, and how they are used."""
    from latticear.runs.pretrained import PREFIX

    lines = [(name, str(card)) for name, card in cards.items()]
    first = next(iter(cards), "NAME")
    return [
        *_shown("trained runs that the package ships", lines),
        f"card of one: latticear info {PREFIX}{first}; configurations: latticear sample {PREFIX}{first} -o samples.h5",
    ]


def card_lines(path: Path, content: Tree) -> list[str]:
    """Lines about a run that the package ships: its card.

    Args:
        path: its folder.
        content: what `describe` returns of it.
    """
    from latticear.runs.pretrained import PRETRAINED, named
    from latticear.workflows import words

    config, card = content["config"], PRETRAINED[path.name]
    at = "--temperature 2 " if len(card.reached) > 1 else ""
    use = "use", f"latticear sample {named(path)} {at}-n 1000 -o samples.h5"
    whole = [("network", words.network(config["model"])), *card.lines, use]
    lines = [(label if not k else "", part) for label, text in whole for k, part in enumerate(wrap(text, WIDTH))]
    return _shown(f"{named(path)}: {words.system(config)}, {words.temperature(config)}", lines)


def file_lines(path: Path, content: Tree) -> list[str]:
    """Lines about a data file: its datasets and attributes.

    Args:
        path: the file.
        content: what `describe` returns of it.
    """
    from latticear.workflows import words

    attributes = dict(content.get("attributes", {}))
    lines: list[Line] = []
    hamiltonian = attributes.pop("hamiltonian", None)
    if isinstance(hamiltonian, Mapping) and {"name", "shape"} <= hamiltonian.keys():
        lines.append(("system", words.system({"hamiltonian": hamiltonian})))
    model = attributes.pop("model", None)
    if isinstance(model, Mapping) and "name" in model:
        lines.append(("network", words.network(model)))
    lines += [("dataset", f"{name}: {_dataset(item)}") for name, item in content.get("datasets", {}).items()]
    known = ("n_samples", "shape", "datasets", "attributes")
    lines += [(key, _text(value)) for key, value in content.items() if key not in known]
    lines += [(key, _text(value)) for key, value in attributes.items() if key not in UNSHOWN]
    head = f"{path}"
    if content.get("n_samples") is not None:
        head += f": {content['n_samples']} configurations of {'x'.join(map(str, content['shape']))}"
    return _shown(head, lines)


def _dataset(item: Any) -> str:
    if not isinstance(item, Mapping):
        return _text(item)
    shape = "x".join(map(str, item.get("shape", ()))) or "a number"
    return f"{shape} {item.get('dtype', '')}".strip()


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _shown(head: str, lines: list[Line]) -> list[str]:
    """The lines below their head, cut to a width and a number."""
    widest = max((len(label) for label, _ in lines), default=0)
    shown = [head, *(f"  {label:<{widest}s}  {_cut(text)}".rstrip() for label, text in lines)]
    if len(shown) <= MOST:
        return shown
    return [*shown[: MOST - 1], f"  and {len(shown) - MOST + 1} more lines: --json shows all"]


def _cut(text: str) -> str:
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ..."
