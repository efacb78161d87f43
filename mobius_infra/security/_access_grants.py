"""Which roles were granted to whom: one value in the backend, held whole by every process.

So a decision needs no round trip, and a change is one compare-and-set: whoever grants is judged by
the very state that his grant changes. A message tells of each change. Messages may be lost, so the
value is also read again and again; a process that could not read it for `max_staleness` seconds
knows that it may be wrong.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from mobius_infra.core import (
    Backend,
    BackendError,
    BackendTimeoutError,
    Clock,
    CodecError,
    Gap,
)
from mobius_infra.security._policy import Policy

Granted = Mapping[str, tuple[str, ...]]

_RETRY: Final = 0.25  # seconds until a lost subscription is tried again
_ATTEMPTS: Final = 100  # of a change, each lost to another process's
_PATIENCE: Final = 5  # answers to one that may come too late


class Grants:
    """The roles granted through a backend.

    Args:
        backend: where they are.
        name: separates them from those of other access controls.
        max_staleness: seconds for which a process may go by what it read.
        changed: is told what is granted now.
        told: is told what went wrong when reading fails, and None when it works again.
        clock: measures.
    """

    __slots__ = (
        "_backend", "_changed", "_clock", "_failing", "_granted", "_held", "_key", "_lock",
        "_read_at", "_tasks", "_told", "max_staleness",
    )  # fmt: skip

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        max_staleness: float,
        changed: Callable[[Granted], None],
        told: Callable[[str | None], None],
        clock: Clock,
    ) -> None:
        self.max_staleness = max_staleness
        self._backend = backend
        self._key = f"access:{name}"
        self._changed = changed
        self._told = told
        self._clock = clock
        self._held: bytes | None = None
        self._granted: Granted = {}  # what `_held` says
        self._read_at = float("-inf")
        self._failing = False
        # Reads take turns: one that began earlier must not end later and bring back the old.
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def fresh(self) -> bool:
        """Whether what is held was the truth at most `max_staleness` seconds ago."""
        return self._clock.monotonic() - self._read_at <= self.max_staleness

    async def start(self) -> None:
        """Read, and keep reading and listening."""
        if not self._tasks:
            await self.refresh()
            jobs = (self._listen(), self._reread())
            self._tasks = [asyncio.ensure_future(job) for job in jobs]

    async def close(self) -> None:
        """Stop; what is held becomes too old."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Read what is granted now; a failure is told, and leaves what is held."""
        try:
            async with self._lock:
                await self._read()
        except (BackendError, CodecError) as error:
            self._fail(error)
        else:
            self._work()

    async def change(self, step: Callable[[Granted], Granted | None]) -> bool:
        """Replace what is granted by what `step` makes of it; say whether anything changed.

        Args:
            step: takes what is granted, as the backend has it; None changes nothing. It is called
                again when another was faster, and what it raises ends the change.

        Raises:
            BackendError: if the backend failed, or others were faster every time.
            CodecError: if what the backend has is not of this version.
        """
        async with self._lock:
            await self._read()
        self._work()
        lost = late = 0
        while lost < _ATTEMPTS:
            held = self._held
            # Not under the lock: the conditions of whoever grants are functions of the user's.
            wanted = step(self._granted)
            if wanted is None:
                return False
            async with self._lock:
                if self._held != held:
                    continue  # it was judged by what is no more
                data = _write(wanted)
                try:
                    won = await self._swap(held, data, wanted)
                except BackendTimeoutError:
                    late += 1
                    if late == _PATIENCE:
                        raise
                    # SQLite was kept by others, or the answer was lost: what is there now tells.
                    await self._read()
                    won = self._held == data
                if won:
                    break
            lost += 1
        else:
            raise BackendError(self._backend.name, "change of grants", "others were always faster")
        with suppress(BackendError):  # the others read it within `max_staleness`, or deny
            await self._backend.publish(self._key, data)
        return True

    async def _swap(self, held: bytes | None, data: bytes, wanted: Granted) -> bool:
        asked_at = self._clock.monotonic()
        won = await self._backend.compare_and_set(self._key, held, data)
        if won:
            self._take(data, wanted, asked_at)
        else:
            await self._read()
        return won

    async def _read(self) -> None:
        asked_at = self._clock.monotonic()  # before: the answer may be as old as the question
        data = await self._backend.get(self._key)
        self._take(data, {} if data is None else _parse(data), asked_at)

    def _take(self, data: bytes | None, granted: Granted, asked_at: float) -> None:
        if data != self._held or self._read_at == float("-inf"):
            self._held, self._granted = data, granted
            self._changed(granted)
        self._read_at = asked_at

    def _work(self) -> None:
        if self._failing:
            self._failing = False
            self._told(None)

    def _fail(self, error: BackendError | CodecError) -> None:
        if not self._failing:
            self._failing = True
            self._told(str(error))

    async def _listen(self) -> None:
        while True:
            # Not told of where it fails: reading goes on, and tells when that fails too.
            with suppress(BackendError):
                async with self._backend.subscribe(self._key) as messages:
                    await self.refresh()  # of what changed before the subscription began
                    async for message in messages:
                        # The message only wakes: what it says is not believed.
                        if isinstance(message, Gap) or message.data != self._held:
                            await self.refresh()
            await self._clock.sleep(_RETRY)

    async def _reread(self) -> None:
        while True:
            await self._clock.sleep(self.max_staleness / 4)
            await self.refresh()


def changed_by(granted: Granted, subject: str, role: str, *, giving: bool) -> Granted | None:
    """Return what is granted once a role is given or taken; None if that changes nothing."""
    had = set(granted.get(subject, ()))
    if (role in had) is giving:
        return None
    now = {**granted, subject: tuple(sorted(had ^ {role}))}
    return {each: roles for each, roles in now.items() if roles}


def joined(policy: Policy, granted: Granted) -> dict[str, tuple[str, ...]]:
    """Return all roles of every subject that has some of its own."""
    return {
        subject: tuple(
            sorted({*policy.default, *policy.subjects.get(subject, ()), *granted.get(subject, ())})
        )
        for subject in {*policy.subjects, *granted}
    }


def _write(granted: Granted) -> bytes:
    return json.dumps({"subjects": granted}, separators=(",", ":"), sort_keys=True).encode()


def _parse(data: bytes) -> Granted:
    """Read what `_write` wrote.

    Raises:
        CodecError: if it did not.
    """
    try:
        subjects = json.loads(data)["subjects"]
        made = {subject: tuple(map(_text, roles)) for subject, roles in subjects.items()}
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise CodecError("grants", "what the backend has is not of this version") from error
    return made


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(name)
    return name
