"""Ranges of addresses in a path-compressed radix tree (Morrison, "PATRICIA", 1968).

A node stands for a prefix; a chain of nodes with one child each is one node. So a tree of n ranges
has fewer than 2n nodes, whatever their lengths, and a look-up follows one path down.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

V = TypeVar("V")


class Node(Generic[V]):
    """A prefix: its value, if it is a range by itself, and the longer ones beneath."""

    __slots__ = ("bits", "one", "shift", "value", "zero")

    def __init__(self, bits: int, shift: int, value: V | None) -> None:
        self.bits = bits  # the address's leading bits, shifted down
        self.shift = shift  # how many follow
        self.value = value
        self.zero: Node[V] | None = None
        self.one: Node[V] | None = None


class Radix(Generic[V]):
    """Values by range of addresses.

    The first `stride` bits of an address choose a tree, by a dict: without that, half of the way
    down would be the same few nodes for everybody. Ranges larger than that are in a tree above.

    Args:
        width: bits of an address: 32 or 128.
        stride: leading bits by which trees are told apart.
    """

    __slots__ = ("_above", "_down", "_roots", "_size", "_width")

    def __init__(self, width: int, stride: int) -> None:
        self._width: Final = width
        self._down: Final = width - stride
        self._above: Node[V] | None = None
        self._roots: dict[int, Node[V]] = {}
        self._size = 0

    def find(self, address: int) -> V | None:
        """Return the value of the smallest range that holds `address`."""
        found = None
        below = self._roots.get(address >> self._down)
        while below is not None:
            shift = below.shift
            if address >> shift != below.bits:
                break
            if below.value is not None:
                found = below.value
            if not shift:  # a whole address has nothing beneath
                break
            below = below.one if address >> (shift - 1) & 1 else below.zero
        if found is None and self._above is not None:
            return self._find_above(address)
        return found

    def _find_above(self, address: int) -> V | None:
        found, below = None, self._above
        while below is not None and address >> below.shift == below.bits:
            if below.value is not None:
                found = below.value
            below = below.one if below.shift and address >> (below.shift - 1) & 1 else below.zero
        return found

    def get(self, first: int, prefix: int) -> V | None:
        """Return the value of exactly one range."""
        shift = self._width - prefix
        node, bits = self._root(first, shift), first >> shift
        while node is not None and node.shift >= shift:
            if node.bits != bits >> (node.shift - shift):
                return None
            if node.shift == shift:
                return node.value
            node = node.one if bits >> (node.shift - shift - 1) & 1 else node.zero
        return None

    def covering(self, first: int, prefix: int) -> V | None:
        """Return the value of the smallest range that holds all of a range."""
        for shorter in range(prefix, -1, -1):
            shift = self._width - shorter
            value = self.get(first >> shift << shift, shorter)
            if value is not None:
                return value
        return None

    def put(self, first: int, prefix: int, value: V) -> None:
        """Set the value of a range."""
        shift = self._width - prefix
        self._size += self.get(first, prefix) is None
        self._set_root(first, shift, _put(self._root(first, shift), first >> shift, shift, value))

    def pop(self, first: int, prefix: int) -> V | None:
        """Remove a range; return its value, None if there was none."""
        value = self.get(first, prefix)
        if value is not None:
            self._size -= 1
            shift = self._width - prefix
            self._set_root(first, shift, _pop(self._root(first, shift), first >> shift, shift))
        return value

    def _root(self, first: int, shift: int) -> Node[V] | None:
        return self._above if shift > self._down else self._roots.get(first >> self._down)

    def _set_root(self, first: int, shift: int, node: Node[V] | None) -> None:
        if shift > self._down:
            self._above = node
        elif node is None:
            self._roots.pop(first >> self._down, None)
        else:
            self._roots[first >> self._down] = node

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[V]:
        waiting = [self._above, *self._roots.values()]
        while waiting:
            node = waiting.pop()
            if node is not None:
                waiting += (node.zero, node.one)
                if node.value is not None:
                    yield node.value


def _put(node: Node[V] | None, bits: int, shift: int, value: V) -> Node[V]:
    """Return the tree with a value at a prefix."""
    if node is None:
        return Node(bits, shift, value)
    common = max(shift, node.shift)
    common += (bits >> (common - shift) ^ node.bits >> (common - node.shift)).bit_length()
    if common == node.shift == shift:
        node.value = value
        return node
    if common == node.shift:
        if bits >> (common - shift - 1) & 1:
            node.one = _put(node.one, bits, shift, value)
        else:
            node.zero = _put(node.zero, bits, shift, value)
        return node
    parent: Node[V] = Node(bits >> (common - shift), common, value if common == shift else None)
    _hang(parent, node)
    if common != shift:
        _hang(parent, Node(bits, shift, value))
    return parent


def _hang(parent: Node[V], child: Node[V]) -> None:
    if child.bits >> (parent.shift - child.shift - 1) & 1:
        parent.one = child
    else:
        parent.zero = child


def _pop(node: Node[V] | None, bits: int, shift: int) -> Node[V] | None:
    """Return the tree without the value at a prefix, which it has; no chain is left behind."""
    if node is None:
        return None
    if node.shift == shift:
        node.value = None
    elif bits >> (node.shift - shift - 1) & 1:
        node.one = _pop(node.one, bits, shift)
    else:
        node.zero = _pop(node.zero, bits, shift)
    if node.value is not None or (node.zero is not None and node.one is not None):
        return node
    return node.zero if node.one is None else node.one
