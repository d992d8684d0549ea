"""Every tutorial runs, at the small sizes that its front matter names; the site runs them at full size."""

import pytest
from support.examples import DOCS, Notebook

PAGES = sorted(f"tutorials/{path.name}" for path in (DOCS / "tutorials").glob("*.md") if path.name != "index.md")

WIDTH = 88
"""Characters of a line that the site shows without a bar to move it."""

PAGE = """---
latticear: {"quick": {"n": 2}}
---
Text, and an example that is no cell:
```python
1 / 0
```

```{code-cell} ipython3
:tags: [parameters]
n = 1000
```

```{code-cell} ipython3
print("n is", n)
numbers = list(range(n))
numbers
```
"""


@pytest.mark.parametrize("page", PAGES)
def test_tutorials_run(page):
    notebook = Notebook.read(page)
    assert notebook.parameters <= 2
    assert max(len(line) for code in notebook.cells for line in code.splitlines()) <= WIDTH
    assert notebook.run().printed


def test_the_cells_of_a_page_run_in_order_at_quick_sizes():
    names, printed, _ = Notebook.read("page.md", PAGE).run()
    assert names["numbers"] == [0, 1]
    assert printed == "n is 2\n[0, 1]\n"


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("numbers[n]", IndexError),
        ("undefined + 1", NameError),
        ("import warnings; warnings.warn('of a figure', stacklevel=1)", UserWarning),
    ],
)
def test_a_broken_cell_is_noticed(broken, error):
    page = f"{PAGE}\n```{{code-cell}} ipython3\n{broken}\n```\n"
    with pytest.raises(error):
        Notebook.read("page.md", page).run()


def test_what_is_only_shown_must_work():
    page = f"{PAGE}\n```{{code-cell}} ipython3\nfrom matplotlib import pyplot\n\npyplot.plot(numbers).missing\n```\n"
    with pytest.raises(AttributeError):
        Notebook.read("page.md", page).run()


def test_sizes_that_the_page_does_not_have_are_noticed():
    with pytest.raises(AssertionError, match="m"):
        Notebook.read("page.md", PAGE.replace('"n": 2', '"n": 2, "m": 3')).run()
