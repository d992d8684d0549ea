"""The page of a run: what was trained and on what, its estimates, whether to trust them, figures, and next commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latticear.estimation.estimates import with_error
from latticear.runs.provenance import now
from latticear.workflows import words
from latticear.workflows.page import html
from latticear.workflows.page.captions import captioned
from latticear.workflows.page.diagnostics import WORDS, overall, reasons_of
from latticear.workflows.page.tables import diagnostics_table, estimates_table, points_table

__all__ = ["banner_of", "footer", "machine_facts", "run_page", "training_facts"]

Tree = Mapping[str, Any]


def run_page(path: Path, content: Tree, figures: Sequence[Path], drawn: Sequence[Tree]) -> str:
    """The page of a run as HTML.

    Args:
        path: the run directory, as the commands of the page name it.
        content: what `describe` returns of it.
        figures: the PNG files of its figures.
        drawn: estimates of the samples that were drawn for the figures, as in estimates.json; shown if the run has no
            estimates of its own.
    """
    config, stored = content["config"], content.get("estimates")
    estimates = _several(stored) if stored else list(drawn)
    title = ", ".join(filter(None, [words.system(config), words.temperature(config)]))
    title = title[0].upper() + title[1:]
    lead = f"Trained by latticear as {path}: {words.network(config['model'], content.get('n_parameters'))}."
    parts = [
        html.element("h1", html.escape(title.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"))),
        html.element("p", html.escape(lead), "lead"),
        banner_of(estimates),
        html.section("What was trained", _facts(training_facts(config, content)), _bound(content)),
        html.section("How long, and on what", _facts(machine_facts(content), code=("command", "commit"))),
        html.section("Estimates", _origin(path, content, bool(drawn)), _table(estimates)),
        html.section("Can these be trusted?", *_trust(estimates)),
        html.section("Figures", html.figures(captioned(figures, "grid" in config))),
        html.section("What to do next", *_commands(path, content)),
        footer(),
    ]
    return html.document(title, parts)


def training_facts(config: Tree, content: Tree) -> list[tuple[str, str]]:
    """What was trained, as terms and texts."""
    training, last = config["training"], content.get("last_step")
    done = last["step"] if last else 0
    minutes = content.get("environment", {}).get("minutes")
    origin = content.get("environment", {}).get("from", {})
    annealed = training.get("anneal") and training["objective"] == "reverse-kl"
    return [
        ("system", words.system(config)),
        ("temperature", words.temperature(config)),
        ("network", words.network(config["model"])),
        ("parameters", f"{content['n_parameters']:,}" if "n_parameters" in content else ""),
        ("symmetry", "spin flip, exactly" if config["model"].get("spin_flip_symmetric") is True else ""),
        ("objective", training["objective"]),
        ("steps", f"{done:,} of {training['steps']:,}" + (f", planned for {minutes:g} minutes" if minutes else "")),
        ("batch size", str(training["batch_size"])),
        ("learning rate", f"{training['learning_rate']:g}, {training['schedule']}"),
        ("annealing", f"beta from 0 in the first {training['anneal']:.0%} of the steps" if annealed else ""),
        ("data", str(training.get("data") or "")),
        ("begun with", f"the weights of {origin['run']}, {origin['checkpoint']}" if origin else ""),
        ("seed", str(config["seed"])),
    ]


def machine_facts(content: Tree) -> list[tuple[str, str]]:
    """How long a run was trained and on what, as terms and texts."""
    environment = content.get("environment", {})
    versions = environment.get("versions", {})
    return [
        ("time", words.trained_for(environment, content.get("last_step"))),
        ("checkpoint", str(content.get("checkpoint") or "none")),
        ("device", str(environment.get("device", ""))),
        ("threads", str(environment.get("threads", ""))),
        ("kernels", str(environment.get("kernels") or "")),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("python", str(environment.get("python", ""))),
        ("platform", str(environment.get("platform", ""))),
        ("commit", str(environment.get("commit") or "")),
        ("command", words.command(environment)),
    ]


def footer() -> str:
    """When the page was written, and the conventions of its numbers."""
    text = (
        f"Written {now()}. Error bars are one standard deviation, in brackets in units of the last digits. Energies "
        f"and temperatures are in the unit of the couplings, k_B = 1; ln Z in nats."
    )
    return html.element("footer", html.escape(text))


def _facts(pairs: Sequence[tuple[str, str]], code: Sequence[str] = ()) -> str:
    """Two lists side by side where the page is wide."""
    shown = [pair for pair in pairs if pair[1]]
    half = -(-len(shown) // 2)
    lists = html.definitions(shown[:half], code) + html.definitions(shown[half:], code)
    return html.element("div", lists, "facts")


def _bound(content: Tree) -> str:
    last = content.get("last_step") or {}
    if "free_energy_per_site" not in last:
        return ""
    bound = with_error(last["free_energy_per_site"], last["free_energy_error"])
    text = (
        f"The last batch gave F/N ≤ {bound}: on average the free energy of the network is an upper bound of that of "
        f"the system. The estimates below are of the system itself."
    )
    return html.element("p", html.escape(text), "note")


def _several(stored: Tree) -> list[Tree]:
    return list(stored["estimates"]) if "estimates" in stored else [stored]


def banner_of(estimates: Sequence[Tree], what: str = "temperatures") -> str:
    """The verdict on all estimates, at the top of a page.

    Args:
        estimates: estimates, as in estimates.json; those without a free energy are left out.
        what: what there is one of for each.
    """
    judged = [each for each in estimates if "free_energy_per_site" in each]
    if len(judged) == 1:
        verdict, word = overall(judged[0])
        return html.banner(verdict, f"Estimates: {word}", reasons_of(judged[0]))
    verdicts = [overall(each)[0] for each in judged]
    if not verdicts:
        return ""
    counts = {key: verdicts.count(key) for key in WORDS if key in verdicts}
    if len(counts) == 1:
        (verdict,) = counts
        return html.banner(verdict, f"Estimates: {WORDS[verdict]}", [f"At all of the {len(judged)} {what}."])
    text = ", ".join(f"{n} {WORDS[key]}" for key, n in counts.items())
    head = f"{counts.get('good', 0)} of {len(judged)} {what} trusted"
    return html.banner("warn", head, [f"Of the error bars: {text}. The table below says which."])


def _origin(path: Path, content: Tree, are_drawn: bool) -> str:
    """Where the estimates come from, as a paragraph."""
    stored = content.get("estimates")
    if not stored:
        command = words.estimate_command(path, content["config"])
        text = f"This run has no estimates of its own yet: {command} makes them."
        text += " These are from the samples that were drawn for the figures." if are_drawn else ""
        return html.element("p", html.escape(text), "note")
    text = f"From estimates.json, by latticear estimate: checkpoint {stored.get('checkpoint')}"
    text += f", seed {stored['seed']}" if "seed" in stored else ""
    text += f", couplings of {stored['instance']}" if "instance" in stored else ""
    first = _several(stored)[0]
    text += f", n = {first['n']:,}" + (" at each temperature." if "estimates" in stored else ".")
    if stored.get("checkpoint") != content.get("checkpoint"):
        text += f" The run has gone on to {content.get('checkpoint')} since: estimate it again."
    return html.element("p", html.escape(text), "note")


def _table(estimates: Sequence[Tree]) -> str:
    if not estimates:
        return ""
    if len(estimates) == 1:
        return estimates_table(estimates[0])
    places = [place.split(" = ") for place in _places(estimates)]
    rows = [([number], each) for (_, number), each in zip(places, estimates, strict=True)]
    return points_table(rows, places[0][:1])


def _places(estimates: Sequence[Tree]) -> list[str]:
    """Which of several estimates each is: its temperature, or its number along another range."""
    texts = [f"T = {each['temperature']:g}" for each in estimates]
    return texts if len(set(texts)) == len(texts) else [f"point = {k + 1}" for k in range(len(texts))]


def _trust(estimates: Sequence[Tree]) -> list[str]:
    """The diagnostics; of several temperatures, of each that is not to be trusted, else of the one of lowest ESS."""
    judged = [each for each in estimates if "free_energy_per_site" in each]
    if len(judged) <= 1:
        return [diagnostics_table(each) for each in judged]
    placed = list(zip(_places(judged), judged, strict=True))
    bad = [f"{place}: {'; '.join(reasons_of(each))}" for place, each in placed if overall(each)[0] == "bad"]
    place, worst = min(placed, key=lambda pair: pair[1]["ess"]["value"] if "ess" in pair[1] else 1.0)
    texts = [*bad, f"At {place}, where the ESS is smallest:"]
    return [*(html.element("p", html.escape(text)) for text in texts), diagnostics_table(worst)]


def _commands(path: Path, content: Tree) -> list[str]:
    config, environment = content["config"], content.get("environment", {})
    is_grid, is_range = "grid" in config, isinstance(config.get("temperature"), (list, tuple))
    more = " --temperature T" if is_range else ""
    by_condition = is_grid and config["model"].get("n_condition")
    instance = words.instance_option(config)
    which = " --condition K" if by_condition else more + instance
    estimate, sample = f"latticear estimate {path}", f"latticear sample {path} -n 1e5{which} -o FILE.h5"
    lines = [("Independent configurations, with their probabilities, in a file:", sample)]
    if is_grid:
        lines.insert(0, ("The likelihood of the held-out data; with --data FILE, of other data:", estimate))
    else:
        again = f"latticear train --from {path} --size L --temperature T --out NEW"
        lines.insert(0, ("More samples, smaller error bars:", f"{estimate} -n 1e6{instance}"))
        lines.append(("A network for another lattice or temperature that begins with these weights:", again))
    lines.append(("The run in twenty lines of text; with --json all of it:", f"latticear info {path}"))
    if "finished" not in environment:
        lines.insert(0, ("The training is not finished; this continues it:", f"latticear train --out {path} --resume"))
    return [html.command(line, meaning) for meaning, line in lines]
