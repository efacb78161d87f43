"""Passwords: hashed off the event loop, verified for nobody in the same time, never shown."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import argon2
import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.security import PasswordRefusedError, Passwords

CHEAP: dict[str, Any] = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}
SECRET = "correct horse battery"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    async with Passwords(**CHEAP) as made:
        yield made


async def test_the_right_one_is_right(passwords: Passwords) -> None:
    stored = await passwords.hash(SECRET)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert stored != await passwords.hash(SECRET)
    assert await passwords.verify(stored, SECRET)
    assert not await passwords.verify(stored, SECRET + " ")
    assert not passwords.outdated(stored)
    stats = passwords.stats()
    assert (stats.hashed, stats.right, stats.wrong, stats.waiting) == (2, 1, 1, 0)


async def test_a_peers_hash_is_read(passwords: Passwords) -> None:
    stored = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(SECRET)
    assert await passwords.verify(stored, SECRET)
    assert passwords.outdated(stored)


async def test_the_same_password_is_the_same_on_every_keyboard(passwords: Passwords) -> None:
    stored = await passwords.hash("cafe\u0301 crème")
    assert await passwords.verify(stored, "café cre\u0300me")


async def test_a_user_there_is_not_takes_the_same_work(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same parameters, salt and size of hash: the work is the same, whatever the machine."""
    asked: list[str] = []
    verify = passwords._hasher.verify

    def watch(stored: str, data: bytes) -> bool:
        asked.append(stored)
        return bool(verify(stored, data))

    monkeypatch.setattr(passwords, "_hasher", Watched(watch))
    stored = argon2.PasswordHasher(1, 64, 1).hash(SECRET)
    assert await passwords.verify(stored, SECRET)
    assert not await passwords.verify(None, SECRET)
    known, nobodys = (argon2.extract_parameters(each) for each in asked)
    assert known == nobodys
    assert len(asked[0]) == len(asked[1])


class Watched:
    def __init__(self, verify: Any) -> None:
        self.verify = verify


async def test_parameters_by_default_are_those_of_rfc_9106() -> None:
    async with Passwords() as passwords:
        stored = await passwords.hash(SECRET)
        assert argon2.extract_parameters(stored) == argon2.profiles.RFC_9106_LOW_MEMORY
        assert await passwords.verify(stored, SECRET)
        assert not await passwords.verify(None, SECRET)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1_025, "\ud800" * 10, None, b"12345678"])
async def test_what_is_no_password_is_refused(passwords: Passwords, password: Any) -> None:
    with pytest.raises(PasswordRefusedError):
        await passwords.hash(password)
    stored = await passwords.hash(SECRET)
    assert not await passwords.verify(stored, password)
    assert not await passwords.verify(None, password)


async def test_a_password_of_before_a_longer_one_was_asked_for_is_still_right() -> None:
    async with Passwords(**CHEAP) as before, Passwords(**CHEAP, shortest=30) as now:
        assert await now.verify(await before.hash(SECRET), SECRET)


@pytest.mark.parametrize("stored", ["", "x", "$2b$12$" + "a" * 53, "$argon2id$v=19$m=64,t=1,p=1$"])
async def test_what_is_no_hash_is_an_error_that_does_not_show_it(
    passwords: Passwords, stored: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await passwords.verify(stored, SECRET)
    assert len(stored) < 2 or stored not in f"{caught.value} {caught.value.fields()}"
    with pytest.raises(ConfigurationError):
        passwords.outdated(stored)


async def test_no_more_than_so_many_at_once_also_when_callers_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each takes its memory until it is done, whether somebody waits for it or not."""
    async with Passwords(**CHEAP, at_once=2) as passwords:
        go, inside, most, lock = threading.Event(), 0, 0, threading.Lock()
        entered = threading.Semaphore(0)

        def slow(_data: bytes) -> str:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            entered.release()
            assert go.wait(30)
            with lock:
                inside -= 1
            return "x"

        class Slow:
            hash = staticmethod(slow)

        monkeypatch.setattr(passwords, "_hasher", Slow())
        callers = [asyncio.ensure_future(passwords.hash(SECRET)) for _ in range(6)]
        for _ in range(2):
            assert await asyncio.to_thread(entered.acquire, timeout=30)
        for caller in callers:
            caller.cancel()
        told = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in told)
        assert passwords.stats().waiting == 0
        more = asyncio.ensure_future(passwords.hash(SECRET))
        await asyncio.sleep(0)
        go.set()
        await more
        assert most == 2


async def test_it_is_not_shown(passwords: Passwords, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stored = await passwords.hash(SECRET)
    await passwords.verify(stored, SECRET)
    with pytest.raises(PasswordRefusedError) as caught:
        await passwords.hash("hunter2")
    with pytest.raises(ConfigurationError) as other:
        await passwords.verify("junk", SECRET)
    chained = f"{other.value.__cause__} {caught.value!r} {caught.value.fields()}"
    text = f"{caplog.text} {passwords!r} {passwords.stats()} {chained} {other.value!r}"
    for secret in (SECRET, "hunter2", "junk", stored):
        assert secret not in text
    wanted = "Passwords('passwords', time_cost=1, memory_cost=64, parallelism=1)"
    assert repr(passwords) == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("time_cost", 0),
        ("memory_cost", 7),
        ("parallelism", True),
        ("shortest", 0),
        ("longest", 5),
        ("at_once", 1.5),
    ],
)
def test_what_cannot_work_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Passwords(**{**CHEAP, field: value})
    assert caught.value.field == field
