"""What the tests of alerting watch, whom they tell, and how they let time pass."""

import asyncio
from typing import Any

from mobius_infra.core import Backend, Event
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.health import AlertManager, Is, Notification, Route, Rule, Severity
from mobius_infra.health._alert_book import Book
from mobius_infra.health._alert_engine import Look, Plan, Seen, advance
from mobius_infra.health._alert_reader import Reader
from mobius_infra.health._alert_routes import channels_of
from mobius_infra.health._inhibit import Inhibition
from mobius_infra.health._rules import parents_first
from mobius_infra.testing import ManualClock

T0 = 1_700_000_000.0


class Recorder:
    """A channel that keeps what it is sent, or fails as told."""

    def __init__(self, name: str = "phone") -> None:
        self.name = name
        self.sent: list[Notification] = []
        self.tried: list[str] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def send(self, notification: Notification) -> None:
        self.tried.append(notification.id)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(notification)

    def heard(self) -> list[tuple[str, list[str], list[str]]]:
        """Return kind, and what fires and is resolved, of each."""
        return [
            (each.kind, [a.alert for a in each.firing], [a.alert for a in each.resolved])
            for each in self.sent
        ]


class World:
    """States by name, as rules read them."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.unknown: set[str] = set()

    def rule(self, name: str, severity: str = "warning", **options: Any) -> Rule:
        def read() -> str:
            if name in self.unknown:
                raise RuntimeError("secret")
            return "bad" if name in self.bad else "good"

        return Rule(name=name, source=read, condition=Is("bad"), severity=Severity(severity),
                    **options)  # fmt: skip


class Timeline:
    """Pure steps over one book: no loop, no clock, no channel."""

    def __init__(
        self, rules: list[Rule], routes: list[Route], inhibitions: tuple[Inhibition, ...] = ()
    ) -> None:
        ordered = parents_first(rules)
        self.now = T0
        self.reader = Reader(ordered)
        self.plan = Plan("m", {each.name: each for each in ordered}, routes, inhibitions,
                         channels_of(routes), 1000)  # fmt: skip
        self.book = Book(epoch=T0)
        self.told: list[tuple[float, str, str, list[str], list[str]]] = []
        self.looks: list[Look] = []

    def look(self) -> None:
        before = set(self.book.deliveries)
        seen: dict[str, Seen] = self.reader.read(self.now, {})
        self.looks.append(advance(self.book, self.now, seen.values(), self.plan))
        for id_, delivery in self.book.deliveries.items():
            if id_ not in before:
                delivery.progress = "sent"
                what = delivery.notification
                self.told.append((
                    self.now - T0, delivery.channel, what.kind,
                    [each.alert for each in what.firing], [each.alert for each in what.resolved],
                ))  # fmt: skip

    def until(self, seconds: float, every: float = 5.0) -> None:
        """Look at intervals until `seconds` after the beginning."""
        while self.now < T0 + seconds:
            self.now += every
            self.look()


def manager(
    clock: ManualClock,
    backend: Backend | None,
    rules: list[Rule],
    *channels: Recorder,
    **given: Any,
) -> AlertManager:
    """Make a manager that tells at once."""
    routes = [Route(channels=channels, wait=0)] if channels else []
    options: dict[str, Any] = {"routes": routes, "draw": lambda: 0.0, **given}
    return AlertManager("m", rules=rules, backend=backend, clock=clock, **options)


def memory(clock: ManualClock) -> MemoryBackend:
    return MemoryBackend(clock=clock)


def events_of(watched: AlertManager) -> list[Event]:
    found: list[Event] = []
    watched.events.subscribe(found.append)
    return found
