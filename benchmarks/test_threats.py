"""Looking a subject up among 100,000 blocks; the first is the floor: a look into a dict.

Addresses asked for are a thousand different ones, since one alone would stay in the processor's
cache. `range` is a list of 100,000 networks of /18 to /30, so that the radix tree is deep.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from benchmarks.conftest import CALLS, Measure
from mobius_infra.security import (
    Activity,
    Baseline,
    ThreatDetector,
    enumeration,
    failed_logins,
    flooding,
)

BLOCKS = 100_000
RANDOM = random.Random(5)


def v4() -> IPv4Address:
    return IPv4Address(RANDOM.randrange(0x0B000000, 0xDF000000))


def v6() -> IPv6Address:
    return IPv6Address(0x2A << 120 | RANDOM.getrandbits(110))


def blocked(lines: Sequence[str]) -> ThreatDetector:
    threats = ThreatDetector("t", [], max_blocks=BLOCKS)
    threats.import_blocks("\n".join(lines), reason="feed")
    assert len(threats.blocks()) > BLOCKS * 0.98
    return threats


def network() -> str:
    prefix = RANDOM.randrange(18, 31)
    return f"{IPv4Address(int(v4()) >> (32 - prefix) << (32 - prefix))}/{prefix}"


LISTS: dict[str, Callable[[], list[str]]] = {
    "users": lambda: [f"user:{number}" for number in range(BLOCKS)],
    "addresses": lambda: [str(v4()) for _ in range(BLOCKS)],
    "ranges": lambda: [network() for _ in range(BLOCKS)],
    "ipv6": lambda: [str(v6()) for _ in range(BLOCKS)],
}
MADE: dict[str, tuple[ThreatDetector, list[str]]] = {}


def made(kind: str) -> tuple[ThreatDetector, list[str]]:
    if kind not in MADE:
        lines = LISTS[kind]()
        MADE[kind] = blocked(lines), lines
    return MADE[kind]


def look_up(benchmark: Any, call: Callable[[Any], object], asked: Sequence[Any]) -> None:
    assert len(asked) == CALLS

    def many() -> None:
        for each in asked:
            call(each)

    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(many, rounds=100, warmup_rounds=5)


@pytest.mark.benchmark(group="threats: a look-up among 100,000 blocks")
class TestLookUp:
    def test_dict(self, benchmark: Any) -> None:
        look_up(benchmark, dict.fromkeys(range(BLOCKS)).get, range(CALLS))

    @pytest.mark.parametrize("hit", [False, True], ids=["miss", "hit"])
    @pytest.mark.parametrize("kind", list(LISTS))
    def test_find(self, benchmark: Any, kind: str, hit: bool) -> None:
        threats, lines = made(kind)
        find = threats._list.table.find
        if kind == "users":
            users = range(BLOCKS - CALLS, BLOCKS) if hit else range(BLOCKS, BLOCKS + CALLS)
            look_up(benchmark, find, users)
            return
        chosen = RANDOM.sample(lines, CALLS)
        if not hit:
            make = v6 if kind == "ipv6" else v4
            chosen = [str(make()) for _ in range(CALLS)]
        asked = [each.partition("/")[0] for each in chosen]
        look_up(benchmark, partial(find, None), asked)

    def test_all_of_check(self, benchmark: Any) -> None:
        """User, address and chat, nothing found: what each call pays."""
        threats = made("addresses")[0]
        asked = [(number, str(v4()), -number) for number in range(CALLS)]
        look_up(
            benchmark, lambda each: threats.check(user=each[0], ip=each[1], chat=each[2]), asked
        )


@pytest.mark.benchmark(group="threats: a guarded call, 100,000 users blocked")
class TestGuarded:
    @pytest.mark.parametrize("kind", ["bare", "guarded"])
    def test_call(self, measure: Measure, kind: str) -> None:
        async def handle(user: int) -> int:
            return user

        call: Callable[[int], Awaitable[int]] = handle
        if kind == "guarded":
            call = made("users")[0].guarded(user="user")(handle)
        measure(lambda: call(-7))


@pytest.mark.benchmark(group="threats: an activity reported")
class TestReport:
    @pytest.mark.parametrize("scenarios", ["none", "three", "three and a baseline"])
    def test_report(self, benchmark: Any, scenarios: str) -> None:
        chosen = [] if scenarios == "none" else [failed_logins(), enumeration(), flooding()]
        baseline = Baseline() if "baseline" in scenarios else None
        threats = ThreatDetector("t", chosen, baseline=baseline, mode="observe")
        done = [Activity("command", user=number) for number in range(CALLS)]
        look_up(benchmark, threats.report, done)
