"""The price bot: what its users see, whatever happens behind it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter
from cryptography.fernet import Fernet
from pydantic import SecretStr

from examples.bot.app import PriceBot, run
from examples.bot.botapi import BotApiServer, Fault, SimulatedUser
from examples.bot.delivery import patiently
from examples.bot.handlers import HELP, NOT_NOW
from examples.bot.settings import CONFIG, Environment, ProductionFile, Settings
from examples.bot.upstream import Upstream
from mobius_infra.breaker import CircuitBreaker, CircuitOpenError, Outcome, State
from mobius_infra.testing import ManualClock
from tests.servers.missing import obtain
from tests.servers.ports import free_port
from tests.servers.prometheus import PrometheusServer
from tests.servers.waiting import eventually

ROOT = Path(__file__).parents[2]


class World:
    """A bot between its upstream and the Bot API, all on loopback."""

    def __init__(self, server: BotApiServer, upstream: Upstream, parts: PriceBot) -> None:
        self.server = server
        self.upstream = upstream
        self.parts = parts

    async def ask(self, user: SimulatedUser, text: str) -> str:
        user.send(text)
        return str((await user.reply())["text"])


@asynccontextmanager
async def world(folder: Path, **environment: object) -> AsyncIterator[World]:
    async with BotApiServer() as server, Upstream() as upstream:
        env = Environment.model_validate(
            {
                "telegram_bot_token": SecretStr(server.token),
                "telegram_api_url": server.url,
                "upstream_url": upstream.url,
                "database_url": f"sqlite:///{folder}/bot.db?timeout=60",
                "status_port": 0,
                **environment,
            }
        )
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        bot = asyncio.create_task(run(Settings.read(env), stop, ready.set_result))
        await asyncio.wait({bot, ready}, return_when=asyncio.FIRST_COMPLETED)
        if bot.done():
            await bot
        try:
            yield World(server, upstream, ready.result())
        finally:
            stop.set()
            await bot


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


async def test_it_answers_what_it_is_asked(here: World) -> None:
    user = here.server.user("Ada")
    assert (await here.ask(user, "/price btc")).startswith("1 BTC = ")
    assert (await here.ask(user, "/convert 5 eth usd")).startswith("5 ETH = ")
    assert "upstream: up" in await here.ask(user, "/status")
    assert await here.ask(user, "/start") == HELP


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("/price nonsense", "I know no such coin"),
        ("/price <b>;DROP", "I know no such coin"),
        ("/convert", "Write it like this"),
        ("/convert nan eth usd", "Write it like this"),
        ("/convert -1 eth usd", "Write it like this"),
        ("/convert 1e99 eth usd", "Write it like this"),
        ("/convert 1 eth nope", "I know no such coin"),
        ("x" * 201, "too long"),
    ],
)
async def test_nonsense_gets_a_kind_answer(text: str, answer: str, here: World) -> None:
    assert answer in await here.ask(here.server.user("Ada"), text)


async def test_a_button_asks_again(here: World) -> None:
    user = here.server.user("Ada")
    user.send("/price eth")
    message = await user.reply()
    user.press(message, message["reply_markup"]["inline_keyboard"][0][0]["callback_data"])
    assert (await user.reply())["text"].startswith("1 ETH = ")


@pytest.mark.external_service
async def test_a_prometheus_server_scrapes_it_and_refuses_nothing(here: World) -> None:
    ada = here.server.user("Ada")
    for _ in range(3):
        await here.ask(ada, "/price btc")
    port = urlsplit(here.parts.status_url).port
    assert port is not None
    server = obtain(lambda: PrometheusServer(port), required=False)
    try:
        await asyncio.to_thread(server.start)

        async def ask(expression: str) -> list[float]:
            return list((await server.seen(expression)).values())

        assert await ask("sum(mobius_cache_hits_total) == 2") == [2]
        assert await ask('mobius_circuit_breaker_state{state="closed"}') == [1]
        assert await ask("sum(mobius_scrape_failures_total) or vector(0)") == [0]
        assert await ask('up{job="test"} == 1') == [1]
    finally:
        await asyncio.to_thread(server.close)


async def test_who_tries_attacks_gets_no_answer_for_a_while_and_others_do(here: World) -> None:
    ada, eve = here.server.user("Ada"), here.server.user("Eve")
    for number in range(4):
        eve.send(f"/price btc' OR {number}={number} UNION SELECT password FROM users--")
    assert (await here.ask(ada, "/price btc")).startswith("1 BTC = ")

    async def blocked() -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            page = await client.get(here.parts.status_url.replace("/status", "/metrics"))
        return 'mobius_threat_detector_refused_total{answer="block"' in page.text

    await eventually(blocked, timeout=120, what="a refusal")
    assert (await here.ask(ada, "/price eth")).startswith("1 ETH = ")


async def test_it_knows_who_uses_it_for_what_and_how_far_they_come(here: World) -> None:
    ada, alan = here.server.user("Ada"), here.server.user("Alan")
    await here.ask(ada, "/start")
    await here.ask(alan, "/start@pricebot")
    ada.send("/price eth")
    message = await ada.reply()
    ada.press(message, message["reply_markup"]["inline_keyboard"][0][0]["callback_data"])
    await ada.reply()
    await here.ask(alan, "hello")
    usage = here.parts.usage
    assert usage.users.count("day") == 2
    assert usage.features.stats().uses == {
        "other": 0, "start": 2, "price": 1, "again": 1, "text": 1,
    }  # fmt: skip
    assert usage.funnel.stats().users == {"start": 2, "price": 1, "again": 1}
    async with httpx.AsyncClient() as client:
        url = here.parts.status_url.replace("/status", "/metrics")
        text = (await client.get(url)).text
    for name in ("process_resident_bytes", "machine_cpus", "event_loop_tasks", "funnel_users"):
        assert f"mobius_{name}{{" in text
    assert "mobius_process_failures_total{" not in text


async def test_who_asks_too_much_is_told_when_to_come_back(here: World) -> None:
    hasty, patient = here.server.user("Ada"), here.server.user("Alan")
    for _ in range(8):  # not waiting for answers, which go out one a second
        hasty.send("/price btc")
    answers = [(await hasty.reply())["text"] for _ in range(8)]
    assert sum(answer.startswith("Slowly, please") for answer in answers) >= 2
    assert (await here.ask(patient, "/price btc")).startswith("1 BTC")


async def test_a_failing_upstream_is_answered_by_what_is_known_and_never_by_an_error(
    here: World,
) -> None:
    await here.ask(here.server.user("Ada"), "/price btc")
    here.upstream.mood = "failing"
    await here.parts.cache.delete("nothing")  # the cache stays as it is
    for number in range(8):
        user = here.server.user(f"U{number}")
        assert (await here.ask(user, "/price btc")).startswith("1 BTC")
        assert await here.ask(user, "/price doge") == NOT_NOW
    assert here.parts.breaker.stats().opened >= 1
    assert here.parts.breaker.stats().rejected >= 1
    here.upstream.mood = "well"

    async def recovered() -> bool:
        user = here.server.user("Late")
        return (await here.ask(user, "/price doge")).startswith("1 DOGE")

    await eventually(recovered, timeout=20, what="the recovery")


@pytest.mark.parametrize("down_for", [3.0, 30.0, 300.0])
def test_with_the_demos_settings_a_circuit_closes_within_two_seconds(down_for: float) -> None:
    """Of the dependency's return, whatever the pauses' jitter, when there is a call every 50 ms."""
    config = ProductionFile.load(json.loads((CONFIG / "production.json").read_text())).upstream
    for seed in range(50):
        clock, chance = ManualClock(), Random(seed)
        breaker = CircuitBreaker.from_config(config, clock=clock, draw=chance.random)
        while clock.monotonic() < down_for + 2.05:
            well = clock.monotonic() >= down_for
            with suppress(CircuitOpenError):
                breaker.settle(breaker.admit(), Outcome.SUCCESS if well else Outcome.FAILURE)
            assert well or clock.monotonic() < 1.0 or breaker.state is not State.CLOSED
            clock.tick(0.05)
        assert breaker.state is State.CLOSED


async def test_an_update_that_comes_twice_is_answered_once(here: World) -> None:
    user = here.server.user("Ada")
    first = user.send("/price btc")
    await user.reply()

    async def confirmed() -> bool:
        return first in here.server.updates.confirmed

    await eventually(confirmed, timeout=10, what="the confirmation")
    here.server.updates.redeliver(first)
    await here.ask(user, "/price eth")
    assert len(here.server.sent_to(user)) == 2
    assert here.parts.once.duplicates == 1


async def test_it_bears_a_bot_api_that_fails(here: World) -> None:
    here.server.faults.add("getUpdates", Fault.server_error(502), Fault.dropped())
    user = here.server.user("Ada")
    assert (await here.ask(user, "/price btc")).startswith("1 BTC")
    assert (await here.ask(user, "/price btc")).startswith("1 BTC")


async def test_an_answer_that_is_refused_for_now_is_sent_again() -> None:
    clock = ManualClock(auto_jump=True)
    async with BotApiServer() as server:
        session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
        session.middleware(patiently(clock))
        async with Bot(server.token, session=session).context() as bot:
            user = server.user("Ada")
            server.faults.add("sendMessage", Fault.too_many(7), Fault.server_error(500))
            await bot.send_message(user.id, "patiently")
            assert server.sent_to(user) == ["patiently"]
            assert [call.status for call in server.calls] == [429, 500, 200]
            assert 7 + 1.0 < clock.monotonic() <= 7 + 2.0
            server.faults.add("sendMessage", *[Fault.too_many(1)] * 9)
            with pytest.raises(TelegramRetryAfter):
                await bot.send_message(user.id, "in vain")


async def test_its_pages_show_what_happened(here: World) -> None:
    await here.ask(here.server.user("Ada"), "/price btc")
    base = here.parts.status_url.removesuffix("/status")
    async with httpx.AsyncClient(base_url=base) as client:
        assert "Price bot" in (await client.get("/status")).text
        assert (await client.get("/health")).status_code == 200
        assert (
            'mobius_cache_loads_total{name="prices",service="bot"} 1.0'
            in (await client.get("/metrics")).text
        )


async def test_what_is_down_is_told_to_a_chat_shown_and_acknowledged(tmp_path: Path) -> None:
    token = "a token of the operators"
    async with world(tmp_path, alert_chat_id="1000", alert_after=0, status_token=token) as here:
        operator, user = here.server.user("Ada"), here.server.user("Alan")
        assert operator.id == 1000
        here.upstream.mood = "failing"
        while here.parts.breaker.state is State.CLOSED:
            await here.ask(user, "/price btc")
        assert "upstream is down" in str((await operator.reply())["text"])
        base = here.parts.status_url.removesuffix("/status")
        bearer = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=base, headers=bearer) as page:
            given = {"alert": "upstream is down", "by": "ada"}
            shown = (await page.post("/status/acknowledge", json=given)).json()
            (alert,) = shown["alerts"]
            assert (alert["state"], alert["acknowledged_by"]) == ("firing", "ada")
            assert "upstream is down" in (await page.get("/status.json")).text


async def test_it_works_by_webhook_and_encrypted(tmp_path: Path) -> None:
    port = free_port()

    async with world(
        tmp_path,
        webhook_url=f"http://127.0.0.1:{port}",
        webhook_port=port,
        webhook_secret="s3cret",
        encryption_key=Fernet.generate_key().decode(),
    ) as here:
        user = here.server.user("Ada")
        assert (await here.ask(user, "/price btc")).startswith("1 BTC")
        async with httpx.AsyncClient() as stranger:
            url = f"http://127.0.0.1:{port}/webhook"
            assert (await stranger.post(url, json={"update_id": 1})).status_code == 401
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    assert b'"usd"' not in stored


@pytest.mark.parametrize("mode", ["polling", "webhook"])
async def test_stopped_by_sigterm_it_loses_nothing_and_answers_nothing_twice(
    mode: str, tmp_path: Path
) -> None:
    port = free_port()
    async with BotApiServer() as server, Upstream(delay=0.3) as upstream:
        upstream.mood = "slow"
        environment = {
            **os.environ,
            "TELEGRAM_BOT_TOKEN": server.token,
            "TELEGRAM_API_URL": server.url,
            "UPSTREAM_URL": upstream.url,
            "DATABASE_URL": f"sqlite:///{tmp_path}/bot.db?timeout=60",
            "STATUS_PORT": "0",
        }
        if mode == "webhook":
            environment["WEBHOOK_URL"] = f"http://127.0.0.1:{port}"
            environment["WEBHOOK_PORT"] = str(port)
        users = [server.user(f"U{number}") for number in range(30)]

        async def run_until(answers: int) -> None:
            """Run a bot until so many answers were given, then stop it as an init system does."""

            async def given() -> bool:
                return sum(len(server.sent_to(user)) for user in users) >= answers

            process = subprocess.Popen(
                [sys.executable, "-m", "examples.bot.app"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await eventually(given, timeout=120, what=f"{answers} answers")
                process.send_signal(signal.SIGTERM)
                for user in users if answers == 1 else []:
                    user.send("/price btc")  # while it is being stopped
                assert await asyncio.to_thread(process.wait, 120) == 0
            finally:
                process.kill()
                process.wait()

        for number, user in enumerate(users):
            user.send(f"/price {('btc', 'eth', 'sol', 'ton')[number % 4]}")
        await run_until(1)
        if server.updates.confirmed[-1] < 60:  # else the first was quick enough to answer all
            await run_until(60)
        assert [len(server.sent_to(user)) for user in users] == [2] * 30
