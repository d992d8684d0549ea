"""The bibliography: every network and method has its papers, and all entries are BibTeX."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import latticear as la
from latticear.estimation.methods import METHODS
from latticear.exact.dispatch import METHODS as EXACT
from latticear.montecarlo.simulation import CHAIN_METHODS
from latticear.runs import references
from latticear.runs.references import REFERENCES, itself
from latticear.training import OBJECTIVES

ROOT = Path(__file__).parents[2]
TABLES = [value for name, value in vars(references).items() if name.startswith("OF_")]


def test_every_network_has_a_paper_and_every_method_its_place():
    assert references.OF_MODELS.keys() == la.MODELS.keys()
    assert all(references.OF_MODELS.values())
    assert references.OF_CHAINS.keys() == CHAIN_METHODS.keys()
    assert references.OF_EXACT.keys() == EXACT.keys()
    assert references.OF_OBJECTIVES.keys() == set(OBJECTIVES)
    assert references.OF_ESTIMATORS.keys() == {*METHODS, "blocks"}
    assert references.OF_HAMILTONIANS.keys() <= la.HAMILTONIANS.keys()


def test_entries_stand_once_and_are_all_used():
    used = {key for table in TABLES for keys in table.values() for key in keys} | {"Wolff2004"}
    assert used == REFERENCES.keys()
    assert len(references._ENTRIES) == len(REFERENCES)
    titles = [entry.title for entry in REFERENCES.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("entry", [itself(), *REFERENCES.values()], ids=lambda entry: entry.key)
def test_an_entry_is_bibtex(entry):
    text = entry.bibtex()
    assert re.fullmatch(r"@(article|misc|book)\{\w+,\n(  [a-z]+ = \{.+\},?\n)+\}", text)
    assert not re.search(r"\}\n  [a-z]", text)  # a comma after each field but the last
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert text.isascii()
    assert not re.search(r"(?<!\\)[&%#]", text)
    assert ("journal" in entry.more) == (entry.kind == "article")
    assert re.fullmatch(r"(\d{4}\.\d{5}|[a-z-]+/\d{7})?", entry.more.get("eprint", ""))
    assert re.fullmatch(r"(10\.\d{4,5}/\S+)?", entry.more.get("doi", ""))


def test_papers_named_by_the_readme_are_cited():
    table = (ROOT / "README.md").read_text().partition("## Models")[2].partition("## Systems")[0]
    for row in re.findall(r"^\| `(\w+)` \|.*$", table, re.MULTILINE):
        line = next(line for line in table.splitlines() if line.startswith(f"| `{row}`"))
        cited = {REFERENCES[key].more.get("eprint") for key in references.OF_MODELS[row]}
        assert set(re.findall(r"arxiv\.org/abs/([\d.]+)", line)) <= cited, row


def test_the_package_is_cited_as_in_its_citation_file():
    file = (ROOT / "CITATION.cff").read_text()
    stated = {
        name: re.search(rf'^[ -]*{name}: "?(.*?)"?$', file, re.MULTILINE)[1] for name in ("title", "name", "version")
    }
    entry = itself()
    assert entry.title == stated["title"]
    assert entry.authors == f"{{{stated['name']}}}"
    assert entry.more["note"] == f"version {version('latticear')}"
    here = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert stated["version"] == here or ".dev" in here  # between two releases the file names the last one
