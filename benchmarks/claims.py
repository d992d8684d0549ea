"""The numbers that the documentation claims: measured by one command each, kept, and written to a page.

What is claimed is in benchmarks/claims.toml: a sentence, the command whose last line of JSON holds the number, where in
it, how it is written, and which pages quote it. A command is run once for all claims that rest on it; its result is
appended to the store as soon as it is there, with the commit, date, processor and versions, so that an interrupted run
goes on. `make results` runs all that the store does not have, hours in all, and writes docs/results/claims.md.

A command that fails is told, and the others are run all the same. The last line is JSON.

    python benchmarks/claims.py [--list] [--only WORD ...] [--again] [--page]
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "benchmarks" / "claims.toml"
STORE = ROOT / "benchmarks" / "results" / "claims.jsonl"
PAGE = ROOT / "docs" / "results" / "claims.md"
PACKAGES = ("latticear", "torch", "numpy", "scipy")

HEAD = """# What is claimed, and where it comes from

Each number is written here by `make results` from benchmarks/results/claims.jsonl, which keeps what each command
printed; README and other pages quote it, and a test compares them. `python benchmarks/claims.py --only WORD --again`
measures some of them anew. The machines had two cores and other work beside, so that times are upper bounds.

"""


@dataclass(frozen=True)
class Claim:
    """A number that is claimed.

    Attributes:
        of: what is measured together with it, a heading of the page.
        says: what it is.
        command: what prints it, in the last line, as JSON.
        value: where it is there: keys, one below the other, `key=value` for the entry of a list that has this value; in
            the last one `*` stands for anything.
        take: which of several numbers: "min" or "max".
        form: how it is written, a format of one number.
        factor: what it is multiplied by, for other units.
        quotes: by page the words that quote it, with `{}` for the number.
    """

    of: str
    says: str
    command: str
    value: list[str]
    take: str
    form: str
    factor: float
    quotes: dict[str, str]

    def written(self, result: Any) -> str:
        """The number as it is quoted.

        Raises:
            LookupError: if the result does not hold it.
        """
        *parts, last = self.value
        tree = reduce(part_of, parts, result)
        found = [part_of(tree, key) for key in fnmatch.filter(tree, last)] if self.take else [part_of(tree, last)]
        if not found:
            raise LookupError(f"the result has no {self.value!r}")
        chosen = max(found) if self.take == "max" else min(found)
        return plain(self.form.format(self.factor * chosen))


def part_of(tree: Any, part: str) -> Any:
    """An entry of a dictionary by its key, of a list by the value that one of its keys has.

    Raises:
        LookupError: if there is none.
    """
    if isinstance(tree, dict):
        return tree[part]
    key, _, value = part.partition("=")
    return [entry for entry in tree if str(entry.get(key)) == value][0]  # noqa: RUF015 - an IndexError if there is none


def pattern(quote: str, number: str) -> re.Pattern[str]:
    """What finds a quote, with the number, in a text of which each white space is one blank."""
    words = re.escape(quote.replace("{}", number)).replace(r"\.\.\.", ".{0,80}?")
    return re.compile(words)


def plain(number: str) -> str:
    """1.4e-06 as 1.4e-6."""
    return re.sub(r"e([+-])0+(\d)", lambda found: f"e{found[1].replace('+', '')}{found[2]}", number)


def claims() -> list[Claim]:
    found = []
    for group in tomllib.loads(CLAIMS.read_text(encoding="utf-8"))["measured"]:
        for each in group["claims"]:
            quotes, form, factor = each.get("quotes", {}), each.get("form", "{:.3g}"), each.get("factor", 1.0)
            take = each.get("take", "")
            found.append(Claim(group["of"], each["says"], group["command"], each["value"], take, form, factor, quotes))
    return found


def stored() -> dict[str, dict[str, Any]]:
    """The last result of each command."""
    lines = STORE.read_text(encoding="utf-8").splitlines() if STORE.exists() else []
    return {entry["command"]: entry for entry in map(json.loads, lines)}


def measured(command: str) -> dict[str, Any]:
    """Run a command, and say with what.

    Raises:
        RuntimeError: if it fails, or its last line is not JSON.
    """
    t_start = time.perf_counter()
    arguments = shlex.split(command)
    program = [sys.executable, *arguments[1:]] if arguments[0] == "python" else arguments
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=here)
    lines = run.stdout.splitlines()
    if run.returncode or not lines:
        raise RuntimeError(f"{command}: exit status {run.returncode}")
    try:
        result = json.loads(lines[-1])
    except json.JSONDecodeError as error:
        raise RuntimeError(f"{command}: the last line is not JSON: {lines[-1][:80]}") from error
    where = {"commit": commit(), "date": f"{date.today()}", "processor": processor(), "cores": os.cpu_count()}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    seconds = round(time.perf_counter() - t_start, 1)
    return {"command": command, **where, "versions": versions, "seconds": seconds, "result": result}


def commit() -> str:
    """The commit, with a plus if files of the package or the benchmarks differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        here = [*git, "status", "--porcelain", "--", "latticear", "benchmarks/*.py"]
        changed = subprocess.run(here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def page(found: dict[str, dict[str, Any]]) -> str:
    """The page: a section for each command, with its numbers and how they were made."""
    blocks = [HEAD.rstrip()]
    groups: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims():
        groups.setdefault((claim.of, claim.command), []).append(claim)
    for (of, command), group in groups.items():
        head, entry = f"## {of}\n`{command}`\n\n", found.get(command)
        if entry is None:
            blocks.append(f"{head}Not measured yet.")
            continue
        rows = [f"| {claim.says} | {claim.written(entry['result'])} | {quoted(claim)} |" for claim in group]
        blocks.append("\n".join([head + made(entry), "", "| what | value | quoted in |", "|---|---|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


def quoted(claim: Claim) -> str:
    links = [f"[{Path(name).stem}]({os.path.relpath(ROOT / name, PAGE.parent)})" for name in claim.quotes]
    return ", ".join(links)


def made(entry: dict[str, Any]) -> str:
    """How a result was made; results from before this store name the file that has them."""
    if "file" in entry:
        return f"{entry['date']}, commit {entry['commit']}, from {entry['file']}; processor and versions were not kept."
    versions = ", ".join(f"{name} {number}" for name, number in entry["versions"].items())
    machine = f"{entry['processor']}, {entry['cores']} cores"
    return f"{entry['date']}, commit {entry['commit']}, {entry['seconds']:.0f} s, {machine}; {versions}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the commands, and which are measured")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="commands that contain one of these")
    parser.add_argument("--again", action="store_true", help="measure anew what is stored")
    parser.add_argument("--page", action="store_true", help="write the page from the store, and measure nothing")
    options = parser.parse_args()
    found, failed = stored(), []
    commands = list(dict.fromkeys(claim.command for claim in claims()))
    asked = [command for command in commands if any(word in command for word in options.only)]
    if options.list:
        print("\n".join(f"{'stored ' if command in found else '       '} {command}" for command in asked))
        return 0
    for command in asked if not options.page else []:
        if command in found and not options.again:
            continue
        print(command, flush=True)
        try:
            entry = measured(command)
            for claim in claims():
                if claim.command == command:
                    print(f"    {claim.says}: {claim.written(entry['result'])}", flush=True)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            failed.append(command)
            print(f"    failed: {error}", flush=True)
            continue
        with STORE.open("a", encoding="utf-8") as store:
            store.write(json.dumps(entry) + "\n")
        found[command] = entry
    PAGE.write_text(page(found), encoding="utf-8")
    print(json.dumps({"measured": len(found), "of": len(commands), "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
