"""The audit log: what an application records by, and what it is told."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from mobius_infra.core import Clock, Events, MobiusError, SystemClock, call_later, require
from mobius_infra.security._audit_chain import Codes
from mobius_infra.security._audit_checkpoint import Checkpoint, Signer, Witness
from mobius_infra.security._audit_commit import Commits
from mobius_infra.security._audit_entry import HIDDEN_NAMES, Entry, TextRedactor
from mobius_infra.security._audit_errors import AuditError, AuditWriteError
from mobius_infra.security._audit_events import AuditStats
from mobius_infra.security._audit_listen import details_of
from mobius_infra.security._audit_maker import Maker
from mobius_infra.security._audit_read import Moment, read_trail
from mobius_infra.security._audit_recorded import Recorded, Source
from mobius_infra.security._audit_store import Rules, Store, Written
from mobius_infra.security._audit_told import Told
from mobius_infra.security._cipher import Cipher
from mobius_infra.security._keys import Key
from mobius_infra.security._subjects import SubjectKeys

Mode = Literal["durable", "buffered"]

_LEAST_BYTES: Final = 4_096


class AuditLog:
    """Records who did what, so that nobody can change it without being found out.

        async with AuditLog("/var/log/bot/audit", [key]) as audit:
            await audit.record("wallet.withdrawn", actor="user:7", details={"amount": "12.5"})

    Records are lines of JSON in files, each with an HMAC-SHA-256 of itself and the one before.
    Signed checkpoints say how many there are; a witness keeps them. `verify_trail` finds what was
    changed, left out or cut off. Several processes may write one trail.

    What can't be written fails where it is recorded, and in `stats()`; there is never half a line
    of it, and records go on when they can be written again.

    Args:
        path: the trail's directory; made if need be. Nothing else is to be in it.
        keys: the one that writes, then those that files still there were written with.
        name: in statistics, events and logs.
        mode: what a returned `record` means. `durable`: it is on the disk. `buffered`: the system
            has it; it outlives this process, killed or not, and not a power cut.
        hidden: fields whose value is hidden: those with one of these in their name.
        redactor: asked for every text but the action; `Redactor()` finds personal data.
        subjects: encrypts what is `private` and has a subject, so that it can be erased.
        cipher: encrypts what is `private` and has none.
        sign_with: signs checkpoints; the first of `keys` if it is not given. With another, those
            who verify by `public_key` can't write.
        witness: keeps checkpoints where whoever can write the trail can't change them.
        witness_timeout: seconds that it has for one; then that counts as failed.
        checkpoint_every: records after which one is made.
        checkpoint_interval: seconds after which one is made if there is anything new.
        max_bytes: of a file; then the next is begun. A group may take it past that.
        max_age: seconds from the begin of a file to the next.
        keep: seconds that a closed file is kept after its end; None for ever.
        compress: whether closed files are.
        max_record: bytes of a record.
        max_waiting: records that nobody waits for, and which may wait to be written.
        clock: where time comes from.

    Raises:
        ConfigurationError: for a value that makes no sense.
    """

    def __init__(
        self,
        path: str | Path,
        keys: Sequence[Key],
        *,
        name: str = "audit",
        mode: Mode = "durable",
        hidden: Iterable[str] = HIDDEN_NAMES,
        redactor: TextRedactor | None = None,
        subjects: SubjectKeys | None = None,
        cipher: Cipher | None = None,
        sign_with: Key | None = None,
        witness: Witness | None = None,
        witness_timeout: float = 10.0,
        checkpoint_every: int = 1_000,
        checkpoint_interval: float = 60.0,
        max_bytes: int = 64 << 20,
        max_age: float = 86_400.0,
        keep: float | None = None,
        compress: bool = True,
        max_record: int = 65_536,
        max_waiting: int = 10_000,
        clock: Clock | None = None,
    ) -> None:
        require(mode in ("durable", "buffered"), "mode", mode, "'durable' or 'buffered'")
        _require_count("checkpoint_every", checkpoint_every, 1)
        _require_count("max_bytes", max_bytes, _LEAST_BYTES)
        _require_count("max_record", max_record, 256, 1 << 19)
        _require_count("max_waiting", max_waiting, 1)
        _require_seconds("witness_timeout", witness_timeout)
        _require_seconds("checkpoint_interval", checkpoint_interval)
        _require_seconds("max_age", max_age)
        if keep is not None:
            _require_seconds("keep", keep)
        self.name = name
        self.path = Path(path)
        self.events = Events()
        codes, signer = Codes(keys), Signer(sign_with or keys[0])
        self.public_key = signer.public_key
        self._clock = clock or SystemClock()
        rules = Rules(mode == "durable", max_bytes, max_age, keep, compress)
        self._mode, self._max_waiting = mode, max_waiting
        self._store = Store(self.path, codes, signer, rules)
        self._make = Maker(hidden, redactor, subjects, cipher, max_record, self._clock)
        self._every, self._interval = checkpoint_every, checkpoint_interval
        self._commits: Commits | None = None
        self._told = Told(name, self._clock, self.events, witness, witness_timeout)
        self._since = 0  # records since the last checkpoint
        self._timer: Callable[[], object] | None = None
        self._upkeep: asyncio.Task[None] | None = None

    async def record(
        self,
        action: str,
        *,
        actor: str | int = "",
        object: str | int = "",  # noqa: A002 - the field's word
        outcome: str = "",
        subject: str = "",
        details: Mapping[str, object] | None = None,
        private: Mapping[str, object] | None = None,
    ) -> int:
        """Record something, and return its place when it is written as `mode` says.

        If it is cancelled it may be written all the same.

        Args:
            action: what was done, such as `wallet.withdrawn`.
            actor: who did it.
            object: to what.
            outcome: how it ended.
            subject: whose data it is.
            details: more: text, numbers, lists and mappings; times and decimals become text.
            private: as `details`, but encrypted for `subject`; see `reveal`.

        Raises:
            RecordError: if it can't be recorded, naming the field.
            AuditWriteError: if it could not be written.
            BackendError: if the subject's key could not be had.
        """
        self._running()
        token = await self._make.encrypt(action, subject, private) if private is not None else ""
        body = self._make.make(action, actor, object, outcome, subject, details, token)
        return await self._running().append(body)

    def note(
        self,
        action: str,
        *,
        actor: str | int = "",
        object: str | int = "",  # noqa: A002 - the field's word
        outcome: str = "",
        subject: str = "",
        details: Mapping[str, object] | None = None,
    ) -> bool:
        """Record something without waiting, and without being told what becomes of it.

        For what can't wait, such as listeners of events. `flush` waits for it. May be called by
        another thread too, once the log is entered.

        Returns:
            Whether there was room for it.

        Raises:
            RecordError: if it can't be recorded, naming the field.
        """
        commits = self._running()
        body = self._make.make(action, actor, object, outcome, subject, details)
        if len(commits) >= self._max_waiting:
            self._told.no_room()
            return False
        commits.put(body)
        return True

    async def reveal(self, entry: Entry) -> dict[str, Any]:  # Any: JSON
        """Return what is private in an entry.

        Raises:
            SubjectErasedError: if it was erased.
            DecryptionError: if it can't be decrypted.
            BackendError: if the subject's key could not be had.
            ConfigurationError: if what encrypted it was not given here.
        """
        return await self._make.reveal(entry)

    def read(
        self,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        actor: str | None = None,
        action: str | None = None,
    ) -> Iterator[Entry]:
        """Read records; see `read_trail`. It blocks."""
        return read_trail(self.path, since=since, until=until, actor=actor, action=action)

    async def checkpoint(self) -> Checkpoint:
        """Sign how far the trail has got, have the witness keep it, and return it.

        Raises:
            AuditWriteError: if it could not be written.
            TimeoutError: if the witness did not answer in time.
            Exception: what the witness raised.
        """
        written = await self._running().checkpoint()
        assert written.checkpoint is not None  # noqa: S101 - it was asked for
        await self._told.witnessed(written.checkpoint)
        return written.checkpoint

    async def flush(self) -> None:
        """Return when all that waits was written, or could not be."""
        await self._running().flush()

    def recorded(
        self,
        action: str,
        *,
        actor: Source | None = None,
        object: Source | None = None,  # noqa: A002 - the field's word
        subject: Source | None = None,
        intent: bool = False,
    ) -> Recorded:
        """Return a decorator that records each call, and how it ended: `ok`, `failed`, `cancelled`.

        What was called has happened when that is recorded: if it can't be, that is counted and
        told by an event, and the call's result or error stays. With `intent` a record `begun` is
        made before the call, and if it can't be, the call is not made.

        Args:
            action: what it is.
            actor: a parameter's name, a path from one, a context variable, or a function of the
                arguments.
            object: likewise.
            subject: likewise.
            intent: whether it is recorded before the call too.
        """
        return Recorded(
            self, action, {"actor": actor, "object": object, "subject": subject}, intent
        )

    def listen(self, events: Events, *, actor: str = "") -> Callable[[], None]:
        """Record each event of a component from now on; return a function that ends it.

        The action is the event's type, such as `BreakerOpened`; its fields are the details. What
        is no JSON is recorded as text. None is waited for; see `note`.

        Raises:
            ConfigurationError: for this log's own events, which would never end.
        """
        require(events is not self.events, "events", events, "another component's")

        def heard(event: object) -> None:
            try:
                self.note(type(event).__name__, actor=actor, details=details_of(event))
            except MobiusError as error:
                self.missed(error)

        return events.subscribe(heard)

    def missed(self, error: MobiusError) -> None:
        """Count and tell that something was not recorded, where nobody can be told."""
        if not isinstance(error, AuditWriteError):  # which was told with its group
            self._told.lost(error)

    def stats(self) -> AuditStats:
        """Return a snapshot of the counters."""
        waiting = len(self._commits) if self._commits is not None else 0
        return self._told.stats(entries=self._store.size, waiting=waiting)

    async def __aenter__(self) -> Self:
        require(self._commits is None, "audit", self.name, "entered once at a time")
        commits = self._commits = Commits(self.name, self._store, self._clock, self._written)
        try:
            await commits.open()
        except BaseException:
            self._commits = None
            await commits.close()
            raise
        self._tell_facts()
        self._start_upkeep()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        commits = self._running()
        try:
            await commits.flush()
            await self._told.settled()  # so that it is known whether the last was kept
            if self._since or self._told.behind:
                await self._last_checkpoint(commits)
                await self._told.settled()
            if self._upkeep is not None:
                await self._upkeep
        finally:
            self._commits = None
            self._stop_timer()
            await commits.close()

    async def _last_checkpoint(self, commits: Commits) -> None:
        try:
            written = await commits.checkpoint()
        except AuditError:
            return  # it was told
        if written.checkpoint is not None:
            self._told.witness(written.checkpoint)

    def _running(self) -> Commits:
        commits = self._commits
        if commits is None:
            require(False, "audit", self.name, "entered: `async with audit:`")
        assert commits is not None  # noqa: S101 - as above
        return commits

    # What became of it.

    def _written(self, records: int, outcome: Written | AuditError) -> None:
        self._told.group(records, outcome)
        self._tell_facts()
        if isinstance(outcome, AuditError):
            return
        self._since += records
        if outcome.checkpoint is not None:
            self._since = 0
            self._stop_timer()
        elif self._since >= self._every:
            self._make_checkpoint()
        elif self._since and self._timer is None:
            self._timer = call_later(self._clock, self._interval, self._make_checkpoint)

    def _make_checkpoint(self) -> None:
        self._stop_timer()
        if self._commits is not None:
            self._commits.checkpoint().add_done_callback(self._made)

    def _made(self, ended: "asyncio.Future[Written]") -> None:
        if ended.cancelled() or ended.exception() is not None:
            return  # it was told, and the next group asks again
        checkpoint = ended.result().checkpoint
        if checkpoint is not None:
            self._told.witness(checkpoint)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer()
            self._timer = None

    def _tell_facts(self) -> None:
        facts, self._store.facts = self._store.facts, []
        if self._told.facts(facts):
            self._start_upkeep()

    def _start_upkeep(self) -> None:
        if self._commits is not None and (self._upkeep is None or self._upkeep.done()):
            self._upkeep = asyncio.ensure_future(self._pack())

    async def _pack(self) -> None:
        try:
            await asyncio.to_thread(self._store.pack)
        except OSError as error:
            self._told.upkeep_failed(f"compressing a file: {error.strerror}")

    def __repr__(self) -> str:
        return f"AuditLog({str(self.path)!r}, name={self.name!r}, mode={self._mode!r})"


def _require_count(field: str, value: object, least: int, most: int = 1 << 62) -> None:
    fits = type(value) is int and least <= value <= most
    require(fits, field, value, f"a whole number from {least} to {most}")


def _require_seconds(field: str, value: object) -> None:
    fits = type(value) in (int, float) and 0 < value < float("inf")  # type: ignore[operator]
    require(fits, field, value, "a positive number of seconds")
