"""README and documentation quote no number that the results of benchmarks do not hold."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from support.quoted import cited, missing

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("claims", ROOT / "benchmarks" / "claims.py")
claims = importlib.util.module_from_spec(SPEC)
sys.modules["claims"] = claims  # dataclasses look there
SPEC.loader.exec_module(claims)

STORED = claims.stored()
CLAIMS = [claim for claim in claims.claims() if claim.command in STORED]
QUOTES = [(page, quote, claim) for claim in CLAIMS for page, quote in claim.quotes.items()]
TABLES = [
    page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts and cited(page.read_text())
]

EXPLAINED = {"-2.13232", "0.00003", "3.11"}
"""Numbers in the prose of the README that are not results: an example that its own test runs, and a version."""


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", (ROOT / page).read_text())


def _unquoted(text: str, patterns: list[re.Pattern[str]]) -> list[str]:
    """Decimal numbers in the prose of a text that stand in none of the quotes."""
    prose = re.sub(r"```.*?```|^\|.*?$|\]\([^)]*\)", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"\s+", " ", prose)
    for pattern in patterns:
        prose = pattern.sub("", prose)
    return [number for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", prose) if number not in EXPLAINED]


def _written(claim: "claims.Claim") -> str:
    return claim.written(STORED[claim.command]["result"])


@pytest.mark.parametrize(("page", "quote", "claim"), QUOTES, ids=[f"{page}: {claim.says}" for page, _, claim in QUOTES])
def test_what_is_claimed_is_quoted_as_it_was_measured(page, quote, claim):
    assert claims.pattern(quote, _written(claim)).search(_text(page)), (
        f"{page} should say: {quote} with {_written(claim)}"
    )


def test_readme_has_no_number_without_a_result():
    patterns = [claims.pattern(quote, _written(claim)) for page, quote, claim in QUOTES if page == "README.md"]
    text = (ROOT / "README.md").read_text()
    assert len(patterns) >= 4
    assert _unquoted(text, patterns) == []
    assert _unquoted(text + "\nThe ESS is 0.97.\n", patterns) == ["0.97"]


def test_page_is_that_of_the_stored_results():
    assert claims.PAGE.read_text() == claims.page(STORED)


def test_every_stored_result_has_a_claim():
    assert set(STORED) <= {claim.command for claim in claims.claims()}


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.name)
def test_tables_hold_what_the_results_hold(page):
    text = page.read_text()
    assert missing(text, "\n".join(file.read_text() for file in cited(text))) == []


def test_numbers_that_no_result_holds_are_noticed():
    held = '{"ess": 0.99468, "seconds": 0.04225}\nKL 1,234.5'
    assert missing("| ESS | 0.995 | 42.3 ms | 99.5 % | 1,234.5 | T = 1.966 |", held) == []
    assert missing("| ESS | 0.996 | 41.3 ms | 1,234.6 |", held) == ["0.996", "41.3", "1234.6"]
    assert cited("no results, `benchmarks/results/`, benchmarks/results/nothing_of_that_name.txt") == []


def test_numbers_are_found_and_written():
    result = {"rows": [{"name": "a", "x": 1.0}, {"name": "b", "x": 2.5e-6}], "w: 1": 3.0, "w: 2": 4.0}

    def claim(value: list[str], take: str = "", form: str = "{:.2g}") -> "claims.Claim":
        return claims.Claim("", "", "", value, take, form, 2.0, {})

    assert claim(["rows", "name=b", "x"]).written(result) == "5e-6"
    assert claim(["w: *"], "min").written(result) == "6"
    assert claim(["w: *"], "max", "{:.1f}").written(result) == "8.0"
    for value in (["rows", "name=c", "x"], ["nothing"]):
        with pytest.raises(LookupError):
            claim(value).written(result)
    with pytest.raises(LookupError, match=r"the result has no \['v: \*'\]"):
        claim(["v: *"], "max").written(result)


def test_a_command_that_fails_is_told(monkeypatch, tmp_path, capsys):
    """The others are measured, stored and written all the same."""
    monkeypatch.setattr(claims, "STORE", tmp_path / "claims.jsonl")
    monkeypatch.setattr(claims, "CLAIMS", tmp_path / "claims.toml")
    good, bad = """python -c 'print("{\\"x\\": 0.5}")'""", "python -c 'print(1); raise SystemExit(3)'"
    entry = "[[measured]]\nof = 'o'\ncommand = '''{}'''\n[[measured.claims]]\nsays = 's'\nvalue = ['x']\n"
    (tmp_path / "claims.toml").write_text(entry.format(bad) + entry.format(good))
    monkeypatch.setattr(claims, "PAGE", tmp_path / "claims.md")
    monkeypatch.setattr(sys, "argv", ["claims.py"])
    assert claims.main() == 1
    assert "exit status 3" in capsys.readouterr().out
    assert claims.stored()[good]["result"] == {"x": 0.5}
    page = (tmp_path / "claims.md").read_text()
    assert "| s | 0.5 |" in page
    assert "Not measured yet." in page
