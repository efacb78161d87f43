"""Bulkheads as their users make them."""

from typing import Any, TypedDict, overload

from mobius_infra.breaker._bulkhead import Bulkhead
from mobius_infra.breaker._bulkhead_keyed import KeyedBulkhead
from mobius_infra.breaker._bulkhead_queue import Fifo, WaitQueue
from mobius_infra.breaker._checks import is_number, require_count
from mobius_infra.breaker._keys import KeyTemplate
from mobius_infra.core import Clock, Config, ConfigurationError, SystemClock, require


class BulkheadOptions(TypedDict):
    """What `BulkheadConfig.options` returns."""

    limit: int
    queue: int
    max_wait: float | None
    name: str


class BulkheadConfig(Config):
    """All that a file can say of a `bulkhead`; the fields are its parameters.

    For example::

        reports = bulkhead(**BulkheadConfig.load(settings).options())
    """

    limit: int
    queue: int = 0
    max_wait: float | None = 1.0
    name: str = "bulkhead"

    def options(self) -> BulkheadOptions:
        """Return the keyword arguments of `bulkhead`."""
        return BulkheadOptions(
            limit=self.limit, queue=self.queue, max_wait=self.max_wait, name=self.name
        )


@overload
def bulkhead(
    limit: int,
    *,
    queue: int | WaitQueue[Any] = 0,
    max_wait: float | None = 1.0,
    tenant: KeyTemplate | None = None,
    key: None = None,
    name: str = "bulkhead",
    clock: Clock | None = None,
) -> Bulkhead: ...
@overload
def bulkhead(
    limit: int,
    *,
    queue: int = 0,
    max_wait: float | None = 1.0,
    key: KeyTemplate,
    name: str = "bulkhead",
    clock: Clock | None = None,
) -> KeyedBulkhead: ...
def bulkhead(
    limit: int,
    *,
    queue: int | WaitQueue[Any] = 0,  # Any: see `Bulkhead`
    max_wait: float | None = 1.0,
    tenant: KeyTemplate | None = None,
    key: KeyTemplate | None = None,
    name: str = "bulkhead",
    clock: Clock | None = None,
) -> Bulkhead | KeyedBulkhead:
    """Let at most `limit` calls be under way at once.

        @bulkhead(10, queue=100, max_wait=1.0)
        async def report(user_id: int) -> bytes: ...

    A dependency that has become slow keeps its callers waiting, with all that they hold: sockets,
    memory, locks. A bulkhead bounds how many of them there are (Michael Nygard, "Release It!"). How
    many a healthy dependency needs is calls a second times seconds a call (Little's law).

    It works as `async with bulkhead:` too, and by `acquire` and `release`. It belongs to one event
    loop.

    Args:
        limit: calls at once.
        queue: calls that wait for a slot, first come first served, or a `WaitQueue` that orders
            them otherwise. By default none waits: a queue hides that there is too much to do, and
            only makes sense for what comes in bursts.
        max_wait: seconds that a call waits at most; None: as long as it takes.
        tenant: on whose account a call waits, for a queue that tenants share: a parameter's name, a
            template such as `{user.id}`, or a function of the call's arguments.
        key: give each key a bulkhead of its own, called `name[key]`: a parameter, a template or a
            function as for `tenant`. The queue is then a number, for each.
        name: labels its numbers, events and errors.
        clock: measures the waiting.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """
    require_count("limit", limit)
    require(bool(name), "name", name, "a name for numbers, events and errors")
    if max_wait is not None:
        good = is_number(max_wait) and max_wait > 0
        require(good, "max_wait", max_wait, "a positive number of seconds, or None")
    clock = clock or SystemClock()
    if isinstance(queue, int):
        good = not isinstance(queue, bool) and queue >= 0
        require(good, "queue", queue, "a number of calls from 0 up, or a queue")
        alike = "left out, if `queue` is a number: who comes first is served first, whoever it is"
        require(tenant is None, "tenant", tenant, alike)
        room = queue
        if key is not None:
            return KeyedBulkhead(
                name,
                limit,
                key,
                lambda of: Bulkhead(
                    f"{name}[{of}]", limit, Fifo(room), max_wait=max_wait, tenant=None, clock=clock
                ),
            )
        queue = Fifo(queue)
    require(key is None, "key", key, "left out, if `queue` is not a number: it would be shared")
    for method in ("push", "pop", "remove", "__len__"):
        if not callable(getattr(queue, method, None)):
            raise ConfigurationError("queue", queue, f"a queue that has {method}, or a number")
    return Bulkhead(name, limit, queue, max_wait=max_wait, tenant=tenant, clock=clock)
