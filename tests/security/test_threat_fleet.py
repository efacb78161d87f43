"""Blocks through a backend: within a second everywhere, also when a message is lost."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import Backend, Event, open_backend
from mobius_infra.security import (
    Activity,
    BlocklistLost,
    BlocklistRestored,
    Scenario,
    Terms,
    ThreatDetector,
)
from mobius_infra.security._blocklist_share import SHARDS, Share
from mobius_infra.security._blocklist_table import BlockTable
from mobius_infra.security._blocklist_time import SharedTime
from mobius_infra.testing import ManualClock
from tests.cache.support import Slow
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually

ROOT = Path(__file__).parents[2]
ONE = Scenario("one", ["bad"], capacity=0, risk=100)


def member(backend: Backend, clock: ManualClock | None = None, **options: Any) -> ThreatDetector:
    return ThreatDetector("t", [ONE], backend=backend, clock=clock, **options)


def bad(threats: ThreatDetector, **who: Any) -> None:
    threats.report(Activity("bad", **who))


@pytest.fixture
def slow(manual_clock: ManualClock) -> Slow:
    return Slow(manual_clock)


class Deaf(Slow):
    """A backend whose messages are all lost."""

    __slots__ = ()

    async def publish(self, channel: str, data: bytes) -> None:
        return


async def test_a_block_and_its_end_reach_the_others_by_message(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(0)
        bad(one, user=7)
        assert one.check(user=7).refused
        await manual_clock.advance(0)  # no time passes
        assert other.check(user=7).block == one.check(user=7).block
        assert other.unblock("user:7")
        assert not other.check(user=7).refused
        await manual_clock.advance(0)
        assert not one.check(user=7).refused
    assert manual_clock.sleepers == 0


@pytest.mark.parametrize("what", ["user:7", "192.0.2.0/24", "2001:db8::/48"])
async def test_what_a_lost_message_said_is_known_within_a_second(
    manual_clock: ManualClock, what: str
) -> None:
    deaf = Deaf(manual_clock)
    async with member(deaf, manual_clock) as one, member(deaf, manual_clock) as other:
        await manual_clock.advance(0.3)
        one.block(what, seconds=60, reason="scanner")
        await manual_clock.advance(1.0)
        assert [block.reason for block in other.blocks()] == ["scanner"]
        one.unblock(what)
        await manual_clock.advance(1.0)
        assert other.blocks() == []


async def test_what_nobody_was_told_of_is_found_in_the_end(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """Whoever wrote it died before he could set the stamp."""
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        gate = slow.hold("set")
        one.block("user:7", reason="")
        await manual_clock.advance(SHARDS * 0.5 + 1)
        assert other.check(user=7).refused
        gate.set()


async def test_a_backend_that_is_away_leaves_what_is_known_and_is_told_later(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        events: list[Event] = []
        one.events.subscribe(events.append)
        bad(one, user=1)
        bad(one, user=2)
        await manual_clock.advance(1)
        slow.away = True
        await manual_clock.advance(1)
        bad(one, user=7)
        one.unblock("user:2")
        other.block("user:8", reason="")
        await manual_clock.advance(100)
        assert one.stats().blocklist == "lost"
        for threats in (one, other):  # the last known state, and what it did itself
            assert threats.check(user=1).refused
        assert one.check(user=7).refused
        assert not one.check(user=2).refused
        assert not other.check(user=7).refused
        slow.away = False
        await manual_clock.advance(2)
        for threats in (one, other):
            assert sorted(each.subject for each in threats.blocks()) == [
                "user:1", "user:7", "user:8",
            ]  # fmt: skip
        await manual_clock.advance(200)  # 301 s after the first, by the backend's time
        assert not other.check(user=1).refused
        lost, restored = (event for event in events if "Blocklist" in type(event).__name__)
        assert isinstance(lost, BlocklistLost)
        assert isinstance(restored, BlocklistRestored)
        assert one.stats().blocklist == "shared"


async def test_who_lifts_a_block_need_not_have_heard_of_it(manual_clock: ManualClock) -> None:
    deaf = Deaf(manual_clock)
    async with member(deaf, manual_clock) as one, member(deaf, manual_clock) as other:
        await manual_clock.advance(1)
        one.block("user:7", reason="")
        await manual_clock.advance(0)
        assert not other.check(user=7).refused
        assert not other.unblock("user:7")
        await manual_clock.advance(1)
        assert not one.check(user=7).refused
        assert not other.check(user=7).refused


async def test_a_full_list_is_shared_whole(slow: Slow, manual_clock: ManualClock) -> None:
    """Its names do not spread over the shards evenly."""
    most = SHARDS * 100
    async with (
        member(slow, manual_clock, max_blocks=most) as one,
        member(slow, manual_clock, max_blocks=most) as other,
    ):
        one.import_blocks("".join(f"user:{n}\n" for n in range(most)), reason="feed")
        await manual_clock.advance(1)
        assert len(other.blocks()) == len(one.blocks()) == most


async def test_who_comes_back_after_a_loss_says_so_again(
    slow: Slow, manual_clock: ManualClock
) -> None:
    one = member(slow, manual_clock)
    slow.away = True
    for _ in range(2):
        async with one:
            assert one.stats().blocklist == "lost"


async def test_a_backend_that_lost_its_memory_is_told_again(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """What was lifted stays lifted: only a shard that is gone was forgotten."""
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        for user in range(20):
            bad(one, user=user)
        other.block("user:21", reason="")
        await manual_clock.advance(1)
        one.unblock("user:3")
        await manual_clock.advance(1)
        keys = [f"threats:t:{shard}{part}" for shard in range(SHARDS) for part in ("", ":stamp")]
        assert await slow.delete(*keys)
        await manual_clock.advance(2)
        async with member(slow, manual_clock) as newcomer:
            assert len(newcomer.blocks()) == 20
            assert set(newcomer.blocks()) == set(one.blocks()) == set(other.blocks())


async def test_a_backend_that_is_away_at_the_start_is_waited_for(
    slow: Slow, manual_clock: ManualClock
) -> None:
    slow.away = True
    async with member(slow, manual_clock) as one:
        bad(one, user=7)
        assert one.check(user=7).refused
        slow.away = False
        await manual_clock.advance(1)
        async with member(slow, manual_clock) as other:
            assert other.check(user=7).refused


async def test_escalation_goes_on_in_another_process(slow: Slow, manual_clock: ManualClock) -> None:
    terms = Terms(first=3, factor=2)
    one, other = (member(slow, manual_clock, terms=terms) for _ in range(2))
    async with one, other:
        await manual_clock.advance(1)
        for seconds, threats in ((3, one), (6, other), (12, one)):
            bad(threats, user=7)
            assert threats.check(user=7).retry_after == seconds
            await manual_clock.advance(seconds + 1)


async def test_both_block_at_once_and_it_is_one_step(slow: Slow, manual_clock: ManualClock) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(1)
        bad(one, user=7)
        bad(other, user=7)
        await manual_clock.advance(1)
        for threats in (one, other):
            block = threats.explain("user:7").block
            assert block is not None
            assert block.times == 1


async def test_a_machine_with_a_wrong_clock_changes_nothing(
    slow: Slow, manual_clock: ManualClock
) -> None:
    """Also for what was blocked before the backend was first asked."""
    wrong = ManualClock(epoch=5.0)
    early = member(slow, wrong)
    bad(early, user=1)
    async with early, member(slow, manual_clock) as other:
        await wrong.advance(0)
        bad(early, user=7)
        await wrong.advance(0)
        await manual_clock.advance(0)
        for user in (1, 7):
            assert other.check(user=user).retry_after == 300
            assert early.check(user=user).retry_after == 300


async def test_a_wrong_clock_is_put_right_before_anything_is_written(
    slow: Slow, manual_clock: ManualClock
) -> None:
    wrong = ManualClock(epoch=5.0)
    early = member(slow, wrong)
    bad(early, user=1)
    gate = slow.hold("compare_and_set")
    starting = asyncio.ensure_future(early.__aenter__())
    await wrong.advance(0)  # the backend's time is known; what was decided here is not there yet
    standing = early.check(user=1)
    gate.set()
    await starting
    await early.close()
    assert standing.retry_after == 300


async def test_who_is_blocked_anew_stays_so_while_his_old_block_is_lifted(
    manual_clock: ManualClock,
) -> None:
    deaf = Deaf(manual_clock)
    async with member(deaf, manual_clock) as one, member(deaf, manual_clock) as other:
        one.block("user:7", reason="old")
        await manual_clock.advance(1)
        assert other.unblock("user:7")
        await manual_clock.advance(0)
        gate = deaf.hold("compare_and_set")
        one.block("user:7", reason="new")
        await manual_clock.advance(0)  # it has read that the old one is gone, and not written yet
        meanwhile = one.check(user=7)
        gate.set()
        await manual_clock.advance(1)
        assert meanwhile.refused
        assert other.check(user=7).refused


async def test_of_what_both_decide_the_longer_counts_at_once(manual_clock: ManualClock) -> None:
    deaf = Deaf(manual_clock)
    async with member(deaf, manual_clock) as one, member(deaf, manual_clock) as other:
        other.block("user:7", seconds=1000, reason="long")
        await manual_clock.advance(0)
        gate = deaf.hold("compare_and_set")
        one.block("user:7", seconds=10, reason="short")
        await manual_clock.advance(0)  # it has read the long one, and not written its own
        meanwhile = one.check(user=7)
        gate.set()
        assert meanwhile.retry_after == 1000


async def test_what_is_decided_while_it_is_told_is_told_too(
    slow: Slow, manual_clock: ManualClock
) -> None:
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        await manual_clock.advance(0)
        gate = slow.hold("set")
        one.block("user:7", reason="")
        await manual_clock.advance(0)  # the shard has it, its stamp is on the way
        one.unblock("user:7")
        gate.set()
        await manual_clock.advance(2)
        assert not one.check(user=7).refused
        assert not other.check(user=7).refused


async def test_what_is_owed_is_bounded_and_the_newest_is_kept(slow: Slow) -> None:
    clock = ManualClock()
    table = BlockTable(10_000, time := SharedTime(clock))
    share = Share(slow, "t", table, time, most=1, forget=60, told=lambda reason: None, clock=clock)
    for number in range(5_000):
        share.tell(f"user:{number}", None)
    assert len(share.owed) == 16 * SHARDS
    assert "user:4999" in share.owed


async def test_who_never_began_to_share_tells_nobody(slow: Slow, manual_clock: ManualClock) -> None:
    alone = member(slow, manual_clock)
    bad(alone, user=7)
    await alone.close()
    async with member(slow, manual_clock) as other:
        assert not other.check(user=7).refused


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"blocks":[[1,2,3]]}'])
async def test_what_is_no_state_of_ours_is_told_of_and_not_believed(
    slow: Slow, manual_clock: ManualClock, data: bytes
) -> None:
    async with member(slow, manual_clock) as one:
        one.block("user:7", reason="")
        await manual_clock.advance(1)
        for shard in range(SHARDS):
            await slow.set(f"threats:t:{shard}", data)
        await slow.publish("threats:t", data)
        await manual_clock.advance(2)
        assert one.stats().blocklist == "lost"
        assert one.check(user=7).refused


async def test_a_message_blocks_nobody(slow: Slow, manual_clock: ManualClock) -> None:
    async with member(slow, manual_clock) as one:
        for data in (b'{"blocks":[["user:7",0,null,1,""]]}', b"", b"\xff" * 1000):
            await slow.publish("threats:t", data)
        await manual_clock.advance(1)
        assert one.blocks() == []


async def test_two_detectors_of_different_names_share_nothing(
    slow: Slow, manual_clock: ManualClock
) -> None:
    other = ThreatDetector("u", [ONE], backend=slow, clock=manual_clock)
    async with member(slow, manual_clock) as one, other:
        bad(one, user=7)
        await manual_clock.advance(2)
        assert not other.check(user=7).refused


async def test_a_cancelled_start_leaves_no_task(slow: Slow, manual_clock: ManualClock) -> None:
    gate = slow.hold("now")
    starting = asyncio.ensure_future(member(slow, manual_clock).__aenter__())
    await manual_clock.advance(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    gate.set()
    assert manual_clock.sleepers == 0
    assert len(asyncio.all_tasks()) == 1


async def test_closing_tells_what_is_owed(slow: Slow, manual_clock: ManualClock) -> None:
    one = member(slow, manual_clock)
    await one.__aenter__()
    bad(one, user=7)
    await one.close()  # at once: nobody has told it yet
    assert one.stats().blocklist == "closed"
    assert one.check(user=7).refused
    async with member(slow, manual_clock) as other:
        assert other.check(user=7).refused


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_fleet_agrees_in_the_end(seed: int) -> None:
    """Lost messages, an absent backend, and three who block and lift: one state after a second."""
    rnd, clock = random.Random(seed), ManualClock()
    slow = Deaf(clock) if seed % 2 else Slow(clock)
    fleet = [member(slow, clock) for _ in range(3)]
    for each in fleet:
        await each.__aenter__()
    subjects = [f"user:{number}" for number in range(5)] + ["192.0.2.0/24", "2001:db8::1"]
    for _ in range(60):
        threats, subject = rnd.choice(fleet), rnd.choice(subjects)
        match rnd.randrange(5):
            case 0 | 1:
                threats.block(subject, seconds=rnd.choice([5, 500]), reason=str(rnd.random()))
            case 2:
                threats.unblock(subject)
            case 3:
                slow.away = rnd.random() < 0.3
            case 4:
                await clock.advance(rnd.choice([0, 0.2, 3]))
    slow.away = False
    await clock.advance(2.0)
    first, *others = [set(threats.blocks()) for threats in fleet]
    assert all(each == first for each in others)
    for each in fleet:
        await each.close()


async def test_a_long_list_is_shared(slow: Slow, manual_clock: ManualClock) -> None:
    text = "".join(f"10.{n >> 8}.{n & 255}.0/24\n" for n in range(5_000))
    async with member(slow, manual_clock) as one, member(slow, manual_clock) as other:
        one.import_blocks(text, reason="feed")
        await manual_clock.advance(1)
        assert other.export_blocks() == one.export_blocks()
        assert other.check(ip="10.3.7.9").refused


async def test_many_block_at_once_on_redis_and_none_is_lost(redis_url: str) -> None:
    await check_that_none_is_lost(redis_url, members=4)


async def test_many_block_at_once_on_sqlite_and_none_is_lost(tmp_path: Path) -> None:
    await check_that_none_is_lost(f"sqlite:///{tmp_path}/t.db", members=2)


async def check_that_none_is_lost(url: str, *, members: int) -> None:
    backends = [open_backend(url) for _ in range(members)]
    fleet = [member(backend) for backend in backends]
    for each in fleet:
        await each.__aenter__()
    for number in range(members * 12):
        bad(fleet[number % members], user=number % 12)

    async def all_know() -> bool:
        return all(each.check(user=user).refused for each in fleet for user in range(12))

    await eventually(all_know, timeout=30, what="all blocks in all members")
    for each, backend in zip(fleet, backends, strict=True):
        await each.close()
        await backend.close()


class Worker:
    """A process with a detector."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *command: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def workers(url: str, count: int) -> AsyncIterator[list[Worker]]:
    started: list[asyncio.subprocess.Process] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.security.threat_worker", url,
                cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            started.append(process)
        yield [Worker(process) for process in started]
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_who_is_blocked_in_one_process_is_refused_in_the_others(
    own_redis_server: Any,
) -> None:
    """By message, after messages were lost, and after the server was away."""
    server: RedisServer = own_redis_server()
    async with workers(server.url, 3) as (one, other, third):

        async def everywhere(wanted: bool, **who: object) -> None:
            async def look() -> bool:
                said = [await each.ask("refused", who) for each in (one, other, third)]
                return said == [wanted] * 3

            await eventually(look, timeout=30, what=f"{who} refused: {wanted}")

        await one.ask("fail", 7)
        await everywhere(True, user=7)
        assert await other.ask("unblock", "user:7")
        await everywhere(False, user=7)
        for each in (one, other, third):
            await each.ask("mute", True)
        await other.ask("fail", 8)
        await third.ask("block", "198.51.100.0/24")
        await everywhere(True, user=8)
        await everywhere(True, ip="198.51.100.77")
        await everywhere(False, ip="198.51.101.77")

        server.stop()

        async def lost() -> bool:
            return [await each.ask("state") for each in (one, other, third)] == ["lost"] * 3

        await eventually(lost, timeout=30, what="the loss of the server")
        await one.ask("fail", 9)
        assert await one.ask("refused", {"user": 9})
        assert await third.ask("refused", {"user": 8})
        server.start()
        await everywhere(True, user=9)
        await everywhere(True, user=8)
