"""The same timeline for our alert manager and for Prometheus' Alertmanager: the same is told.

Alertmanager keeps real time, ours a manual clock. How it packs what it tells depends on how fast
the machine is: what a flush just misses comes in the next. So what is compared, after each step, is
what whoever listens has heard to fire and to have ended, of each group; each step waits until
Alertmanager has said all that is expected of it, and finds out whether it said more.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain, pairwise

import pytest
from aiohttp import web

from mobius_infra.health import Inhibition, Route
from mobius_infra.testing import ManualClock
from tests.health.alerting import Recorder, World, manager
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.missing import obtain
from tests.servers.ports import LOOPBACK

Told = tuple[tuple[str, ...], tuple[str, ...]]
"""What fires and what has ended, of one notification."""

Step = tuple[str, set[str], set[str]]
"""A group, and what was heard of it so far: what was ever said to fire, what to have ended."""

LABELS = {
    "a1": ("a", "warning"), "a2": ("a", "warning"), "b1": ("b", "warning"),
    "down": ("c", "critical"), "slow": ("c", "warning"), "elsewhere": ("e", "warning"),
    "d1": ("d", "warning"), "d2": ("d", "warning"), "again": ("r", "warning"),
}  # fmt: skip

CONFIGURATION = """
route:
  receiver: phone
  group_by: [cluster]
  group_wait: 300ms
  group_interval: 300ms
  repeat_interval: 24h
  routes: [{{matchers: ['cluster="r"'], receiver: phone, repeat_interval: 300ms}}]
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [cluster]
receivers: [{{name: phone, webhook_configs: [{{url: 'http://{host}:{port}/'}}]}}]
"""


class Side:
    """Whatever notifies, as heard by who listens to it."""

    def __init__(self) -> None:
        self.told: dict[str, list[Told]] = defaultdict(list)
        self.steps: list[Step] = []

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let time pass until it is so."""
        raise NotImplementedError

    async def hears(self, group: str, firing: str = "", ended: str = "") -> None:
        """Wait until just that fires as far as is known, and all that has ended was said to."""

        def reached() -> bool:
            told = self.told[group]
            ends = {name for _, names in told for name in names}
            return (
                bool(told)
                and set(told[-1][0]) == set(firing.split())
                and ends == set(ended.split())
            )

        await self.until(reached)
        said, over = (set(chain(*names)) for names in zip(*self.told[group], strict=True))
        self.steps.append((group, said, over))

    def repeated(self) -> set[str]:
        """Return the groups of which something was said twice in a row."""
        return {
            group for group, told in self.told.items() if any(a == b for a, b in pairwise(told))
        }


class Theirs(Side):
    """An Alertmanager, and what it has told."""

    def __init__(self) -> None:
        super().__init__()
        self.server: AlertmanagerServer
        self._heard = asyncio.Event()
        self._silences: dict[str, str] = {}

    async def hear(self, request: web.Request) -> web.Response:
        given = await request.json()
        named: dict[str, list[str]] = {"firing": [], "resolved": []}
        for each in given["alerts"]:
            named[each["status"]].append(each["labels"]["alertname"])
        firing, ended = (tuple(sorted(names)) for names in named.values())
        self.told[given["groupLabels"]["cluster"]].append((firing, ended))
        self._heard.set()
        return web.Response()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not reached():
                self._heard.clear()
                await self._heard.wait()

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


class Ours(Side):
    """An alert manager with the same configuration, and what it has told."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
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

    async def until(self, reached: Callable[[], bool]) -> None:
        await self._clock.advance(10)
        for each in self._phone.sent:
            lines = (*each.firing, *each.resolved)
            firing, ended = (
                tuple(sorted(line.alert for line in named))
                for named in (each.firing, each.resolved)
            )
            self.told[lines[0].labels["cluster"]].append((firing, ended))
        self._phone.sent.clear()
        assert reached(), self.told


async def timeline(side: Ours | Theirs) -> None:
    """Grouping, inhibition, a silence that ends, repetition, and resolution."""
    await side.change(True, "a1", "a2", "b1")
    await side.hears("a", "a1 a2")
    await side.hears("b", "b1")
    await side.change(False, "a2")
    await side.hears("a", "a1", ended="a2")
    await side.change(False, "a1")
    await side.hears("a", ended="a1 a2")

    await side.change(True, "down")
    await side.hears("c", "down")
    await side.change(True, "slow", "elsewhere")
    await side.hears("e", "elsewhere")
    await side.hears("c", "down")  # and of the slow one nothing
    await side.change(False, "down")
    await side.hears("c", "slow", ended="down")

    await side.silence("d1")
    await side.change(True, "d1", "d2")
    await side.hears("d", "d2")
    await side.unsilence("d1")
    await side.hears("d", "d1 d2")

    await side.change(True, "again")
    await side.until(lambda: len(side.told["r"]) >= 3)
    await side.change(False, "again")
    await side.hears("r", ended="again")


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
    assert ours.steps == theirs.steps
    assert ours.told.keys() == theirs.told.keys()
    # What our manager tells is packed as it should be too: its clock waits for it.
    assert ours.told["a"] == [(("a1", "a2"), ()), (("a1",), ("a2",)), ((), ("a1",))]
    # A webhook whose answer was late is called again; so Alertmanager may repeat others too.
    assert ours.repeated() == {"r"} <= theirs.repeated()
