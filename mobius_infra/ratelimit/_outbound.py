"""The client's side: keep to the limits of an upstream, as a bot's sender must.

An upstream says "N in a window", which it may count from any moment; so these limits are logs, of
which no stretch of the window's length ever sees more than N.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from mobius_infra.core import (
    Backend,
    Clock,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._events import OutboundPaused
from mobius_infra.ratelimit._limiter import RateLimiter
from mobius_infra.ratelimit._limits import Limits, SlidingWindowLog, parse_limits
from mobius_infra.ratelimit._line import Lines
from mobius_infra.ratelimit._policy import Decision

Chat = int | str


@dataclass(frozen=True, slots=True)
class OutboundStats(Stats):
    """What a sender did."""

    sent: int = counter("Messages that were let out")
    refused: int = counter("Messages that would have waited too long")
    pauses: Mapping[str, int] = counter("Pauses that the upstream asked for", label="scope")
    waiting: int = gauge("Messages that wait now")


class Outbound:
    """Lets messages out in order, within the limits of an upstream: overall, and by chat.

        limits = telegram()

        async def send(chat_id: int, text: str) -> None:
            async with limits.sending(chat_id):
                await bot.send_message(chat_id, text)

    Messages of one chat go out in the order in which they came. A chat that must wait holds up no
    other; what all have in common is taken by whoever is ready first.

    Args:
        name: labels its numbers and errors.
        overall: the limit of all messages together.
        chat: of the chat that a message goes to; of groups by `group`.
        group: of a group.
        is_group: says of a chat whether it is one.
        max_wait: seconds that a message waits at most, pauses included.
        max_waiting: messages of one chat that wait at most.
        backend: keeps the limits for several processes that send for the same bot.
        replicas: how many those are: each keeps to its share while the backend is away.
        clock: measures waits and pauses.

    Attributes:
        events: emits `OutboundPaused`.
    """

    __slots__ = (
        "_all_until", "_chats", "_clock", "_door", "_groups", "_is_group", "_lines", "_max_wait",
        "_overall", "_paused", "_pauses", "_refused", "_sent", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        overall: Limits,
        chat: Limits,
        group: Limits,
        is_group: Callable[[Chat], bool],
        max_wait: float = 300.0,
        max_waiting: int = 1_000,
        backend: Backend | None = None,
        replicas: int = 1,
        clock: Clock | None = None,
    ) -> None:
        require(0 <= max_wait < float("inf"), "max_wait", max_wait, "zero or more seconds")
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._overall, self._chats, self._groups = (
            RateLimiter(
                f"{name}: {part}",
                limits,
                backend=backend,
                replicas=replicas,
                mirror=True,
                clock=self._clock,
            )
            for part, limits in (("overall", overall), ("chat", chat), ("group", group))
        )
        self._is_group = is_group
        self._max_wait = max_wait
        self._lines = Lines(max_waiting)
        self._door = asyncio.Lock()  # fair: who is ready first goes first
        self._paused: dict[str, float] = {}  # chats, until when; monotonic
        self._all_until = 0.0
        self._sent = self._refused = 0
        self._pauses = {"chat": 0, "all": 0}

    @asynccontextmanager
    async def sending(self, chat: Chat) -> AsyncIterator[None]:
        """Wait for the message's turn; hear what the upstream says of it.

        An error of the block with a number `retry_after`, as clients of Telegram raise for a 429,
        pauses the chat for so long. Telegram doesn't say whose limit it was: so if another chat is
        paused already, it is taken for everybody's. The error goes on to the caller in any case.

        Raises:
            RateLimitedError: if the message would wait longer than `max_wait`.
        """
        await self.slot(chat)
        try:
            yield
        except Exception as error:
            # A rejection is of one of our own limiters, not of the upstream.
            seconds = None if isinstance(error, Rejected) else getattr(error, "retry_after", None)
            if isinstance(seconds, int | float) and 0 < seconds < float("inf"):
                others = self._now_paused() - {str(chat)}
                self.pause(seconds, None if others else chat)
            raise

    async def slot(self, chat: Chat) -> None:
        """Return when a message to `chat` may go out; it is counted from then.

        Raises:
            RateLimitedError: as of `sending`.
        """
        key = str(chat)
        limiter = self._groups if self._is_group(chat) else self._chats
        deadline = self._clock.monotonic() + self._max_wait
        if self._lines.ahead(key, 0.0, 1, 0.0) is None:
            raise self._refuse(key, await limiter.peek(key))
        async with self._lines.turn(key, 1):
            while not await self._try(key, limiter, deadline):
                pass
        self._sent += 1

    async def _try(self, key: str, limiter: RateLimiter, deadline: float) -> bool:
        """Wait for the chat's limit, then for that of all; take both, or neither."""
        decision = await limiter.peek(key)
        if decision.allowed and self._pause_left(key) <= 0:
            async with self._door:
                refused = await self._take(key, limiter, decision, deadline)
            if refused is None:
                return True
            decision = refused
        wait = max(self._pause_left(key), decision.retry_after, 0)
        await self._sleep(wait, key, decision, deadline)
        return False

    async def _take(
        self, key: str, limiter: RateLimiter, decision: Decision, deadline: float
    ) -> Decision | None:
        """Take both; return what the chat's limit said, if that or a pause is against it now."""
        while self._pause_left(key) <= 0:
            if self._clock.monotonic() > deadline:  # the door was long in coming
                raise self._refuse(key, decision._replace(allowed=False))
            try:
                permit = await self._overall.acquire()
            except RateLimitedError as error:
                await self._sleep(error.decision.retry_after, key, error.decision, deadline)
                continue
            try:
                await limiter.acquire(key)
            except RateLimitedError as error:  # another process was there first
                await permit.cancel()
                return error.decision
            return None
        return decision

    async def _sleep(self, wait: float, key: str, decision: Decision, deadline: float) -> None:
        if self._clock.monotonic() + wait > deadline:
            raise self._refuse(key, decision._replace(allowed=False, retry_after=wait))
        await self._clock.sleep(wait)

    def pause(self, seconds: float, chat: Chat | None = None) -> None:
        """Let nothing out for so long, to `chat` or to anybody. A longer pause stays.

        Raises:
            ConfigurationError: if `seconds` is not positive.
        """
        require(0 < seconds < float("inf"), "seconds", seconds, "a positive number of seconds")
        until = self._clock.monotonic() + seconds
        self._pauses["all" if chat is None else "chat"] += 1
        key = None if chat is None else str(chat)
        at = self._clock.time()
        self.events.emit(OutboundPaused(source=self.name, at=at, chat=key, seconds=seconds))
        if key is None:
            self._all_until = max(self._all_until, until)
            return
        for ended in self._paused.keys() - self._now_paused():
            del self._paused[ended]
        self._paused[key] = max(self._paused.get(key, 0.0), until)

    def _now_paused(self) -> set[str]:
        now = self._clock.monotonic()
        return {key for key, until in self._paused.items() if until > now}

    def _pause_left(self, key: str) -> float:
        until = max(self._all_until, self._paused.get(key, 0.0))
        return until - self._clock.monotonic()

    def _refuse(self, key: str, decision: Decision) -> RateLimitedError:
        self._refused += 1
        return RateLimitedError(self.name, key, decision)

    def stats(self) -> OutboundStats:
        """Return the numbers as they are now."""
        return OutboundStats(
            sent=self._sent,
            refused=self._refused,
            pauses=dict(self._pauses),
            waiting=self._lines.waiting,
        )

    def __repr__(self) -> str:
        return f"Outbound({self.name!r}, waiting={self._lines.waiting})"


_OVERALL: Final = "30/second"
_CHAT: Final = "1/second"
_GROUP: Final = "1/second; 20/minute"


def telegram(
    name: str = "telegram",
    *,
    max_wait: float = 300.0,
    backend: Backend | None = None,
    replicas: int = 1,
    clock: Clock | None = None,
) -> Outbound:
    """Return the limits that Telegram's bots are asked to keep to.

    30 messages a second overall, one a second in a chat, 20 a minute in a group ("Bots FAQ: My bot
    is hitting limits"); never more than 20 in any 60 seconds. Groups and channels have negative
    ids, or names beginning with `@`.

    Args:
        name: labels its numbers and errors.
        max_wait: seconds that a message waits at most.
        backend: keeps the limits for several processes that send for the same bot; pauses are each
            process's own.
        replicas: how many those are: each keeps to its share while the backend is away.
        clock: measures waits and pauses.
    """
    return Outbound(
        name,
        overall=parse_limits(_OVERALL, SlidingWindowLog),
        chat=parse_limits(_CHAT, SlidingWindowLog),
        group=parse_limits(_GROUP, SlidingWindowLog),
        is_group=_is_group,
        max_wait=max_wait,
        backend=backend,
        replicas=replicas,
        clock=clock,
    )


def _is_group(chat: Chat) -> bool:
    return str(chat).startswith(("-", "@"))
