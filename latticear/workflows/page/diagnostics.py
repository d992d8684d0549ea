"""What says whether estimates can be trusted: each diagnostic with a verdict and a sentence of what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from latticear.estimation.estimates import MIN_EVENTS
from latticear.estimation.quantity import Estimate
from latticear.estimation.verdict import NOT_TRUSTED, TRUSTED, UNCHECKED
from latticear.estimation.weights import EVEN, KHAT_LIMIT, MAX_IMBALANCE, MAX_SHARE, MIN_EFFECTIVE
from latticear.exact.result import QUANTITIES
from latticear.workflows.words import verdict_of

__all__ = ["WORDS", "Diagnostic", "deviation_of", "diagnostics_of", "overall", "reasons_of"]

GOOD, WARN, BAD = "good", "warn", "bad"

WORDS = {GOOD: TRUSTED, WARN: UNCHECKED, BAD: NOT_TRUSTED}
"""The word of the whole for each verdict."""

Tree = Mapping[str, Any]


class Diagnostic(NamedTuple):
    """A diagnostic of estimates.

    Attributes:
        name: its name.
        value: its value as text.
        verdict: good, warn or bad.
        meaning: a sentence.
    """

    name: str
    value: str
    verdict: str
    meaning: str


def overall(estimates: Tree) -> tuple[str, str]:
    """The verdict on estimates as a whole, and its word: trusted, unchecked or not trusted."""
    verdict = next(key for key, word in WORDS.items() if word == verdict_of(estimates))
    return verdict, WORDS[verdict]


def reasons_of(estimates: Tree) -> list[str]:
    """Why the estimates are trusted, or not, in sentences."""
    verdict = verdict_of(estimates)
    lead = {TRUSTED: "They agree with", UNCHECKED: "Not decided:", NOT_TRUSTED: ""}[verdict]
    return [f"{lead} {reason}.".strip() for reason in verdict.reasons]


def diagnostics_of(estimates: Tree) -> list[Diagnostic]:
    """The diagnostics that estimates have.

    Args:
        estimates: the contents of estimates.json, or one entry of its list.
    """
    parts = (_sizes, _weights, _target, _chains, _errors)
    return [diagnostic for part in parts for diagnostic in part(estimates, estimates.get("diagnostics", {}))]


def deviation_of(entry: Tree) -> float | None:
    """(value - exact) / error of one quantity, as `Estimate.deviation`; None without an exact value.

    The exact value of an average over instances is that of these very instances, so that their spread is no part of the
    deviation.
    """
    if entry.get("exact") is None:
        return None
    known = {"exact": entry["exact"], "exact_error": entry.get("exact_error")}
    deviation = Estimate(entry["value"], entry.get("thermal_error", entry["error"]), n=1, ess=1.0, **known).deviation
    return None if deviation is None else float(deviation)


def _sizes(estimates: Tree, found: Tree) -> Iterator[Diagnostic]:
    n = estimates["n"]
    ess = estimates["ess"]["value"] if "ess" in estimates else found.get("ess")
    if ess is not None:
        effective = n * ess
        yield Diagnostic(
            "ESS",
            f"{ess:.4g}, {effective:,.0f} of {n:,}",
            BAD if effective < MIN_EFFECTIVE and ess <= EVEN else WARN if effective < 10 * MIN_EFFECTIVE else GOOD,
            f"The effective sample size: so many samples of the exact distribution would give the same error bars; "
            f"below {MIN_EFFECTIVE} error bars are to be trusted only if the ESS is close to 1.",
        )
    if ess is not None and "ess_half" in found:
        yield Diagnostic(
            "ESS of the first half",
            f"{found['ess_half']:.4g}",
            GOOD if 0.75 < found["ess_half"] / ess < 1.33 else BAD,
            "The ESS of half as many samples: if it is another one, the ESS has not converged and is too optimistic.",
        )


def _weights(estimates: Tree, found: Tree) -> Iterator[Diagnostic]:
    if "pareto_k" in estimates:
        k, ess = estimates["pareto_k"]["value"], estimates.get("ess", {}).get("value") or 0.0
        yield Diagnostic(
            "Pareto k",
            f"{k:.2f}",
            GOOD if k <= 0.5 else WARN if k <= KHAT_LIMIT or ess > EVEN else BAD,
            f"The tail of the weights: above 0.5 their variance is not finite, above {KHAT_LIMIT} a few rare samples "
            f"decide about the result, unless the ESS is so large that little is left for them.",
        )
    if "max_share" in found:
        share = found["max_share"]
        yield Diagnostic(
            "Largest weight",
            f"{share:.2g} of the sum",
            BAD if share > MAX_SHARE else WARN if share > MAX_SHARE / 5 else GOOD,
            f"The share of one sample in all averages; above {MAX_SHARE:g} it decides too much alone.",
        )
    if "kl" in found and "half_variance" in found:
        kl, half = found["kl"], found["half_variance"]
        yield Diagnostic(
            "KL(q‖p)",
            f"{kl:.3g} nats",
            GOOD if abs(kl - half) <= 0.1 + min(kl, half) else BAD,
            f"The distance of the network from the target, 0 for a perfect one; half the variance of the log weights, "
            f"{half:.3g}, should be about the same.",
        )
    if "ess_islands" in found:
        islands = found["ess_islands"]
        yield Diagnostic(
            "ESS of the islands",
            f"{islands:.3g}",
            GOOD if islands >= 0.5 else BAD,
            "Whether independent groups of particles agree about Z: 1 if they all find the same value.",
        )
    if "ancestors" in found:
        yield Diagnostic(
            "Ancestors",
            f"{found['ancestors']:.2g} of the particles",
            GOOD if found["ancestors"] > 0.05 else WARN,
            "How many of the first particles have descendants among the last: few of them are few independent samples.",
        )


def _target(estimates: Tree, found: Tree) -> Iterator[Diagnostic]:
    meaning = (
        "The effective sample size seen from configurations of the target (short Monte Carlo, or --data): far below "
        "the ESS, the network misses a part of the distribution, which its own samples cannot show."
    )
    if "forward_ess" in estimates:
        forward, own = estimates["forward_ess"]["value"], found.get("ess", 0.0)
        verdict = BAD if forward < own / 2 else WARN if forward < 0.8 * own else GOOD
        yield Diagnostic("Forward ESS", f"{forward:.4g}", verdict, meaning)
    elif estimates.get("method") == "is":
        yield Diagnostic("Forward ESS", "not computed", WARN, meaning)
    if "imbalance" in found:
        moved = abs(found["imbalance"])
        yield Diagnostic(
            "Heat-bath test",
            f"{moved:.2g} standard errors",
            BAD if moved > MAX_IMBALANCE else WARN if moved > 3 else GOOD,
            f"One more heat-bath sweep would change the average energy by so much; above {MAX_IMBALANCE} the samples "
            f"are not those of the target.",
        )


def _chains(estimates: Tree, found: Tree) -> Iterator[Diagnostic]:
    if "acceptance" in found:
        yield Diagnostic(
            "Acceptance",
            f"{found['acceptance']:.2f}",
            GOOD if found["acceptance"] > 0.1 else WARN,
            "The fraction of proposals of the network that its Markov chains accepted.",
        )
    if "tau_int_energy" in found:
        tau = max(found["tau_int_energy"], found.get("tau_int_abs_magnetization", 0.0))
        short = any("too short" in reason for reason in estimates.get("warnings", []))
        yield Diagnostic(
            "Autocorrelation time",
            f"{tau:.2g} steps",
            BAD if short else GOOD,
            "The longer of those of the energy and of |m|; 0.5 is that of independent samples.",
        )


def _errors(estimates: Tree, found: Tree) -> Iterator[Diagnostic]:
    entries = {name: estimates[name] for name in QUANTITIES if name in estimates}
    reasons = estimates.get("warnings", [])
    ratios = [e["jackknife_error"] / e["error"] for e in entries.values() if e.get("jackknife_error") and e["error"]]
    if ratios:
        worst = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
        yield Diagnostic(
            "Jackknife / delta method",
            f"{worst:.2f}",
            BAD if any("jackknife" in reason for reason in reasons) else GOOD,
            "The ratio of two estimates of the error bars, where they differ most; it should be close to 1.",
        )
    rare = [name for name, entry in entries.items() if any("rare events" in why for why in entry.get("reasons", ()))]
    of_all = any("rare events" in reason for reason in reasons)
    if of_all or rare:
        yield Diagnostic(
            "Rare events",
            "all error bars" if of_all else ", ".join(rare),
            BAD if of_all else WARN,
            f"Error bars that depend on fewer than {MIN_EVENTS} rare events among the samples: they may be too small.",
        )
    deviations = {name: deviation_of(entry) for name, entry in entries.items()}
    known = {name: abs(deviation) for name, deviation in deviations.items() if deviation is not None}
    if known:
        name = max(known, key=lambda each: known[each])
        yield Diagnostic(
            "Deviation from exact values",
            f"at most {known[name]:.1f} error bars",
            BAD if known[name] > 4 else WARN if known[name] > 3 else GOOD,
            f"The largest of {len(known)} quantities ({name}); of honest error bars one in three is off by more than "
            f"1, one in 400 by more than 3.",
        )
