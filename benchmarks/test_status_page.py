"""How soon the page is there, in a headless Chromium and from loopback, and how much it weighs.

First contentful paint counts from the beginning of the navigation, by the browser's own clock; the
browser has nothing of the page beforehand. What is weighed is all that went over the wire.
"""

import asyncio
import shutil
from collections.abc import Callable

import pytest
from playwright.async_api import async_playwright

from mobius_infra.health import (
    AlertManager,
    HealthMonitor,
    LogChannel,
    Route,
    check_rules,
    serve,
    status_app,
)
from mobius_infra.health._app import StatusApp

VISITS = 10
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
WEIGHT = """() => performance.getEntries().filter(each => 'encodedBodySize' in each)
    .reduce((sum, each) => sum + each.encodedBodySize, 0)"""


async def visit(program: str, url: str) -> tuple[float, int]:
    """Return seconds until the first paint of the quickest of some visits, and bytes of one."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        took = []
        for _ in range(VISITS):
            context = await browser.new_context()  # with an empty cache
            page = await context.new_page()
            await page.goto(url)
            await page.get_by_role("status").get_by_text("Live").wait_for()
            paint = await (await page.wait_for_function(PAINT)).json_value()
            took.append(paint / 1000)
            weight = await page.evaluate(WEIGHT)
            # The stream that brings the document does not end, so the browser hasn't weighed it.
            weight += len(await (await page.request.get(f"{url}.json")).body())
            await context.close()
        await browser.close()
    return min(took), weight


def make(checks: int) -> tuple[HealthMonitor, StatusApp, AlertManager]:
    monitor = HealthMonitor()
    for number in range(checks):

        @monitor.check(f"check {number}", every=1)
        async def check(number: int = number) -> bool:
            return number % 10 != 0

    routes = [Route(channels=(LogChannel(),))]
    alerts = AlertManager(rules=check_rules(monitor), routes=routes, every=1)
    return monitor, status_app(monitor, alerts=alerts), alerts


@pytest.mark.parametrize("checks", [20, 200])
def test_first_paint_of_the_status_page(
    checks: int, record_figure: Callable[[str, str], None]
) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium: no program found")

    async def measure() -> tuple[float, int]:
        monitor, app, alerts = make(checks)
        async with monitor, alerts, serve(app, port=0) as port:
            return await visit(program, f"http://127.0.0.1:{port}/status")

    paint, weight = asyncio.run(measure())
    record_figure("first paint", f"{paint:.3f} s, {weight / 1000:.0f} kB")
    assert paint < 0.5
    assert weight < 300_000
