"""Sessions: what a token opens, for how long, and how it is ended everywhere."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import BackendUnavailableError, ConfigurationError, Event, open_backend
from mobius_infra.security import (
    SessionEnded,
    SessionEndedError,
    SessionOpened,
    SessionRotated,
    Sessions,
    TooManySessionsError,
)
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky


@pytest.fixture
def backend(manual_clock: ManualClock) -> Flaky:
    return Flaky(manual_clock)


@pytest.fixture
def sessions(backend: Flaky, manual_clock: ManualClock) -> Sessions:
    return Sessions("web", backend, clock=manual_clock)


async def refused(sessions: Sessions, token: str, binding: str = "") -> str:
    with pytest.raises(SessionEndedError) as caught:
        await sessions.check(token, binding=binding)
    return caught.value.reason


async def test_a_token_opens_its_session(sessions: Sessions) -> None:
    token = await sessions.open(7, label="Firefox")
    session = await sessions.check(token)
    assert (session.user, session.label, session.verified_at) == ("7", "Firefox", None)
    assert session.subject.id == "7"
    assert await sessions.of("7") == [session]
    assert sessions.stats().checked == sessions.stats().opened == 1


@pytest.mark.parametrize(
    "token", ["", "x", "x" * 43, "é" * 43, "x" * 10_000, "\ud800" * 43, None, 7]
)
async def test_what_is_no_token_is_refused(sessions: Sessions, token: Any) -> None:
    assert await refused(sessions, token) == "unknown"
    assert sessions.stats().refused == {"unknown": 1}


async def test_a_token_of_other_sessions_is_refused(sessions: Sessions, backend: Flaky) -> None:
    token = await sessions.open("7")
    assert await refused(Sessions("admin", backend), token) == "unknown"


async def test_a_session_that_is_not_used_ends(
    sessions: Sessions, manual_clock: ManualClock
) -> None:
    token = await sessions.open("7")
    for _ in range(3):
        await manual_clock.advance(1_799)
        await sessions.check(token)
    await manual_clock.advance(1_800)
    assert await refused(sessions, token) == "unknown"
    assert await sessions.of("7") == []


async def test_a_session_that_is_used_ends_too(
    sessions: Sessions, manual_clock: ManualClock
) -> None:
    token = await sessions.open("7")
    for _ in range(42):
        await manual_clock.advance(1_000)
        token = await sessions.rotate(token)  # which must not prolong it
    await manual_clock.advance(1_200)
    assert await refused(sessions, token) == "unknown"


async def test_looking_at_the_list_keeps_no_session_alive(
    sessions: Sessions, manual_clock: ManualClock
) -> None:
    token = await sessions.open("7")
    await manual_clock.advance(1_000)
    await sessions.of("7")
    await manual_clock.advance(800)
    assert await refused(sessions, token) == "unknown"


async def test_a_rotated_token_is_good_for_a_moment_with_what_it_had(
    sessions: Sessions, manual_clock: ManualClock
) -> None:
    """Whoever planted the token before the user proved who he is must gain nothing."""
    planted = await sessions.open("7")
    token = await sessions.rotate(planted, verified=True)
    assert token != planted
    await manual_clock.advance(1)
    verified_at = (await sessions.check(token)).verified_at
    assert verified_at == manual_clock.monotonic() - 1
    assert (await sessions.check(planted)).verified_at is None
    with pytest.raises(SessionEndedError):
        await sessions.rotate(planted, verified=True)
    await manual_clock.advance(4)
    assert await refused(sessions, planted) == "unknown"
    assert (await sessions.check(token)).id == (await sessions.of("7"))[0].id


async def test_without_grace_a_rotated_token_dies_at_once(backend: Flaky) -> None:
    sessions = Sessions("web", backend, grace=0)
    planted = await sessions.open("7")
    await sessions.rotate(planted)
    assert await refused(sessions, planted) == "unknown"


async def test_of_two_rotations_at_once_one_counts(sessions: Sessions) -> None:
    token = await sessions.open("7")
    made = await asyncio.gather(*(sessions.rotate(token) for _ in range(5)), return_exceptions=True)
    good = [each for each in made if isinstance(each, str)]
    assert len(good) == 1
    await sessions.check(good[0])


async def test_what_was_verified_ages_by_the_backends_time(
    sessions: Sessions, manual_clock: ManualClock
) -> None:
    token = await sessions.open("7", verified=True)
    await manual_clock.advance(250)
    at = (await sessions.check(token)).verified_at
    assert at == pytest.approx(manual_clock.monotonic() - 250)
    await manual_clock.advance(100)  # a request that takes its time
    assert at == pytest.approx(manual_clock.monotonic() - 350)


async def test_a_slow_answer_makes_what_was_verified_no_younger(
    sessions: Sessions, backend: Flaky, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await sessions.open("7", verified=True)
    run = backend.run

    async def slow(*args: Any) -> Any:
        answer = await run(*args)
        await manual_clock.sleep(60)
        return answer

    monkeypatch.setattr(Flaky, "run", lambda _self, *args: slow(*args))
    asking = asyncio.ensure_future(sessions.check(token))
    await manual_clock.advance(60)
    assert (await asking).verified_at == pytest.approx(manual_clock.monotonic() - 60)


async def test_a_token_from_elsewhere_ends_its_session(sessions: Sessions) -> None:
    events: list[Event] = []
    sessions.events.subscribe(events.append)
    token = await sessions.open("7", binding="Firefox")
    await sessions.check(token, binding="Firefox")
    assert await refused(sessions, token, "curl") == "binding"
    assert await refused(sessions, token, "Firefox") == "unknown"
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].reason == "binding"


async def test_a_binding_is_wanted_for_a_rotation_and_the_end_too(sessions: Sessions) -> None:
    token = await sessions.open("7", binding="Firefox")
    with pytest.raises(SessionEndedError):
        await sessions.rotate(token, binding="curl")
    assert await sessions.of("7") == []


async def test_a_user_may_have_so_many_sessions(backend: Flaky, manual_clock: ManualClock) -> None:
    sessions = Sessions("web", backend, limit=2, clock=manual_clock)
    first, second = await sessions.open("7"), await sessions.open("7")
    await manual_clock.advance(1)
    await sessions.check(first)
    third = await sessions.open("7")
    assert await refused(sessions, second) == "unknown"  # not used for longest
    await sessions.check(first)
    await sessions.check(third)
    await sessions.open("8")
    strict = Sessions("web", backend, limit=2, on_limit="refuse")
    with pytest.raises(TooManySessionsError) as caught:
        await strict.open("7")
    assert (caught.value.user, caught.value.limit) == ("7", 2)
    assert await refused(strict, third + "x") == "unknown"


async def test_many_open_at_once_and_the_limit_holds(backend: Flaky) -> None:
    sessions = Sessions("web", backend, limit=3)
    await asyncio.gather(*(sessions.open("7") for _ in range(20)))
    assert len(await sessions.of("7")) == 3


async def test_sessions_are_ended_by_whoever_may(sessions: Sessions) -> None:
    one, two, three = [await sessions.open("7") for _ in range(3)]
    other = await sessions.open("8")
    ids = [(await sessions.check(token)).id for token in (one, two, three)]
    assert await sessions.revoke("7", ids[0])
    assert not await sessions.revoke("7", ids[0])
    assert not await sessions.revoke("8", ids[1])  # not his
    assert await refused(sessions, one) == "unknown"
    assert await sessions.revoke_all("7", keep=ids[1]) == 1
    assert await refused(sessions, three) == "unknown"
    await sessions.end(two)
    await sessions.end(two)  # no error
    assert await sessions.of("7") == []
    await sessions.check(other)
    assert await sessions.revoke_all("8") == 1
    assert sessions.stats().ended == {"revoked": 3, "logout": 1}


async def test_it_is_told_who_came_and_went(sessions: Sessions) -> None:
    events: list[Event] = []
    sessions.events.subscribe(events.append)
    token = await sessions.rotate(await sessions.open("7"), verified=True)
    await sessions.end(token)
    assert [type(each) for each in events] == [SessionOpened, SessionRotated, SessionEnded]


async def test_nobody_is_let_in_while_the_backend_is_away(
    sessions: Sessions, backend: Flaky
) -> None:
    token = await sessions.open("7")
    backend.away = True
    for attempt in (sessions.check(token), sessions.open("7"), sessions.rotate(token)):
        with pytest.raises(BackendUnavailableError):
            await attempt
    backend.away = False
    await sessions.check(token)


async def test_a_hint_that_was_forged_opens_nothing(sessions: Sessions, backend: Flaky) -> None:
    """What says whose a token is decides nothing: the user's sessions do."""
    token = await sessions.open("7")
    keys = [key for key in backend._entries if key.startswith("session:")]
    await backend.set(keys[0], b"8")
    assert await refused(sessions, token) == "unknown"


async def test_no_token_is_where_it_could_be_read(
    sessions: Sessions, backend: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    sessions.events.subscribe(seen.append)
    token = await sessions.open("7", binding="Firefox")
    fresh = await sessions.rotate(token, binding="Firefox")
    session = await sessions.check(fresh, binding="Firefox")
    with pytest.raises(SessionEndedError) as caught:
        await sessions.check(fresh, binding="curl")
    seen += [session, sessions, sessions.stats(), caught.value, caught.value.fields(), caplog.text]
    seen += [repr(entry) + key for key, entry in backend._entries.items()]
    for each in seen:
        for secret in (token, fresh):
            assert secret not in f"{each!r} {each}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("idle", 0),
        ("idle", True),
        ("idle", float("nan")),
        ("idle", float("inf")),
        ("absolute", 1),
        ("absolute", float("inf")),
        ("limit", 0),
        ("limit", 1.5),
        ("limit", True),
        ("limit", 10_000),
        ("on_limit", "oldest"),
        ("grace", -1),
        ("grace", 1_800),
        ("grace", "5"),
    ],
)
def test_what_cannot_work_is_refused(backend: Flaky, field: str, value: Any) -> None:
    options: dict[str, Any] = {"name": "web", field: value}
    with pytest.raises(ConfigurationError) as caught:
        Sessions(backend=backend, **options)
    assert caught.value.field == field


@pytest.mark.parametrize("user", ["", True, None, 1.5, "\ud800"])
async def test_what_is_no_user_is_refused(sessions: Sessions, user: Any) -> None:
    with pytest.raises(ConfigurationError, match="user"):
        await sessions.open(user)


async def test_a_label_of_any_kind_is_taken(sessions: Sessions) -> None:
    await sessions.open("7", label="\ud800\0" * 500)
    assert len((await sessions.of("7"))[0].label) == 200


def test_it_says_what_it_is(sessions: Sessions) -> None:
    assert repr(sessions) == "Sessions('web', idle=1800, absolute=43200, limit=10)"


async def everywhere(url: str) -> None:
    async with AsyncExitStack() as stack:
        fleet = []
        for _ in range(2):
            backend = await stack.enter_async_context(open_backend(url))
            fleet.append(Sessions("web", backend, limit=3))
        one, other = fleet
        token = await one.open("7", binding="Firefox", label="Ünïcode", verified=True)
        session = await other.check(token, binding="Firefox")
        assert session.label == "Ünïcode"
        assert session.verified_at is not None
        fresh = await other.rotate(token, binding="Firefox")
        made = await asyncio.gather(*(fleet[n % 2].open("8") for n in range(6)))
        assert len(await one.of("8")) == 3
        assert len(set(made)) == 6
        assert await one.revoke_all("7") == 1
        assert await refused(other, fresh, "Firefox") == "unknown"
        assert await one.of("7") == []


async def test_a_fleet_shares_them_on_redis(redis_url: str) -> None:
    await everywhere(f"{redis_url}?timeout=30")


async def test_a_fleet_shares_them_on_postgres(postgres_url: str) -> None:
    await everywhere(f"{postgres_url}?timeout=30&connect_timeout=30")


async def test_a_fleet_shares_them_on_sqlite(tmp_path: Path) -> None:
    await everywhere(f"sqlite:///{tmp_path}/s.db?timeout=30")
