"""Invalidation by comparing numbers: in bounded memory, and never forgetting one."""

from collections.abc import Callable

import pytest

from mobius_infra.cache._entry import Entry
from mobius_infra.cache._marks import Marks


def entry(marks: Marks, key: str = "k", *tags: str) -> Entry:
    made = Entry(key)
    made.tags, made.sequence = tags, marks.sequence
    return made


MARK: dict[str, Callable[[Marks], None]] = {
    "tag": lambda marks: marks.tag(("t",)),
    "prefix": lambda marks: marks.prefix("k"),
    "all": lambda marks: marks.all(),
}


@pytest.mark.parametrize("mark", MARK.values(), ids=MARK)
def test_what_was_there_before_is_invalid_and_what_comes_after_is_not(
    mark: Callable[[Marks], None],
) -> None:
    marks = Marks()
    before = entry(marks, "k", "t")
    mark(marks)
    after = entry(marks, "k", "t")
    assert (marks.fresh(before), marks.valid(before)) == (False, False)
    assert (marks.fresh(after), marks.valid(after)) == (True, True)


def test_what_is_not_covered_stays_valid_and_is_compared_once() -> None:
    marks = Marks()
    other = entry(marks, "other", "u")
    marks.tag(("t",))
    marks.prefix("k")
    assert marks.fresh(other)
    assert other.sequence == marks.sequence


def test_what_is_doubted_is_valid_and_not_fresh() -> None:
    marks = Marks()
    held = entry(marks)
    marks.doubt()
    assert (marks.fresh(held), marks.valid(held)) == (False, True)


def test_past_the_bound_of_tags_all_that_is_older_is_invalid() -> None:
    marks = Marks()
    first, other = entry(marks, "k", "0"), entry(marks)
    for number in range(100_001):
        marks.tag((str(number),))
    assert not marks.valid(first)
    assert not marks.valid(other)
    assert marks.valid(entry(marks, "k", "0"))
    assert len(marks._tags) <= 100_000


def test_past_the_bound_of_prefixes_all_that_is_older_is_invalid() -> None:
    marks = Marks()
    other = entry(marks)
    for number in range(101):
        marks.prefix(f"p{number}")
    assert not marks.valid(other)
    assert marks.valid(entry(marks, "p0"))
    assert len(marks._prefixes) <= 100
