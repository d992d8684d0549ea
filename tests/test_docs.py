"""What the documentation names exists: files, links, commands with their options, and public names."""

import importlib
import os
import re
from pathlib import Path

import pytest
import typer

from latticear.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "VISION.md", "CONTRIBUTING.md", "benchmarks/README.md"]
GENERATED = [line[1:] for line in (ROOT / ".gitignore").read_text().split() if line.startswith("/docs/")]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS += [page for page in PAGES if not page.startswith(tuple(GENERATED))]
COMMANDS = typer.main.get_command(app).commands
FOLDERS = "benchmarks|configs|docs|latticear|tests"

OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")

anywhere = pytest.mark.parametrize("document", DOCUMENTS)


def _text(document: str) -> str:
    return (ROOT / document).read_text()


def broken_links(document: str, text: str) -> list[str]:
    """Relative links `[...](target)` whose file is not there, or has no such heading."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, heading = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        if not path.exists() or (heading and heading not in _anchors(path.read_text())):
            broken.append(target)
    return broken


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def missing_paths(text: str) -> list[str]:
    """Paths from the root, with an extension or a final slash, that are not there; `*` stands for anything."""
    named = re.findall(rf"(?<![\w/.])(?:{FOLDERS})/(?:[\w*./-]*(?:\.\w+|/|\*))?", text)
    return [name for name in named if not name.startswith("docs/_build") and not any(ROOT.glob(name.rstrip("./")))]


def unknown_options(text: str) -> list[str]:
    """Commands `latticear VERB` that there are not, and options `--name` that a command does not have."""
    unknown = []
    for code in _code(text):
        for verb, rest in re.findall(r"(?<!import )(?<!from )latticear ([a-z]+)\b([^#]*)", code):
            if verb not in COMMANDS:
                unknown.append(f"latticear {verb}")
            else:
                unknown += [
                    f"latticear {verb} {option}" for option in OPTION.findall(rest) if option not in _options(verb)
                ]
    return unknown


def unknown_script_options(text: str) -> list[str]:
    """Options of `python SCRIPT --name` that the script's source does not name."""
    calls = [call for code in _code(text) for call in re.findall(r"python ((?:benchmarks|docs)/\w+\.py)([^#]*)", code)]
    named = [(script, option) for script, rest in calls for option in OPTION.findall(rest)]
    return [f"{script} {option}" for script, option in named if f'"{option}"' not in _text(script)]


def _code(text: str) -> list[str]:
    """What stands in backquotes, and the lines of blocks."""
    joined = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"```[\w{} -]*\n(.*?)```", joined, re.DOTALL)
    spans = re.findall(r"`([^`]*)`", re.sub(r"```.*?```", "", joined, flags=re.DOTALL))
    return [re.sub(r"\s+", " ", span) for span in spans] + [line for block in blocks for line in block.splitlines()]


def _options(verb: str) -> set[str]:
    parameters = COMMANDS[verb].params
    return {"--help", "-h"} | {name for p in parameters for name in [*p.opts, *p.secondary_opts]}


def unknown_names(text: str) -> list[str]:
    """Names `la.x` or `la.room.x` that do not resolve."""
    return sorted(name for name in set(re.findall(r"\bla(?:\.[A-Za-z_]\w*)+", text)) if not _resolves(name))


def _resolves(name: str) -> bool:
    found, path = importlib.import_module("latticear"), "latticear"
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        if not hasattr(found, part) and importlib.util.find_spec(path) is not None:
            importlib.import_module(path)
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_readme_is_short():
    assert len(_text("README.md").splitlines()) <= 150


def test_every_page_is_in_the_contents():
    """Each page of docs/ is in the `toctree` of another page, from the first page on."""
    reached, left = set(), ["docs/index.md"]
    while left:
        page = left.pop()
        reached.add(page)
        if page in DOCUMENTS:
            folder = (ROOT / page).parent
            trees = re.findall(r"```\{toctree\}\n(.*?)```", _text(page), re.DOTALL)
            listed = [line for tree in trees for line in tree.split("\n") if line and not line.startswith(":")]
            left += [os.path.relpath(folder / f"{name}.md", ROOT) for name in listed]
    assert {page for page in DOCUMENTS if page.startswith("docs/")} <= reached


@anywhere
def test_links_lead_somewhere(document):
    assert not broken_links(document, _text(document))


@anywhere
def test_paths_exist(document):
    assert not missing_paths(_text(document))


@anywhere
def test_commands_and_options_exist(document):
    assert not unknown_options(_text(document))
    assert not unknown_script_options(_text(document))


@anywhere
def test_public_names_exist(document):
    assert not unknown_names(_text(document))


def test_wrong_documents_are_noticed():
    wrong = """
    [a page](nowhere.md), [a heading](README.md#no-such-heading), `configs/none.toml`, `latticear/nowhere/`,
    `latticear fly`, `latticear train --wings`, `python docs/glass.py RUN --wings`, la.NoSuchModel,
    la.exact.no_such_method
    """
    assert broken_links("README.md", wrong) == ["nowhere.md", "README.md#no-such-heading"]
    assert missing_paths(wrong) == ["configs/none.toml", "latticear/nowhere/"]
    assert unknown_options(wrong) == ["latticear fly", "latticear train --wings"]
    assert unknown_script_options(wrong) == ["docs/glass.py --wings"]
    assert unknown_names(wrong) == ["la.NoSuchModel", "la.exact.no_such_method"]
