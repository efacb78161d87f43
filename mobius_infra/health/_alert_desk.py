"""Who notifies, and with which book: the part of alerting that the fleet shares.

One process holds the lease and the book; the others report to it what they see, watch its book,
and take over when the lease runs out. Where the backend can't be reached, whoever had the lease
goes on, and others begin after a lease's time: being told twice is better than never.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from mobius_infra.core import Backend, BackendError, Clock, CodecError, Event, Lease
from mobius_infra.health._alert_book import Acknowledgement, Book
from mobius_infra.health._alert_events import AlertStoreFailed, NotifierChanged
from mobius_infra.health._alert_step import Phase
from mobius_infra.health._alert_store import Action, AlertStore, Inbox, Report
from mobius_infra.health._silence import Silence

MOST_SILENCES: Final = 1000  # that are kept


class Desk:
    """The book, and the right to act on it.

    Args:
        backend: where the book is kept.
        name: the manager's.
        clock: measures the lease.
        ttl: seconds of the lease.
        member: this process.

    Attributes:
        book: as it is known here.
        lock: held while the book is changed and stored, never while anything else is awaited.
        leads: whether this process notifies.
        notices: events that are to be told once the lock is given back.
        fresh: whether the book was taken up since it was last looked after; then since when
            nobody had looked, if that is known.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        clock: Clock,
        ttl: float,
        member: str,
    ) -> None:
        self.notices: list[Event] = []
        self.book = Book()
        self.lock = asyncio.Lock()
        self.leads = False
        self.fresh: tuple[float | None] | None = None
        self.store = AlertStore(backend, name)
        self._backend, self._key = backend, f"alerts:{name}:lease"
        self._clock, self._ttl, self._member = clock, ttl, member
        self._name = name
        self._offset: float | None = None
        self._until = float("-inf")
        self._heard = clock.monotonic()
        self._problems = {"book": "", "inbox": ""}
        self._unreadable = False

    def now(self) -> float:
        """Return the time that is stored: the backend's, carried on by the monotonic clock.

        So a machine whose clock is set while it runs neither fires nor resolves anything by it.
        """
        if self._offset is None:
            return self._clock.time()
        return self._offset + self._clock.monotonic()

    @property
    def may_send(self) -> bool:
        """Whether this process notifies, and knows that no other does."""
        return self.leads and (
            bool(self._problems["book"]) or self._clock.monotonic() < self._until
        )

    async def refresh(self) -> None:
        """Hold the lease, or watch the book of who does."""
        asked = self._clock.monotonic()
        try:
            if self._offset is None:
                self._offset = await self._backend.now() - self._clock.monotonic()
            lease = await Lease.acquire(self._backend, self._key, ttl=self._ttl, owner=self._member)
            self._heard = asked
            if lease is None:
                await self._follow()
            else:
                self._until = asked + self._ttl
                await self._lead()
        except BackendError as error:
            self._alone(error)

    async def _lead(self) -> None:
        if self.leads and not self._unreadable:
            return
        async with self.lock:
            await self._take_up("it holds the lease")

    async def _take_up(self, why: str) -> None:
        try:
            book, beat = await self.store.load()
        except CodecError as error:
            # What can't be read is somebody's, perhaps of a newer release: it is left as it is.
            self._unreadable = True
            self._say(error.reason)
            if not self.leads:
                self._step_up(why, Book(epoch=self.now()), None)
            return
        self._unreadable = False
        self._say("")
        ours = self.book if self.leads else Book(epoch=self.now())
        self._step_up(why, book or ours, beat)

    async def _follow(self) -> None:
        if self.leads:
            self._step_down("another process holds the lease")
        try:
            book, _ = await self.store.load()
        except CodecError as error:
            self._say(error.reason)
            return
        self._say("")
        if book is not None:
            self.book = book

    def _alone(self, error: BackendError) -> None:
        self._say(error.reason)
        if not self.leads and self._clock.monotonic() - self._heard >= self._ttl:
            book = self.book if self.book.epoch else Book(epoch=self.now())
            self._step_up("the backend is out of reach", book, None)

    def _step_up(self, why: str, book: Book, beat: float | None) -> None:
        self.book, self.leads, self.fresh = book, True, (beat,)
        self._note(NotifierChanged, notifies=True, reason=why)

    def _step_down(self, why: str) -> None:
        self.leads = False
        self._note(NotifierChanged, notifies=False, reason=why)

    def _say(self, problem: str, of: str = "book") -> None:
        if problem and not self._problems[of]:
            self._note(AlertStoreFailed, reason=problem)
        self._problems[of] = problem

    def _note(self, kind: type[Event], **fields: object) -> None:
        self.notices.append(kind(source=self._name, at=self._clock.time(), **fields))

    async def save(self) -> bool:
        """Store the book; if another has stored one meanwhile, give up the lead."""
        if self._unreadable:
            return False
        try:
            saved = await self.store.save(self.book, self.now())
        except BackendError as error:
            self._say(error.reason)
            return False
        if not saved:
            self._step_down("another process has stored the book")
            return False
        self._say("")
        return True

    async def collect(self) -> Inbox:
        """Return what other processes say; nothing if that can't be known."""
        try:
            inbox = await self.store.collect()
        except BackendError:
            return Inbox()
        except CodecError as error:
            self._say(error.reason, "inbox")
            return Inbox()
        self._say("", "inbox")
        return inbox

    async def report(self, report: Report) -> None:
        """Say what this process sees to whoever notifies."""
        try:
            await self.store.report(self._member, report, self.now())
        except BackendError as error:
            self._say(error.reason)
        except CodecError as error:
            self._say(error.reason, "inbox")
        else:
            self._say("", "inbox")

    async def release(self) -> None:
        """Let another take over at once."""
        if not self.leads:
            return
        self.leads = False
        lease = Lease(self._backend, self._key, self._member, self._ttl, 0)
        try:
            await lease.release()
        except BackendError as error:
            self._say(error.reason)


def carry_out(book: Book, action: Action) -> list[str]:
    """Do in the book what a person asked for; return the ids of what it concerned."""
    if action.kind == "unsilence":
        return [action.target] if book.silences.pop(action.target, None) else []
    if action.kind == "silence":
        if action.silence is None or len(book.silences) >= MOST_SILENCES:
            return []
        book.silences[action.silence.id] = action.silence
        return [action.silence.id]
    incident = book.incidents.get(action.target)
    targets = [action.target] if incident is None else list(incident.members)
    found = []
    for id_ in targets:
        alert = book.alerts.get(id_)
        # What began after the person looked was not seen by them.
        if alert is None or alert.state.phase is not Phase.FIRING:
            continue
        if alert.state.since <= action.at and alert.acknowledged is None:
            alert.acknowledged = Acknowledgement(action.by, action.note, action.at)
        found.append(id_)
    return found


def plan_maintenance(book: Book, windows: Iterable[Silence]) -> None:
    """Put the windows that are declared now in the place of those that were."""
    for id_ in [each.id for each in book.silences.values() if each.kind == "maintenance"]:
        del book.silences[id_]
    book.silences |= {each.id: each for each in windows}
