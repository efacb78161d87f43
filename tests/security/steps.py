"""A matcher of regular expressions that counts its steps, so that a test of time needs no clock.

It walks what `re` parses as `re` would run it, from every place of the text and without any of its
short cuts: what is linear here is linear there.
"""

import re
from collections.abc import Iterator
from re import _compiler as compiler  # type: ignore[attr-defined]
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
SINGLE = (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)


class Steps:
    """Counts the steps of one pattern on one text."""

    def __init__(self, pattern: re.Pattern[str], text: str, most: int = 150_000) -> None:
        self.tree = list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
        self.flags = pattern.flags & (re.IGNORECASE | re.DOTALL | re.ASCII)
        self.text = text
        self.count = 0
        self.most = most
        self.groups: dict[int, str] = {}
        self.single: dict[int, re.Pattern[str]] = {}

    def search(self) -> int:
        """Search from every place, and return how many steps that took."""
        for start in range(len(self.text) + 1):
            if next(self.run(self.tree, 0, start), None) is not None:
                break
        return self.count

    def run(self, tree: list[Any], at: int, place: int) -> Iterator[int]:
        self.count += 1
        if self.count > self.most:
            raise OverflowError(f"more than {self.most} steps")
        if at == len(tree):
            yield place
            return
        for after in self.node(tree[at][0], tree[at][1], place):
            yield from self.run(tree, at + 1, after)

    def node(self, op: Any, value: Any, place: int) -> Iterator[int]:  # noqa: C901 - a case each
        self.count += 1
        if op in SINGLE:
            if self.fits(op, value, place):
                yield place + 1
        elif op in REPEATS:
            yield from self.repeat(op, value, place)
        elif op is ops.BRANCH:
            for branch in value[1]:
                yield from self.run(list(branch), 0, place)
        elif op is ops.SUBPATTERN:
            for after in self.run(list(value[3]), 0, place):
                if value[0]:
                    self.groups[value[0]] = self.text[place:after]
                yield after
        elif op is ops.ATOMIC_GROUP:
            yield from self.first(list(value), place)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            direction, inner = value
            found = self.looks(direction, inner, place)
            if found == (op is ops.ASSERT):
                yield place
        elif op is ops.AT:
            if self.stands(value, place):
                yield place
        elif op is ops.GROUPREF:
            said = self.groups.get(value, "")
            if self.text.startswith(said, place):
                yield place + len(said)
        else:
            raise NotImplementedError(op)

    def repeat(self, op: Any, value: Any, place: int) -> Iterator[int]:
        least, most, inner = value[0], value[1], list(value[2])
        most = len(self.text) + 1 if most is ops.MAXREPEAT else int(most)
        if op is ops.POSSESSIVE_REPEAT or (len(inner) == 1 and inner[0][0] in SINGLE):
            places = [place]
            while len(places) <= most:
                after = next(self.first(inner, places[-1]), None)
                if after is None or after == places[-1]:
                    break
                places.append(after)
            places = places[least:]
            if op is ops.POSSESSIVE_REPEAT:
                places = places[-1:]
            for each in places if op is ops.MIN_REPEAT else reversed(places):
                self.count += 1
                yield each
            return
        yield from self.again(op, inner, least, most, place, 0)

    def again(
        self, op: Any, inner: list[Any], least: int, most: int, place: int, times: int
    ) -> Iterator[int]:
        if op is ops.MIN_REPEAT and times >= least:
            yield place
        if times < most:
            for after in self.run(inner, 0, place):
                if after > place:
                    yield from self.again(op, inner, least, most, after, times + 1)
        if op is ops.MAX_REPEAT and times >= least:
            yield place

    def first(self, inner: list[Any], place: int) -> Iterator[int]:
        for after in self.run(inner, 0, place):
            yield after
            return

    def looks(self, direction: int, inner: Any, place: int) -> bool:
        if direction > 0:
            return next(self.run(list(inner), 0, place), None) is not None
        width = inner.getwidth()[0]
        back = place - width
        return back >= 0 and next(self.run(list(inner), 0, back), None) == place

    def fits(self, op: Any, value: Any, place: int) -> bool:
        self.count += 1
        if place >= len(self.text):
            return False
        key = id(value) if op is ops.IN else hash((op, value))
        if (one := self.single.get(key)) is None:
            tree = parser.SubPattern(parser.State(), [(op, value)])
            tree.state.flags = self.flags
            tree.state.str = ""
            one = self.single[key] = _compiled(tree, self.flags)
        return one.match(self.text, place) is not None

    def stands(self, where: Any, place: int) -> bool:
        text = self.text
        if where in (ops.AT_BEGINNING, ops.AT_BEGINNING_STRING):
            return place == 0
        if where is ops.AT_END:
            return place in (len(text), len(text) - text.endswith("\n"))
        edge = _is_word(text, place - 1) != _is_word(text, place)
        return edge == (where is ops.AT_BOUNDARY)


def _is_word(text: str, place: int) -> bool:
    return 0 <= place < len(text) and (text[place].isalnum() or text[place] == "_")


def _compiled(tree: Any, flags: int) -> re.Pattern[str]:
    compiled: re.Pattern[str] = compiler.compile(tree, flags | re.UNICODE)
    return compiled


def pumps(pattern: re.Pattern[str], length: int) -> list[str]:
    """Write texts that lead into each long repetition of the pattern, and keep it going."""
    found: list[str] = []
    _walk(list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)), "", length, found)
    return found


def _walk(tree: list[Any], before: str, length: int, found: list[str]) -> str:
    for op, value in tree:
        if op in REPEATS:
            body = _walk(list(value[2]), before, length, found)[len(before) :] or "a"
            if value[1] is ops.MAXREPEAT or value[1] >= 8:
                found.append((before + body * length)[:length])
                found.append(((before + body) * length)[:length])
            before += body * max(1, value[0])
        elif op is ops.BRANCH:
            after = before
            for branch in value[1]:
                after = _walk(list(branch), before, length, found)
            before = after
        elif op is ops.SUBPATTERN:
            before = _walk(list(value[3]), before, length, found)
        elif op is ops.ATOMIC_GROUP:
            before = _walk(list(value), before, length, found)
        elif op in SINGLE:
            before += _example(op, value)
    return before


def _example(op: Any, value: Any) -> str:
    if op is ops.LITERAL:
        return chr(value)
    if op is ops.IN and value[0][0] is not ops.NEGATE:
        kind, what = value[0]
        if kind is ops.LITERAL:
            return chr(what)
        if kind is ops.RANGE:
            return chr(what[0])
        if what is ops.CATEGORY_SPACE:
            return " "
        if what is ops.CATEGORY_DIGIT:
            return "1"
    return "a"
