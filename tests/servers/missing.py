"""What happens to a test whose server cannot be had: a skip that is counted, a failure in CI."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import pytest

T = TypeVar("T")


class ServerUnavailableError(Exception):
    """A kind of server has no usable program on this machine."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"no {server} server: {reason}")
        self.server = server
        self.reason = reason


def must_have_servers(environ: Mapping[str, str]) -> bool:
    """Say whether a missing server is a failure: in CI, where a skip would hide it."""
    return environ.get("CI", "").lower() in {"true", "1"}


def obtain(factory: Callable[[], T], *, required: bool) -> T:
    """Return `factory()`, or end the test if the server that it needs cannot be had.

    Only a server that is not there is excused; one that is there and does not start is an
    error like any other.

    Args:
        factory: Makes the server; raises `ServerUnavailableError` if there is none.
        required: Fail the test instead of skipping it.
    """
    try:
        return factory()
    except ServerUnavailableError as missing:
        if required:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def summarise_skips(reasons: Iterable[str]) -> str | None:
    """Return the line that counts the tests skipped for lack of each server, None if none was.

    Args:
        reasons: The reason of every skipped test, whatever it was skipped for.
    """
    found = (re.search(r"no (\S+) server: ", reason) for reason in reasons)
    lacking = Counter(match[1] for match in found if match)
    if not lacking:
        return None
    parts = ", ".join(f"{count} {server}" for server, count in sorted(lacking.items()))
    return f"{lacking.total()} skipped for lack of a server: {parts}"
