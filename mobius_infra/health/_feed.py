"""The stream of changes that an open page lives on: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from mobius_infra.core import Clock
from mobius_infra.health._document import VERSION, Document

_HEARTBEAT = 15.0  # seconds without an event, after which a comment keeps the connection open
_RETRY = 2_000  # milliseconds after which a browser connects again
_BACKLOG = 8  # changes that wait for a slow reader; past that it gets the whole anew


class Feed:
    """Looks at a document as often as need be, however many read: once for all of them.

    A reader first gets `snapshot`, the whole document; then `change`, with the sections that are
    not what they were, and the newest `points` of each series.

    Args:
        document: what is looked at.
        interval: seconds between two looks.
        clock: measures them.
    """

    def __init__(self, document: Document, *, interval: float, clock: Clock) -> None:
        self._document = document
        self._interval = interval
        self._clock = clock
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[str, bytes] = {}
        self._number = 0

    @property
    def readers(self) -> int:
        """How many read."""
        return len(self._readers)

    async def read(self) -> AsyncIterator[bytes]:
        """Yield events as they are sent, until the feed is closed."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_BACKLOG)
        self._readers.add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._look_always(), name="status feed")
        try:
            yield f"retry: {_RETRY}\n\n".encode() + self._snapshot()
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        event = await queue.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield self._snapshot() if event == _LOST else event
        finally:
            self._readers.discard(queue)
            if not self._readers:
                self._stop()

    def close(self) -> None:
        """End all streams, and what makes them."""
        for queue in self._readers:
            _put(queue, None)
        self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._seen = {}

    async def _look_always(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            event = self._event("change", self._changes())
            for queue in self._readers:
                _put(queue, event)

    def _snapshot(self) -> bytes:
        return self._event("snapshot", self._document.whole())

    def _changes(self) -> dict[str, Any]:  # Any: JSON
        changed: dict[str, Any] = {"version": VERSION, "now": self._document.now()}
        for name, make in self._document.sections().items():
            found = make()
            written = dump(found)
            if self._seen.get(name) != written:
                self._seen[name] = written
                changed[name] = found
        newest = self._document.series(3 * self._interval)
        changed["points"] = {name: points[-1] for name, points in newest.items() if points}
        return changed

    def _event(self, kind: str, data: object) -> bytes:
        self._number += 1
        return f"id: {self._number}\nevent: {kind}\ndata: ".encode() + dump(data) + b"\n\n"


_LOST = b"lost"


def dump(value: object) -> bytes:
    """Write JSON on one line; what it does not know, as text; no NaN, which browsers refuse."""
    try:
        return json.dumps(value, default=str, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(value), default=str, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _put(queue: "asyncio.Queue[bytes | None]", event: bytes | None) -> None:
    """Put an event in; a reader that is too slow gets the whole instead of what it missed."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        if event is not None:
            event = _LOST
    queue.put_nowait(event)
