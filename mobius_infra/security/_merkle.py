"""Merkle trees as Certificate Transparency has them (RFC 6962 section 2.1, RFC 9162).

One hash, the root, stands for all entries in their order. That one entry is among them, or that an
earlier tree is the begin of this one, is shown by a few hashes, which anybody can check.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY = sha256().digest()
"""The root of no entries."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of an entry. Its prefix keeps it apart from a node's."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """All that must be known of a tree in order to go on with it: at most 64 hashes.

    Attributes:
        size: entries in it.
        hashes: of the perfect subtrees that it consists of, the largest first, one for each bit
            of `size`.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)

    def add(self, leaf: bytes) -> None:
        """Append an entry by its hash; on average one more hash is calculated."""
        bits = self.size
        while bits & 1:
            leaf = node_hash(self.hashes.pop(), leaf)
            bits >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash that stands for all."""
        if not self.hashes:
            return EMPTY
        *rest, root = self.hashes
        for left in reversed(rest):
            root = node_hash(left, root)
        return root

    def copy(self) -> "Frontier":
        """Return another that goes its own way."""
        return Frontier(self.size, self.hashes)


class Tree:
    """A tree whose first entries may be gone: their frontier stands in for them.

    Args:
        leaves: hashes of the entries that are there.
        before: of those before them.
    """

    __slots__ = ("_first", "_known", "_leaves", "size")

    def __init__(self, leaves: Sequence[bytes], before: Frontier | None = None) -> None:
        before = before or Frontier()
        self._leaves = leaves
        self._first = before.size
        self.size = before.size + len(leaves)
        self._known: dict[tuple[int, int], bytes] = {}
        start = 0
        for each in before.hashes:
            width = 1 << (before.size - start).bit_length() - 1
            self._known[start, start + width] = each
            start += width

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` entries, of all by default."""
        size = self.size if size is None else size
        return self._hash(0, size) if size else EMPTY

    def prove_inclusion(self, index: int, size: int) -> list[bytes]:
        """Return what shows that an entry is among the first `size` (RFC 6962, 2.1.1).

        Raises:
            LookupError: if the entry is not there, or what is needed is gone.
        """
        if not 0 <= index < size <= self.size:
            raise LookupError(f"no entry {index} among {size} of {self.size}")
        proof, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return proof[::-1]

    def prove_consistency(self, old: int, new: int) -> list[bytes]:
        """Return what shows that the first `old` entries are the begin of `new` (2.1.2).

        Raises:
            LookupError: if there are not so many, or what is needed is gone.
        """
        if not 0 <= old <= new <= self.size:
            raise LookupError(f"no {old} entries within {new} of {self.size}")
        if old in (0, new):
            return []
        proof, start, end, whole = [], 0, new, True
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._hash(middle, end))
                end = middle
            else:
                proof.append(self._hash(start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self._hash(start, end))
        return proof[::-1]

    def _hash(self, start: int, end: int) -> bytes:
        known = self._known.get((start, end))
        if known is not None:
            return known
        if end - start == 1:
            if start < self._first:
                raise LookupError(f"entry {start} is gone")
            return self._leaves[start - self._first]
        middle = start + _split(end - start)
        made = node_hash(self._hash(start, middle), self._hash(middle, end))
        self._known[start, end] = made
        return made


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether `proof` shows that the entry of hash `leaf` is at `index` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, made = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        is_right = place & 1 or place == last
        made = node_hash(each, made) if is_right else node_hash(made, each)
        place, last = _parent(place, last)
    return last == 0 and made == root


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Say whether `proof` shows that one tree is the begin of another (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not proof and old_root == (new_root if old else EMPTY)
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(each, before), node_hash(each, after)
        else:
            after = node_hash(after, each)
        place, last = _parent(place, last)
    return last == 0 and before == old_root and after == new_root


def _parent(place: int, last: int) -> tuple[int, int]:
    """Return the places one level up, where the last of an odd number goes up further."""
    if place == last:
        while place and not place & 1:
            place, last = place >> 1, last >> 1
    return place >> 1, last >> 1


def _split(size: int) -> int:
    """Return the largest power of two that is less than `size`."""
    return 1 << (size - 1).bit_length() - 1
