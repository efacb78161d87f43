"""The same timeline for our alert manager and for Prometheus' Alertmanager: the same is told.

Alertmanager keeps real time, ours a manual clock. So what is compared is what was told in which
order, of each group; each step waits for what it expects of Alertmanager.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby

import pytest
from aiohttp import web

from mobius_infra.health import Inhibition, Route
from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, World, manager
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.missing import obtain
from tests.servers.ports import LOOPBACK

Told = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Status, and what fires and what has ended, of one notification."""

LABELS = {
    "a1": ("a", "warning"), "a2": ("a", "warning"), "b1": ("b", "warning"),
    "down": ("c", "critical"), "slow": ("c", "warning"), "elsewhere": ("e", "warning"),
    "d1": ("d", "warning"), "d2": ("d", "warning"), "again": ("r", "warning"),
}  # fmt: skip

CONFIGURATION = """
route:
  receiver: phone
  group_by: [cluster]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 24h
  routes: [{{matchers: ['cluster="r"'], receiver: phone, repeat_interval: 1s}}]
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [cluster]
receivers: [{{name: phone, webhook_configs: [{{url: 'http://{host}:{port}/'}}]}}]
"""


class Theirs:
    """An Alertmanager, and what it has told."""

    def __init__(self) -> None:
        self.told: dict[str, list[Told]] = defaultdict(list)
        self.server: AlertmanagerServer
        self._heard = asyncio.Event()
        self._silences: dict[str, str] = {}

    async def hear(self, request: web.Request) -> web.Response:
        given = await request.json()
        named: dict[str, list[str]] = {"firing": [], "resolved": []}
        for each in given["alerts"]:
            named[each["status"]].append(each["labels"]["alertname"])
        group = given["groupLabels"]["cluster"]
        firing, ended = (tuple(sorted(names)) for names in named.values())
        self.told[group].append((given["status"], firing, ended))
        self._heard.set()
        return web.Response()

    async def change(self, firing: bool, *names: str) -> None:
        alerts = [
            {"alertname": name, "cluster": LABELS[name][0], "severity": LABELS[name][1]}
            for name in names
        ]
        await asyncio.to_thread(self.server.alert, *alerts, firing=firing)

    async def silence(self, name: str) -> None:
        made = await asyncio.to_thread(self.server.silence, "alertname", name)
        self._silences[name] = made

    async def unsilence(self, name: str) -> None:
        await asyncio.to_thread(self.server.unsilence, self._silences[name])

    async def until(self, group: str, count: int) -> None:
        async with asyncio.timeout(120):
            while len(self.told[group]) < count:
                self._heard.clear()
                await self._heard.wait()


class Ours:
    """An alert manager with the same configuration, and what it has told."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self._world, self._phone = clock, World(), Recorder()
        rules = [
            self._world.rule(name, severity, labels={"cluster": cluster})
            for name, (cluster, severity) in LABELS.items()
        ]
        routes = [
            Route(channels=(self._phone,), name=name, match=match, group_by=("cluster",),
                  wait=1, interval=1, repeat=repeat, most_incidents=100)
            for name, match, repeat in (("r", {"cluster": "r"}, 1.0), ("rest", {}, 86400.0))
        ]  # fmt: skip
        inhibition = Inhibition(
            source={"severity": "critical"}, target={"severity": "warning"}, equal=("cluster",)
        )
        self.manager = manager(clock, None, rules, routes=routes, inhibitions=[inhibition], every=1)
        self._silences: dict[str, str] = {}

    async def change(self, firing: bool, *names: str) -> None:
        (self._world.bad.update if firing else self._world.bad.difference_update)(names)

    async def silence(self, name: str) -> None:
        made = await self.manager.silence({"alert": name}, by="ann", seconds=86400)
        self._silences[name] = made.id

    async def unsilence(self, name: str) -> None:
        await self.manager.unsilence(self._silences[name], by="ann")

    async def until(self, group: str, count: int) -> None:
        await self._clock.advance(10)

    @property
    def told(self) -> dict[str, list[Told]]:
        found = defaultdict[str, list[Told]](list)
        for each in self._phone.sent:
            lines = (*each.firing, *each.resolved)
            firing, ended = (
                tuple(sorted(line.alert for line in named))
                for named in (each.firing, each.resolved)
            )
            status = "firing" if firing else "resolved"
            found[lines[0].labels["cluster"]].append((status, firing, ended))
        return found


async def timeline(side: Ours | Theirs) -> None:
    """Grouping, inhibition, a silence that ends, repetition, and resolution."""
    until: Callable[[str, int], Awaitable[None]] = side.until
    await side.change(True, "a1", "a2", "b1")
    await until("a", 1)
    await until("b", 1)
    await side.change(False, "a2")
    await until("a", 2)
    await side.change(False, "a1")
    await until("a", 3)

    await side.change(True, "down", "slow", "elsewhere")
    await until("c", 1)
    await until("e", 1)
    await side.change(False, "down")
    await until("c", 2)

    await side.silence("d1")
    await side.change(True, "d1", "d2")
    await until("d", 1)
    await side.unsilence("d1")
    await until("d", 2)

    await side.change(True, "again")
    await until("r", 3)
    await side.change(False, "again")
    while side.told["r"][-1][0] != "resolved":
        await until("r", len(side.told["r"]) + 1)


@asynccontextmanager
async def alertmanager() -> AsyncIterator[Theirs]:
    theirs = Theirs()
    app = web.Application()
    app.router.add_post("/", theirs.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        port = runner.addresses[0][1]
        text = CONFIGURATION.format(host=LOOPBACK, port=port)
        theirs.server = obtain(lambda: AlertmanagerServer(text), required=False)  # no part of ours
        await asyncio.to_thread(theirs.server.start)
        try:
            yield theirs
        finally:
            await asyncio.to_thread(theirs.server.close)
    finally:
        await runner.cleanup()


@pytest.mark.external_service
async def test_the_same_timeline_is_told_as_alertmanager_tells_it(
    manual_clock: ManualClock,
) -> None:
    async with alertmanager() as theirs:
        await timeline(theirs)
    ours = Ours(manual_clock)
    async with ours.manager:
        await timeline(ours)
    assert ours.told.keys() == theirs.told.keys()
    for group, told in theirs.told.items():
        # How often something was repeated is a matter of time; that it was, is not.
        once = [each for each, _ in groupby(told)]
        assert [each for each, _ in groupby(ours.told[group])] == once
        repeated = [sum(1 for _ in same) > 1 for _, same in groupby(told)]
        assert [sum(1 for _ in same) > 1 for _, same in groupby(ours.told[group])] == repeated
    assert theirs.told["a"] == [
        ("firing", ("a1", "a2"), ()), ("firing", ("a1",), ("a2",)), ("resolved", (), ("a1",)),
    ]  # fmt: skip
    assert theirs.told["c"][0] == ("firing", ("down",), ())
    assert [firing for _, firing, _ in theirs.told["d"]] == [("d2",), ("d1", "d2")]
