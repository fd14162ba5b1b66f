"""Sphinx's configuration."""

from importlib.metadata import version as version_of

project = "evglif"
author = "the evglif team"
copyright = "the evglif team, Apache-2.0"
release = version = version_of("evglif")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "scripts.docs.running"]
exclude_patterns = ["_work"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_custom_sections = [("Source", "returns_style")]

html_theme = "furo"
html_title = "evglif"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
