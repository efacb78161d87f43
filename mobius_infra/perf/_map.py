"""`map_bounded`: an async function over a source of any length, so many calls at once."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar

from mobius_infra.core import require
from mobius_infra.perf._checks import require_count
from mobius_infra.perf._map_run import MapRun

T = TypeVar("T")
R = TypeVar("R")


def map_bounded(
    func: Callable[[T], Awaitable[R]],
    source: Iterable[T] | AsyncIterable[T],
    /,
    *,
    limit: int,
    ordered: bool = False,
    ahead: int | None = None,
) -> AsyncGenerator[R, None]:
    """Call `func` with each item, and give the results as they come.

        async with aclosing(map_bounded(fetch, urls, limit=20)) as pages:
            async for page in pages: ...

    The first error cancels all other calls, waits for their end, and is raised as itself; results
    that were not taken by then are gone, and what else fails meanwhile is logged. Leaving the block
    early does the same without an error. Without `aclosing`, calls that are under way at a `break`
    are cancelled a little later, when Python finds that nobody has the generator any more.

    Args:
        func: takes one item. Each call is a task with context variables of its own.
        source: a sync or an async iterable. An item is taken only when there is room for its call
            and for its result.
        limit: calls under way at once.
        ordered: give results in the order of `source`. A slow call then holds back those after
            it.
        ahead: results that may wait to be taken, beside `limit` calls, before no more calls
            begin; as many as `limit` by default.

    Raises:
        ConfigurationError: for a limit or a source that can't work.
    """
    require(callable(func), "func", func, "an async function")
    require_iterable(source)
    require_count("limit", limit)
    ahead = limit if ahead is None else ahead
    require_count("ahead", ahead, least=0)
    return MapRun(func, source, limit=limit, ahead=ahead, ordered=ordered).results()


def require_iterable(source: object) -> None:
    """Refuse what items can't be taken from.

    Raises:
        ConfigurationError: naming it.
    """
    good = isinstance(source, Iterable | AsyncIterable)
    require(good, "source", source, "an iterable or an async iterable")
