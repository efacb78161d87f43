"""Trails for the tests: small ones, made without an event loop."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mobius_infra.security import Checkpoint, Entry, Key, Report, TrailError, verify_trail
from mobius_infra.security._audit_chain import Codes
from mobius_infra.security._audit_checkpoint import Signer
from mobius_infra.security._audit_entry import encode, entry_of
from mobius_infra.security._audit_segment import Segment, lines_of, segments, settled
from mobius_infra.security._audit_store import Rules, Store
from mobius_infra.security._audit_verify import check_files

# Fixed: they are in the names of tests, which every worker must give alike.
KEY = Key.parse("s7Vt3yq1uUOZ0kH4mXb2nWcE8pJr6LdFgA9iQxTzYoM=")
OTHER = Key.parse("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
RULES = Rules(durable=False, max_bytes=1 << 20, max_age=1e9, keep=None, compress=True)


@contextlib.contextmanager
def opened(
    path: Path, *keys: Key, rules: Rules = RULES, now: float = 0.0, sign_with: Key | None = None
) -> Iterator[Store]:
    keys = keys or (KEY,)
    store = Store(path, Codes(keys), Signer(sign_with or keys[0]), rules)
    try:
        store.open(now)
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def guarded(seconds: int = 30) -> Iterator[None]:
    """Fail what would spin or block for ever. Not a bound on how long it takes."""

    def over(*_args: object) -> None:
        raise AssertionError(f"it has not ended after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def body(action: str = "a", at: float = 1.0, **fields: Any) -> bytes:
    return encode({"at": at, "type": "record", "action": action, **fields})


def small_trail(path: Path, records: int = 3) -> Checkpoint:
    """Make a trail, and return its head."""
    with opened(path) as store:
        for number in range(records):
            store.append([body("a", details={"x": number})], 1.0)
        head = store.append([], 1.0, checkpoint=True).checkpoint
    assert head is not None
    return head


def finds(path: Path, *keys: Key, head: Checkpoint | None = None) -> Report | None:
    """Verify; None if it could not even be read."""
    try:
        return verify_trail(path, keys or (KEY,), head=head)
    except TrailError:
        return None


CODES, TRUSTED = Codes([KEY]), {Signer(KEY).public_key}
"""Made once: they would be most of the time of many verifications."""


def detected(path: Path, head: Checkpoint | None = None) -> bool:
    try:
        return wrong(settled(path), head)
    except TrailError:
        return True


def wrong(files: Sequence[Segment], head: Checkpoint | None = None) -> bool:
    """Say whether something is, without listing the files anew."""
    try:
        return not check_files(files, CODES, TRUSTED, head).ok
    except TrailError:
        return True


def entries(path: Path) -> list[Entry]:
    return [
        entry_of(line.removesuffix(b"\n")) for each in segments(path) for line in lines_of(each)
    ]


def lines(path: Path) -> list[bytes]:
    return [line for each in segments(path) for line in lines_of(each)]
