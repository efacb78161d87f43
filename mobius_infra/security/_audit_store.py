"""Writes a trail's files. It blocks, and is called by one thread.

Several processes may write one trail. Each takes the lock of the file `current` for each group that
it writes, and first takes in what others wrote. That file also names the newest segment, so that
who has an older one open sees it. Nothing is acknowledged before its group is whole on the disk; of
a group that could not be written nothing stays.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from mobius_infra.core import ConfigurationError
from mobius_infra.security._audit_chain import VERSION, Chain, ChainKey, Codes, Head, head_of
from mobius_infra.security._audit_checkpoint import Checkpoint, Signer
from mobius_infra.security._audit_entry import encode
from mobius_infra.security._audit_errors import TrailError, TrailVersionError
from mobius_infra.security._audit_lock import CAN_LOCK, locked
from mobius_infra.security._audit_segment import (
    CURRENT,
    MAX_LINE,
    Segment,
    force,
    force_directory,
    lines_of,
    name_of,
    pack_closed,
    segments,
    write_all,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a trail is kept; see `AuditLog`."""

    durable: bool
    max_bytes: int
    max_age: float
    keep: float | None
    compress: bool


class Fact(NamedTuple):
    """Something that an event tells.

    Attributes:
        kind: `repaired`, `damaged`, `rotated`, `dropped` or `failed`.
        entry: the place that it is about.
        path: of the file; of what failed, why.
        size: bytes that were cut off, or entries that were dropped.
    """

    kind: str
    entry: int
    path: str
    size: int = 0


class Written(NamedTuple):
    """What an append did.

    Attributes:
        first: the place of the first of the entries.
        checkpoint: what was signed after them, if that was asked for.
    """

    first: int
    checkpoint: Checkpoint | None


class Store:
    """A trail that is written.

    Attributes:
        facts: what happened since they were taken last.
        trail: the trail's random name.
    """

    __slots__ = (
        "_begun", "_chain", "_codes", "_directory", "_file", "_first", "_key", "_lock", "_offset",
        "_rules", "_signer", "facts", "trail",
    )  # fmt: skip

    def __init__(self, directory: Path, codes: Codes, signer: Signer, rules: Rules) -> None:
        self._directory = directory
        self._codes = codes
        self._signer = signer
        self._rules = rules
        self._lock = self._file = -1
        self._first = self._offset = 0
        self._begun = 0.0
        self._chain = Chain.start()
        self._key = codes.write
        self.trail = ""
        self.facts: list[Fact] = []

    @property
    def size(self) -> int:
        """Entries, as far as this process knows."""
        return self._chain.size

    def open(self, now: float) -> None:
        """Make the trail if there is none, go to its end, and mend that.

        Raises:
            TrailError: if it can't be continued.
            ConfigurationError: if the key that it was written with last is not given.
            OSError: if the system refuses.
        """
        if not CAN_LOCK:
            raise TrailError(str(self._directory), "can only be written on a POSIX system")
        self._chain, self.trail = Chain.start(), ""  # what is there counts, opened again too
        made = [each for each in (self._directory, *self._directory.parents) if not each.exists()]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in made:
            force_directory(each.parent)  # or a power cut takes all of it
        with self._locked():
            self._catch_up(now)
            self._drop(now)

    def close(self) -> None:
        """Close the files."""
        self._forget()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def append(self, bodies: Sequence[bytes], now: float, *, checkpoint: bool = False) -> Written:
        """Append encoded entries, all or none, and a signed checkpoint after them.

        Raises:
            OSError: if they could not be written.
            TrailError: if the trail can't be continued.
        """
        with self._locked():
            self._catch_up(now)
            if self._is_full(now):
                self._rotate(now, self._chain)
                self._drop(now)
            return self._write(bodies, now if checkpoint else None)

    def pack(self) -> None:
        """Compress what is closed. Without the lock: it takes long, and others go on.

        Raises:
            OSError: if it could not be written; it is tried again after the next rotation.
        """
        if self._rules.compress:
            pack_closed(self._directory)

    def _open_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._directory / CURRENT, flags, 0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        while True:
            if self._lock < 0:
                self._lock = self._open_lock()
            with locked(self._lock):
                if os.fstat(self._lock).st_nlink:
                    yield
                    return
            # Somebody removed the file: others lock the one that took its place.
            os.close(self._lock)
            self._lock = -1

    # Taking in what is there.

    def _catch_up(self, now: float) -> None:
        known = self._chain
        if self._file >= 0:
            found = os.fstat(self._file)
            intact = found.st_nlink > 0 and found.st_size >= self._offset
            moved = os.pread(self._lock, 64, 0).decode() != name_of(self._first)
            if intact and not moved:
                if found.st_size > self._offset:
                    self._take_in(now)
                return
            if not intact and all(each.first <= self._first for each in segments(self._directory)):
                self._go_on_after_loss(known, now)
                return
        self._load(now)
        if self._chain.size < known.size:
            self._go_on_after_loss(known, now)

    def _go_on_after_loss(self, known: Chain, now: float) -> None:
        """Go on from what is known where a part of it is no longer there, which shows that."""
        self.facts.append(Fact("damaged", known.size, str(self._path())))
        self._rotate(now, known)

    def _load(self, now: float) -> None:
        """Go to the end of the newest file, or make the first."""
        self._forget()
        there = segments(self._directory)
        if not there:
            self.trail = self.trail or secrets.token_hex(16)
            self._rotate(now, self._chain)
            return
        newest = there[-1]
        head, key = self._head(newest)
        if newest.packed:  # not by us: a newest one is not closed
            raise TrailError(str(newest.path), "is the newest file, and compressed: unpack it")
        self._file = os.open(newest.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self.trail, self._begun, self._key, self._first = head.trail, head.at, key, newest.first
        self._chain, self._offset = head.chain, 0
        self._point_to(newest.first)
        self._take_in(now)
        if self._key is not self._codes.write:
            self._rotate(now, self._chain)

    def _head(self, segment: Segment) -> tuple[Head, ChainKey]:
        line = next(lines_of(segment), b"").removesuffix(b"\n")
        head = head_of(line)
        if head is not None and head.version > VERSION:
            raise TrailVersionError(str(segment.path), head.version, VERSION)
        if head is None or head.chain.size != segment.first:
            raise TrailError(str(segment.path), "begins with no head: verify it, and move it away")
        key = self._codes.get(head.key)
        if key is None:
            raise ConfigurationError(
                "keys", self._codes, f"with the key {head.key}, by which {segment.path} was written"
            )
        if not head.chain.copy().follow(key, line):
            raise TrailError(str(segment.path), "has a changed head: verify it, and move it away")
        return head, key

    def _take_in(self, now: float) -> None:
        """Follow the lines that are new; mend a torn one, and go on elsewhere after a wrong one."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(self._offset)
            while line := file.readline(MAX_LINE):
                whole = self._chain.follow(self._key, line.removesuffix(b"\n"))
                if not line.endswith(b"\n") and len(line) < MAX_LINE:
                    self._mend(line, whole, now)
                    return
                if not whole:
                    # Nothing is cut off: it is evidence. The next file goes on from here.
                    self.facts.append(Fact("damaged", self._chain.size, str(self._path())))
                    self._rotate(now, self._chain)
                    return
                self._offset += len(line)

    def _mend(self, line: bytes, whole: bool, now: float) -> None:
        """End a line that a killed process left without end: whole, or not at all."""
        if whole:
            try:
                write_all(self._file, b"\n")
            except OSError:
                self._forget()  # the chain is ahead of the file: begin again from that
                raise
            self._offset += len(line) + 1
            return
        os.ftruncate(self._file, self._offset)
        self.facts.append(Fact("repaired", self._chain.size, str(self._path()), len(line)))
        digest = sha256(line).hexdigest()
        fields = {"at": now, "type": "repaired", "bytes": len(line), "sha256": digest}
        self._write([encode(fields)], None)

    # Writing.

    def _write(self, bodies: Sequence[bytes], checkpoint_at: float | None) -> Written:
        chain, key = self._chain.copy(), self._key
        lines = [chain.add(key, body) for body in bodies]
        checkpoint = None
        if checkpoint_at is not None:
            root = chain.tree.root()
            checkpoint = self._signer.sign(self.trail, chain.size, root, checkpoint_at)
            fields: dict[str, Any] = {**checkpoint.fields(), "type": "checkpoint"}
            lines.append(chain.add(key, encode(fields)))
        data = b"".join(lines)
        try:
            write_all(self._file, data)
            if self._rules.durable:
                force(self._file)
        except OSError:
            # If that fails too, the next group finds what is there, and mends it.
            with suppress(OSError):
                os.ftruncate(self._file, self._offset)
            raise
        written = Written(self._chain.size, checkpoint)
        self._chain = chain
        self._offset += len(data)
        return written

    def _is_full(self, now: float) -> bool:
        if self._chain.size == self._first + 1:
            return False  # nothing but its head
        return self._offset >= self._rules.max_bytes or now - self._begun >= self._rules.max_age

    def _rotate(self, now: float, chain: Chain) -> None:
        """Begin the next file. It is there with its head, or not at all."""
        first, key, chain = chain.size, self._codes.write, chain.copy()
        path = self._directory / name_of(first)
        line = chain.add(key, encode(Head(VERSION, self.trail, key.id, chain, now).fields()))
        partial = path.with_name(f"{path.name}.partial")
        before = os.pread(self._lock, 64, 0)
        if self._file >= 0:
            # Whole lines of one that was killed are there that nobody forced to the disk. A power
            # cut must not take them when the next file goes on from them.
            force(self._file)
        # Named before it is there: who has the file before it open must never go on in that.
        self._point_to(first)
        try:
            # A killed one may have left it, with the same content under its right name.
            partial.unlink(missing_ok=True)
            file = os.open(
                partial, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                write_all(file, line)
                os.fsync(file)
                os.link(partial, path)  # fails if there is one, where a rename would replace it
                force_directory(self._directory)
            except BaseException:
                os.close(file)
                raise
        except FileExistsError:
            raise TrailError(str(path), "is in the way: verify it, and move it away") from None
        except OSError:
            with suppress(OSError):
                os.pwrite(self._lock, before, 0)
            raise
        finally:
            partial.unlink(missing_ok=True)
        closed, had = self._file, self._file >= 0
        self._file, self._first, self._begun, self._key = file, first, now, key
        self._chain, self._offset = chain, len(line)
        if had:
            os.close(closed)
        if first:
            self.facts.append(Fact("rotated", first, str(path)))

    def _drop(self, now: float) -> None:
        """Remove closed files that are older than they are kept for; their root stays.

        A file that can't be removed is no reason not to write: that is told, and tried again.
        """
        if self._rules.keep is None:
            return
        try:
            self._drop_before(now - self._rules.keep, now)
        except (OSError, TrailError, ConfigurationError) as error:
            self.facts.append(Fact("failed", self._chain.size, f"removing old files: {error}"))

    def _drop_before(self, moment: float, now: float) -> None:
        there = segments(self._directory)
        count = 0
        for number, after in enumerate(there[1:], 1):
            head, _key = self._head(after)
            if head.at > moment:
                break
            count, root = number, head.chain.tree.root()
        if not count:
            return
        size = there[count].first
        dropped = {"at": now, "type": "dropped", "first": there[0].first, "size": size}
        # On the disk first: what is gone without it was taken away by somebody else.
        self._write([encode({**dropped, "root": root.hex()})], None)
        for each in there[:count]:
            each.path.unlink(missing_ok=True)
        force_directory(self._directory)
        path = str(there[count].path)
        self.facts.append(Fact("dropped", size, path, size - there[0].first))

    def _point_to(self, first: int) -> None:
        os.pwrite(self._lock, name_of(first).encode(), 0)

    def _path(self) -> Path:
        return self._directory / name_of(self._first)

    def _forget(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
