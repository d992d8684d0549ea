"""What is said of the package in several places agrees: versions, bounds, references, and the commands of workflows."""

import json
import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from latticear.runs.references import REFERENCES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
ZENODO = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob(".github/workflows/*.yml")
}
CONDA = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
LINTERS = {"ruff", "mypy", "pdoc"}  # no test needs them


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): Version(version) for name, version in found}


def bounds(*requirements: str) -> dict[str, Version]:
    """The lower bounds of packages."""
    parsed = [Requirement(each) for each in requirements]
    assert all(len(each.specifier) == 1 for each in parsed)
    return {each.name: Version(next(iter(each.specifier)).version) for each in parsed}


def test_one_version():
    stated = [CITATION["version"], ZENODO["version"], RECIPE["context"]["version"]]
    assert stated == [PROJECT["version"]] * 3


def test_the_oldest_versions_are_the_lower_bounds():
    extras = PROJECT["optional-dependencies"]
    wanted = bounds(*PROJECT["dependencies"], *extras["dev"], *extras["notebook"])
    assert pins("constraints-oldest.txt") == {name: bound for name, bound in wanted.items() if name not in LINTERS}


def test_every_dependency_has_a_pinned_version_within_its_bounds():
    pinned = pins("constraints.txt")
    everything = [
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    ]
    for each in map(Requirement, everything):
        assert str(pinned[each.name]) in each.specifier, each


def test_the_conda_recipe_has_the_same_dependencies():
    stated = bounds(*(each.replace(" ", "") for each in RECIPE["requirements"]["run"]))
    python = stated.pop("python")
    assert {CONDA.get(name, name): bound for name, bound in stated.items()} == bounds(*PROJECT["dependencies"])
    assert f">={python}" == PROJECT["requires-python"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]


def test_the_citations_agree():
    assert CITATION["title"] == ZENODO["title"]
    assert CITATION["abstract"] == ZENODO["description"]
    assert CITATION["keywords"] == ZENODO["keywords"] == PROJECT["keywords"]
    assert [each["name"] for each in CITATION["authors"]] == [each["name"] for each in ZENODO["creators"]]
    assert CITATION["license"].lower() == ZENODO["license"] == PROJECT["license"].lower()
    assert [each["doi"] for each in CITATION["references"]] == [
        each["identifier"] for each in ZENODO["related_identifiers"]
    ]


def test_the_references_are_those_of_the_package():
    known = {entry.title: entry for entry in REFERENCES.values()}
    for each in CITATION["references"]:
        entry = known[each["title"]]
        arxiv = f"10.48550/arXiv.{entry.more.get('eprint')}"
        assert (entry.year, entry.more.get("doi", arxiv)) == (each["year"], each["doi"])
        assert entry.authors.count(" and ") + 1 == len(each["authors"])


def test_workflows_call_what_there_is_and_may_do_little():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(WORKFLOWS) == {"docs", "test", "wheels"}
    for workflow in WORKFLOWS.values():
        text = json.dumps(workflow, default=str)
        assert workflow["permissions"] == {"contents": "read"}
        assert "secrets" not in text
        for action in re.findall(r'"uses": "(.*?)"', text):
            assert re.search(r"@(v\d+|release/v1)$", action), action
        for target in re.findall(r"make ([a-z]+)", text):
            assert target in targets
        for script in re.findall(r"tests/\S+\.py", text):
            assert (ROOT / script).is_file()
    matrix = WORKFLOWS["test"]["jobs"]["test"]["strategy"]["matrix"]
    assert {matrix["target"][0], *(each["target"] for each in matrix["include"])} <= targets
    assert {f"Programming Language :: Python :: {each}" for each in matrix["python"]} <= set(PROJECT["classifiers"])


def test_what_is_checked_before_a_commit_is_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hook,) = (hook for repo in config["repos"] for hook in repo["hooks"])
    assert hook["entry"].split() == ["make", "--no-print-directory", "lint"]
    assert "rev" not in config["repos"][0]  # versions stand in constraints.txt alone
