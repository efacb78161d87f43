"""The alert manager: looks at the rules, keeps the book, and sends what is owed."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from socket import gethostname
from types import TracebackType
from typing import Self
from uuid import uuid4

from mobius_infra.core import (
    Backend,
    BackendError,
    Clock,
    CodecError,
    Events,
    SystemClock,
    open_backend,
    require,
)
from mobius_infra.health._alert_conditions import require_count, require_seconds
from mobius_infra.health._alert_desk import MOST_SILENCES, Desk, carry_out, plan_maintenance
from mobius_infra.health._alert_engine import Gap, Look, Plan, Seen, advance, take_up
from mobius_infra.health._alert_events import (
    AlertAcknowledged,
    NotificationLost,
    RuleFailed,
)
from mobius_infra.health._alert_parents import ask_parents
from mobius_infra.health._alert_reader import Reader, add_reports
from mobius_infra.health._alert_routes import Route, channels_of
from mobius_infra.health._alert_stats import AlertStats, count
from mobius_infra.health._alert_step import Phase, clean
from mobius_infra.health._alert_store import Action, Report
from mobius_infra.health._alert_views import AlertSnapshot, take_picture
from mobius_infra.health._heartbeat import Heart, Heartbeat
from mobius_infra.health._inhibit import Inhibition
from mobius_infra.health._postman import Postman
from mobius_infra.health._rules import Rule, parents_first, require_labels
from mobius_infra.health._silence import Silence
from mobius_infra.health._within import end_all

log = logging.getLogger("mobius_infra")


class AlertManager:
    """Watches rules and tells channels, once, of what matters.

    For example::

        rules = [Rule(name="queue is full", source=queue.qsize, condition=Above(900), for_=60)]
        alerts = AlertManager("shop", rules=rules, routes=[Route(channels=(telegram,))],
                              backend=open_backend("sqlite:///alerts.db"))
        async with alerts:
            ...

    Args:
        name: labels its events and numbers; what it stores is kept under it.
        rules: what to watch.
        routes: who is told; the first that matches an alert takes it.
        backend: keeps everything over restarts, and makes one process of a fleet notify; this
            process's memory if None.
        inhibitions: which alerts make which others needless.
        maintenance: windows that were planned; more can be added with `silence`.
        heartbeats: who is told that alerting lives.
        every: seconds between two looks at the rules.
        lease: seconds after which another process takes over from one that died.
        timeout: seconds for one try to send.
        most_waiting: notifications kept for a channel that is down.
        member: this process, unique in the fleet; a process that is started again under the same
            name needs not wait for its own lease to run out.
        clock: measures all of it.
        draw: gives random numbers in [0, 1), so that senders of many processes spread.

    Raises:
        ConfigurationError: for values out of range, two of one name, and parents in a circle.
    """

    def __init__(
        self,
        name: str = "alerts",
        *,
        rules: Iterable[Rule] = (),
        routes: Iterable[Route] = (),
        backend: Backend | None = None,
        inhibitions: Iterable[Inhibition] = (),
        maintenance: Iterable[Silence] = (),
        heartbeats: Iterable[Heartbeat] = (),
        every: float = 5.0,
        lease: float = 30.0,
        timeout: float = 10.0,
        most_waiting: int = 1000,
        member: str | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require(0 < len(name) <= 100, "name", name, "text of 1 to 100 characters")
        require_seconds("every", every)
        require_seconds("lease", lease)
        require_seconds("timeout", timeout)
        require_count("most_waiting", most_waiting, 1)
        require(lease > timeout + every, "lease", lease, "more than every and timeout together")
        ordered, routes = parents_first(rules), tuple(routes)
        names = [route.name for route in routes]
        require(len(set(names)) == len(names), "routes", names, "of different names")
        self.name, self.events = name, Events()
        self._rules = {rule.name: rule for rule in ordered}
        self._clock = clock or SystemClock()
        self._every, self._timeout, self._lease = every, timeout, lease
        channels = channels_of(routes)
        self._plan = Plan(
            name, self._rules, routes, tuple(inhibitions), channels, int(most_waiting)
        )
        self._maintenance = tuple(replace(each, kind="maintenance") for each in maintenance)
        self._reader = Reader(ordered)
        self._desk = Desk(
            backend or open_backend("memory://", clock=self._clock),
            name,
            self._clock,
            lease,
            member or f"{gethostname()}-{uuid4().hex[:8]}",
        )
        self._postmen = {
            each.name: Postman(name, each, self._desk, self._clock, timeout, draw, self.events.emit)
            for each in channels.values()
        }
        self._hearts = [
            Heart(each, name, self._clock, self._desk.now, timeout, self._alive)
            for each in heartbeats
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_at = float("-inf")
        self._failing: frozenset[str] = frozenset()
        self._gap: Gap | None = None
        self._looks = self._dropped = 0

    # What it does by itself.

    async def start(self) -> None:
        """Begin to look and to send. Twice is harmless."""
        if self._tasks:
            return
        work = [self._watch(), *(postman.work() for postman in self._postmen.values())]
        work += [each.work() for each in self._hearts]
        self._tasks = [asyncio.create_task(each) for each in work]

    async def close(self) -> None:
        """Stop; another process may take over at once. What is owed is kept."""
        tasks, self._tasks = self._tasks, []
        await end_all(tasks)
        await self._desk.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _watch(self) -> None:
        due = self._clock.monotonic()
        while True:
            try:
                await self.look()
            except Exception:
                # A mistake of ours must not end alerting; the heartbeat stops while it lasts.
                log.exception("a look of %r failed", self.name)
            # From appointment to appointment; those that were missed are not made up for.
            now = self._clock.monotonic()
            due += self._every * max(1, -(-(now - due) // self._every))
            await self._clock.sleep(due - now)

    def _alive(self) -> bool:
        """Say whether this process notifies, and all that it needs for that still runs."""
        age = self._clock.monotonic() - self._looked_at
        ended = any(task.done() for task in self._tasks)
        return self._desk.may_send and not ended and age <= max(3 * self._every, self._timeout)

    # One look.

    async def look(self) -> None:
        """Look at every rule now, and note what is owed to whom."""
        await self._desk.refresh()
        self._tell_notices()
        now = self._desk.now()
        seen = self._reader.read(now, self._known())
        await ask_parents(
            seen, self._desk.book, self._rules, self._reader, now, self._clock, self._timeout
        )
        self._tell_failing()
        if self._desk.leads:
            await self._lead(seen)
        else:
            active = [
                (each.rule.name, each.series, each.verdict.reason, each.verdict.value)
                for each in seen.values()
                if each.verdict.active
            ]
            await self._desk.report(Report(now + self._lease, active))
        self._tell_notices()
        self._looks += 1
        self._looked_at = self._clock.monotonic()

    def _known(self) -> Mapping[str, Mapping[str, bool]]:
        known = defaultdict[str, dict[str, bool]](dict)
        for alert in self._desk.book.alerts.values():
            rule = self._rules.get(alert.rule)
            if rule is not None:
                known[rule.name][rule.series_of(alert.labels)] = alert.state.active
        return known

    async def _lead(self, seen: dict[str, Seen]) -> None:
        desk = self._desk
        inbox = await desk.collect()
        add_reports(seen, inbox.reports, self._rules, desk.now())
        took_up = Look()
        async with desk.lock:
            now = desk.now()
            if desk.fresh is not None:
                (since,), desk.fresh = desk.fresh, None
                self._gap = None if since is None else Gap(since)
                took_up = take_up(desk.book, now, self._plan)
                plan_maintenance(desk.book, self._maintenance)
            for action in inbox.actions:
                carry_out(desk.book, action)
            look = advance(desk.book, now, seen.values(), self._plan, self._gap)
            saved = await desk.save()
        if saved and inbox.actions:
            with suppress(BackendError, CodecError):  # else they are done once more, to no effect
                await desk.store.done(inbox.actions)
        self._tell(took_up, look)
        self._wake()

    # What people do.

    async def acknowledge(self, id_: str, *, by: str, note: str = "") -> bool:
        """Say that somebody deals with it: no repetition, and no further step of the escalation.

        Args:
            id_: of an alert, or of an incident: all that fires in it now.
            by: who.
            note: what else there is to say.

        Returns:
            Whether there is such an alert, firing.

        Raises:
            BackendError: if it can't be passed on to the process that notifies.
        """
        require(bool(by), "by", by, "a name")
        at = self._desk.now()
        action = Action(uuid4().hex, "acknowledge", at, clean(id_), clean(by), clean(note))
        return await self._do(action)

    async def silence(
        self,
        match: Mapping[str, str],
        *,
        by: str,
        ends_at: float | None = None,
        seconds: float | None = None,
        starts_at: float | None = None,
        note: str = "",
    ) -> Silence:
        """Tell nobody of alerts that match, until it ends; what fires then is told then.

        Args:
            match: patterns by label; see `Silence`.
            by: who.
            ends_at: in seconds since the epoch; or
            seconds: how long.
            starts_at: in seconds since the epoch; now if None.
            note: why.

        Raises:
            ConfigurationError: if it has no end or ends before it starts, or before now.
            BackendError: if it can't be passed on to the process that notifies.
        """
        require(bool(by), "by", by, "a name")
        now = self._desk.now()
        begin = now if starts_at is None else starts_at
        if seconds is not None:
            require_seconds("seconds", seconds)
        require((seconds is None) != (ends_at is None), "ends_at", ends_at, "given, or seconds")
        end = ends_at if ends_at is not None else begin + (seconds or 0.0)
        require_labels("match", match)
        made = Silence(
            id=uuid4().hex[:12],
            match=dict(match),
            starts_at=begin,
            ends_at=end,
            by=clean(by),
            note=clean(note),
        )
        require(not made.over(now), "ends_at", end, "in the future")
        done = await self._do(Action(made.id, "silence", now, made.id, silence=made))
        require(done, "silences", MOST_SILENCES, "fewer, to add one")
        return made

    async def unsilence(self, id_: str, *, by: str) -> bool:
        """End a silence now; say whether there was one."""
        return await self._do(
            Action(uuid4().hex, "unsilence", self._desk.now(), clean(id_), clean(by))
        )

    async def _do(self, action: Action) -> bool:
        desk = self._desk
        async with desk.lock:
            found = carry_out(desk.book, action)
            if desk.leads:
                await desk.save()
        if not desk.leads:  # perhaps since just now: another's book is the one that counts
            await desk.store.post(action)
        if action.kind == "acknowledge":
            for id_ in found:
                self.events.emit(
                    AlertAcknowledged(source=self.name, at=action.at, alert=id_, by=action.by)
                )
        return bool(found)

    # What it shows.

    def snapshot(self) -> AlertSnapshot:
        """Return all of it as it is now."""
        desk = self._desk
        failing = dict(self._reader.failing())
        return take_picture(desk.book, desk.now(), notifies=desk.leads, failing=failing)

    def stats(self) -> AlertStats:
        """Return the numbers as they are now."""
        return AlertStats(
            state="notifying" if self._desk.leads else "standing by",
            looks=self._looks,
            rule_errors=self._reader.failures,
            sent={name: each.sent for name, each in self._postmen.items()},
            failures={name: each.failed for name, each in self._postmen.items()},
            refused={name: each.refused for name, each in self._postmen.items()},
            dropped=self._dropped,
            heartbeats=sum(each.beats for each in self._hearts),
            **count(self._desk.book, self._postmen),
        )

    def __repr__(self) -> str:
        alerts = self._desk.book.alerts.values()
        firing = sum(each.state.phase is Phase.FIRING for each in alerts)
        return f"AlertManager({self.name!r}, rules={len(self._rules)}, firing={firing})"

    # What it tells.

    def _wake(self) -> None:
        for postman in self._postmen.values():
            postman.woken.set()

    def _tell(self, *looks: Look) -> None:
        for look in looks:
            for change in look.changes:
                self.events.emit(change)
            for channel, id_ in look.dropped:
                self._dropped += 1
                self.events.emit(
                    NotificationLost(
                        source=self.name,
                        at=self._clock.time(),
                        channel=channel,
                        notification=id_,
                        reason="too many were waiting",
                    )
                )

    def _tell_notices(self) -> None:
        notices, self._desk.notices = self._desk.notices, []
        for each in notices:
            self.events.emit(each)

    def _tell_failing(self) -> None:
        failing = self._reader.failing()
        for name in failing.keys() - self._failing:
            at = self._clock.time()
            reason = failing[name]
            self.events.emit(RuleFailed(source=self.name, at=at, rule=name, reason=reason))
        self._failing = frozenset(failing)
