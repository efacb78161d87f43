"""One fixture, many homes."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from mobius_infra.core import Backend, open_backend
from tests.conformance.summary import HOMES


def url_of(home: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a home that is empty, or as good as: every test has its own namespace."""
    if home == "memory":
        return "memory://"
    if home == "sqlite":
        return f"sqlite:///{tmp_path}/backend.db?timeout=60"
    base = request.getfixturevalue(f"{home}_url".replace("postgresql", "postgres"))
    return f"{base}?namespace={uuid4().hex}&timeout=60&connect_timeout=60"


@pytest.fixture(params=HOMES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of each home in turn."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    """Give an open backend in each home in turn."""
    async with open_backend(url) as backend:
        yield backend
