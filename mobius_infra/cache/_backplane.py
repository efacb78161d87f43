"""Invalidations reach the memory of other processes by messages.

A process hears its own beat by the same way that others' invalidations come. When it hasn't heard
it for too long, or the subscription says that messages were missed, it no longer trusts what it
holds: values are looked up in the lower tiers again, and live in memory for a short time only
until the beat is heard.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from mobius_infra.cache._owed import Invalidation
from mobius_infra.core import Backend, BackendError, Clock, Gap

_RETRY: Final = 0.25  # seconds until a lost subscription is tried again


class Backplane:
    """The messages of one cache among processes.

    Args:
        backend: carries the messages.
        cache: names the channel.
        max_staleness: seconds after which an invalidation that was not heard is noticed.
        apply: makes invalid in this process what another invalidated.
        trust: is told when messages are heard again (True) or may be missed (False).
        clock: measures.
    """

    def __init__(
        self,
        backend: Backend,
        cache: str,
        *,
        max_staleness: float,
        apply: Callable[[Invalidation], None],
        trust: Callable[[bool], None],
        clock: Clock,
    ) -> None:
        self.connected = False
        self.heard = self.failed = 0
        self._backend = backend
        self._channel = f"cache:{cache}"
        self.max_staleness = max_staleness
        self._apply = apply
        self._trust = trust
        self._clock = clock
        self._me = uuid4().hex
        self._beat_at = float("-inf")
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def running(self) -> bool:
        """Whether messages are listened to."""
        return bool(self._tasks)

    def start(self) -> None:
        """Listen from now on."""
        if not self._tasks:
            jobs = (self._listen(), self._beat(), self._watch())
            self._tasks = [asyncio.ensure_future(job) for job in jobs]

    async def close(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._lose()

    async def tell(self, what: Invalidation) -> None:
        """Tell the others what was invalidated; if that fails, they notice within their bound."""
        await self._send(["invalid", what.keys, what.tags, what.prefixes, what.everything])

    async def tell_stored(self, key: str) -> None:
        """Wake those who wait for another process's load of `key`."""
        await self._send(["stored", key])

    async def stored(self, key: str, timeout: float) -> None:
        """Return when another process has stored `key`, or when `timeout` seconds have passed."""
        event = asyncio.Event()
        self._waiting.setdefault(key, set()).add(event)
        waiting = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._sleep(timeout))]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _sleep(self, seconds: float) -> bool:
        await self._clock.sleep(seconds)
        return True

    async def _send(self, what: list[object]) -> None:
        try:
            await self._backend.publish(self._channel, json.dumps([self._me, *what]).encode())
        except BackendError:
            self.failed += 1

    async def _listen(self) -> None:
        while True:
            try:
                async with self._backend.subscribe(self._channel) as messages:
                    async for message in messages:
                        if isinstance(message, Gap):
                            self._lose()
                        else:
                            self._hear(message.data)
            except BackendError:
                self._lose()
            await self._clock.sleep(_RETRY)

    async def _beat(self) -> None:
        while True:
            await self._send(["beat", self._clock.monotonic()])
            await self._clock.sleep(self.max_staleness / 4)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(self.max_staleness / 8)
            if self.connected and self._silent_for > self.max_staleness * 3 / 4:
                self._lose()

    @property
    def _silent_for(self) -> float:
        return self._clock.monotonic() - self._beat_at

    def _lose(self) -> None:
        if self.connected:
            self.connected = False
            self._trust(False)

    def _hear(self, data: bytes) -> None:
        try:
            sender, kind, *rest = json.loads(data)
            if kind == "beat":
                if sender == self._me:
                    # Messages keep their order: all from before it was sent have been heard.
                    self._beat_at = float(rest[0])
                    if not self.connected and self._silent_for < self.max_staleness / 2:
                        self.connected = True
                        self._trust(True)
            elif kind == "stored":
                for event in self._waiting.get(rest[0], ()):
                    event.set()
            elif kind == "invalid" and sender != self._me:
                *names, everything = rest
                keys, tags, prefixes = ([*map(_text, each)] for each in names)
                self.heard += 1
                what = Invalidation(tuple(keys), tuple(tags), tuple(prefixes), everything is True)
                self._apply(what)
        except (ValueError, TypeError, IndexError, OverflowError, RecursionError):
            self.failed += 1  # foreign: nothing of ours


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(name)
    return name
