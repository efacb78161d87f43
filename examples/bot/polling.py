"""Long polling that stops without losing an update or answering one twice.

aiogram's own polling leaves running handlers to be killed when it stops, and the last updates
unconfirmed, so that they come again. This one waits for the handlers, then confirms.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramRetryAfter
from aiogram.types import Update

from mobius_infra.core import Clock

log = logging.getLogger(__name__)

Handle = Callable[[Update], Awaitable[object]]


async def poll(
    bot: Bot, handle: Handle, *, stop: asyncio.Event, clock: Clock, drain_timeout: float
) -> None:
    """Hand every update to `handle`, each in a task of its own, until `stop` is set.

    Args:
        bot: whose updates.
        handle: what to do with one; its errors are logged.
        stop: ends the polling.
        clock: waits between attempts when the server fails.
        drain_timeout: seconds that running handlers are given at the end.
    """
    offset: int | None = None
    pause = 0.0
    running: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        updates = await _until(stop, _ask(bot, offset, clock, pause))
        if updates is None:  # the server failed: back off
            pause = min(max(2 * pause, 0.1), 5.0)
            continue
        pause = 0.0
        for update in updates:
            offset = update.update_id + 1
            task = asyncio.create_task(_guarded(handle, update))
            running.add(task)
            task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running, timeout=drain_timeout)
    if offset is not None:  # a request with the next offset is how updates are confirmed
        await _ask(bot, offset, clock, 0.0, timeout=0, limit=1)


async def _ask(
    bot: Bot, offset: int | None, clock: Clock, pause: float, *, timeout: int = 25, limit: int = 100
) -> list[Update] | None:
    if pause:
        await clock.sleep(pause)
    try:
        return await bot.get_updates(
            offset=offset, timeout=timeout, limit=limit, request_timeout=timeout + 5
        )
    except TelegramRetryAfter as error:
        await clock.sleep(error.retry_after)
    except AiogramError as error:  # the API's own errors, and what a gateway answers instead
        log.warning("getUpdates failed: %s", error)
    return None


async def _until(stop: asyncio.Event, asked: Awaitable[list[Update] | None]) -> list[Update] | None:
    """Wait for the answer, or give it up when asked to stop: unconfirmed, it is asked for again."""
    request = asyncio.ensure_future(asked)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({request, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return request.result() if request.done() else None
    finally:
        for task in (request, stopping):
            task.cancel()
        await asyncio.gather(request, stopping, return_exceptions=True)


async def _guarded(handle: Handle, update: Update) -> None:
    try:
        await handle(update)
    except Exception:
        log.exception("update %d failed", update.update_id)
