"""Asks parents again before an alert of a child goes out: nobody may have looked at them yet."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from mobius_infra.core import Clock
from mobius_infra.health._alert_book import Book
from mobius_infra.health._alert_engine import Seen
from mobius_infra.health._alert_reader import Reader
from mobius_infra.health._alert_step import AlertState, Phase, step
from mobius_infra.health._rules import Rule
from mobius_infra.health._within import within

_ASK_TIMEOUT: Final = 5.0  # seconds for all that are asked in one look


async def ask_parents(
    seen: dict[str, Seen],
    book: Book,
    rules: Mapping[str, Rule],
    reader: Reader,
    now: float,
    clock: Clock,
    most: float,
) -> None:
    """Ask, and take what is read then into `seen`.

    A parent that turns out to be down goes out itself, so its parents are asked too.

    Args:
        seen: of each alert.
        book: what is remembered.
        rules: by name.
        reader: reads a parent's source again.
        now: in seconds since the epoch.
        clock: bounds the time.
        most: seconds for all of them.
    """
    asked: set[str] = set()
    until = clock.monotonic() + min(_ASK_TIMEOUT, most)
    while names := _worth_asking(seen, book, rules, now) - asked:
        asked |= names
        left = until - clock.monotonic()
        if left <= 0:
            return
        await asyncio.gather(*(_ask(rules[name], clock, left) for name in names))
        for name in names:
            seen |= reader.read_rule(name, now, {})


def _worth_asking(
    seen: Mapping[str, Seen], book: Book, rules: Mapping[str, Rule], now: float
) -> set[str]:
    """Return the rules to ask: parents of what is about to go out that are not alarming already."""
    alarming = {each.rule.name for each in seen.values() if each.verdict.active}
    # A parent that is alarming hides its children: of those nothing goes out.
    free = {
        each.rule.name
        for each in seen.values()
        if alarming.isdisjoint(each.rule.parents) and _goes_out(each, book, now)
    }
    parents = {parent for name in free for parent in rules[name].parents}
    return {name for name in parents if rules[name].ask_again is not None}


def _goes_out(seen: Seen, book: Book, now: float) -> bool:
    """Say whether an alert fires by this look, is not told as yet, and nothing else keeps it."""
    alert = book.alerts.get(seen.id)
    if alert is not None and alert.incident is not None:
        return False
    state = AlertState() if alert is None else alert.state
    if step(state, now, seen.verdict, seen.rule.timing).phase is not Phase.FIRING:
        return False
    return not any(each.hides(seen.labels, now) for each in book.silences.values())


async def _ask(rule: Rule, clock: Clock, most: float) -> None:
    if rule.ask_again is not None:
        with suppress(Exception):  # it says by its reading how it went
            await within(clock, most, rule.ask_again())
