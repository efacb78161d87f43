"""Every Python block of the documentation and the README runs as it is written."""

from pathlib import Path

import pytest
from sybil import Document, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path) -> None:
    sybil = Sybil(parsers=[PythonCodeBlockParser()])
    document: Document = sybil.parse(page)
    for example in document.examples():
        example.evaluate()
