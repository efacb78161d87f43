"""Records a second: with the system, and on the disk; and verified ones."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from mobius_infra.security import AuditLog, Key, verify_trail

KEY = Key.parse("s7Vt3yq1uUOZ0kH4mXb2nWcE8pJr6LdFgA9iQxTzYoM=")
Record = Callable[[str, str], None]


async def rate(
    path: Path, mode: Literal["durable", "buffered"], writers: int, each: int, rounds: int
) -> float:
    """Return the best of some rounds, in acknowledged records a second."""
    best = 0.0
    async with AuditLog(path, [KEY], mode=mode) as audit:

        async def write() -> None:
            for number in range(each):
                await audit.record(
                    "wallet.withdrawn",
                    actor="user:7",
                    object="wallet:9",
                    outcome="ok",
                    details={"amount": "12.5", "number": number},
                )

        for _ in range(rounds):
            begun = time.perf_counter()
            await asyncio.gather(*(write() for _ in range(writers)))
            best = max(best, writers * each / (time.perf_counter() - begun))
    return best


def test_appends_without_fsync(tmp_path: Path, record_figure: Record) -> None:
    for writers in (1, 100, 1_000):
        found = asyncio.run(
            rate(tmp_path / str(writers), "buffered", writers, 20_000 // writers, 5)
        )
        record_figure(f"{writers} writers", f"{found:,.0f} records/s")


def test_group_commit(tmp_path: Path, record_figure: Record) -> None:
    for writers in (1, 10, 100):
        found = asyncio.run(rate(tmp_path / str(writers), "durable", writers, 50, 5))
        record_figure(f"{writers} writers", f"{found:,.0f} records/s")


def test_appends_that_nobody_waits_for(tmp_path: Path, record_figure: Record) -> None:
    async def run() -> float:
        async with AuditLog(tmp_path, [KEY], mode="buffered", max_waiting=100_000) as audit:
            best = 0.0
            for _ in range(5):
                begun = time.perf_counter()
                for number in range(20_000):
                    audit.note("wallet.withdrawn", actor="user:7", details={"number": number})
                await audit.flush()
                best = max(best, 20_000 / (time.perf_counter() - begun))
            return best

    record_figure("written", f"{asyncio.run(run()):,.0f} records/s")


def test_verification(tmp_path: Path, record_figure: Record) -> None:
    asyncio.run(rate(tmp_path, "buffered", 100, 200, 1))
    begun = time.perf_counter()
    report = verify_trail(tmp_path, [KEY])
    assert report.ok
    record_figure("verified", f"{report.size / (time.perf_counter() - begun):,.0f} entries/s")


@pytest.mark.benchmark(group="audit: the chain")
class TestChain:
    def test_sha256_of_a_record(self, benchmark: Callable[..., object]) -> None:
        from hashlib import sha256

        data = b"x" * 200
        benchmark(lambda: sha256(data).digest())

    def test_an_entry(self, benchmark: Callable[..., object]) -> None:
        from mobius_infra.security._audit_chain import Chain, ChainKey

        chain, key, body = Chain.start(), ChainKey(KEY), b'{"at":1.5,"x":"%b"}' % (b"x" * 180)
        benchmark(chain.add, key, body)
