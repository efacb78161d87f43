"""The audit log: what is acknowledged is there, what is secret is not."""

import asyncio
import json
import logging
import pickle
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event, Events, open_backend, samples
from mobius_infra.security import (
    AuditError,
    AuditFailed,
    AuditLog,
    AuditRecovered,
    AuditWriteError,
    BackendWitness,
    Checkpoint,
    Cipher,
    DecryptionError,
    FileWitness,
    NotesDropped,
    RecordError,
    Redactor,
    SegmentBegun,
    SegmentsDropped,
    SubjectErasedError,
    SubjectKeys,
    TrailDamaged,
    TrailRepaired,
    UpkeepFailed,
    WitnessFailed,
    verify_trail,
)
from mobius_infra.security._audit_entry import Preparer
from mobius_infra.security._audit_segment import name_of, segments
from mobius_infra.testing import ManualClock

from .audit_support import KEY, OTHER, entries, lines, small_trail


class Kept:
    """A witness that keeps, unless it is told to fail."""

    def __init__(self) -> None:
        self.heads: list[Checkpoint] = []
        self.failing = False
        self.seen = asyncio.Event()

    async def keep(self, checkpoint: Checkpoint) -> None:
        self.seen.set()
        if self.failing:
            raise OSError("no witness")
        self.heads.append(checkpoint)


def heard(audit: AuditLog) -> list[Event]:
    events: list[Event] = []
    audit.events.subscribe(events.append)
    return events


async def test_what_is_recorded_is_in_the_file_when_it_is_acknowledged(tmp_path: Path) -> None:
    clock = ManualClock(epoch=1_000.5)
    async with AuditLog(tmp_path, [KEY], clock=clock) as audit:
        place = await audit.record(
            "wallet.withdrawn", actor=7, object="wallet:9", outcome="ok", details={"amount": "12.5"}
        )
        assert place == 1
        [entry] = audit.read()
        assert json.loads(lines(tmp_path)[1])["mac"]
    assert (entry.n, entry.at, entry.type, entry.action) == (
        1,
        1_000.5,
        "record",
        "wallet.withdrawn",
    )
    assert (entry.actor, entry.object, entry.outcome) == ("7", "wallet:9", "ok")
    assert entry.details == {"amount": "12.5"}
    assert verify_trail(tmp_path, [KEY]).ok


@pytest.mark.parametrize("mode", ["durable", "buffered"])
async def test_many_that_wait_are_written_together(tmp_path: Path, mode: Any) -> None:
    async with AuditLog(tmp_path, [KEY], mode=mode) as audit:
        places = await asyncio.gather(*(audit.record(f"a{n}") for n in range(500)))
        stats = audit.stats()
        assert places == list(range(1, 501))
        assert (stats.recorded, stats.failed, stats.waiting) == (500, 0, 0)
        assert stats.groups < 10
        assert [each.action for each in audit.read()] == [f"a{n}" for n in range(500)]


async def test_several_logs_write_one_trail(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as one, AuditLog(tmp_path, [KEY]) as other:
        places = await asyncio.gather(
            *((one if n % 2 else other).record(str(n)) for n in range(100))
        )
        assert len(set(places)) == 100
    report = verify_trail(tmp_path, [KEY])
    assert report.ok
    assert report.records == 100
    assert {each.n: each.action for each in entries(tmp_path) if each.type == "record"} == {
        place: str(n) for n, place in enumerate(places)
    }


async def test_one_who_is_cancelled_does_not_take_others_along(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:
        tasks = [asyncio.ensure_future(audit.record(str(n))) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done[::2])
        assert all(isinstance(each, int) for each in done[1::2])
        await audit.flush()
        assert await audit.record("after") == 21
    assert verify_trail(tmp_path, [KEY]).ok


async def test_a_full_disk_fails_its_callers_and_no_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:
        events = heard(audit)
        await audit.record("before")
        real, store = audit._store.append, audit._store

        def full(*args: Any, **options: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(store), "append", full)
        failed = await asyncio.gather(
            *(audit.record("during") for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(each, AuditWriteError) for each in failed)
        assert str(failed[0]) == "audit 'audit' could not write: No space left on device"
        assert failed[0] is not failed[1]  # one object would gather all their tracebacks
        assert isinstance(failed[0], OSError)
        assert pickle.loads(pickle.dumps(failed[0])).reason == "No space left on device"
        monkeypatch.undo()
        assert real is not None
        assert await audit.record("after") == 2
        assert (audit.stats().recorded, audit.stats().failed) == (2, 5)
    assert [type(each) for each in events] == [AuditFailed, AuditRecovered]
    assert isinstance(events[0], AuditFailed)
    assert events[0].records == 5


async def test_notes_are_not_waited_for_and_bounded(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY], max_waiting=3) as audit:
        events = heard(audit)
        assert [audit.note(str(n)) for n in range(5)] == [True, True, True, False, False]
        await audit.flush()
        assert audit.note("again")
        assert audit.stats().dropped == 2
        assert [type(each) for each in events] == [NotesDropped]
    assert [each.action for each in audit.read()] == ["0", "1", "2", "again"]


async def test_another_thread_may_note(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:
        threads = [
            threading.Thread(target=lambda: [audit.note("t") for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        await audit.flush()
        assert audit.stats().recorded == 200


# What is not to be in it.


@pytest.mark.parametrize(
    "name", ["password", "Password", "user_password", "API-Key", "apiKey", "x.auth_token", "cvv"]
)
async def test_a_field_that_is_called_like_a_secret_is_hidden(tmp_path: Path, name: str) -> None:
    deep = {"a": [{name: {"value": "hunter2"}}, (1, {name: "hunter2"})]}
    async with AuditLog(tmp_path, [KEY]) as audit:
        await audit.record("login", details={name: "hunter2", **deep})
    assert b"hunter2" not in b"".join(lines(tmp_path))
    assert b"[hidden]" in lines(tmp_path)[1]


async def test_texts_are_redacted_wherever_they_are(tmp_path: Path) -> None:
    mail = "ada@example.com"
    async with AuditLog(tmp_path, [KEY], redactor=Redactor()) as audit:
        await audit.record(
            "mail", actor=mail, object=mail, outcome=mail, details={"a": [mail, {"b": mail}]}
        )
    assert b"ada@" not in b"".join(lines(tmp_path))
    assert lines(tmp_path)[1].count(b"[email]") == 5


async def test_what_is_private_is_encrypted_until_its_subject_is_erased(tmp_path: Path) -> None:
    async with open_backend("memory://") as backend:
        subjects = SubjectKeys(backend, Cipher([KEY]))
        async with AuditLog(tmp_path, [KEY], subjects=subjects, cipher=Cipher([KEY])) as audit:
            await audit.record(
                "kyc", subject="user:7", private={"name": "Ada Lovelace", "token": "of Ada"}
            )
            await audit.record("kyc", subject="user:8", private={"name": "Bob Dylan"})
            await audit.record("note", private={"name": "Eve of Eden"})
            await audit.record("plain")
            ada, bob, eve, plain = audit.read()
            assert await audit.reveal(ada) == {"name": "Ada Lovelace", "token": "[hidden]"}
            assert await audit.reveal(eve) == {"name": "Eve of Eden"}
            assert await audit.reveal(plain) == {}
            await subjects.erase("user:7")
            with pytest.raises(SubjectErasedError):
                await audit.reveal(ada)
            assert await audit.reveal(bob) == {"name": "Bob Dylan"}
            # Moved to another record it is refused.
            moved = type(bob)(n=9, at=1.0, type="record", action="other", private=eve.private)
            with pytest.raises(DecryptionError):
                await audit.reveal(moved)
    written = b"".join(lines(tmp_path))
    assert not any(name in written for name in (b"Lovelace", b"Dylan", b"Eden", b"of Ada"))
    assert verify_trail(tmp_path, [KEY]).ok


async def test_what_is_private_is_never_written_plainly_for_want_of_a_key(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:
        with pytest.raises(RecordError, match="no `subjects` were given"):
            await audit.record("a", subject="user:7", private={"x": 1})
        with pytest.raises(RecordError, match="no `cipher` was given"):
            await audit.record("a", private={"x": 1})
        with pytest.raises(RecordError, match="subject can't be recorded"):
            await audit.record("a", subject="\ud800")
    assert len(lines(tmp_path)) == 1


def test_keys_are_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [KEY.reveal(), KEY.derive("audit chain v1"), KEY.derive("audit checkpoint v1")]
    shown: list[str] = []

    async def run() -> None:
        audit = AuditLog(tmp_path, [KEY], sign_with=KEY)
        async with audit:
            with pytest.raises(RecordError) as caught:
                await audit.record("a", details={"x": object()})
            await audit.checkpoint()
        shown.extend([repr(audit), str(caught.value), repr(audit.stats()), repr(audit._store)])
        shown.extend(map(repr, (audit._store._codes, audit._store._signer, audit._make)))

    asyncio.run(run())
    for wrong in ([], [KEY.reveal()], "key", [KEY, None]):
        with pytest.raises((ConfigurationError, TypeError)) as caught:
            AuditLog(tmp_path, wrong)  # type: ignore[arg-type]
        shown.append(str(caught.value))
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(_enter(AuditLog(tmp_path, [OTHER])))
    shown += [str(caught.value), caplog.text, *map(repr, lines(tmp_path))]
    everything = "\n".join(shown)
    for secret in secrets:
        assert secret.hex() not in everything
        assert repr(secret)[2:-1] not in everything


async def _enter(audit: AuditLog) -> None:
    async with audit:
        pass


# What can be recorded.


class Colour(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


async def test_ordinary_values_are_recorded_and_odd_ones_refused_by_place(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:
        await audit.record(
            "a",
            details={
                "decimal": Decimal("1.50"), "date": date(2026, 1, 2), "enum": Colour.RED,
                "at": datetime(2026, 1, 2, tzinfo=UTC), "id": UUID(int=7), "text": Text("x"),
                "set": {"c", "a", "d", "b"},
                "none": None, "float": 1.5, "bool": True, "nested": {"a": (1, [2])},
            },
        )  # fmt: skip
        [entry] = audit.read()
        assert entry.details == {
            "decimal": "1.50", "date": "2026-01-02", "enum": "red", "text": "x",
            "set": ["a", "b", "c", "d"],
            "at": "2026-01-02T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000007",
            "none": None, "float": 1.5, "bool": True, "nested": {"a": [1, [2]]},
        }  # fmt: skip
        loop: dict[str, Any] = {}
        loop["loop"] = loop
        for details, place in [
            ({"x": object()}, r"details\.x "),
            ({"a": [1, {"b": b"bytes"}]}, r"details\.a.*\.b "),
            ({"x": float("nan")}, r"details\.x is|details\.x can"),
            ({"x": float("inf")}, r"details\.x"),
            ({1: "x"}, "a name that is not text"),
            (["x"], "is list, and must be a mapping"),
            (loop, "nested more than"),
            ({"x": 10**5_000}, "number that is too large"),
            ({"x": "y" * 70_000}, "70078 bytes|is 70"),
        ]:
            with pytest.raises(RecordError, match=place):
                await audit.record("a", details=details)  # type: ignore[arg-type]
        for wrong in ("", None, 7):
            with pytest.raises(RecordError, match="action"):
                await audit.record(wrong)  # type: ignore[arg-type]
        with pytest.raises(RecordError, match="actor"):
            await audit.record("a", actor=True)
        assert await audit.record("after") == 2
    assert verify_trail(tmp_path, [KEY]).ok


def test_names_that_never_end_do_not_fill_the_memory() -> None:
    prepare = Preparer(["secret"], None)
    for number in range(5_000):
        assert prepare.fields({f"secret{number}": 1}, "details") == {f"secret{number}": "[hidden]"}
    assert len(prepare._known) == 4_096


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | ANY_TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.text(min_size=1, max_size=20))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_recorded_is_one_line_of_printable_ascii_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, details: dict[str, Any], action: str
) -> None:
    path = tmp_path_factory.mktemp("trail")

    async def run() -> None:
        async with AuditLog(path, [KEY], hidden=(), mode="buffered") as audit:
            await audit.record(action, details=details)
            [entry] = audit.read()
            assert (entry.action, entry.details) == (action, details)

    asyncio.run(run())
    _head, line, _checkpoint = lines(path)
    assert all(0x20 <= each < 0x7F for each in line[:-1])
    assert line[-1:] == b"\n"
    assert verify_trail(path, [KEY]).ok


# Checkpoints and witnesses.


async def test_checkpoints_are_made_after_so_many_records_and_so_long(tmp_path: Path) -> None:
    clock, witness = ManualClock(), Kept()
    audit = AuditLog(
        tmp_path, [KEY], witness=witness, checkpoint_every=3, checkpoint_interval=10.0, clock=clock
    )
    async with audit:
        for _ in range(3):
            await audit.record("a")
        await witness.seen.wait()
        assert [each.size for each in witness.heads] == [4]
        witness.seen.clear()
        await audit.record("a")
        assert len(witness.heads) == 1
        await clock.advance(10.0)
        await witness.seen.wait()
        await audit.flush()
        assert [each.size for each in witness.heads] == [4, 6]
        await audit.record("last")
    assert [each.size for each in witness.heads] == [4, 6, 8]  # one more at the end
    report = verify_trail(tmp_path, [KEY], head=witness.heads[-1])
    assert (report.ok, report.attested, report.checkpoints) == (True, 8, 3)
    async with audit:
        pass
    assert len(witness.heads) == 3  # nothing was new


async def test_a_failing_witness_is_told_and_stops_no_record(tmp_path: Path) -> None:
    witness = Kept()
    witness.failing = True
    async with AuditLog(tmp_path, [KEY], witness=witness, checkpoint_every=1) as audit:
        events = heard(audit)
        await audit.record("a")
        await witness.seen.wait()
        with pytest.raises(OSError, match="no witness"):
            await audit.checkpoint()
        witness.failing = False
        assert (await audit.checkpoint()).is_signed_by(audit.public_key)
        assert witness.heads
        assert audit.stats().witness_failures >= 2
    assert {type(each) for each in events} == {WitnessFailed}
    assert isinstance(events[0], WitnessFailed)
    assert "no witness" in events[0].reason


class Silent:
    """A witness that does not answer until it may, and perhaps does not even let itself end."""

    def __init__(self, stubborn: bool) -> None:
        self.stubborn = stubborn
        self.asked, self.free = asyncio.Queue[int](), asyncio.Event()
        self.ended = False

    async def keep(self, checkpoint: Checkpoint) -> None:
        self.asked.put_nowait(checkpoint.size)
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            if not self.stubborn:
                self.ended = True
                raise
            await self.free.wait()
            raise OSError("far too late") from None


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_witness_that_does_not_answer_has_its_time_and_no_more(
    tmp_path: Path, stubborn: bool
) -> None:
    clock, witness = ManualClock(), Silent(stubborn)
    audit = AuditLog(
        tmp_path, [KEY], witness=witness, witness_timeout=5.0, checkpoint_every=1, clock=clock
    )
    events = heard(audit)
    async with asyncio.timeout(30):  # a guard: it would wait for ever
        await audit.__aenter__()
        await audit.record("a")
        assert await witness.asked.get() == 2
        asking = asyncio.ensure_future(audit.checkpoint())
        assert await witness.asked.get() == 3
        await clock.advance(4.0)
        assert audit.stats().witness_failures == 0
        await clock.advance(1.0)
        with pytest.raises(TimeoutError, match="no answer in 5 seconds"):
            await asking
        await audit.record("b")
        assert await witness.asked.get() == 5
        leaving = asyncio.ensure_future(audit.__aexit__(None, None, None))
        # It is given one more, since it did not keep the last, and has its time for either.
        await clock.advance(5.0)
        assert await witness.asked.get() == 6
        assert not leaving.done()
        await clock.advance(5.0)
        await leaving
    assert audit.stats().witness_failures == 4
    assert [(type(each), each.reason) for each in events if isinstance(each, WitnessFailed)] == [
        (WitnessFailed, "TimeoutError: no answer in 5 seconds")
    ] * 4
    witness.free.set()
    await asyncio.sleep(0)
    # It is no worse for that.
    async with audit:
        await audit.record("c")
    assert audit.stats().witness_failures == 4
    assert verify_trail(tmp_path, [KEY]).ok


async def test_a_witness_that_gives_up_has_failed(tmp_path: Path) -> None:
    class Cancelled:
        async def keep(self, _checkpoint: Checkpoint) -> None:
            raise asyncio.CancelledError

    async with AuditLog(tmp_path, [KEY], witness=Cancelled(), checkpoint_every=1) as audit:
        await audit.record("a")
    assert audit.stats().witness_failures == 2


async def test_who_is_cancelled_waits_for_no_witness(tmp_path: Path) -> None:
    clock, witness = ManualClock(), Silent(stubborn=False)
    async with AuditLog(tmp_path, [KEY], witness=witness, clock=clock) as audit:
        asking = asyncio.ensure_future(audit.checkpoint())
        await witness.asked.get()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert audit.stats().witness_failures == 0
        await asyncio.sleep(0)
        assert (witness.ended, clock.sleepers) == (True, 0)  # nothing of it is left


async def test_what_the_witness_missed_it_is_given_at_the_end(tmp_path: Path) -> None:
    witness = Kept()
    witness.failing = True
    async with AuditLog(tmp_path, [KEY], witness=witness, checkpoint_every=1) as audit:
        await audit.record("a")
        await witness.seen.wait()
        await audit.flush()
        witness.failing = False
    assert [each.size for each in witness.heads] == [3]


async def test_a_file_and_a_backend_are_witnesses(tmp_path: Path) -> None:
    file = FileWitness(tmp_path / "elsewhere" / "heads.jsonl")
    async with open_backend("memory://") as backend:
        kept = BackendWitness(backend, "audit:head")
        assert await kept.newest() is None
        async with AuditLog(tmp_path / "a", [KEY], witness=file) as audit:
            first, second = await audit.checkpoint(), await audit.checkpoint()
            await kept.keep(second)
            await kept.keep(first)  # a shorter one replaces nothing
            assert await kept.newest() == second
            other = small_trail(tmp_path / "b", 9)
            with pytest.raises(ConfigurationError, match="trail"):
                await kept.keep(other)
        assert repr(kept) == f"BackendWitness({backend.name!r}, 'audit:head')"
    written = [Checkpoint.parse(each) for each in file.path.read_text().splitlines()]
    assert written == [first, second]
    assert repr(file) == f"FileWitness({str(file.path)!r})"


# Files.


async def test_files_are_begun_by_size_and_age_compressed_and_dropped(tmp_path: Path) -> None:
    clock = ManualClock()
    audit = AuditLog(tmp_path, [KEY], clock=clock, max_bytes=4_096, max_age=50.0, keep=100.0)
    events = heard(audit)
    async with audit:
        await audit.record("a", details={"x": "y" * 5_000})
        await audit.record("b")  # by size
        await clock.advance(60.0)
        await audit.record("c")  # by age
        assert sum(isinstance(each, SegmentBegun) for each in events) == 2
        await clock.advance(60.0)
        await audit.record("d")
        await clock.advance(60.0)
        await audit.record("e")
    assert any(isinstance(each, SegmentsDropped) for each in events)
    assert [each.action for each in audit.read()][-2:] == ["d", "e"]
    report = verify_trail(tmp_path, [KEY])
    assert report.ok
    assert report.first > 0
    assert [each.packed for each in segments(tmp_path)][-1] is False
    async with audit:  # what is left to compress is compressed at the start
        pass
    assert all(each.packed for each in segments(tmp_path)[:-1])
    # Nobody else reads them.
    assert {each.path.stat().st_mode & 0o777 for each in segments(tmp_path)} == {0o600}
    assert verify_trail(tmp_path, [KEY]).ok


async def test_a_file_that_can_not_be_compressed_is_told_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AuditLog(tmp_path, [KEY], max_bytes=4_096) as audit:
        events = heard(audit)

        def full(*_args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mobius_infra.security._audit_segment.pack", full)
        for _ in range(2):
            await audit.record("a", details={"x": "y" * 5_000})
    assert UpkeepFailed in {type(each) for each in events}
    assert not segments(tmp_path)[0].packed
    assert verify_trail(tmp_path, [KEY]).ok


async def test_what_was_torn_or_changed_is_told_at_the_start(tmp_path: Path) -> None:
    small_trail(tmp_path)
    file = tmp_path / name_of(0)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    audit = AuditLog(tmp_path, [KEY])
    events = heard(audit)
    async with audit:
        assert audit.stats().repaired == 1
    assert isinstance(events[0], TrailRepaired)
    file.write_bytes(file.read_bytes().replace(b'{"x":1}', b'{"x":7}'))
    async with audit:
        assert audit.stats().damaged == 1
        await audit.record("goes on")
    assert TrailDamaged in {type(each) for each in events}
    assert not verify_trail(tmp_path, [KEY]).ok


# Decorator and bridge.

WHO: ContextVar[str] = ContextVar("who")


async def test_calls_are_recorded_with_how_they_ended(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:

        @audit.recorded("pay", actor="user", object=lambda user, how: f"{how}!", subject=WHO)
        async def pay(user: int, how: str) -> str:
            if how == "fail":
                raise ValueError("secret text")
            if how == "wait":
                await asyncio.Event().wait()
            return how

        WHO.set("user:7")
        assert await pay(7, "x") == "x"
        with pytest.raises(ValueError, match="secret text"):
            await pay(7, how="fail")
        waiting = asyncio.ensure_future(pay(7, "wait"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await audit.flush()
        found = [(each.actor, each.object, each.outcome, each.subject) for each in audit.read()]
        assert found == [
            ("7", "x!", "ok", "user:7"),
            ("7", "fail!", "failed", "user:7"),
            ("7", "wait!", "cancelled", "user:7"),
        ]
        assert [each.details for each in audit.read()][1] == {"error": "ValueError"}
        assert b"secret" not in b"".join(lines(tmp_path))
        with pytest.raises(TypeError):
            await pay(7)  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match="actor"):
            audit.recorded("pay", actor="nobody")(pay)
        with pytest.raises(ConfigurationError, match="async function"):
            audit.recorded("pay")(len)  # type: ignore[arg-type]
        assert repr(audit.recorded("pay")) == f"{audit!r}.recorded('pay')"


async def test_a_call_whose_intent_can_not_be_recorded_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    async with AuditLog(tmp_path, [KEY]) as audit:
        events = heard(audit)

        class Wallet:
            @audit.recorded("pay", intent=True)
            async def pay(self) -> None:
                made.append(1)

            @audit.recorded("see")
            async def see(self) -> int:
                return 5

        await Wallet().pay()
        assert [each.outcome for each in audit.read()] == ["begun", "ok"]

        def full(*_args: Any, **_options: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(audit._store), "append", full)
        with pytest.raises(AuditError):
            await Wallet().pay()
        assert made == [1]
        assert await Wallet().see() == 5  # it has happened: its result stays
        assert audit.stats().failed == 2
        monkeypatch.undo()
    assert AuditFailed in {type(each) for each in events}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Event):
    colour: Colour
    error: Exception
    inner: Any
    password: str = "hunter2"


async def test_events_of_components_are_recorded(tmp_path: Path) -> None:
    events = Events()
    audit = AuditLog(tmp_path, [KEY])
    async with audit:
        stop = audit.listen(events, actor="system")
        nested = {"a": (1, {2}), "big": 10**100, "nan": float("nan"), "token": "t0k", 3: object}
        events.emit(
            Opened(source="b", at=1.0, colour=Colour.RED, error=ValueError("x"), inner=nested)
        )
        events.emit(
            Opened(source="b", at=1.0, colour=Colour.RED, error=ValueError("x"), inner="y" * 99_999)
        )
        stop()
        events.emit(Opened(source="b", at=1.0, colour=Colour.RED, error=ValueError(), inner=1))
        await audit.flush()
        [entry] = audit.read()
        assert (entry.action, entry.actor) == ("Opened", "system")
        assert entry.details["colour"] == "red"
        assert entry.details["error"] == "ValueError: x"
        assert entry.details["inner"]["a"] == [1, [2]]
        assert entry.details["inner"]["token"] == entry.details["password"] == "[hidden]"
        assert audit.stats().failed == 1  # the one that is too long
        with pytest.raises(ConfigurationError, match="another component's"):
            audit.listen(audit.events)
        audit.listen(events)
    events.emit(Opened(source="b", at=1.0, colour=Colour.RED, error=ValueError(), inner=1))
    assert audit.stats().failed == 2  # the log is closed


# The object.


async def test_it_must_be_entered_and_only_once(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, [KEY], name="trail")
    with pytest.raises(ConfigurationError, match="entered"):
        audit.note("a")
    async with audit:
        with pytest.raises(ConfigurationError, match="once at a time"):
            await audit.__aenter__()
        await audit.record("a")
    with pytest.raises(ConfigurationError, match="entered"):
        await audit.record("b")
    assert repr(audit) == f"AuditLog({str(tmp_path)!r}, name='trail', mode='durable')"
    assert {each.name for each in samples(audit.stats())} >= {"recorded", "failed", "entries"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "fast"), ("checkpoint_every", 0), ("checkpoint_every", True),
        ("checkpoint_interval", 0), ("checkpoint_interval", float("nan")), ("max_bytes", 10),
        ("max_age", float("inf")), ("max_age", -1), ("keep", 0), ("keep", False),
        ("max_record", 1 << 20), ("max_record", 1.5), ("max_waiting", 0), ("witness_timeout", 0),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    make: Callable[..., AuditLog] = AuditLog
    with pytest.raises(ConfigurationError, match=field) as caught:
        make(tmp_path / "none", [KEY], **{field: value})
    assert caught.value.field == field
    assert not (tmp_path / "none").exists()


async def test_who_is_not_known_is_left_empty(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, [KEY]) as audit:

        @audit.recorded("see", actor="user")
        async def see(user: int | None) -> None:
            """Nothing."""

        await see(None)
        [entry] = audit.read()
        assert (entry.actor, entry.outcome) == ("", "ok")
