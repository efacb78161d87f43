"""What a real Prometheus server and promtool make of what is exported."""

import asyncio
import math
import subprocess

import pytest

from mobius_infra.cache import Cache
from mobius_infra.health import serve
from mobius_infra.health._app import Receive, Scope, Send
from mobius_infra.metrics import MetricsCollector
from tests.metrics.test_exposition import everything
from tests.servers.missing import obtain
from tests.servers.prometheus import PrometheusServer, find_prometheus

# Not required, not even in CI: it is no package of Python, and the parser's tests run everywhere.
pytestmark = pytest.mark.external_service


async def test_a_prometheus_server_scrapes_it_all_and_drops_nothing() -> None:
    metrics, cache = MetricsCollector("bot"), Cache("prices")
    pump = everything(metrics)
    metrics.watch(cache)
    await cache.set("k", 1)
    await cache.get("k")
    odd = metrics.counter("odd", "doc", labels=["at"])
    odd.labels('a"\\\n\r\0\ud800{}ü').inc(3)

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        accept = dict(scope["headers"]).get(b"accept", b"").decode()
        kind, body = await metrics.render_async(accept)
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with serve(page, port=0) as port:
        server = obtain(lambda: PrometheusServer(port), required=False)
        try:
            await asyncio.to_thread(server.start)

            async def ask(expression: str) -> float:
                (value,) = (await server.seen(expression)).values()
                return value

            assert await ask('mobius_cache_hits_total{name="prices",tier="memory"}') == 1
            assert await ask("sum(orders_total)") == sum(range(450))
            assert await ask("count(orders_total)") == 450
            assert await ask('seconds_bucket{kind="7",le="+Inf"}') == 9
            assert math.isinf(await ask('levels{at="inf"}'))
            assert math.isnan(await ask('levels{at="nan"}'))
            (labels,) = await server.seen("odd_total")
            assert dict(labels)["at"] == 'a"\\\n\ufffd\ufffd\ufffd{}ü'
            assert await ask('scrape_samples_scraped{job="test"}') > 450
            assert await ask('up{job="test"} == 1') == 1
        finally:
            await asyncio.to_thread(server.close)
    del pump


def test_promtool_finds_no_fault() -> None:
    promtool = obtain(lambda: find_prometheus("promtool"), required=False)
    metrics = MetricsCollector("bot")
    pump = everything(metrics)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.render()[1], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    del pump
