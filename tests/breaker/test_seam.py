"""The seam for a fleet: what a member hears, is asked, and may force."""

import asyncio

import pytest

from mobius_infra.breaker import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitOpenError,
    CircuitRecovering,
    Outcome,
    RampUp,
    Rule,
    State,
)
from mobius_infra.testing import ManualClock
from tests.breaker.support import DependencyError, Told, call, fail, hear, make, state_of


async def test_a_member_hears_of_what_is_decided_here_and_is_asked_before_each_probe(
    manual_clock: ManualClock,
) -> None:
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet)
    assert fleet.breaker is breaker
    await fail(breaker, 2)
    manual_clock.tick(10)
    await fail(breaker)
    manual_clock.tick(20)
    await call(breaker)
    assert fleet.changes == [
        (State.OPEN, Rule.CONSECUTIVE_FAILURES),
        (State.HALF_OPEN, None),
        (State.OPEN, Rule.PROBE_FAILED),
        (State.HALF_OPEN, None),
        (State.CLOSED, None),
    ]
    assert (fleet.claims, fleet.ends) == (2, [Outcome.FAILURE, Outcome.SUCCESS])


async def test_a_fleets_opening_is_probed_by_its_leave_only(manual_clock: ManualClock) -> None:
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet)
    heard = hear(breaker)
    breaker.force_open(5.0, reason="3 of 8 nodes voted", number=2)
    assert state_of(breaker) is State.OPEN
    with pytest.raises(CircuitOpenError) as caught:
        await call(breaker)
    assert caught.value.retry_after == 5.0
    opening = breaker.explain().opening
    assert opening is not None
    assert (opening.rule, opening.number) == (Rule.FLEET, 2)
    manual_clock.tick(5)
    fleet.grant = False
    with pytest.raises(CircuitOpenError):
        await call(breaker)
    with pytest.raises(CircuitOpenError):
        await breaker.call(asyncio.sleep, 0)
    with pytest.raises(CircuitOpenError):
        async with breaker:
            raise AssertionError("not granted")
    with pytest.raises(CircuitOpenError):
        breaker.admit()  # nobody can be asked without waiting
    assert (fleet.claims, fleet.ends, breaker.stats().rejected) == (3, [], 5)
    fleet.grant = True
    assert await call(breaker) == "answer"
    assert (fleet.claims, fleet.ends) == (4, [Outcome.SUCCESS])
    assert [type(each) for each in heard] == [CircuitOpened, CircuitHalfOpened, CircuitClosed]


async def test_a_failed_fleet_probe_opens_with_the_fleets_number_and_stays_the_fleets(
    manual_clock: ManualClock,
) -> None:
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet)
    breaker.force_open(5.0, reason="voted", number=2)
    manual_clock.tick(5)
    await fail(breaker)
    assert fleet.ends == [Outcome.FAILURE]
    assert breaker.explain().probe_in == 40.0  # the third opening
    manual_clock.tick(40)
    await call(breaker)
    assert fleet.claims == 2


async def test_fifty_calls_ask_the_fleet_for_as_many_probes_as_there_are_slots(
    manual_clock: ManualClock,
) -> None:
    fleet = Told()
    fleet.gate = asyncio.Event()
    breaker = make(manual_clock, fleet=fleet, permits=2, successes=2)
    breaker.force_open(5.0, reason="voted", number=1)
    manual_clock.tick(5)
    calls = [asyncio.create_task(call(breaker)) for _ in range(50)]
    await manual_clock.advance(0)
    assert fleet.claims == 2
    fleet.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results.count("answer") == 2
    assert state_of(breaker) is State.CLOSED


@pytest.mark.parametrize("how", ["cancelled", "broken"])
async def test_a_claim_that_does_not_come_back_leaks_no_slot(
    how: str, manual_clock: ManualClock
) -> None:
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet)
    breaker.force_open(5.0, reason="voted", number=1)
    manual_clock.tick(5)
    fleet.gate = asyncio.Event()
    asking = asyncio.create_task(call(breaker))
    await manual_clock.advance(0)
    if how == "cancelled":
        asking.cancel()
    else:
        fleet.error = DependencyError()
        fleet.gate.set()
    with pytest.raises((asyncio.CancelledError, DependencyError)):
        await asking
    fleet.gate = fleet.error = None
    assert await call(breaker) == "answer"


async def test_what_changed_while_the_fleet_was_asked_decides(manual_clock: ManualClock) -> None:
    """A probe granted for an opening that is over is given back, and the call asks anew."""
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet)
    for change, expected in ((breaker.force_close, str), (breaker.isolate, CircuitOpenError)):
        breaker.force_open(5.0, reason="voted", number=1)
        manual_clock.tick(5)
        fleet.gate = asyncio.Event()
        asking = asyncio.create_task(call(breaker))
        await manual_clock.advance(0)
        change()
        fleet.gate.set()
        (result,) = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(result, expected)
        assert fleet.ends.pop() is Outcome.NEUTRAL


async def test_a_fleet_closes_by_the_ramp_up(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock, ramp_up=RampUp(10.0))
    heard = hear(breaker)
    breaker.force_open(5.0, reason="voted", number=1)
    breaker.force_close()
    breaker.force_close()
    assert state_of(breaker) is State.RECOVERING
    assert [type(each) for each in heard] == [CircuitOpened, CircuitRecovering]


async def test_the_fleet_does_not_undo_what_was_done_by_hand(manual_clock: ManualClock) -> None:
    breaker = make(manual_clock)
    breaker.isolate()
    breaker.force_close()
    breaker.force_open(5.0, reason="voted", number=1)
    assert state_of(breaker) is State.ISOLATED
    disabled = make(manual_clock, mode="disabled")
    disabled.force_open(5.0, reason="voted", number=1)
    assert await call(disabled) == "answer"


async def test_in_shadow_mode_nobody_needs_the_fleets_leave(manual_clock: ManualClock) -> None:
    fleet = Told()
    breaker = make(manual_clock, mode="shadow", fleet=fleet)
    await fail(breaker, 2)
    manual_clock.tick(10)
    assert breaker.admit().probe
    assert not breaker.admit().probe
    assert (breaker.stats().would_reject, breaker.stats().rejected) == (1, 0)


async def test_what_the_fleet_takes_to_answer_makes_no_probe_slow(
    manual_clock: ManualClock,
) -> None:
    fleet = Told()
    breaker = make(manual_clock, fleet=fleet, slow_rate=1.0, slow_after=0.3)
    await fail(breaker, 2)
    manual_clock.tick(10)
    fleet.gate = asyncio.Event()
    probe = asyncio.create_task(call(breaker))
    await manual_clock.advance(0.4)
    fleet.gate.set()
    assert await probe == "answer"
    assert state_of(breaker) is State.CLOSED
