"""The radix tree against a plain list of ranges."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.security._radix import Node, Radix

WIDTH = 8  # small addresses, so that ranges meet

ranges = st.integers(0, WIDTH).flatmap(
    lambda prefix: st.tuples(
        st.integers(0, 2**prefix - 1).map(lambda bits: bits << (WIDTH - prefix)), st.just(prefix)
    )
)
changes = st.lists(st.tuples(st.sampled_from(["put", "put", "pop"]), ranges), max_size=40)


def naive(held: dict[tuple[int, int], int], address: int) -> int | None:
    holding = [
        (prefix, value)
        for (first, prefix), value in held.items()
        if address >> (WIDTH - prefix) == first >> (WIDTH - prefix)
    ]
    return max(holding)[1] if holding else None


def nodes(node: Node[Any] | None) -> int:
    return 0 if node is None else 1 + nodes(node.zero) + nodes(node.one)


@given(changes, st.sampled_from([0, 3, 4, WIDTH]))
@settings(max_examples=100, deadline=None)
def test_it_finds_what_a_list_finds(done: list[tuple[str, tuple[int, int]]], stride: int) -> None:
    tree: Radix[int] = Radix(WIDTH, stride)
    held: dict[tuple[int, int], int] = {}
    for number, (what, (first, prefix)) in enumerate(done):
        if what == "put":
            tree.put(first, prefix, number)
            held[first, prefix] = number
        else:
            assert tree.pop(first, prefix) == held.pop((first, prefix), None)
        assert len(tree) == len(held)
    assert sorted(tree) == sorted(held.values())
    for address in range(2**WIDTH):
        assert tree.find(address) == naive(held, address)
    for range_, value in held.items():
        assert tree.get(*range_) == value


@given(changes)
@settings(max_examples=100, deadline=None)
def test_paths_are_compressed(done: list[tuple[str, tuple[int, int]]]) -> None:
    """Fewer than twice as many nodes as ranges: also after some were taken out."""
    tree: Radix[int] = Radix(WIDTH, 0)
    act: dict[str, Callable[[int, int], object]] = {
        "put": lambda first, prefix: tree.put(first, prefix, 1),
        "pop": tree.pop,
    }
    for what, (first, prefix) in done:
        act[what](first, prefix)
    total = nodes(tree._above) + sum(map(nodes, tree._roots.values()))
    assert total <= 2 * len(tree)


def test_whole_addresses_of_both_kinds() -> None:
    for width, stride in ((32, 16), (128, 32)):
        tree: Radix[str] = Radix(width, stride)
        last = 2**width - 1
        tree.put(last, width, "last")
        tree.put(0, 1, "half")
        assert tree.find(last) == "last"
        assert tree.find(0) == "half"
        assert tree.find(last - 1) is None
