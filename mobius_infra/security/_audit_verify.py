"""Finds what was changed in a trail, left out of it, moved, added, or cut off."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mobius_infra.security._audit_chain import (
    START,
    VERSION,
    Chain,
    ChainKey,
    Codes,
    Head,
    head_of,
    place_of,
    split,
)
from mobius_infra.security._audit_checkpoint import Checkpoint, Signer
from mobius_infra.security._audit_entry import parse
from mobius_infra.security._audit_errors import FileDroppedError, TrailError, TrailVersionError
from mobius_infra.security._audit_segment import Segment, lines_of, settled
from mobius_infra.security._keys import Key
from mobius_infra.security._merkle import EMPTY, Frontier

ProblemKind = Literal["changed", "missing", "out of place", "torn", "unreadable", "head"]

_MOST = 100


class Problem(NamedTuple):
    """One thing that is wrong with a trail.

    Attributes:
        kind: `changed`: not what was written; `missing`: entries are gone; `out of place`: moved,
            doubled or added; `torn`: the last line has no end, as after a kill, and the next writer
            mends that; `unreadable`: its file can't be read, or its key is not given; `head`: the
            trail is not the one that the expected head is of.
        entry: the place from which on.
        file: the name of the file.
        reason: in words.
    """

    kind: ProblemKind
    entry: int
    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found.

    Attributes:
        trail: the trail's random name.
        first: the place of the first entry that is there; those before it were dropped.
        size: entries, those that were dropped included.
        records: those that are there, without what the trail says of itself.
        root: the Merkle root, as hexadecimal digits.
        problems: the first hundred.
        found: how many there are.
        repaired: torn ends that were mended; none of them was acknowledged.
        checkpoints: signatures in the trail that are right.
        unchecked: those by a key that was not given.
        attested: entries that the expected head shows to be complete; None without one.
    """

    trail: str
    first: int
    size: int
    records: int
    root: str
    problems: tuple[Problem, ...]
    found: int
    repaired: int
    checkpoints: int
    unchecked: int
    attested: int | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Without an expected head the end may still be cut off."""
        return not self.found

    @property
    def completeness(self) -> str:
        """What is known of whether the end was cut off."""
        if self.attested is None:
            return "completeness not attested"
        return f"complete up to entry {self.attested - 1}"


def verify_trail(
    path: str | Path,
    keys: Sequence[Key],
    *,
    head: Checkpoint | None = None,
    public_keys: Iterable[str] = (),
) -> Report:
    """Verify a trail, also while it is written. What retention drops meanwhile is left out.

    Args:
        path: its directory.
        keys: those that it was written with.
        head: the checkpoint that a witness kept last. Without it nobody can tell whether the end
            was cut off.
        public_keys: those that checkpoints may be signed by, beside those of `keys`.

    Raises:
        TrailError: if there is no trail.
        TrailVersionError: if it is by a newer release.
    """
    codes = Codes(keys)
    trusted = {Signer(key).public_key for key in keys} | set(public_keys)
    while True:
        try:
            return check_files(settled(Path(path)), codes, trusted, head)
        except FileDroppedError:
            # Since the files were listed. Whether it was by right, those that are left tell: who
            # drops files says so in the newest first.
            continue


def check_files(
    files: Sequence[Segment], codes: Codes, trusted: AbstractSet[str], head: Checkpoint | None
) -> Report:
    """Verify a trail's files; see `verify_trail`."""
    check = _Check(codes, trusted, head)
    for each in files:
        try:
            check.segment(each)
        except (FileDroppedError, TrailVersionError):
            raise
        except TrailError as error:
            check.problem("unreadable", error.reason)
    return check.report()


class _Check:
    """A verification under way."""

    def __init__(self, codes: Codes, trusted: AbstractSet[str], head: Checkpoint | None) -> None:
        self._codes, self._trusted, self._head = codes, trusted, head
        self._chain: Chain | None = None
        self._key: ChainKey | None = None
        self._whole = True  # until something is missing; after that a root says nothing
        self._file = self._trail = ""
        self._first = self._dropped = 0
        self._dropped_root: dict[int, str] = {}
        self._first_root = ""
        self._at_head: bytes | None = None
        self._problems: list[Problem] = []
        self._found = self._records = self._repaired = self._checkpoints = self._unchecked = 0

    def problem(self, kind: ProblemKind, reason: str, entry: int | None = None) -> None:
        """Note what is wrong."""
        self._found += 1
        if len(self._problems) < _MOST:
            at = self._place if entry is None else entry
            self._problems.append(Problem(kind, at, self._file, reason))

    @property
    def _place(self) -> int:
        return self._chain.size if self._chain is not None else self._first

    def segment(self, segment: Segment) -> None:
        """Read one file."""
        self._file = segment.path.name
        lines = lines_of(segment)
        line = next(lines, b"")
        head = head_of(line)
        if head is not None and head.version > VERSION:
            raise TrailVersionError(str(segment.path), head.version, VERSION)
        if head is None:
            self._whole = False
            self.problem("changed", "its first line is no head", segment.first)
            return
        self._begin(segment, head)
        if self._key is None:
            self._whole = False
            self.problem("unreadable", f"the key {head.key} is not given", segment.first)
            return
        self._line(line)
        for each in lines:
            self._line(each)

    def _begin(self, segment: Segment, head: Head) -> None:
        self._key = self._codes.get(head.key)
        size = head.chain.size
        if size != segment.first:
            self.problem("out of place", f"its name is not that of entry {size}", size)
        if self._chain is None:
            self._first, self._trail = size, head.trail
            self._first_root = head.chain.tree.root().hex()
            if not size and head.chain.code != START:
                self.problem("changed", "something was before the first entry", 0)
        elif size != self._chain.size:
            known = self._chain.size
            self._whole = False
            if size > known:
                self.problem("missing", f"entries {known} to {size - 1}")
            else:
                self.problem("out of place", f"goes on from entry {size}, not {known}", size)
        elif self._whole and not _same(head.chain, self._chain):
            self.problem("changed", "does not go on where the file before it ends")
        self._chain = head.chain

    def _line(self, line: bytes) -> None:
        chain, key = self._chain, self._key
        assert chain is not None  # noqa: S101 - `_begin` came before
        assert key is not None  # noqa: S101 - as above
        self._look_for_head(chain)
        whole = line.removesuffix(b"\n")
        before = chain.copy() if b'"type":"checkpoint"' in line else None
        follows = chain.follow(key, whole)
        if whole == line:
            self.problem("torn", f"its last line has no end: {len(line)} bytes")
            return
        if follows:
            self._entry(whole, before)
        else:
            self._astray(chain, whole)

    def _astray(self, chain: Chain, line: bytes) -> None:
        """Say how a line is wrong, and go on behind it."""
        place, parts = place_of(line), split(line)
        self._whole = False
        if place > chain.size and parts is not None:
            self.problem("missing", f"entries {chain.size} to {place - 1}")
        elif 0 <= place < chain.size:
            self.problem("out of place", f"entry {place} where {chain.size} is to be")
            return  # what follows goes on from the one before
        else:
            self.problem("changed", "is not what was written")
            place = chain.size
        try:
            chain.code = bytes.fromhex(parts.code.decode()) if parts else b""
        except ValueError:
            chain.code = b""
        size = place + 1
        chain.tree = Frontier(size, [EMPTY] * size.bit_count())

    def _entry(self, line: bytes, before: Chain | None) -> None:
        found = parse(line)  # it is what was written, so it is JSON
        kind = found.get("type")
        if kind == "record":
            self._records += 1
        elif kind == "repaired":
            self._repaired += 1
        elif kind == "dropped":
            self._dropped = max(self._dropped, found["size"])
            self._dropped_root[found["size"]] = found["root"]
        elif before is not None and kind == "checkpoint":
            names = ("trail", "size", "root", "at", "key", "signature")
            self._signed(Checkpoint(**{name: found[name] for name in names}), before)

    def _signed(self, checkpoint: Checkpoint, before: Chain) -> None:
        if checkpoint.key not in self._trusted:
            self._unchecked += 1
            return
        right = checkpoint.trail == self._trail and checkpoint.size == before.size
        if self._whole:
            right = right and checkpoint.root == before.tree.root().hex()
        if right and checkpoint.is_signed_by(checkpoint.key):
            self._checkpoints += 1
        else:
            self.problem("changed", "its signature is not of what is before it", before.size)

    def _look_for_head(self, chain: Chain) -> None:
        if self._head is not None and self._whole and chain.size == self._head.size:
            self._at_head = chain.tree.root()

    def report(self) -> Report:
        """Compare with what is expected, and say what was found."""
        if self._chain is not None:
            self._look_for_head(self._chain)
        root = self._dropped_root.get(self._first, self._first_root)
        if self._first > self._dropped:
            self.problem("missing", f"entries 0 to {self._first - 1}, which nobody dropped", 0)
        elif self._first and root != self._first_root:
            self.problem("changed", "begins with another root than what was dropped", self._first)
        attested = self._compare(self._head) if self._head is not None else None
        return Report(
            trail=self._trail,
            first=self._first,
            size=self._place,
            records=self._records,
            root=self._chain.tree.root().hex() if self._chain is not None and self._whole else "",
            problems=tuple(self._problems),
            found=self._found,
            repaired=self._repaired,
            checkpoints=self._checkpoints,
            unchecked=self._unchecked,
            attested=attested if not self._found else None,
        )

    def _compare(self, head: Checkpoint) -> int | None:
        size = self._place
        if head.key not in self._trusted or not head.is_signed_by(head.key):
            self.problem("head", "the expected head is signed by none of the keys", size)
        elif head.trail != self._trail:
            self.problem("head", "the expected head is of another trail", size)
        elif head.size > size:
            reason = f"entries {size} to {head.size - 1}: the expected head has {head.size}"
            self.problem("missing", reason, size)
        elif self._at_head is not None and self._at_head.hex() != head.root:
            self.problem("head", "is another trail up to there", head.size)
        elif self._at_head is not None:
            return head.size
        return None  # of a part that was dropped, or behind something that is missing


def _same(one: Chain, other: Chain) -> bool:
    return one.code == other.code and one.tree.hashes == other.tree.hashes
