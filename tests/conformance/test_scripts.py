"""Scripts: a pure step, atomic wherever it runs."""

import asyncio

from mobius_infra.core import Backend, Outcome, Scalar, Script, State
from tests.servers.waiting import eventually


def add(state: State | None, now: float, amount: float, /) -> Outcome[tuple[float, float]]:
    before = state[0] if state else 0
    return [before + amount, now], (before, before + amount), 1000.0


ADD = Script(
    "add",
    add,
    """
    return function(state, now, amount)
        local before = state and state[1] or 0
        return {before + amount, now}, {before, before + amount}, 1000
    end
    """,
)


def echo(
    state: State | None, now: float, a: str, b: int, c: float, d: bool, /
) -> Outcome[tuple[Scalar, ...]]:
    return [a, b, c, d], (a, b, c, d), None


ECHO = Script(
    "echo",
    echo,
    "return function(state, now, a, b, c, d) return {a, b, c, d}, {a, b, c, d}, nil end",
)


def last(state: State | None, now: float, keep: bool, ttl: float, /) -> Outcome[tuple[bool, float]]:
    return ([now] if keep else None), (state is not None, now), ttl


LAST = Script(
    "last",
    last,
    """
    return function(state, now, keep, ttl)
        local after = nil
        if keep then after = {now} end
        return after, {state ~= nil, now}, ttl
    end
    """,
)


async def test_a_step_sees_what_the_one_before_left(backend: Backend) -> None:
    assert await backend.run(ADD, "n", 5) == (0, 5)
    assert await backend.run(ADD, "n", 0.1) == (5, 5.1)
    assert await backend.run(ADD, "other", 1) == (0, 1)


async def test_a_hundred_steps_at_once_are_all_counted(backend: Backend) -> None:
    results = await asyncio.gather(*(backend.run(ADD, "n", 1) for _ in range(100)))
    assert sorted(after for _, after in results) == list(range(1, 101))


async def test_scalars_come_back_as_they_were(backend: Backend) -> None:
    for given in (
        ("", 0, 0.1, True),
        ("п\n'\"\\\0", -(2**53), 1e-300, False),
        ("true", 2**53, 1 / 3, True),
        ("1", 7, 123456789.123456789, False),
    ):
        found = await backend.run(ECHO, "k", *given)
        assert found == given
        assert isinstance(found[3], bool)
        assert isinstance(found[0], str)


async def test_the_time_is_the_backends(backend: Backend) -> None:
    before = await backend.now()
    _, during = await backend.run(LAST, "k", True, 100.0)
    after = await backend.now()
    assert before - 0.001 <= during <= after + 0.001


async def test_no_state_deletes_it_and_so_does_delete(backend: Backend) -> None:
    assert (await backend.run(LAST, "k", True, 100.0))[0] is False
    assert (await backend.run(LAST, "k", False, 100.0))[0] is True
    assert (await backend.run(LAST, "k", True, 100.0))[0] is False
    assert await backend.delete("k") == 1
    assert (await backend.run(LAST, "k", True, 100.0))[0] is False


async def test_a_state_is_forgotten_after_its_time(backend: Backend) -> None:
    async def gone() -> bool:
        # Each look leaves a state that lives for less than the pause before the next.
        existed, _ = await backend.run(LAST, "k", True, 0.001)
        return not existed

    await backend.run(LAST, "k", True, 0.001)
    await eventually(gone, timeout=60, what="the state to be gone")


async def test_who_is_cancelled_leaves_the_others_their_steps(backend: Backend) -> None:
    tasks = [asyncio.create_task(backend.run(ADD, "n", 1)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    _, after = await backend.run(ADD, "n", 1)
    assert 11 <= after <= 21
    assert sum(not task.cancelled() for task in tasks) >= 10
