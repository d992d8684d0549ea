"""Pages that stand elsewhere in the repository, links to them, and names in code as links to the reference.

A page links `../CONTRIBUTING.md`, which the site shows as `development/contributing.md`; code such as
`la.estimate(...)` leads to the entry of that name.
"""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from site_pages.writing import write_if_changed

ELSEWHERE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "development/contributing.md",
    "VISION.md": "development/vision.md",
    "CHANGELOG.md": "development/changelog.md",
    "benchmarks/README.md": "results/benchmarks.md",
}
"""Files of the repository and the pages that show them."""

LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)")
NAME = re.compile(r"la((?:\.[A-Za-z_]\w*)+)(?:\(.*\))?")


def copies(app: Sphinx) -> None:
    """Write the pages that stand elsewhere, with their links."""
    docs = Path(app.srcdir)
    for file, page in ELSEWHERE.items():
        text = (docs.parent / file).read_text(encoding="utf-8")
        write_if_changed(docs / page, moved(text, Path(file).parent, Path("docs", page).parent))


def moved(text: str, old: Path, new: Path) -> str:
    """A text whose relative links lead from another folder to the same files, or to the pages that show them."""

    def link(found: re.Match[str]) -> str:
        file = os.path.normpath(old / found[1])
        return f"]({os.path.relpath(Path('docs', ELSEWHERE[file]) if file in ELSEWHERE else file, new)}"

    return LINK.sub(link, text)


def inside(app: Sphinx, page: str, source: list[str]) -> None:
    """Links of a page to files that the site shows lead to their pages."""
    folder = Path("docs", page).parent
    source[0] = moved(source[0], folder, folder)


class NamesInCode(SphinxPostTransform):
    """Makes code that is a public name a link to its entry."""

    default_priority = 5

    def run(self, **_: Any) -> None:
        known = self.env.domaindata["py"]["objects"]
        for code in list(self.document.findall(nodes.literal)):
            found = NAME.fullmatch(code.astext())
            target = "latticear" + found[1] if found else ""
            if target not in known or isinstance(code.parent, nodes.reference | addnodes.pending_xref | nodes.title):
                continue
            entry = known[target]
            uri = self.app.builder.get_relative_uri(self.env.docname, entry.docname) + "#" + entry.node_id
            link = nodes.reference("", "", code.deepcopy(), internal=True, refuri=uri)
            code.replace_self(link)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", copies)
    app.connect("source-read", inside)
    app.add_post_transform(NamesInCode)
    return {"parallel_read_safe": True}
