import asyncio

import pytest

from tests.servers.waiting import eventually, wait_until


def test_waiting_returns_the_first_true_value() -> None:
    answers = iter(["", None, "ready", "later"])
    assert wait_until(lambda: next(answers), timeout=60, what="an answer") == "ready"


def test_waiting_asks_at_least_once_even_without_time() -> None:
    assert wait_until(lambda: True, timeout=0, what="nothing")


def test_waiting_gives_up_at_the_deadline_and_says_on_what() -> None:
    with pytest.raises(TimeoutError, match=r"gave up waiting for the moon after 0\.01 s"):
        wait_until(lambda: False, timeout=0.01, what="the moon")


async def test_waiting_in_a_coroutine_returns_the_first_true_value() -> None:
    answers = iter([0, 0, 3])

    async def answer() -> int:
        return next(answers)

    assert await eventually(answer, timeout=60, what="an answer") == 3


async def test_waiting_in_a_coroutine_lets_others_run() -> None:
    arrived = asyncio.Event()
    asyncio.get_running_loop().call_soon(arrived.set)

    async def has_arrived() -> bool:
        return arrived.is_set()

    assert await eventually(has_arrived, timeout=60, what="the other task")


async def test_waiting_in_a_coroutine_gives_up_on_a_condition_that_hangs() -> None:
    async def hang() -> bool:
        return await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="gave up waiting for the moon"):
        await eventually(hang, timeout=0.01, what="the moon")


async def test_a_conditions_own_time_out_is_not_mistaken_for_the_deadline() -> None:
    async def fail() -> bool:
        raise TimeoutError("the condition's own")

    with pytest.raises(TimeoutError, match="the condition's own"):
        await eventually(fail, timeout=60, what="an answer")
