"""Records in other programs' formats, and the command."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mobius_infra.__main__ import main
from mobius_infra.core import ConfigurationError
from mobius_infra.security import Entry, Key, TrailError, export_entries, read_trail
from mobius_infra.security._audit_export import cell, visible
from mobius_infra.security._audit_segment import name_of

from .audit_support import KEY, body, opened, small_trail

TEXT = "s7Vt3yq1uUOZ0kH4mXb2nWcE8pJr6LdFgA9iQxTzYoM="
SAFE_FIRST = "'"


def entry(**fields: str) -> Entry:
    return Entry(n=3, at=1.5, type="record", **{"action": "a", **fields})  # type: ignore[arg-type]


def trail(path: Path) -> None:
    with opened(path) as store:
        for at, actor, action in [
            (10.0, "ada", "wallet.paid"),
            (20.0, "bob", "wallet.seen"),
            (30.0, "ada", "role.granted"),
        ]:
            store.append([body(action, at=at, actor=actor)], at)


def actions(path: Path, **chosen: object) -> list[str]:
    return [each.action for each in read_trail(path, **chosen)]  # type: ignore[arg-type]


def test_records_are_chosen_by_time_actor_and_action(tmp_path: Path) -> None:
    trail(tmp_path)
    assert actions(tmp_path) == ["wallet.paid", "wallet.seen", "role.granted"]
    assert actions(tmp_path, actor="ada") == ["wallet.paid", "role.granted"]
    assert actions(tmp_path, action="wallet.*") == ["wallet.paid", "wallet.seen"]
    assert actions(tmp_path, since=20.0, until=30.0) == ["wallet.seen"]
    assert actions(tmp_path, since=datetime.fromtimestamp(21, UTC)) == ["role.granted"]
    assert actions(tmp_path, after=2) == ["role.granted"]
    assert actions(tmp_path, actor="eve") == []


def test_what_is_no_entry_is_left_out(tmp_path: Path) -> None:
    trail(tmp_path)
    with (tmp_path / name_of(0)).open("ab") as file:
        for line in (b"{", b"[]", b"\xff", b'{"n":4}', b'{"n":4,"at":"x"}', b'{"n":4,"at":1}'):
            file.write(line + b"\n")
        file.write(b'{"n":4,"at":1,"type":"record","actor":7}\n' + b"[" * 99_999)
    assert len(actions(tmp_path)) == 3
    with pytest.raises(TrailError):
        actions(tmp_path / "none")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\0", "\r", "\n", "＝", "＋", "＠"])  # noqa: RUF001
def test_a_cell_that_begins_as_a_formula_is_no_formula(first: str) -> None:
    for text in (f"{first}cmd|' /C calc'!A0", first, f"  {first}1"):
        assert cell(text).startswith((SAFE_FIRST, " "))
        assert not cell(text).lstrip().startswith(first)
    assert cell(f"a{first}").startswith("a")
    assert cell("") == ""


def test_csv_is_read_back_and_has_no_formula_in_any_column() -> None:
    evil = '=HYPERLINK("http://evil";"x"),\n'
    rows = export_entries(
        [entry(action=evil, actor=evil, object=evil, outcome=evil, subject=evil)], "csv"
    )
    head, row = csv.reader(io.StringIO("".join(rows), newline=""))
    assert head == [
        "n", "time", "action", "actor", "object", "outcome", "subject", "details", "private",
    ]  # fmt: skip
    assert row[:2] == ["3", "1970-01-01T00:00:01.500000+00:00"]
    assert row[2:7] == ["'" + evil.replace("\n", "\\u000a")] * 5


def test_cef_is_escaped_so_that_nobody_adds_a_field_or_a_line() -> None:
    [line] = export_entries(
        [entry(action="a|b\\c\nCEF:0", actor="x=1 outcome=ok\r\nCEF:0|", outcome="failed")], "cef"
    )
    assert line == (
        "CEF:0|mobius_infra|audit|1|a\\|b\\\\c\\u000aCEF:0|a\\|b\\\\c\\u000aCEF:0|6|"
        "rt=1500 externalId=3 suser=x\\=1 outcome\\=ok\\nCEF:0| outcome=failed\n"
    )


def test_cef_says_who_what_and_how_grave_and_ends_no_line_within() -> None:
    for outcome, severity in [("failed", 6), ("denied", 6), ("ok", 3)]:
        [line] = export_entries(
            [entry(outcome=outcome, object="wallet:9", subject="user:7", actor="a\rb")], "cef"
        )
        assert line == (
            f"CEF:0|mobius_infra|audit|1|a|a|{severity}|rt=1500 externalId=3 suser=a\\rb "
            f"outcome={outcome} cs1Label=object cs1=wallet:9 cs2Label=subject cs2=user:7\n"
        )


@pytest.mark.parametrize(
    "unseen",
    ["\x00", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f"],
)
@pytest.mark.parametrize("form", ["csv", "cef"])
def test_what_can_not_be_seen_is_escaped(unseen: str, form: str) -> None:
    assert visible(f"a{unseen}b") == f"a\\u{ord(unseen):04x}b"
    text = "".join(export_entries([entry(actor=f"a{unseen}b", action=f"a{unseen}b")], form))  # type: ignore[arg-type]
    assert unseen not in text


def test_another_format_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="form"):
        export_entries([], "xml")  # type: ignore[arg-type]


# The command.


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", TEXT)


def test_verify_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = small_trail(tmp_path / "a")
    assert main(["audit", "verify", str(tmp_path / "a")]) == 0
    assert "completeness not attested" in capsys.readouterr().out
    heads = tmp_path / "heads"
    heads.write_text(f"{head.to_json()}\n")
    assert main(["audit", "verify", str(tmp_path / "a"), "--head", str(heads)]) == 0
    assert "complete up to entry 3" in capsys.readouterr().out
    file = tmp_path / "a" / name_of(0)
    file.write_bytes(file.read_bytes().replace(b'{"x":1}', b'{"x":7}'))
    assert main(["audit", "verify", str(tmp_path / "a")]) == 1
    assert "entry 2: changed" in capsys.readouterr().out


def test_what_can_not_be_verified_is_said_without_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_trail(tmp_path)
    empty = tmp_path / "empty"
    empty.touch()
    assert main(["audit", "verify", str(tmp_path / "none")]) == 2
    assert main(["audit", "verify", str(tmp_path), "--head", str(empty)]) == 2
    assert main(["audit", "verify", str(tmp_path), "--head", str(tmp_path / "none")]) == 2
    assert main(["audit", "verify", str(tmp_path), "--key", "UNSET_KEY"]) == 2
    monkeypatch.setenv("OTHER_KEY", f"{TEXT[:-6]},x")
    assert main(["audit", "verify", str(tmp_path), "--key", "OTHER_KEY"]) == 2
    monkeypatch.setenv("OTHER_KEY", Key.generate())
    assert main(["audit", "verify", str(tmp_path), "--key", "OTHER_KEY"]) == 1
    shown = capsys.readouterr()
    assert "UNSET_KEY" in shown.err
    assert KEY.id.hex() in shown.out
    assert TEXT[:8] not in shown.err + shown.out


def test_export_and_tail_show_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trail(tmp_path)
    path = str(tmp_path)
    assert main(["audit", "export", path, "--since", "1970-01-01T00:00:15", "--actor", "ada"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "role.granted" in line]
    assert main(["audit", "export", path, "--format", "csv", "--action", "wallet.*"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["audit", "tail", path, "-n", "1"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert "role.granted" in line
    assert main(["audit", "tail", str(tmp_path / "none")]) == 2


def test_tail_follows_what_comes_until_it_is_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trail(tmp_path)
    turns = iter(["new.one", "", "new.two"])

    def meanwhile(_seconds: float) -> None:
        action = next(turns, None)
        if action is None:
            raise KeyboardInterrupt
        if action:
            with opened(tmp_path) as store:
                store.append([body(action)], 40.0)

    monkeypatch.setattr("mobius_infra.security._audit_terminal.time.sleep", meanwhile)
    assert main(["audit", "tail", str(tmp_path), "-n", "2", "--follow"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [json.loads(each)["action"] for each in shown] == [
        "wallet.seen", "role.granted", "new.one", "new.two",
    ]  # fmt: skip


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append([body(filler="x" * 1_000)] * 500, 1.0)
    command = [sys.executable, "-m", "mobius_infra", "audit", "export", str(tmp_path)]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as writing:
        assert writing.stdout is not None
        assert writing.stderr is not None
        writing.stdout.readline()
        writing.stdout.close()
        assert writing.stderr.read() == b""
        assert writing.wait() == 0
