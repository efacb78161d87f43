"""`@access.requires(..., mfa=300)`: what takes a second factor, verified lately."""

from contextvars import ContextVar
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.security import (
    Access,
    AccessDeniedError,
    Policy,
    Role,
    Sessions,
    StepUpRequired,
    StepUpRequiredError,
    Subject,
)
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky

POLICY = Policy([Role("member", allow=("wallet:*",))], subjects={"7": ["member"]})
acting: ContextVar[Any] = ContextVar("acting", default=None)


@pytest.fixture
def access(manual_clock: ManualClock) -> Access:
    return Access("bot", POLICY, subject=acting, clock=manual_clock)


async def test_a_proof_is_good_for_so_long(access: Access, manual_clock: ManualClock) -> None:
    events: list[Event] = []
    access.events.subscribe(events.append)

    @access.requires("wallet:send", mfa=300)
    async def send() -> str:
        return "sent"

    acting.set(Subject("7", verified_at=manual_clock.monotonic()))
    assert await send() == "sent"
    await manual_clock.advance(300)
    assert await send() == "sent"
    await manual_clock.advance(1)
    with pytest.raises(StepUpRequiredError) as caught:
        await send()
    error = caught.value
    assert (error.subject, error.permission, error.within) == ("7", "wallet:send", 300)
    assert isinstance(error, AccessDeniedError)
    wanted = StepUpRequired(
        source="bot", at=manual_clock.time(), subject="7", permission="wallet:send", within=300
    )
    assert events == [wanted]
    assert (access.stats().allowed, access.stats().denied) == (2, 1)


@pytest.mark.parametrize("verified_at", [None, float("nan"), float("inf"), float("-inf")])
async def test_what_is_no_proof_is_none(access: Access, verified_at: float | None) -> None:
    with pytest.raises(StepUpRequiredError):
        access.check(Subject("7", verified_at=verified_at), "wallet:send", mfa=300)
    access.check(Subject("7", verified_at=verified_at), "wallet:send")


@pytest.mark.parametrize("who", ["7", 7])
async def test_an_id_proves_nothing(access: Access, who: str | int) -> None:
    with pytest.raises(StepUpRequiredError):
        access.check(who, "wallet:send", mfa=300)


async def test_a_proof_of_what_is_to_come_is_none(
    access: Access, manual_clock: ManualClock
) -> None:
    """Such as one by the clock of another machine."""
    with pytest.raises(StepUpRequiredError):
        access.check(Subject("7", verified_at=manual_clock.monotonic() + 5), "wallet:send", mfa=300)


@pytest.mark.parametrize("who", [None, "8", Subject("8", verified_at=0.0)])
async def test_who_may_not_anyway_is_not_asked_for_one(access: Access, who: Any) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        access.check(who, "wallet:send", mfa=1e9)
    assert not isinstance(caught.value, StepUpRequiredError)


async def test_a_session_carries_it(access: Access, manual_clock: ManualClock) -> None:
    sessions = Sessions("web", Flaky(manual_clock), clock=manual_clock)

    @access.requires("wallet:send", subject="who", mfa=300)
    async def send(who: Subject) -> str:
        return "sent"

    token = await sessions.open("7")
    with pytest.raises(StepUpRequiredError):
        await send((await sessions.check(token)).subject)
    fresh = await sessions.rotate(token, verified=True)
    with pytest.raises(StepUpRequiredError):  # the old token, in its grace
        await send((await sessions.check(token)).subject)
    await manual_clock.advance(300)
    assert await send((await sessions.check(fresh)).subject) == "sent"
    await manual_clock.advance(1)
    with pytest.raises(StepUpRequiredError):
        await send((await sessions.check(fresh)).subject)


@pytest.mark.parametrize("mfa", [0, -1, True, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(access: Access, mfa: float) -> None:
    with pytest.raises(ConfigurationError, match="mfa"):
        access.requires("wallet:send", mfa=mfa)
