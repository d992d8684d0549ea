"""Calling verbs of the command line inside the test process."""

import math

import pytest
from typer.testing import CliRunner

import latticear as la
from latticear.cli import app
from latticear.exact.result import QUANTITIES
from support import tiny

__all__ = ["check_estimates", "invoke", "refusal", "succeed"]


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="latticear")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def succeed(*words: str) -> str:
    code, stdout, stderr = invoke(*words)
    assert (code, stderr) == (0, ""), stderr
    assert not any(character in stdout for character in "\r\x1b")  # quiet when piped
    return stdout


def refusal(*words: str) -> str:
    """The one line of an error that the user can mend."""
    code, stdout, stderr = invoke(*words)
    assert (code, stdout) == (1, ""), stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    return stderr.removeprefix("error: ").strip()


def check_estimates(content: dict) -> None:
    """The contract: these keys, value and error finite, exact where something is known."""
    quantities = {key: value for key, value in content.items() if isinstance(value, dict) and key != "diagnostics"}
    assert quantities.keys() == {*QUANTITIES, "ess", "pareto_k", "forward_ess", "correlation"}
    for key in (*QUANTITIES, "ess", "pareto_k", "forward_ess"):
        entry = quantities[key]
        assert math.isfinite(entry["value"])
        assert math.isfinite(entry["error"])
        assert (entry["error"] > 0) == (key != "pareto_k")
        assert ("exact" in entry) == (key in QUANTITIES)
    exact = la.kaufman(tiny.SIZE, tiny.TEMPERATURE)
    assert quantities["free_energy_per_site"]["exact"] == pytest.approx(exact.free_energy_per_site, rel=1e-12)
    for key in QUANTITIES:
        assert abs(quantities[key]["value"] - quantities[key]["exact"]) < 5 * quantities[key]["error"]
