"""Sphinx configuration."""

project = "mobius_infra"
author = "the mobius_infra authors"
copyright = author  # noqa: A001 - Sphinx's own name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
html_theme = "furo"
html_title = "mobius_infra"
exclude_patterns = ["_build"]
nitpicky = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
myst_heading_anchors = 3
