"""The chain: each entry's code is of the entry and of the code before it.

So an entry can't be changed, left out, moved or added without the key. What the chain can't tell is
that its end was cut off: that is what checkpoints are for.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

from mobius_infra.core import require
from mobius_infra.security._keys import Key
from mobius_infra.security._merkle import Frontier, leaf_hash

VERSION: Final = 1
START: Final = bytes(32)
"""Stands for the code before the first entry."""

_BLOCK = 64  # of SHA-256
_MARK = b',"mac":"'
_TAIL = len(_MARK) + 64 + 2


class ChainKey:
    """HMAC-SHA-256 (RFC 2104) by one key, its beginnings calculated once."""

    __slots__ = ("_inner", "_outer", "id")

    def __init__(self, key: Key) -> None:
        secret = key.derive("audit chain v1").ljust(_BLOCK, b"\0")
        self.id = key.id.hex()
        self._inner = sha256(bytes(each ^ 0x36 for each in secret))
        self._outer = sha256(bytes(each ^ 0x5C for each in secret))

    def code(self, before: bytes, data: bytes) -> bytes:
        """Return the code of `data` that comes after an entry of code `before`."""
        inner = self._inner.copy()
        inner.update(before)
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return f"ChainKey(id={self.id})"


class Codes:
    """The keys of a trail: the one that writes, and those that are still read."""

    __slots__ = ("_by_id", "write")

    def __init__(self, keys: Sequence[Key]) -> None:
        fits = len(keys) > 0 and all(isinstance(each, Key) for each in keys)
        require(fits, "keys", "***", "a sequence of one or more `Key`")
        made = [ChainKey(each) for each in keys]
        self.write = made[0]
        self._by_id = {each.id: each for each in made}

    def get(self, key_id: str) -> ChainKey | None:
        """Return the key of that id, if it is among them."""
        return self._by_id.get(key_id)

    def __repr__(self) -> str:
        return f"Codes(writes={self.write.id}, keys={len(self._by_id)})"


class Parts(NamedTuple):
    """A line taken apart.

    Attributes:
        data: what its code is of.
        code: 64 hexadecimal digits.
    """

    data: bytes
    code: bytes


def split(line: bytes) -> Parts | None:
    """Take a line apart, without its end; None if it has no code."""
    data, mark, code = line[:-_TAIL], line[-_TAIL : len(_MARK) - _TAIL], line[-66:-2]
    return Parts(data, code) if mark == _MARK and line[-2:] == b'"}' else None


def place_of(line: bytes) -> int:
    """Return the place that a line says it has; -1 if it says none."""
    digits = line[5 : max(line.find(b",", 5, 30), 5)]
    return int(digits) if line.startswith(b'{"n":') and digits.isdigit() else -1


@dataclass(slots=True)
class Chain:
    """Where a trail has got to: all that is needed to go on.

    Attributes:
        code: of the last entry.
        tree: of all entries.
    """

    code: bytes
    tree: Frontier

    @classmethod
    def start(cls) -> "Chain":
        """Return that of a trail without entries."""
        return cls(START, Frontier())

    @property
    def size(self) -> int:
        """Entries so far, which is the next one's place."""
        return self.tree.size

    def add(self, key: ChainKey, body: bytes) -> bytes:
        """Append an encoded entry, and return its line with its end."""
        data = b'{"n":%d,%b' % (self.tree.size, body[1:-1])
        self.code = key.code(self.code, data)
        line = b'%b,"mac":"%b"}' % (data, self.code.hex().encode())
        self.tree.add(leaf_hash(line))
        return line + b"\n"

    def follow(self, key: ChainKey, line: bytes) -> bool:
        """Take a line, without its end, if it is the next one; say whether it is."""
        parts = split(line)
        if parts is None or place_of(line) != self.tree.size:
            return False
        code = key.code(self.code, parts.data)
        # As text: another spelling of the same code is a change too.
        if not compare_digest(code.hex().encode(), parts.code):
            return False
        self.code = code
        self.tree.add(leaf_hash(line))
        return True

    def copy(self) -> "Chain":
        """Return another that goes its own way."""
        return Chain(self.code, self.tree.copy())


class Head(NamedTuple):
    """What the first entry of a file says.

    Attributes:
        version: of the format.
        trail: the trail's own random name, so that another can't be put in its place.
        key: the id of the key of the codes in this file, its own included.
        chain: where the trail had got to before.
        at: when the file was begun.
    """

    version: int
    trail: str
    key: str
    chain: Chain
    at: float

    def fields(self) -> dict[str, object]:
        """Return it as an entry."""
        return {
            "at": self.at,
            "type": "segment",
            "v": self.version,
            "trail": self.trail,
            "key": self.key,
            "before": self.chain.code.hex(),
            "tree": [each.hex() for each in self.chain.tree.hashes],
        }


def head_of(line: bytes) -> Head | None:
    """Read the first line of a file; None if it is none. Its code is not checked.

    Of a newer version only the version is there.
    """
    try:
        found = json.loads(line)
        if found["type"] != "segment":
            return None
        version = found["v"]
        if type(version) is int and version > VERSION:
            return Head(version, "", "", Chain.start(), 0.0)
        tree = Frontier(found["n"], [bytes.fromhex(each) for each in found["tree"]])
        if version != VERSION or len(tree.hashes) != tree.size.bit_count():
            return None
        chain = Chain(bytes.fromhex(found["before"]), tree)
        return Head(version, str(found["trail"]), str(found["key"]), chain, float(found["at"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
