"""`gather_bounded`: await many things, so many at once."""

from collections.abc import AsyncIterable, Awaitable, Collection, Iterable
from contextlib import aclosing
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import Literal, TypeVar, overload

from mobius_infra.perf._checks import require_count
from mobius_infra.perf._map import require_iterable
from mobius_infra.perf._map_run import MapRun

R = TypeVar("R")
Source = Iterable[Awaitable[R]] | AsyncIterable[Awaitable[R]]


@overload
async def gather_bounded(
    awaitables: Source[R], /, *, limit: int, return_exceptions: Literal[False] = False
) -> list[R]: ...
@overload
async def gather_bounded(
    awaitables: Source[R], /, *, limit: int, return_exceptions: bool
) -> list[R | Exception]: ...
async def gather_bounded(
    awaitables: Source[R], /, *, limit: int, return_exceptions: bool = False
) -> list[R] | list[R | Exception]:
    """Await each of `awaitables` and return their results in order.

        pages = await gather_bounded((fetch(url) for url in urls), limit=20)

    The first error cancels the others, waits for their end, and is raised as itself, and so does a
    cancellation: nothing goes on behind, unlike with `asyncio.gather`. Coroutines of a list or
    another collection that were never begun are closed.

    Args:
        awaitables: best a generator, so that no more coroutines than `limit` exist at once.
        limit: how many are awaited at once.
        return_exceptions: put each `Exception` in its place instead of raising the first.

    Raises:
        ConfigurationError: for a limit that can't work.
    """
    try:
        require_iterable(awaitables)
        require_count("limit", limit)
        run = MapRun(
            _or_exception if return_exceptions else _itself,
            awaitables,
            limit=limit,
            ahead=limit,
            ordered=True,
        )
        async with aclosing(run.results()) as results:
            return [result async for result in results]
    finally:
        if isinstance(awaitables, Collection):
            for each in awaitables:
                if iscoroutine(each) and getcoroutinestate(each) == CORO_CREATED:
                    each.close()


def _itself(awaitable: Awaitable[R]) -> Awaitable[R]:
    return awaitable


async def _or_exception(awaitable: Awaitable[R]) -> R | Exception:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - it is asked for
        return error
