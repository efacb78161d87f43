"""Merkle trees: the reference tree's hashes, and proofs that prove nothing else."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.security._merkle import (
    EMPTY,
    Frontier,
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parent / "merkle_vectors.json").read_text())
"""The tree of Certificate Transparency's reference implementation."""
LEAVES = [leaf_hash(bytes.fromhex(each)) for each in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(each) for each in VECTORS["roots_by_size"]]
MANY = [leaf_hash(b"%d" % number) for number in range(40)]


def frontier_of(leaves: list[bytes]) -> Frontier:
    frontier = Frontier()
    for each in leaves:
        frontier.add(each)
    return frontier


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert frontier_of(LEAVES[:size]).root() == ROOTS[size]
    assert Tree(LEAVES).root(size) == ROOTS[size]


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_proofs_are_those_of_the_reference(case: dict[str, object]) -> None:
    index, size = case["index"], case["size"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    proof = Tree(LEAVES).prove_inclusion(index, size)
    assert [each.hex() for each in proof] == case["proof"]


def test_every_inclusion_is_proven_and_no_other() -> None:
    tree = Tree(MANY)
    for size in range(1, 20):
        root = tree.root(size)
        for index in range(size):
            proof = tree.prove_inclusion(index, size)
            assert verify_inclusion(MANY[index], index, size, proof, root)
            for other in range(size):
                if other != index:
                    assert not verify_inclusion(MANY[other], index, size, proof, root)
                    assert not verify_inclusion(MANY[index], other, size, proof, root)
            assert not verify_inclusion(MANY[index], index, size, proof[:-1], root) or size == 1
            assert not verify_inclusion(MANY[index], index, size, [*proof, root], root)
            assert not verify_inclusion(MANY[index], index, size, proof, EMPTY)
            assert not verify_inclusion(MANY[index], size + index, size, proof, root)


def test_every_beginning_is_proven_and_no_other() -> None:
    tree = Tree(MANY)
    for new in range(20):
        for old in range(new + 1):
            proof = tree.prove_consistency(old, new)
            roots = tree.root(old), tree.root(new)
            assert verify_consistency(old, new, proof, *roots)
            assert not verify_consistency(old, new, [*proof, EMPTY[::-1]], *roots)
            assert not verify_consistency(new + 1, new, proof, *roots)
            if 0 < old < new:
                assert not verify_consistency(old, new, proof[:-1], *roots)
                assert not verify_consistency(old, new, proof, roots[1], roots[0])
                assert not verify_consistency(old, new, proof, LEAVES[0], roots[1])
                for place in range(len(proof)):
                    forged = [*proof]
                    forged[place] = EMPTY
                    assert not verify_consistency(old, new, forged, *roots)


@given(st.integers(0, 40), st.data())
def test_a_tree_whose_first_entries_are_gone_proves_the_others(
    first: int, data: st.DataObject
) -> None:
    tree = Tree(MANY[first:], frontier_of(MANY[:first]))
    whole = Tree(MANY)
    assert tree.root() == whole.root()
    if first < 40:
        index = data.draw(st.integers(first, 39))
        size = data.draw(st.integers(index + 1, 40))
        assert tree.prove_inclusion(index, size) == whole.prove_inclusion(index, size)
    old = data.draw(st.integers(first, 40))
    assert tree.prove_consistency(old, 40) == whole.prove_consistency(old, 40)


def test_what_is_gone_or_not_there_is_not_proven() -> None:
    tree = Tree(MANY[7:], frontier_of(MANY[:7]))
    for index, size in ((0, 40), (40, 40), (8, 41), (-1, 3)):
        with pytest.raises(LookupError):
            tree.prove_inclusion(index, size)
    for old, new in ((3, 41), (5, 4), (-1, 3)):
        with pytest.raises(LookupError):
            tree.prove_consistency(old, new)


def test_a_frontier_is_small_and_its_copy_goes_its_own_way() -> None:
    frontier = Frontier()
    roots = []
    for each in MANY:
        other = frontier.copy()
        frontier.add(each)
        other.add(EMPTY)
        assert other.root() != frontier.root()
        assert len(frontier.hashes) == frontier.size.bit_count()
        roots.append(frontier.root())
    assert all(one != other for one, other in pairwise(roots))
