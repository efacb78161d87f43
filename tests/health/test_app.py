"""The pages: what they answer, and that nothing from outside gets into them unescaped."""

from collections.abc import AsyncIterator

import httpx
import pytest

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.cache import Cache
from mobius_infra.health import HealthMonitor, serve, status_app
from mobius_infra.health._app import App
from mobius_infra.metrics import MetricsCollector


class Parts:
    """An application with two checks and two components."""

    def __init__(self) -> None:
        self.well = True
        self.monitor = HealthMonitor()
        self.breaker = CircuitBreaker("up<script>stream")
        self.cache = Cache("prices")
        collector = MetricsCollector()
        collector.watch(self.cache, self.breaker)

        @self.monitor.check("database")
        async def database() -> None:
            if not self.well:
                raise OSError("<b>gone</b>")

        @self.monitor.check("extra", critical=False)
        async def extra() -> None: ...

        self.app: App = status_app(
            self.monitor,
            components=[self.cache, self.breaker],
            metrics=collector.render,
            title="Bot & co",
        )

    async def check(self) -> None:
        await self.monitor.run("database")
        await self.monitor.run("extra")


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(parts.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        yield client


async def test_health_follows_the_checks(parts: Parts, client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 503
    assert (await client.get("/health/startup")).json() == {"waiting_for": ["database", "extra"]}
    await parts.check()
    well = await client.get("/health")
    assert (well.status_code, well.json()["state"]) == (200, "up")
    assert (await client.get("/health/startup")).status_code == 200
    parts.well = False
    await parts.check()
    sick = await client.get("/health/ready")
    assert (sick.status_code, sick.json()["state"]) == (503, "down")
    assert sick.json()["checks"][0]["reason"] == "OSError: <b>gone</b>"


async def test_a_dead_dependency_never_fails_liveness(
    parts: Parts, client: httpx.AsyncClient
) -> None:
    parts.well = False
    await parts.check()
    assert (await client.get("/health/live")).status_code == 200


async def test_metrics_are_what_prometheus_reads(client: httpx.AsyncClient) -> None:
    found = await client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    assert 'mobius_cache_misses_total{name="prices"} 0.0' in found.text
    wanted = {"accept": "application/openmetrics-text"}
    assert (await client.get("/metrics", headers=wanted)).text.endswith("# EOF\n")


async def test_status_shows_everything_and_escapes_it(
    parts: Parts, client: httpx.AsyncClient
) -> None:
    parts.well = False
    parts.breaker.isolate()
    await parts.check()
    page = await client.get("/status")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for text in (
        "Bot &amp; co",
        "up&lt;script&gt;stream",
        "&lt;b&gt;gone",
        "CircuitIsolated",
        "CheckFailed",
    ):
        assert text in page.text
    assert "<script" not in page.text
    everything = (await client.get("/status.json")).json()
    assert [each["kind"] for each in everything["events"]] == ["CheckFailed", "CircuitIsolated"]
    assert [each["name"] for each in everything["components"]] == ["prices", "up<script>stream"]


async def test_wrong_paths_and_methods_are_answered_properly(client: httpx.AsyncClient) -> None:
    assert (await client.get("/nothing")).status_code == 404
    refused = await client.post("/health")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    head = await client.head("/status")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 1_000
    assert (await client.get("/status/")).status_code == 200


async def test_without_metrics_there_is_no_such_page() -> None:
    transport = httpx.ASGITransport(status_app(HealthMonitor()))
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        assert (await client.get("/metrics")).status_code == 404
        assert "nothing yet" in (await client.get("/status")).text


async def test_it_works_mounted_under_a_prefix(parts: Parts) -> None:
    transport = httpx.ASGITransport(parts.app, root_path="/ops")
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        assert (await client.get("/ops/health/live")).status_code == 200


async def test_it_is_served_on_a_real_socket(parts: Parts) -> None:
    async with serve(parts.app, port=0) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/health/live")
        assert answer.json() == {"state": "up"}
        with pytest.raises(OSError, match=r"."):
            async with serve(parts.app, port=port):
                pass
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/health/live")
