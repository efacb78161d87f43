"""Sphinx configuration."""

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

import mobius_infra

project = "mobius_infra"
author = "the mobius_infra authors"
copyright = author  # noqa: A001 - Sphinx's own name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "mobius_infra"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "inherited-members": "BaseModel, Protocol, Generic, tuple, Exception",
    "show-inheritance": True,
    "exclude-members": "model_config",
}
napoleon_use_ivar = True
myst_heading_anchors = 3

# A broken reference to something of ours is an error. Names of others are not looked up: that
# would need their indexes from the network. Nor are type variables, which live in private modules.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!mobius_infra\.).*|mobius_infra\..*\._.*")]

# What is public is documented by its public name, not by the private module it is written in.
for _found in pkgutil.iter_modules(mobius_infra.__path__):
    if _found.ispkg:
        _package = importlib.import_module(f"mobius_infra.{_found.name}")
        for _name in _package.__all__:
            _value = getattr(_package, _name)
            _named = inspect.isclass(_value) or inspect.isfunction(_value)  # constants keep theirs
            if _named and _value.__module__.startswith(f"mobius_infra.{_found.name}"):
                _value.__module__ = _package.__name__


def _show_examples(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make code of what is indented in a docstring's text, which reST takes for a quotation."""
    shown: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        if line in ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:"):
            shown += lines[number:]
            break
        indented = line.startswith("    ")
        if indented and not inside and shown[-1:] == [""]:
            if not shown[-2].endswith("::"):
                shown += [".. code-block:: python", ""]
            inside = True
        elif line and not indented:
            inside = False
        shown.append(line)
    lines[:] = shown


def setup(app: Sphinx) -> None:
    """Come before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", _show_examples, priority=400)
