"""`python -m mobius_infra audit verify|export|tail`."""

import argparse
import os
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from mobius_infra.core import ConfigurationError, MobiusError
from mobius_infra.security._audit_checkpoint import Checkpoint
from mobius_infra.security._audit_entry import Entry
from mobius_infra.security._audit_export import export_entries, visible
from mobius_infra.security._audit_read import read_trail
from mobius_infra.security._audit_verify import Report, verify_trail
from mobius_infra.security._keys import keys_from_environment

_UNREADABLE = 2


def main(arguments: list[str]) -> int:
    """Do what is asked for with a trail.

    Returns:
        0: done, and nothing is wrong; 1: the trail was changed; 2: it could not be read.
    """
    given = _parser().parse_args(arguments)
    try:
        if given.command == "verify":
            return _verify(given)
        if given.command == "export":
            return _export(given)
        return _tail(given)
    except BrokenPipeError:
        # Whoever read went away, such as `head`. Nothing more is flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 0
    except (MobiusError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _UNREADABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mobius_infra audit", description="Look into an audit trail.")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="find what was changed, left out or cut off")
    export = commands.add_parser("export", help="write records as JSON lines, CSV or CEF")
    tail = commands.add_parser("tail", help="show the last records")
    for each in (verify, export, tail):
        each.add_argument("path", help="the trail's directory")
    verify.add_argument("--key", default="ENCRYPTION_KEY", help="the environment variable with it")
    verify.add_argument("--head", help="a file whose last line is the checkpoint to expect")
    verify.add_argument("--public-key", action="append", default=[], help="that checkpoints are of")
    for each in (export, tail):
        each.add_argument("--actor", help="only what was done by this one")
        each.add_argument("--action", help="only such actions; * stands for anything")
    export.add_argument("--format", choices=["jsonl", "csv", "cef"], default="jsonl")
    export.add_argument("--since", type=_moment, help="only from then on, such as 2026-11-01")
    export.add_argument("--until", type=_moment, help="only before then")
    tail.add_argument("-n", type=int, default=10, help="how many")
    tail.add_argument("--follow", action="store_true", help="show new ones as they come")
    return parser


def _moment(text: str) -> datetime:
    """Read a time; UTC, if it does not say another."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _verify(given: argparse.Namespace) -> int:
    keys = keys_from_environment(given.key)
    head = _head(given.head) if given.head is not None else None
    report = verify_trail(given.path, keys, head=head, public_keys=given.public_key)
    for line in _lines(report):
        print(visible(line))  # noqa: T201
    return 0 if report.ok else 1


def _head(path: str) -> Checkpoint:
    lines = Path(path).read_text().split()
    if not lines:
        raise ConfigurationError("head", path, "a file with a checkpoint")
    return Checkpoint.parse(lines[-1])


def _lines(report: Report) -> list[str]:
    lines = [
        f"{each.file}: entry {each.entry}: {each.kind}: {each.reason}" for each in report.problems
    ]
    if report.found > len(lines):
        lines.append(f"and {report.found - len(lines)} more")
    kept = f"entries {report.first} to {report.size - 1}, {report.records} records"
    lines.append(f"trail {report.trail}: {kept}, {report.checkpoints} checkpoints")
    if report.repaired:
        lines.append(f"{report.repaired} torn ends were repaired")
    lines.append(report.completeness if report.ok else f"{report.found} problems")
    return lines


def _export(given: argparse.Namespace) -> int:
    entries = read_trail(
        given.path, since=given.since, until=given.until, actor=given.actor, action=given.action
    )
    for line in export_entries(entries, given.format):
        sys.stdout.write(line)
    sys.stdout.flush()
    return 0


def _tail(given: argparse.Namespace) -> int:
    last: deque[Entry] = deque(maxlen=max(given.n, 0))
    place = -1
    for entry in read_trail(given.path, actor=given.actor, action=given.action):
        last.append(entry)
        place = entry.n
    _show(last)
    while given.follow:
        time.sleep(0.5)  # a program of its own: nothing else runs here
        new = list(read_trail(given.path, actor=given.actor, action=given.action, after=place))
        _show(new)
        place = new[-1].n if new else place
    return 0


def _show(entries: "deque[Entry] | list[Entry]") -> None:
    for line in export_entries(entries, "jsonl"):
        sys.stdout.write(line)
    sys.stdout.flush()
