"""Reads entries of a trail, by time, actor and action. What it reads is not verified."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from mobius_infra.security._audit_chain import VERSION, head_of
from mobius_infra.security._audit_entry import Entry, entry_of
from mobius_infra.security._audit_errors import FileDroppedError, TrailVersionError
from mobius_infra.security._audit_segment import Segment, lines_of, settled
from mobius_infra.security._merkle import Frontier, Tree, leaf_hash

Moment = float | datetime


def read_trail(
    path: str | Path,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    actor: str | None = None,
    action: str | None = None,
    after: int = -1,
) -> Iterator[Entry]:
    """Read the records of a trail, the oldest first. It blocks.

    A line that is no entry is left out: `verify_trail` tells of it.

    Args:
        path: its directory.
        since: only from then on: seconds since the epoch, or a `datetime`.
        until: only before then.
        actor: only what was done by this one.
        action: only such actions; `*` stands for anything, as in `wallet.*`.
        after: only entries behind this place; files before it are not read.

    Raises:
        TrailError: if there is no trail, or a file can't be read.
        TrailVersionError: if it is by a newer release.
    """
    begin, end = _seconds(since), _seconds(until)
    there = settled(Path(path))
    passed = sum(each.first <= after + 1 for each in there[1:])
    for segment in there[passed:]:
        for number, line in enumerate(_left_of(segment)):
            if not number and (head := head_of(line)) is not None and head.version > VERSION:
                raise TrailVersionError(str(segment.path), head.version, VERSION)
            try:
                entry = entry_of(line.removesuffix(b"\n"))
            except (ValueError, TypeError):
                continue
            if (
                entry.type == "record"
                and entry.n > after
                and (begin is None or entry.at >= begin)
                and (end is None or entry.at < end)
                and (actor is None or entry.actor == actor)
                and (action is None or fnmatchcase(entry.action, action))
            ):
                yield entry


def load_tree(path: str | Path) -> Tree:
    """Return the Merkle tree of a trail, for proofs; 32 bytes an entry. It blocks.

    Raises:
        TrailError: if there is no trail, or a file can't be read.
    """
    while True:
        with suppress(FileDroppedError):  # then those that are left
            return _tree_of(settled(Path(path)))


def _tree_of(files: Sequence[Segment]) -> Tree:
    before, leaves = Frontier(), list[bytes]()
    for number, segment in enumerate(files):
        for line in lines_of(segment):
            if not number and not leaves and (head := head_of(line)) is not None:
                before = head.chain.tree
            leaves.append(leaf_hash(line.removesuffix(b"\n")))
    return Tree(leaves, before)


def _left_of(segment: Segment) -> Iterator[bytes]:
    """Read the lines of a file, unless it was dropped since the files were listed."""
    with suppress(FileDroppedError):
        yield from lines_of(segment)


def _seconds(moment: Moment | None) -> float | None:
    return moment.timestamp() if isinstance(moment, datetime) else moment
