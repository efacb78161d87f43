"""A second factor: enrolled, verified once, guessed at in vain, and never locked."""

import asyncio
import logging
from typing import Any

import pytest

from mobius_infra.core import BackendUnavailableError, ConfigurationError, Event
from mobius_infra.security import (
    Attempts,
    AttemptsSlowed,
    Cipher,
    CodeRefusedError,
    DecryptionError,
    Key,
    Mfa,
    MfaChanged,
    MfaRefused,
    NotEnrolledError,
    RecoveryCodeNeededError,
    RecoveryCodeUsed,
    TooManyAttemptsError,
    Totp,
)
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky

CIPHER = Cipher([Key.parse(Key.generate())])
HOME = "192.0.2.7"


@pytest.fixture
def backend(manual_clock: ManualClock) -> Flaky:
    return Flaky(manual_clock)


@pytest.fixture
def mfa(backend: Flaky, manual_clock: ManualClock) -> Mfa:
    return Mfa("bot", backend, CIPHER, clock=manual_clock)


class Phone:
    """An authenticator, by the clock of the test."""

    def __init__(self, text: str, clock: ManualClock) -> None:
        self.totp = Totp.parse(text)
        self.clock = clock

    def code(self, away: int = 0) -> str:
        return self.totp.code(self.totp.step_at(self.clock.time()) + away)

    def wrong(self) -> str:
        right = {self.code(away) for away in range(-3, 4)}
        return next(code for code in map(str, range(100_000, 100_010)) if code not in right)


async def enrolled(mfa: Mfa, clock: ManualClock, user: str = "7") -> tuple[Phone, list[str]]:
    phone = Phone((await mfa.offer(user, account="ada")).text, clock)
    codes = await mfa.confirm(user, phone.code())
    await clock.advance(60)
    return phone, codes


async def refused(mfa: Mfa, code: str, source: str = HOME, user: str = "7") -> str:
    with pytest.raises(CodeRefusedError) as caught:
        await mfa.verify(user, code, source=source)
    return caught.value.reason


async def test_a_code_is_good_once(mfa: Mfa, manual_clock: ManualClock) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    code = phone.code()
    assert await mfa.verify(7, code, source=HOME) == "code"
    assert await refused(mfa, code) == "replayed"
    await manual_clock.advance(30)
    assert await refused(mfa, code) == "replayed"
    assert await mfa.verify("7", phone.code(), source=HOME) == "code"


async def test_a_code_of_an_earlier_period_is_not_good_after_a_later_one(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    await mfa.verify("7", phone.code(+1), source=HOME)
    assert await refused(mfa, phone.code()) == "replayed"
    assert await refused(mfa, phone.code(-1)) == "replayed"


async def test_the_code_that_confirmed_is_used(mfa: Mfa, manual_clock: ManualClock) -> None:
    phone = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    code = phone.code()
    await mfa.confirm("7", code)
    assert await refused(mfa, code) == "replayed"


async def test_of_many_at_once_one_is_let_in(backend: Flaky, manual_clock: ManualClock) -> None:
    fleet = [Mfa("bot", backend, CIPHER, clock=manual_clock) for _ in range(4)]
    phone, codes = await enrolled(fleet[0], manual_clock)
    for code in (phone.code(), codes[0]):
        told = await asyncio.gather(
            *(
                fleet[number % 4].verify("7", code, source=f"192.0.2.{number}")
                for number in range(20)
            ),
            return_exceptions=True,
        )
        assert len([each for each in told if isinstance(each, str)]) == 1
        assert len([each for each in told if isinstance(each, CodeRefusedError)]) == 19


async def test_what_is_offered_counts_only_when_it_is_confirmed(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    with pytest.raises(NotEnrolledError):
        await mfa.confirm("7", "287082")
    with pytest.raises(NotEnrolledError):
        await mfa.verify("7", "287082", source=HOME)
    old, _ = await enrolled(mfa, manual_clock)
    new = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    assert await refused(mfa, new.code()) == "wrong"
    await mfa.verify("7", old.code(), source=HOME)
    with pytest.raises(CodeRefusedError):
        await mfa.confirm("7", old.code())
    await mfa.confirm("7", new.code())
    await manual_clock.advance(60)
    assert await refused(mfa, old.code()) == "wrong"
    await mfa.verify("7", new.code(), source=HOME)


async def test_what_was_offered_before_cannot_be_confirmed(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    first = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    await mfa.offer("7", account="ada")
    with pytest.raises(CodeRefusedError):
        await mfa.confirm("7", first.code())


async def test_a_recovery_code_is_good_once(mfa: Mfa, manual_clock: ManualClock) -> None:
    events: list[Event] = []
    mfa.events.subscribe(events.append)
    _, codes = await enrolled(mfa, manual_clock)
    assert len(set(codes)) == 10
    assert await mfa.verify("7", codes[3].upper(), source=HOME) == "recovery"
    assert await refused(mfa, codes[3]) == "wrong"
    assert await mfa.recovery_codes_left("7") == 9
    assert [each.left for each in events if isinstance(each, RecoveryCodeUsed)] == [9]
    fresh = await mfa.new_recovery_codes("7")
    assert await refused(mfa, codes[4]) == "wrong"
    for code in fresh:
        await mfa.verify("7", code, source=HOME)
    assert await mfa.recovery_codes_left("7") == 0
    assert await mfa.recovery_codes_left("8") is None
    with pytest.raises(NotEnrolledError):
        await mfa.new_recovery_codes("8")


@pytest.mark.parametrize("code", ["", None, 287082, "\ud800" * 6, "1" * 1_000_000, " " * 10_000])
async def test_what_is_no_code_is_wrong(mfa: Mfa, manual_clock: ManualClock, code: Any) -> None:
    await enrolled(mfa, manual_clock)
    assert await refused(mfa, code) == "wrong"


async def test_one_users_code_is_not_anothers(mfa: Mfa, manual_clock: ManualClock) -> None:
    phone, codes = await enrolled(mfa, manual_clock)
    await enrolled(mfa, manual_clock, "8")
    assert await refused(mfa, phone.code(), user="8") == "wrong"
    assert await refused(mfa, codes[0], user="8") == "wrong"
    await mfa.verify("7", codes[0], source=HOME)


async def test_a_secret_that_was_moved_to_another_user_is_not_read(
    mfa: Mfa, backend: Flaky, manual_clock: ManualClock
) -> None:
    await enrolled(mfa, manual_clock, "7")
    await enrolled(mfa, manual_clock, "8")
    mine, his = (backend._entries[mfa._key(user)] for user in ("7", "8"))
    assert isinstance(mine.held, list)
    his.held = [*mine.held]
    with pytest.raises(DecryptionError):
        await mfa.verify("8", "287082", source=HOME)


async def test_a_secret_is_rewritten_by_the_newest_key(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    old, new = Key.parse(Key.generate()), Key.parse(Key.generate())
    phone, _ = await enrolled(Mfa("bot", backend, Cipher([old])), manual_clock)
    both = Mfa("bot", backend, Cipher([new, old]))
    with pytest.raises(CodeRefusedError):
        await both.verify("7", phone.wrong(), source=HOME)
    with pytest.raises(DecryptionError):
        await Mfa("bot", backend, Cipher([new])).verify("7", phone.code(), source=HOME)
    await both.verify("7", phone.code(), source=HOME)
    await manual_clock.advance(30)
    await Mfa("bot", backend, Cipher([new])).verify("7", phone.code(), source=HOME)


async def test_what_is_removed_is_gone(mfa: Mfa, manual_clock: ManualClock) -> None:
    events: list[Event] = []
    mfa.events.subscribe(events.append)
    phone, _ = await enrolled(mfa, manual_clock)
    assert await mfa.remove("7")
    assert not await mfa.remove("7")
    with pytest.raises(NotEnrolledError):
        await mfa.verify("7", phone.code(), source=HOME)
    changes = [each.change for each in events if isinstance(each, MfaChanged)]
    assert changes == ["confirmed", "removed"]


async def test_wrong_codes_make_the_next_wait(mfa: Mfa, manual_clock: ManualClock) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    for _ in range(5):
        assert await refused(mfa, phone.wrong()) == "wrong"
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyAttemptsError) as caught:
            await mfa.verify("7", phone.code(), source=HOME)
        assert caught.value.retry_after is not None
        waits.append(caught.value.retry_after)
        await manual_clock.advance(caught.value.retry_after)
        await refused(mfa, phone.wrong())
    assert waits[:9] == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256])
    assert waits[9:] == pytest.approx([300, 300, 300])
    assert mfa.stats().throttled == 12
    await manual_clock.advance(300)
    await mfa.verify("7", phone.code(), source=HOME)
    await manual_clock.advance(30)
    for _ in range(4):  # all is forgotten
        assert await refused(mfa, phone.wrong()) == "wrong"
    await mfa.verify("7", phone.code(), source=HOME)


async def test_who_guesses_at_what_was_offered_waits_too(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    """Else a guess in a million attempts would earn his recovery codes."""
    events: list[Event] = []
    mfa.events.subscribe(events.append)
    phone = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    for _ in range(5):
        with pytest.raises(CodeRefusedError):
            await mfa.confirm("7", phone.wrong())
    assert [each.reason for each in events if isinstance(each, MfaRefused)] == ["wrong"] * 5
    assert mfa.stats().refused == {"wrong": 5}
    phone = Phone((await mfa.offer("7", account="ada")).text, manual_clock)  # forgives nothing
    with pytest.raises(TooManyAttemptsError) as caught:
        await mfa.confirm("7", phone.code())
    assert mfa.stats().throttled == 1
    await manual_clock.advance(caught.value.retry_after or 0)
    await mfa.confirm("7", phone.code())
    await manual_clock.advance(30)
    await mfa.verify("7", phone.code(), source=HOME)  # which waits for nothing of that
    again = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    for _ in range(4):  # all is forgotten
        with pytest.raises(CodeRefusedError):
            await mfa.confirm("7", again.wrong())
    await mfa.confirm("7", again.code())


class Unforgiving(Attempts):
    """Its backend fails when an attempt was right."""

    async def passed(self, user: str | int, *, source: str) -> None:
        raise BackendUnavailableError("test", "delete", "it is away")


async def test_recovery_codes_are_shown_though_the_backend_fails_right_after(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    attempts = Unforgiving("t", backend, clock=manual_clock)
    mfa = Mfa("bot", backend, CIPHER, attempts=attempts, clock=manual_clock)
    phone = Phone((await mfa.offer("7", account="ada")).text, manual_clock)
    assert len(await mfa.confirm("7", phone.code())) == 10


async def test_a_thousand_guesses_at_once_are_no_more_than_five(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    told = await asyncio.gather(
        *(mfa.verify("7", phone.wrong(), source=HOME) for _ in range(1_000)),
        return_exceptions=True,
    )
    assert len([each for each in told if isinstance(each, CodeRefusedError)]) == 5


async def test_who_fails_on_purpose_locks_nobody_out(mfa: Mfa, manual_clock: ManualClock) -> None:
    """Neither at his place, nor at a new one: there it takes a recovery code at worst."""
    events: list[Event] = []
    mfa.events.subscribe(events.append)
    phone, codes = await enrolled(mfa, manual_clock)
    await mfa.verify("7", phone.code(), source=HOME)
    for number in range(100):
        await refused(mfa, phone.wrong(), source=f"198.51.100.{number}")
    with pytest.raises(RecoveryCodeNeededError):
        await mfa.verify("7", phone.code(), source="203.0.113.1")
    assert isinstance(events[-1], MfaRefused)
    assert (events[-1].reason, events[-1].origin) == ("guessed_at", "203.0.113.1")
    await manual_clock.advance(30)
    await mfa.verify("7", phone.code(), source=HOME)
    assert await mfa.verify("7", codes[0], source="203.0.113.1") == "recovery"
    await manual_clock.advance(30)
    await mfa.verify("7", phone.code(), source="203.0.113.1")  # known from now on


async def test_many_sources_make_few_guesses(mfa: Mfa, manual_clock: ManualClock) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    judged = 0
    for number in range(600):
        try:
            await mfa.verify("7", phone.wrong(), source=f"source {number}")
        except CodeRefusedError:
            judged += 1
        except RecoveryCodeNeededError:
            pass
        await manual_clock.advance(288)  # two days in all
    assert 290 <= judged <= 300


async def test_right_codes_from_new_places_are_no_failures(
    mfa: Mfa, manual_clock: ManualClock
) -> None:
    phone, _ = await enrolled(mfa, manual_clock)
    for number in range(150):
        await manual_clock.advance(30)
        await mfa.verify("7", phone.code(), source=f"source {number}")


async def test_nobody_is_let_in_while_the_backend_is_away(
    mfa: Mfa, backend: Flaky, manual_clock: ManualClock
) -> None:
    phone, codes = await enrolled(mfa, manual_clock)
    backend.away = True
    for code in (phone.code(), codes[0]):
        with pytest.raises(BackendUnavailableError):
            await mfa.verify("7", code, source=HOME)
    backend.away = False
    await mfa.verify("7", phone.code(), source=HOME)


async def test_no_secret_is_where_it_could_be_read(
    mfa: Mfa, backend: Flaky, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    mfa.events.subscribe(seen.append)
    enrolment = await mfa.offer("7", account="ada")
    phone = Phone(enrolment.text, manual_clock)
    codes = await mfa.confirm("7", phone.code())
    await manual_clock.advance(60)
    code = phone.code()
    await mfa.verify("7", code, source=HOME)
    for typed in (code, phone.wrong(), codes[0][:-1] + "0"):
        with pytest.raises(CodeRefusedError) as caught:
            await mfa.verify("7", typed, source=HOME)
        seen += [caught.value, caught.value.fields()]
    seen += [enrolment, mfa, mfa.stats(), caplog.text]
    seen += [repr(entry) for key, entry in backend._entries.items() if key.startswith("mfa:")]
    for each in seen:
        text = f"{each!r} {each}"
        for secret in (enrolment.text, enrolment.uri, phone.totp.reveal().hex(), *codes):
            assert secret not in text
        if not isinstance(each, str):  # a digest may have any digits
            assert code not in text


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("cipher", None), ("drift", -1), ("drift", 11), ("drift", True)],
)
def test_what_cannot_work_is_refused(backend: Flaky, field: str, value: Any) -> None:
    options: dict[str, Any] = {"name": "bot", "cipher": CIPHER, field: value}
    with pytest.raises(ConfigurationError) as caught:
        Mfa(backend=backend, **options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("free", 0),
        ("free", 2.0),
        ("base", 0),
        ("base", float("nan")),
        ("longest", 0.5),
        ("memory", True),
    ],
)
def test_attempts_that_cannot_work_are_refused(backend: Flaky, field: str, value: Any) -> None:
    options: dict[str, Any] = {"name": "bot", field: value}
    with pytest.raises(ConfigurationError) as caught:
        Attempts(backend=backend, **options)
    assert caught.value.field == field


async def test_attempts_of_one_source_are_not_anothers(
    backend: Flaky, manual_clock: ManualClock
) -> None:
    attempts = Attempts("password", backend, free=1, base=10, clock=manual_clock)
    events: list[Event] = []
    attempts.events.subscribe(events.append)
    await attempts.reserve("ada", source="1")
    await attempts.reserve("ada", source="2")
    await attempts.reserve("ad", source="a1")
    await attempts.reserve("bob", source="1")
    with pytest.raises(TooManyAttemptsError, match="10 s"):
        await attempts.reserve("ada", source="1")
    await attempts.passed("ada", source="1")
    await attempts.reserve("ada", source="1")
    with pytest.raises(ConfigurationError, match="source"):
        await attempts.reserve("ada", source="")
    now = manual_clock.time()
    assert events[0] == AttemptsSlowed(source="password", at=now, user="ada", origin="1", wait=10)
    assert len(events) == 5  # none for what was refused
    stats = attempts.stats()
    assert (stats.judged, stats.refused, stats.passed) == (5, 1, 1)


async def test_attempts_are_forgotten(backend: Flaky, manual_clock: ManualClock) -> None:
    attempts = Attempts("password", backend, free=1, base=10, memory=60)
    await attempts.reserve("ada", source="1")
    await manual_clock.advance(71)
    assert not await backend.delete(attempts._key("ada", "1"))


def test_they_say_what_they_are(mfa: Mfa, backend: Flaky) -> None:
    assert repr(mfa) == "Mfa('bot', issuer='bot', drift=1)"
    assert repr(Attempts("password", backend)) == "Attempts('password', free=5)"
