"""The local Bot API server, as two independent clients see it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import telegram
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from telegram.ext import Application, CommandHandler, ContextTypes

from examples.bot.botapi import BotApiServer, Fault


@pytest.fixture
async def server() -> AsyncIterator[BotApiServer]:
    async with BotApiServer() as server:
        yield server


def client(server: BotApiServer, token: str | None = None) -> Bot:
    session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
    return Bot(token or server.token, session=session)


@pytest.fixture
async def bot(server: BotApiServer) -> AsyncIterator[Bot]:
    async with client(server).context() as bot:
        yield bot


async def test_the_bot_learns_who_it_is_and_strangers_are_refused(
    server: BotApiServer, bot: Bot
) -> None:
    assert (await bot.get_me()).username == "local_test_bot"
    async with client(server, "1:stranger").context() as stranger:
        with pytest.raises(TelegramUnauthorizedError):
            await stranger.get_me()


async def test_updates_stay_until_an_offset_confirms_them(server: BotApiServer, bot: Bot) -> None:
    user = server.user("Ada")
    ids = [user.send(text) for text in ("one", "two", "three")]
    for _ in range(2):
        found = await bot.get_updates()
        assert [update.update_id for update in found] == ids
    assert [u.update_id for u in await bot.get_updates(offset=ids[1])] == ids[1:]
    assert server.updates.confirmed == ids[:1]
    assert [u.update_id for u in await bot.get_updates(offset=-1)] == ids[2:]
    assert [u.update_id for u in await bot.get_updates(limit=1)] == ids[2:]
    assert await bot.get_updates(offset=ids[2] + 1) == []
    assert server.updates.confirmed == ids


async def test_a_long_poll_is_answered_as_soon_as_somebody_writes(
    server: BotApiServer, bot: Bot
) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=30))
    user = server.user("Ada")
    user.send("/start now")
    (update,) = await polling
    assert update.message is not None
    assert update.message.text == "/start now"
    assert update.message.entities is not None
    assert update.message.entities[0].type == "bot_command"
    assert update.message.entities[0].length == 6


async def test_a_second_poller_ends_the_first(server: BotApiServer, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=30))
    while not server.updates._poller:
        await asyncio.sleep(0)
    second = asyncio.create_task(bot.get_updates(timeout=30))
    with pytest.raises(TelegramConflictError, match="only one bot instance"):
        await first
    server.user("Ada").send("hello")
    assert len(await second) == 1


async def test_messages_are_sent_edited_deleted_and_recorded(
    server: BotApiServer, bot: Bot
) -> None:
    user = server.user("Ada")
    message = await bot.send_message(user.id, "one")
    assert (await user.reply())["text"] == "one"
    edited = await message.edit_text("two")
    assert isinstance(edited, Message)
    assert edited.text == "two"
    with pytest.raises(TelegramBadRequest, match="not modified"):
        await message.edit_text("two")
    assert await message.delete()
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await message.edit_text("three")
    assert server.sent_to(user) == ["one", "two"]
    assert [call.status for call in server.calls] == [200, 200, 400, 200, 400]


@pytest.mark.parametrize(
    ("chat", "text", "says"),
    [(1000, " ", "text is empty"), (1000, "x" * 4097, "too long"), (5, "x", "chat not found")],
)
async def test_what_the_bot_api_refuses_is_refused(
    chat: int, text: str, says: str, server: BotApiServer, bot: Bot
) -> None:
    server.user("Ada")
    with pytest.raises(TelegramBadRequest, match=says):
        await bot.send_message(chat, text)


async def test_a_pressed_button_is_answered_once(server: BotApiServer, bot: Bot) -> None:
    user = server.user("Ada")
    await bot.send_message(user.id, "choose")
    user.press(await user.reply(), "yes")
    (update,) = await bot.get_updates()
    assert isinstance(update.callback_query, CallbackQuery)
    assert update.callback_query.data == "yes"
    assert await bot.answer_callback_query(update.callback_query.id)
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(update.callback_query.id)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.too_many(3), TelegramRetryAfter),
        (Fault.server_error(500), TelegramServerError),
        (Fault.server_error(502), Exception),
        (Fault.dropped(), TelegramNetworkError),
    ],
)
async def test_scripted_faults_are_met_once_each(
    fault: Fault, error: type[Exception], server: BotApiServer, bot: Bot
) -> None:
    server.faults.add("getMe", fault)
    with pytest.raises(error) as caught:
        await bot.get_me()
    if isinstance(caught.value, TelegramRetryAfter):
        assert caught.value.retry_after == 3
    assert (await bot.get_me()).is_bot


async def test_a_delay_waits_by_the_given_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with BotApiServer(sleep=sleep) as server, client(server).context() as bot:
        server.faults.add("getMe", Fault.slow(30))
        await bot.get_me()
    assert slept == [30]


async def test_updates_can_come_twice_and_out_of_order(server: BotApiServer, bot: Bot) -> None:
    user = server.user("Ada")
    ids = [user.send(text) for text in ("a", "b", "c")]
    server.updates.reorder([2, 0, 1])
    assert [u.update_id for u in await bot.get_updates()] == [ids[2], ids[0], ids[1]]
    await bot.get_updates(offset=ids[2] + 1)
    server.updates.redeliver(ids[0])
    assert [u.update_id for u in await bot.get_updates()] == [ids[0]]


async def test_a_webhook_gets_updates_in_order_until_it_accepts_them(
    server: BotApiServer, bot: Bot
) -> None:
    dispatcher, failures, got = Dispatcher(), 2, list[str]()

    @dispatcher.message()
    async def answer(message: Message) -> str:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("not yet")
        got.append(message.text or "")
        return ""

    app = web.Application()
    SimpleRequestHandler(
        dispatcher, bot, handle_in_background=False, secret_token="s3cret"
    ).register(app, "/hook")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        await bot.set_webhook(url, secret_token="s3cret")
        assert (await bot.get_webhook_info()).url == url
        with pytest.raises(TelegramConflictError, match="webhook is active"):
            await bot.get_updates()
        user = server.user("Ada")
        ids = [user.send(text) for text in ("a", "b")]
        async with asyncio.timeout(10):
            while server.updates.confirmed != ids:
                await asyncio.sleep(0)
        assert got == ["a", "b"]
        async with httpx.AsyncClient() as stranger:
            refused = await stranger.post(url, json={"update_id": 1})
        assert refused.status_code == 401
        await bot.delete_webhook()
        assert await bot.get_updates() == []
    finally:
        await runner.cleanup()


async def test_aiograms_dispatcher_polls_it(server: BotApiServer) -> None:
    dispatcher, bot = Dispatcher(), client(server)

    @dispatcher.message(Command("price"))
    async def price(message: Message) -> None:
        await message.answer(f"asked: {message.text}")

    polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
    user = server.user("Ada")
    user.send("/price btc")
    assert (await user.reply())["text"] == "asked: /price btc"
    await dispatcher.stop_polling()
    await polling


async def test_python_telegram_bot_polls_it_too(
    server: BotApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def price(update: telegram.Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        sent = await update.message.reply_text("one moment")
        await sent.edit_text(f"asked: {' '.join(context.args or [])}")

    application = Application.builder().token(server.token).base_url(f"{server.url}/bot").build()
    application.add_handler(CommandHandler("price", price))
    user = server.user("Ada")
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(timeout=1)
        user.send("/price btc eth")
        assert (await user.reply())["text"] == "one moment"
        assert (await user.reply())["text"] == "asked: btc eth"
        server.faults.add("sendMessage", Fault.too_many(7))
        monkeypatch.setenv("PTB_TIMEDELTA", "1")  # what a later release of it will do anyway
        with pytest.raises(telegram.error.RetryAfter):
            await application.bot.send_message(user.id, "too much")
        with pytest.raises(telegram.error.BadRequest, match="not found"):
            await application.bot.send_message(1, "nobody")
        await application.updater.stop()
        await application.stop()
