"""How many different ones there were, in bounded memory: HyperLogLog."""

import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from typing import Self, TypeAlias

from mobius_infra.core import CodecError, require

Item: TypeAlias = str | int | bytes

_FORMAT = b"D\x01"
_HEAD = len(_FORMAT) + 1 + 1 + 8
_LANE = b"\x80"


def fingerprint(item: Item, salt: bytes = b"") -> int:
    """Return 64 bits that are the same in every process; 7, "7" and b"7" are the same item."""
    data = item if isinstance(item, bytes) else str(item).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8, key=salt).digest(), "big")


class Distinct:
    """Counts different items: exactly while they are few, then within a small error.

        users = Distinct()
        users.add(7)
        users.count()

    Up to 1,024 items (a sixteenth of the registers) it keeps their fingerprints and is exact. From
    there on it is a HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007) with the estimator of
    Ertl, "New Cardinality Estimation Algorithms for HyperLogLog Sketches", arXiv:1702.01284,
    algorithm 6, which has no bias that a table would have to take out. The standard error is
    `1.04 / sqrt(2 ** precision)`: 0.81 % with 16,384 bytes, and that is all it ever takes.

    What it holds depends on the items alone, not on their order or on who added them: merging is
    associative and commutative, and merging the same twice changes nothing.

    Args:
        precision: the number of registers is two to this power, a byte each.
        salt: up to 64 secret bytes. Without it, whoever reads the stored bytes can try if a user
            is among the few. Only what has the same salt can be merged.

    Raises:
        ConfigurationError: if `precision` is not from 8 to 18, or `salt` is too long.
    """

    __slots__ = ("_few", "_registers", "_salt", "precision")

    def __init__(self, precision: int = 14, *, salt: bytes = b"") -> None:
        good = type(precision) is int and 8 <= precision <= 18
        require(good, "precision", precision, "a whole number from 8 to 18")
        # A secret is not repeated in a message.
        require(len(salt) <= 64, "salt", f"{len(salt)} bytes", "at most 64 bytes")
        self.precision = precision
        self._salt = salt
        self._few = array("Q")  # ascending
        self._registers: bytearray | None = None

    @property
    def error(self) -> float:
        """The standard error of `count`, as a share of it; 0 as long as it is exact."""
        return 0.0 if self._registers is None else 1.04 / math.sqrt(1 << self.precision)

    def add(self, item: Item) -> None:
        """Count an item, if it is a new one."""
        self._add(fingerprint(item, self._salt))

    def _add(self, mark: int) -> None:
        if self._registers is not None:
            _put(self._registers, self.precision, (mark,))
            return
        few = self._few
        at = bisect_left(few, mark)
        if at == len(few) or few[at] != mark:
            few.insert(at, mark)
            if len(few) > self._most():
                self._turn()

    def _most(self) -> int:
        return (1 << self.precision) // 16

    def _turn(self) -> bytearray:
        """Keep registers from now on, if not already; return them."""
        if self._registers is None:
            self._registers = bytearray(1 << self.precision)
            _put(self._registers, self.precision, self._few)
            self._few = array("Q")
        return self._registers

    def count(self) -> int:
        """Return how many different items were added."""
        if self._registers is None:
            return len(self._few)
        return round(_estimate(self._registers, 64 - self.precision))

    def merge(self, other: "Distinct") -> None:
        """Count what `other` has counted, as if it had been added here.

        Raises:
            ConfigurationError: if it was built with another precision or salt.
        """
        mine, theirs = self.precision, other.precision
        require(mine == theirs, "precision", theirs, f"{mine} as in what it is merged into")
        require(self._salt == other._salt, "salt", "another", "that of what it is merged into")
        if other._registers is not None:
            self._registers = _higher(self._turn(), other._registers)
        elif self._registers is not None:
            _put(self._registers, mine, other._few)
        else:
            self._few = array("Q", sorted({*self._few, *other._few}))
            if len(self._few) > self._most():
                self._turn()

    def to_bytes(self) -> bytes:
        """Return it for another process to merge, or to be stored: at most 16 KB and a head."""
        head = _FORMAT + bytes((self.precision, self._registers is not None)) + self._check()
        if self._registers is not None:
            return head + bytes(self._registers)
        return head + _little(self._few).tobytes()

    def _check(self) -> bytes:
        """Return what tells one salt from another, and nothing else about it."""
        return blake2b(b"mobius distinct", digest_size=8, key=self._salt).digest()

    @classmethod
    def from_bytes(cls, data: bytes, *, salt: bytes = b"") -> Self:
        """Rebuild what `to_bytes` wrote.

        Raises:
            CodecError: if these bytes are not of this kind, are damaged, or of another salt.
        """
        if len(data) < _HEAD or not data.startswith(_FORMAT) or not 8 <= data[2] <= 18:
            raise CodecError("distinct", "not a count of different items")
        found, body = cls(data[2], salt=salt), data[_HEAD:]
        if data[4:_HEAD] != found._check():
            raise CodecError("distinct", "made with another salt")
        if data[3]:
            whole = len(body) == 1 << found.precision and max(body) <= 65 - found.precision
            found._registers = bytearray(body)
        else:
            whole = len(body) % 8 == 0 and len(body) // 8 <= found._most()
            found._few.frombytes(body[: len(body) // 8 * 8])
            few = found._few = _little(found._few)
            whole = whole and all(few[at] < few[at + 1] for at in range(len(few) - 1))
        if not whole:
            raise CodecError("distinct", "damaged")
        return found

    def __repr__(self) -> str:
        return f"Distinct(count={self.count()}, error={self.error:.2%})"


def _put(registers: bytearray, precision: int, marks: Iterable[int]) -> None:
    """Let each mark's register be at least the place of the first 1 in the rest of its bits."""
    bits = 64 - precision
    rest = (1 << bits) - 1
    for mark in marks:
        place = bits + 1 - (mark & rest).bit_length()
        at = mark >> bits
        registers[at] = max(registers[at], place)


def _higher(one: bytearray, other: bytearray) -> bytearray:
    """Return the greater of each pair of bytes, which are all below 128.

    On whole numbers of 128 Kbit, all pairs at once: 20 times as fast as pair by pair, so that
    thirty days are merged in about a millisecond.
    """
    size = len(one)
    x, y = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    tops = int.from_bytes(_LANE * size, "little")
    not_less = ((x | tops) - y) & tops  # the top bit of each byte in which x >= y
    chosen = not_less - (not_less >> 7)  # all bits but the top one of these
    return bytearray((y ^ ((x ^ y) & chosen)).to_bytes(size, "little"))


def _estimate(registers: bytearray, bits: int) -> float:
    """Return how many items filled the registers so (Ertl, algorithm 6)."""
    size = len(registers)
    counts = [registers.count(value) for value in range(bits + 2)]
    z = size * _tau(1 - counts[-1] / size)
    for number in reversed(counts[1:-1]):
        z = 0.5 * (z + number)
    z += size * _sigma(counts[0] / size)
    return size / (2 * math.log(2)) * size / z


def _sigma(x: float) -> float:
    """Return the sum of `x ** 2 ** k * 2 ** (k - 1)` over k from 1 on, and x: what zeros say."""
    if x == 1:
        return math.inf
    weight, total, last = 1.0, x, -1.0
    while total != last:
        x *= x
        last, total = total, total + x * weight
        weight *= 2
    return total


def _tau(x: float) -> float:
    """Return the like of `_sigma` for registers that are full."""
    if x in {0.0, 1.0}:
        return 0.0
    weight, total, last = 1.0, 1 - x, -1.0
    while total != last:
        x = math.sqrt(x)
        weight *= 0.5
        last, total = total, total - (1 - x) ** 2 * weight
    return total / 3


def _little(numbers: "array[int]") -> "array[int]":
    """Return the numbers in the order of bytes in which they are stored, on any machine."""
    if sys.byteorder == "little":
        return numbers
    swapped = array("Q", numbers)
    swapped.byteswap()
    return swapped
