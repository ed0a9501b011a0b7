"""Configuration of the documentation."""

from importlib import metadata

project = "vmpz"
author = "the vmpz developers"
copyright = "2026, the vmpz developers"
release = metadata.version("vmpz")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["colon_fence", "deflist"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = "vmpz"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
nitpicky = False
