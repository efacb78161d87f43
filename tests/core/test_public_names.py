"""What is exported is what is promised: one list for the whole package."""

import importlib
import pkgutil
from pathlib import Path

import pytest

import mobius_infra

PACKAGES = [found.name for found in pkgutil.iter_modules(mobius_infra.__path__) if found.ispkg]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_lists_exactly_the_public_names(package: str) -> None:
    module = importlib.import_module(f"mobius_infra.{package}")
    exported = module.__all__
    assert len(exported) == len(set(exported))
    assert all(hasattr(module, name) for name in exported)
    ours = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("mobius_infra.")
    }
    assert ours <= set(exported)


def test_the_list_of_public_names_is_what_is_exported() -> None:
    exported = [
        f"{package}.{name}"
        for package in sorted(PACKAGES)
        for name in sorted(importlib.import_module(f"mobius_infra.{package}").__all__)
    ]
    # A name that comes or goes is a decision: it is made in this file too, and told in CHANGELOG.
    assert Path(__file__).with_name("public_names.txt").read_text().splitlines() == exported


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_only_re_exports(package: str) -> None:
    module = importlib.import_module(f"mobius_infra.{package}")
    defined_here = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]
    assert defined_here == []
