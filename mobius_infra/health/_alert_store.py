"""Where alerting's book is kept, and how the processes of a fleet speak with who keeps it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from mobius_infra.core import Backend, CodecError
from mobius_infra.health._alert_book import BOOK, VERSION, Book
from mobius_infra.health._silence import Silence

_TRIES: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person did at one process, for the one that notifies.

    Attributes:
        id: unique; doing it twice is as doing it once.
        kind: what was done.
        at: when.
        target: of an alert, an incident or a silence.
        by: who.
        note: why.
        silence: what was made, for `silence`.
    """

    id: str
    kind: Literal["acknowledge", "silence", "unsilence"]
    at: float
    target: str = ""
    by: str = ""
    note: str = ""
    silence: Silence | None = None


@dataclass(slots=True)
class Report:
    """What one process sees.

    Attributes:
        until: when it no longer counts.
        active: rule, series, reason and value of what is alarming there.
    """

    until: float
    active: list[tuple[str, str, str, float | str | None]] = field(default_factory=list)


@dataclass(slots=True)
class Inbox:
    """What the other processes say to the one that notifies.

    Attributes:
        version: of its shape.
        reports: by process.
        actions: in order.
    """

    version: int = VERSION
    reports: dict[str, Report] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)


_INBOX: Final = TypeAdapter(Inbox)


class AlertStore:
    """The book and the inbox of one alert manager, on a backend.

    Args:
        backend: where.
        name: the manager's.
    """

    __slots__ = ("_backend", "_beat", "_book", "_inbox", "_last")

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend = backend
        self._book, self._inbox = f"alerts:{name}:book", f"alerts:{name}:inbox"
        self._beat = f"alerts:{name}:beat"
        self._last: bytes | None = None

    async def load(self) -> tuple[Book | None, float | None]:
        """Return the book, and when somebody last looked after it.

        Raises:
            CodecError: if it is damaged or of a newer release. It is not overwritten.
            BackendError: if the backend failed.
        """
        self._last, beat = await self._backend.get_many([self._book, self._beat])
        book = None if self._last is None else _read(BOOK, self._last)
        return book, None if beat is None else float(beat)

    async def save(self, book: Book, now: float) -> bool:
        """Store the book; False if another has stored one since it was last read or stored."""
        data = BOOK.dump_json(book)
        if data != self._last:
            if not await self._backend.compare_and_set(self._book, self._last, data):
                return False
            self._last = data
        await self._backend.set(self._beat, repr(now).encode())
        return True

    async def collect(self) -> Inbox:
        """Return what the others say."""
        data = await self._backend.get(self._inbox)
        return Inbox() if data is None else _read(_INBOX, data)

    async def report(self, member: str, report: Report, now: float) -> None:
        """Say what this process sees."""

        def add(inbox: Inbox) -> None:
            inbox.reports = {name: each for name, each in inbox.reports.items() if each.until > now}
            inbox.reports[member] = report

        await self._change(add)

    async def post(self, action: Action) -> None:
        """Ask whoever notifies to do something."""
        await self._change(lambda inbox: inbox.actions.append(action))

    async def done(self, actions: list[Action]) -> None:
        """Take out of the inbox what was done, once that is stored."""
        ids = {each.id for each in actions}

        def take(inbox: Inbox) -> None:
            inbox.actions = [each for each in inbox.actions if each.id not in ids]

        await self._change(take)

    async def _change(self, change: Callable[[Inbox], object]) -> None:
        for _ in range(_TRIES):
            before = await self._backend.get(self._inbox)
            inbox = Inbox() if before is None else _read(_INBOX, before)
            change(inbox)
            after = _INBOX.dump_json(inbox)
            if before == after or await self._backend.compare_and_set(self._inbox, before, after):
                return
            await asyncio.sleep(0)
        raise CodecError("json", "the inbox changes faster than it can be written")


def _read(adapter: TypeAdapter[T], data: bytes) -> T:
    """Read a document of ours; of a newer release not at all, since what is new would be lost."""
    try:
        document = from_json(data)
        version = document.get("version") if isinstance(document, dict) else None
        if not isinstance(version, int) or version > VERSION:
            reason = f"a document of version {version}; this release knows {VERSION}"
            raise CodecError("json", reason)
        return adapter.validate_python(document)
    except ValidationError as error:
        reason = f"a document of another shape: {error.error_count()} errors"
        raise CodecError("json", reason) from error
    except ValueError as error:
        raise CodecError("json", f"a damaged document: {error}") from error
