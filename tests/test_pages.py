"""The examples of pages run, print what the pages show, and agree with what is exact."""

import re

import numpy as np
from support.examples import DOCS, Example

import latticear as la
from latticear.estimation.estimates import quiet, with_error
from latticear.exact import T_C


def words(text):
    """The lines of a text without their numbers."""
    number = re.compile(r"\d+(\.\d+)?(e-\d+)?")
    return [number.sub("", line).split() for line in text.splitlines()]


def test_interface_tension_by_derived_quantities():
    example = Example.run("derived.md")
    example.check()
    tension = example.names["tension"]
    assert tension.verdict == "trusted"
    assert abs(tension.deviation) < 4
    assert 0.7 < tension.delta_error / tension.error < 1.4


def test_the_profile_from_plain_samples_is_that_of_fixed_composition():
    example = Example.run("distributions.md")
    example.check()
    numbers = np.array([[float(x) for x in re.findall(r"-?\d+\.\d+", line)] for line in example.shown.splitlines()])
    _, value, error, canonical = numbers.T
    assert (np.abs(value - canonical) < 4 * error + 1e-4).all()


def test_first_order_transition():
    """Chains take another course on another processor, so that only the words of the table are compared."""
    names, printed, shown = Example.run("distributions.md", after="## First-order transitions")
    assert words(printed) == words(shown)
    found, exact = names["found"], la.exact.potts_transition(20)
    for name, value, of_size in (  # the last column: what 10x10 sites differ from the infinite lattice
        ("temperature", exact.temperature, 0.001),
        ("latent_heat_per_site", exact.latent_heat_per_site, 0.015),
        ("interface_tension", exact.interface_tension, 0.006),
    ):
        assert abs(found.values[name] - value) < of_size + 4 * found.errors[name], name
        assert found.errors[name] < 0.01
    assert found.changes > 50


def test_free_energy_profile_at_fixed_composition():
    example = Example.run("fixed-composition.md")
    example.check()
    assert all(abs(f.deviation) < 4 for f in example.names["profile"].values())


def test_observables_by_name():
    example = Example.run("observables.md")
    example.check()
    estimates, along_y = example.names["estimates"], example.names["along_y"]
    assert abs(estimates["heat_capacity_slope"].deviation) < 4
    assert abs(estimates["heat_bath_energy_per_site"].deviation) < 4
    together = (estimates["correlation_length"].error ** 2 + along_y.error**2) ** 0.5
    assert abs(along_y.value - estimates["correlation_length"].value) < 4 * together


def test_every_observable_is_described():
    page = (DOCS / "observables.md").read_text()
    assert not [name for name in la.OBSERVABLES if f"`{name}`" not in page]


def test_precision_on_demand():
    example = Example.run("precision.md")
    lines = example.printed.splitlines()
    assert (lines[0], lines[-1]) == ("True True", "True")
    assert re.fullmatch(r"log_z to 0\.001: error \S+, reached", lines[1])
    assert lines[3] == "left out: a pilot of 4,000 configurations, which came first"
    found = example.names["found"]
    assert found["log_z"].error <= found["log_z"].wanted == 1e-3
    assert abs(found["log_z"].deviation) < 4


def test_finite_size_scaling():
    """The errors of the fits move with the processor, so that only the words of the lines are compared."""
    names, printed, shown = Example.run("scaling.md")
    limit, collapsed = names["crossed"].critical_temperature, names["collapsed"]
    for (value, error), exact in (
        (limit[:2], T_C),
        (collapsed.critical_temperature, T_C),
        (collapsed.inverse_nu, 1.0),
        (names["tops"].growth[:2], 1.75),
    ):
        assert abs(value - exact) < 4 * error
        assert error < 0.2
    assert words(printed) == words(shown)


def test_averages_over_instances():
    with quiet():
        example = Example.run("spin-glasses.md", after="## Averages over instances")
    average, ratio = example.names["average"], example.names["ratio"]
    assert average.n == 12
    assert abs(ratio.value - average["overlap_binder_cumulant"].value) < 1e-12
    assert "[chi_SG]" in example.printed


def test_pretrained_runs():
    """The configurations move with the processor by no more than rounding, so that each number is held to its error."""
    names, printed, _ = Example.run("pretrained.md")
    exact = la.kaufman((64, 64), T_C).free_energy_per_site
    found = re.findall(r"-?\d+\.\d+(?:\(\d+\))?", printed.splitlines()[0])
    assert found[1] == f"{exact:.6f}"
    assert abs(float(found[0].partition("(")[0]) - exact) < 1e-4
    assert [line.split(":")[0] for line in printed.splitlines()[1:]] == ["T = 1.8", "T = 2.3", "T = 3.0"]
    log_z = names["estimates"]["log_z"]
    assert abs(log_z.value - la.kaufman((8, 8), 3.0).log_z) < 4 * log_z.error


def test_the_table_of_pretrained_runs_is_that_of_their_cards():
    page = (DOCS / "pretrained.md").read_text()
    rows = [row for name, card in la.PRETRAINED.items() for row in _rows(name, card)]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
    assert not [name for name in la.PRETRAINED if f"`{name}`" not in page]


def _rows(name, card):
    for k, each in enumerate(card.reached):
        training = "" if k else f"{card.seconds / 60:.0f} min"
        ess, log_z = with_error(each.ess, each.ess_error), with_error(each.log_z, each.log_z_error)
        exact = f"{each.log_z_exact:.8g}"
        if each.exact_error:
            exact = f"{with_error(each.log_z_exact, each.exact_error)}, {each.exact_by}"
        yield f"| `{name}` | {each.temperature:.6g} | {training} | {ess} | {log_z} | {exact} |"
