"""The page in a real browser: what people see and can do there, and what nobody can do to them."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from mobius_infra.health import serve
from mobius_infra.health._reports import Report
from mobius_infra.health._states import Health
from tests.health.page.scene import HOSTILE, NOW, Mood, Scene, check, checks_of, make_scene
from tests.servers.missing import ServerUnavailableError, must_have_servers, obtain

# One browser for all: it takes longer to start than each test does.
pytestmark = [pytest.mark.external_service, pytest.mark.asyncio(loop_scope="module")]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

Visit: TypeAlias = Callable[..., Awaitable[tuple[Page, Scene, str]]]


def find_chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise ServerUnavailableError("chromium", "no program found")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    # Not even CI has to have one: it is no part of what the library needs.
    required = must_have_servers(os.environ) and shutil.which("chromium") is not None
    program = obtain(find_chromium, required=required)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Give a function that opens a scene's page; nothing may be logged nor asked of others."""
    servers = []
    told: list[str] = []
    asked: list[str] = []

    def log(message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")  # as some tests want it
        if message.type in ("error", "warning") and not refused:
            told.append(message.text)

    def request(made: Request) -> None:
        asked.append(made.url)

    async def open_page(
        mood: Mood, *, width: int = 1280, dark: bool = False, token: str | None = None
    ) -> tuple[Page, Scene, str]:
        scene = await make_scene(mood, token=token)
        server = serve(scene.app, port=0)
        port = await server.__aenter__()
        servers.append(server)
        page = await browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        page.on("console", log)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", request)
        url = f"http://127.0.0.1:{port}"
        await page.goto(f"{url}/status")
        if token is None:
            await page.get_by_role("status").get_by_text("Live").wait_for()
        return page, scene, url

    yield open_page
    for context in browser.contexts:
        await context.close()
    for server in servers:
        await server.__aexit__(None, None, None)
    assert told == []
    assert all(url.startswith("http://127.0.0.1:") for url in asked)


async def test_what_changes_is_shown_without_loading_anew(visit: Visit) -> None:
    page, scene, _ = await visit("calm")
    banner = page.locator("#banner strong")
    assert await banner.text_content() == "All systems are up"
    scene.monitor.now = Report.of(checks_of("incident"))
    await page.get_by_text("There is an outage").wait_for()
    assert await page.title() == "DOWN · Price bot"
    assert await page.locator("#checks .check").first.locator(".name").text_content() == "database"
    assert await page.get_by_text("because of database").count() == 2
    assert await page.locator("#graph svg g").count() == 6


async def test_an_alert_is_acknowledged_and_silenced_with_the_keyboard_alone(visit: Visit) -> None:
    token = "a token of the operators"
    page, scene, _ = await visit("incident", token=token)
    await page.get_by_role("textbox", name="Token").fill("a wrong token altogether")
    await page.keyboard.press("Enter")
    await page.get_by_text("A token is needed").wait_for()
    await page.get_by_role("textbox", name="Token").fill(token)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Acknowledge").first.focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Your name").fill("Ada")
    await page.keyboard.press("Escape")
    assert scene.alerts.asked == []
    await page.get_by_role("button", name="Acknowledge").first.press("Enter")
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Note").fill("looking")
    await page.keyboard.press("Enter")
    await page.get_by_text("acknowledged by Ada").first.wait_for()
    await page.locator("#silence-a1").press("Enter")
    await page.get_by_label("For").select_option("4")
    await page.keyboard.press("Enter")
    await page.get_by_text("silenced until").wait_for()
    assert scene.alerts.asked == [
        ("acknowledge", "a1", "Ada", "looking"),
        ("silence", {"alert": "database down"}, "Ada", ""),
    ]
    assert scene.alerts.alerts[0]["silenced_until"] == pytest.approx(NOW + 4 * 3_600, abs=60)


async def test_without_a_token_nothing_can_be_changed(visit: Visit) -> None:
    page, scene, _ = await visit("incident")
    await page.get_by_role("button", name="Acknowledge").first.click()
    await page.get_by_label("Your name").fill("Eve")
    await page.get_by_role("button", name="OK").click()
    await page.get_by_text("no token is configured").wait_for()
    assert scene.alerts.asked == []


async def test_it_fits_a_telephone(visit: Visit) -> None:
    for mood in ("incident", "many"):
        page, _, _ = await visit(mood, width=360)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width == 360
        await page.close()


async def test_it_is_dark_where_that_is_preferred(visit: Visit) -> None:
    backgrounds = []
    for dark in (False, True):
        page, _, _ = await visit("calm", dark=dark)
        backgrounds.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(245, 246, 248)", "rgb(15, 19, 25)"]


async def test_names_are_text_whatever_is_in_them(visit: Visit) -> None:
    page, _, _ = await visit("hostile")
    assert await page.locator("#title").text_content() == HOSTILE
    assert await page.locator("img").count() == 0
    assert await page.title() == HOSTILE


async def test_a_lost_stream_is_said_and_taken_up_again(visit: Visit) -> None:
    page, scene, _ = await visit("calm")
    scene.app._feed.close()
    await page.get_by_text("Connection lost").wait_for()
    scene.monitor.now = Report.of([check("database", Health.DOWN)])
    await page.get_by_role("status").get_by_text("Live").wait_for()
    await page.get_by_text("There is an outage").wait_for()


async def test_with_very_many_what_is_wrong_comes_first_and_can_be_found(visit: Visit) -> None:
    page, _, _ = await visit("many")
    rows = page.locator("#checks .check:visible .name")
    names = [str(name).removesuffix("optional") for name in await rows.all_text_contents()]
    assert names == ["service-017", "service-103", "service-058"]
    search = page.get_by_label("Filter checks")
    await search.press_sequentially("service-19")
    await page.locator("#checks .check").nth(9).wait_for()
    assert await rows.count() == 10
    assert await search.input_value() == "service-19"


async def test_with_nothing_it_says_what_to_do(visit: Visit) -> None:
    page, _, _ = await visit("empty")
    assert await page.get_by_text("Declare some with monitor.check").count() == 1
    assert await page.locator("#components, #charts, #uptime").locator("*").count() == 0


async def test_times_are_the_servers_though_the_browsers_clock_is_wrong(visit: Visit) -> None:
    """The server's stands still in 2025; the browser's is that of today."""
    page, _, _ = await visit("incident")
    assert await page.get_by_text("since 9 min ago").count() == 4
    assert await page.get_by_text("firing 9 min ago").count() == 1


async def test_it_is_small_and_soon_there(visit: Visit) -> None:
    page, _, url = await visit("calm")
    answer = await page.request.get(f"{url}/status", headers={"accept": "text/html"})
    document = await page.request.get(f"{url}/status.json")
    assert len(await answer.body()) + len(await document.body()) < 300_000
    # How soon is for benchmarks/test_status_page.py: a loaded machine says nothing of it.
    painted = "() => performance.getEntriesByName('first-contentful-paint').length"
    assert await (await page.wait_for_function(painted)).json_value() == 1
