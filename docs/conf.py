"""Configuration of the documentation."""

import os
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "vmpz"
author = "the vmpz developers"
copyright = "2026, the vmpz developers"
release = metadata.version("vmpz")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "site_parts",
]
exclude_patterns = ["_build", "_ext", "images", "tutorials/data", "jupyter_execute", ".jupyter_cache"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = os.environ.get("VMPZ_DOCS_NOTEBOOKS", "cache")
suppress_warnings = ["misc.highlighting_failure"]  # cells of other languages (%%writefile) are shown plainly
if nb_execution_mode == "off":
    suppress_warnings += ["myst-nb.lexer"]
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_ipywidgets_js = {}  # nothing from another place

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
nitpicky = True
nitpick_ignore_regex = [("py:(class|exc)", ".*")]  # types in docstrings are words, not names

ALONE = [
    "index",
    "how-it-works",
    "coming-from",
    "performance",
    "reliability",
    "extend",
    "contributing",
    "changelog",
]
"""Pages that have none below them."""
html_theme = "pydata_sphinx_theme"
html_title = "vmpz"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_sidebars = {page: [] for page in ALONE}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
