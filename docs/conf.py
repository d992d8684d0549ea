"""The site: Sphinx, with MyST for Markdown, MyST-NB for the notebooks and the theme furo. `make docs` builds it.

Sphinx, since it checks every link and name between pages, takes the pages as they are (Markdown that can be read
without it), and runs text notebooks. Nothing of it needs the network.
"""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "latticear"
author = "The latticear developers"
copyright = author
version = release = installed("latticear")

extensions = [
    "myst_nb",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "site_pages.api_pages",
    "site_pages.command_pages",
    "site_pages.key_pages",
    "site_pages.links",
]
exclude_patterns = ["_build", "site_pages", "**/.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r"(?!latticear).*")]  # names of other packages

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type"]

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_timeout = 900  # of a cell, on a busy machine; a tutorial takes less than two minutes of a quiet one
nb_execution_raise_on_error = True
nb_merge_streams = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
toc_object_entries = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "latticear"
html_static_path = ["site_pages/static"]
html_css_files = ["latticear.css"]
html_js_files = ["latticear.js"]
html_logo = "site_pages/static/logo.svg"
html_favicon = "site_pages/static/logo.svg"
html_copy_source = False
html_show_sphinx = False
