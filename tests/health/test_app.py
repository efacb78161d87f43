"""The pages: what they answer, whom, and that nothing gets out that should not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.health import (
    Above,
    AlertManager,
    LogChannel,
    Route,
    Rule,
    Uptime,
    serve,
    status_app,
)
from mobius_infra.health._app import _NOT_PASSED_ON, StatusApp
from mobius_infra.health._reports import CheckReport, Report
from mobius_infra.health._states import Health, Kind
from mobius_infra.metrics import MetricsCollector
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky
from tests.health.alerting import T0, Recorder, World, manager
from tests.health.page.scene import Alerts, Monitor, Part, alerts_of, check

TOKEN = "a token of sufficient length"
SECRET = "password=hunter2"


def down(name: str = "database", **more: Any) -> CheckReport:
    return check(name, Health.DOWN, reason=f"OSError: {SECRET}", **more)


@asynccontextmanager
async def client_of(app: StatusApp, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, **options)
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        yield client


BEARER = {"authorization": f"Bearer {TOKEN}"}


async def statuses(client: httpx.AsyncClient) -> dict[str, int]:
    paths = ["/health", "/health/live", "/health/ready", "/health/startup"]
    return {path: (await client.get(path)).status_code for path in paths}


async def test_probes_say_what_each_is_asked_for() -> None:
    monitor = Monitor([CheckReport(name="database")])
    async with client_of(status_app(monitor)) as client:
        assert set((await statuses(client)).values()) == {200, 503}
        assert (await statuses(client))["/health/live"] == 200
        monitor.now = Report.of([check("database"), down("extra", critical=False)])
        assert set((await statuses(client)).values()) == {200}
        monitor.now = Report.of([down()])
        assert await statuses(client) == {
            "/health": 503, "/health/live": 200, "/health/ready": 503, "/health/startup": 200,
        }  # fmt: skip
        monitor.now = Report.of([down("loop", kind=Kind.LIVENESS)])
        assert (await statuses(client))["/health/live"] == 503


async def test_the_document_of_a_probe_is_the_drafts() -> None:
    monitor = Monitor([down(), check("extra", critical=False)])
    async with client_of(status_app(monitor)) as client:
        found = await client.get("/health")
        assert found.headers["content-type"] == "application/health+json"
        assert found.json()["status"] == "fail"
        assert found.json()["checks"]["database"][0]["output"] == f"OSError: {SECRET}"
        assert found.json()["checks"]["extra"][0]["status"] == "pass"
        assert (await client.get("/health/live")).json() == {"status": "pass"}


async def test_strangers_see_up_or_down_and_nothing_else() -> None:
    app = status_app(
        Monitor([down("secret name")]),
        components=[Part("secret name")],
        metrics=lambda accept: ("text/plain", b"secret name"),
        token=TOKEN,
    )
    async with client_of(app) as client:
        for path in ("/health", "/health/ready", "/health/startup", "/health/live"):
            assert (await client.get(path)).json().keys() == {"status"}
        for path in ("/status", "/status.json", "/status/events", "/metrics"):
            for headers in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}):
                refused = await client.get(path, headers=headers)
                assert refused.status_code == 401
                assert "secret" not in refused.text
        page = await client.get("/status", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "secret" not in page.text
        assert "secret" in (await client.get("/status", headers=BEARER)).text
        assert (await client.get("/metrics", headers=BEARER)).text == "secret name"
    assert TOKEN not in repr(app)
    with pytest.raises(ConfigurationError) as caught:
        status_app(Monitor([]), token="short")
    assert "short" not in str(caught.value)


async def test_it_is_not_ready_from_the_start_of_a_drain() -> None:
    app = status_app(Monitor([check("database")]))
    async with client_of(app) as client:
        assert (await client.get("/health/ready")).status_code == 200
        app.drain()
        assert (await client.get("/health/ready")).json()["status"] == "fail"
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


async def test_connections_are_open_while_it_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, drained, sleep = asyncio.Event(), asyncio.Event(), asyncio.sleep

    async def wait(seconds: float) -> None:
        if seconds == 3600:
            begun.set()
            await drained.wait()
        else:
            await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", wait)
    app = status_app(Monitor([check("database")]))
    server = serve(app, port=0, drain=3600)
    port = await server.__aenter__()
    leaving = asyncio.create_task(server.__aexit__(None, None, None))
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        await begun.wait()
        answer = await client.get(f"http://127.0.0.1:{port}/health/ready")
    assert answer.status_code == 503
    drained.set()
    await leaving


async def test_a_thousand_questions_make_an_answer_once() -> None:
    monitor = Monitor([check("database")])
    app = status_app(monitor)
    first = app._probe("/health", details=True)
    assert app._probe("/health", details=True) is first
    assert app._probe("/health", details=False) is not first
    monitor.now = Report.of([down()])
    assert app._probe("/health", details=True).status == 503


class Broken(Part):
    def stats(self) -> Any:
        raise RuntimeError(SECRET)


async def test_the_status_is_told_as_json_to_programs(manual_clock: ManualClock) -> None:
    part = Part("prices")
    uptime = Uptime("u", read=dict, clock=manual_clock)
    uptime.observe({"": "up", "database": "down"})
    app = status_app(
        Monitor([down()]), components=[part, Broken("broken")], uptime=uptime,
        alerts=Alerts(alerts_of("incident")), title="Bot",
    )  # fmt: skip
    async with client_of(app) as client:
        found = await client.get("/status")
        assert found.headers["content-type"] == "application/json"
        assert SECRET in found.text  # of the check; not of the component
        document = found.json()
    assert (document["version"], document["title"]) == (1, "Bot")
    assert document["health"]["checks"][0]["name"] == "database"
    prices, broken = document["components"]
    assert prices["numbers"][0] == {
        "name": "state", "kind": "state", "doc": "How it is", "labels": {}, "value": "closed",
    }  # fmt: skip
    assert broken == {
        "kind": "Broken", "name": "broken", "numbers": [], "failed": "RuntimeError",
    }  # fmt: skip
    assert [part["part"] for part in document["uptime"]["parts"]] == ["", "database"]
    assert document["uptime"]["parts"][0]["windows"].keys() == {"1h", "24h", "7d", "30d", "90d"}
    assert len(document["uptime"]["parts"][0]["days"]) == 90
    assert document["alerts"]["alerts"][0]["name"] == "database down"


async def test_numbers_that_json_has_not_are_null() -> None:
    class Charts:
        def series(self) -> list[str]:
            return ["x"]

        def points(self, series: str, seconds: float) -> list[tuple[float, float | None]]:
            return [(1.0, float("nan"))]

    async with client_of(status_app(Monitor([]), charts=Charts())) as client:
        assert (await client.get("/status")).json()["series"] == {"x": [[1.0, None]]}


async def test_metrics_may_be_rendered_now_or_later() -> None:
    collector = MetricsCollector()

    async def later(accept: str | None) -> tuple[str, bytes]:
        await asyncio.sleep(0)
        return collector.render(accept)

    for render in (collector.render, later):
        async with client_of(status_app(Monitor([]), metrics=render)) as client:
            assert (await client.get("/metrics")).headers["content-type"].startswith("text/plain")
            wanted = {"accept": "application/openmetrics-text"}
            assert (await client.get("/metrics", headers=wanted)).text.endswith("# EOF\n")
    async with client_of(status_app(Monitor([]))) as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_wrong_paths_and_methods_are_answered_properly() -> None:
    app = status_app(Monitor([check("database")]), alerts=Alerts([]), token=TOKEN)
    async with client_of(app) as client:
        assert (await client.get("/nothing")).status_code == 404
        refused = await client.post("/health")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        refused = await client.get("/status/silence")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        head = await client.head("/status", headers={"accept": "text/html"})
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 10_000
        assert (await client.get("/status/", headers=BEARER)).status_code == 200
        streamed = await client.head("/status/events", headers=BEARER)
        assert (streamed.status_code, streamed.content) == (200, b"")


async def test_headers_are_safe() -> None:
    async with client_of(status_app(Monitor([]))) as client:
        headers = (await client.get("/status", headers={"accept": "text/html"})).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"


async def test_it_works_mounted_under_a_prefix() -> None:
    app = status_app(Monitor([check("database")]))
    async with client_of(app, root_path="/ops") as client:
        assert (await client.get("/ops/health/live")).status_code == 200


async def test_alerts_are_acknowledged_and_silenced_by_whoever_has_the_token() -> None:
    alerts = Alerts(alerts_of("incident"))
    app = status_app(Monitor([]), alerts=alerts, token=TOKEN)
    async with client_of(app) as client:
        said = {"alert": "a1", "by": "Ada"}
        assert (await client.post("/status/acknowledge", json=said)).status_code == 401
        done = await client.post("/status/acknowledge", json=said, headers=BEARER)
        assert done.json()["alerts"][0]["acknowledged_by"] == "Ada"
        said = {"matchers": {"alert": "upstream slow"}, "until": 2e9, "by": "Ada"}  # type: ignore[dict-item]
        done = await client.post("/status/silence", json=said, headers=BEARER)
        assert done.json()["alerts"][1]["silenced_until"] == 2e9
    assert len(alerts.asked) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"alert": 7, "by": "Ada"}', b'{"by": "Ada"}', b"\xff",
     b'{"alert": "' + b"a" * 20_000 + b'", "by": "Ada"}'],
    ids=["none", "list", "null", "broken", "number", "missing", "no text", "long"],
)  # fmt: skip
async def test_what_is_not_as_documented_is_refused(body: bytes) -> None:
    alerts = Alerts([])
    async with client_of(status_app(Monitor([]), alerts=alerts, token=TOKEN)) as client:
        refused = await client.post("/status/acknowledge", content=body, headers=BEARER)
        assert refused.status_code == 400
        refused = await client.post("/status/silence", content=body, headers=BEARER)
        assert refused.status_code == 400
    assert alerts.asked == []


async def test_without_alerts_or_a_token_nothing_can_be_done() -> None:
    async with client_of(status_app(Monitor([]), token=TOKEN)) as client:
        assert (await client.post("/status/silence", headers=BEARER)).status_code == 404
    async with client_of(status_app(Monitor([]), alerts=Alerts([]))) as client:
        assert (await client.post("/status/silence", json={})).status_code == 403


async def test_what_can_not_be_passed_on_to_who_notifies_is_said_and_may_be_tried_again(
    manual_clock: ManualClock,
) -> None:
    backend, world = Flaky(manual_clock), World()
    world.bad = {"a"}
    first, second = (
        manager(manual_clock, backend, [world.rule("a")], Recorder(), member=member)
        for member in ("first", "second")
    )
    app = status_app(Monitor([]), alerts=second, token=TOKEN)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/status/acknowledge", {"alert": "a", "by": "Ada"}),
        ("/status/silence", {"matchers": {"alert": "b"}, "until": T0 + 600, "by": "Ada"}),
    ]
    async with first, second, client_of(app) as client:
        await manual_clock.advance(10)
        assert (first.stats().state, second.stats().state) == ("notifying", "standing by")

        async def refused() -> None:
            for path, said in asked:
                answer = await client.post(path, json=said, headers=BEARER)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert answer.json() == {"error": _NOT_PASSED_ON}

        backend.away = True
        await refused()
        backend.away = False
        await backend.set("alerts:m:inbox", b'{"version": 99}')  # of a newer release
        await refused()
        await backend.delete("alerts:m:inbox")
        for path, said in asked:
            assert (await client.post(path, json=said, headers=BEARER)).status_code == 200
        await manual_clock.advance(10)
        (alert,), (silence,) = first.snapshot().alerts, first.snapshot().silences
    assert alert.acknowledged is not None
    assert silence.match == {"alert": "b"}


class Reader:
    """Reads server-sent events of an app that is really served."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def event(self) -> tuple[str, dict[str, Any]]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and "data" in fields:
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value
        raise EOFError


async def test_changes_are_streamed_to_all_who_read() -> None:
    monitor = Monitor([check("database")])
    app = status_app(monitor, components=[Part("prices")], interval=0.05)
    async with serve(app, port=0) as port, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/status/events"
        async with client.stream("GET", url) as one, client.stream("GET", url) as two:
            readers = [Reader(one.aiter_lines()), Reader(two.aiter_lines())]
            for reader in readers:
                kind, whole = await reader.event()
                assert (kind, whole["health"]["state"]) == ("snapshot", "up")
            assert app._feed.readers == 2
            monitor.now = Report.of([down()])
            for reader in readers:
                while (change := await reader.event())[1].get("health", {}).get("state") != "down":
                    assert change[0] == "change"
            _, quiet = await readers[0].event()
            assert quiet.keys() <= {"version", "now", "points"}
        while app._feed.readers:  # the server is told when a reader has gone
            await asyncio.sleep(0)
        assert app._feed._task is None


async def test_a_drain_ends_open_streams() -> None:
    app = status_app(Monitor([]), interval=0.05)
    async with (
        serve(app, port=0) as port,
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{port}/status/events") as stream,
    ):
        pieces = stream.aiter_text()
        assert "event: snapshot" in await anext(pieces)
        app.drain()
        assert "lost" not in "".join([piece async for piece in pieces])  # it ends


async def test_a_reader_that_is_too_slow_gets_the_whole_anew() -> None:
    app = status_app(Monitor([]), interval=0.01)
    events = app._feed.read()
    assert b"event: snapshot" in await anext(events)
    (queue,) = app._feed._readers
    while queue.qsize() != 1 or queue._queue[0] != b"lost":  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    assert b"event: snapshot" in await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # a generator
    assert app._feed._task is None


async def test_it_is_served_on_a_real_socket() -> None:
    app = status_app(Monitor([check("database")]))
    async with serve(app, port=0) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/health/live")
        assert answer.json() == {"status": "pass"}
        with pytest.raises(OSError, match=r"."):
            async with serve(app, port=port):
                pass
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/health/live")


@pytest.mark.parametrize("field", ["objective", "interval"])
def test_settings_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        status_app(Monitor([]), **{field: 0})  # type: ignore[arg-type]  # by name


async def test_a_managers_alerts_are_shown_acknowledged_and_silenced() -> None:
    rules = [
        Rule(name="queue is long", source=lambda: 1_000, condition=Above(900), for_=0),
        Rule(name="all is well", source=lambda: 1, condition=Above(900)),
    ]
    clock = ManualClock()
    manager = AlertManager("shop", rules=rules, routes=[Route(channels=(LogChannel(),))],
                           backend=open_backend("memory://", clock=clock), clock=clock)  # fmt: skip
    app = status_app(Monitor([]), alerts=manager, token=TOKEN)
    async with manager, client_of(app) as client:
        await clock.advance(10)
        (alert,) = (await client.get("/status", headers=BEARER)).json()["alerts"]["alerts"]
        assert (alert["name"], alert["state"]) == ("queue is long", "firing")
        assert (alert["acknowledged_by"], alert["silenced_until"]) == (None, None)
        said: dict[str, Any] = {"alert": alert["id"], "by": "Ada"}
        done = await client.post("/status/acknowledge", json=said, headers=BEARER)
        assert done.json()["alerts"][0]["acknowledged_by"] == "Ada"
        until = clock.time() + 3_600
        said = {"matchers": {"alert": alert["name"]}, "until": until, "by": "Ada"}
        done = await client.post("/status/silence", json=said, headers=BEARER)
        assert done.status_code == 200, done.text
        await clock.advance(10)
        (alert,) = (await client.get("/status", headers=BEARER)).json()["alerts"]["alerts"]
        assert alert["silenced_until"] == until
