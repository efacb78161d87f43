"""The server: HTTP on the outside, the record of all that was asked inside."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiohttp import web

from examples.bot.botapi.faults import ApiError, Fault, FaultScript
from examples.bot.botapi.methods import METHODS, Params
from examples.bot.botapi.updates import UpdateLine
from examples.bot.botapi.users import SimulatedUser

TOKEN = "123456789:AAE-an-invented-token-for-tests-only1"  # noqa: S105 - invented
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a bot made.

    Attributes:
        method: as the bot wrote it.
        params: its parameters.
        status: the HTTP status that it got; 0 if the connection was dropped.
        at: when, in seconds since the epoch.
    """

    method: str
    params: Params
    status: int
    at: float


class BotApiServer:
    """A Bot API server on loopback, for one bot; an async context manager.

        async with BotApiServer() as server:
            user = server.user("Ada")
            user.send("/start")
            message = await user.reply()

    Args:
        token: the bot's.
        port: where to listen; 0 takes a free one.
        sleep: how delays wait, so that a test need not.
        now: the time of messages.
    """

    def __init__(
        self,
        token: str = TOKEN,
        *,
        port: int = 0,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.updates = UpdateLine()
        self.faults = FaultScript()
        self.calls: list[Call] = []
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}  # Any: JSON, here and below
        self.commands: list[Any] = []
        self.webhook_url = ""
        self.me: dict[str, Any] = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Bot",
            "username": "local_test_bot",
        }
        self._port = port
        self._sleep = sleep
        self._now = now
        self._users: dict[int, SimulatedUser] = {}
        self._queries: set[str] = set()
        self._message_id = 0
        self._query_id = 0
        self._delivery: asyncio.Task[None] | None = None
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where it listens: what a client takes instead of Telegram's own address."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.deliver_to("", None)
        await self._runner.cleanup()

    def user(self, name: str, *, language: str = "en") -> SimulatedUser:
        """Let somebody open a chat with the bot."""
        user = SimulatedUser(self, 1_000 + len(self._users), name, language)
        self._users[user.id] = user
        return user

    def sent_to(self, user: SimulatedUser) -> list[str]:
        """Return the texts that the bot sent to `user`, in order."""
        return [
            str(call.params["text"])
            for call in self.calls
            if call.status == 200
            and call.method.lower() in ("sendmessage", "editmessagetext")
            and int(call.params["chat_id"]) == user.id
        ]

    def chat(self, params: Params) -> SimulatedUser:
        """Return whose chat is meant.

        Raises:
            ApiError: 400, if there is none.
        """
        user = self._users.get(int(params.get("chat_id", 0) or 0))
        if user is None:
            raise ApiError(400, "Bad Request: chat not found")
        return user

    def new_message(
        self, chat: dict[str, Any], sender: dict[str, Any], text: str
    ) -> dict[str, Any]:
        """Return a message as the Bot API would."""
        self._message_id += 1
        return {
            "message_id": self._message_id,
            "date": int(self._now()),
            "chat": chat,
            "from": sender,
            "text": text,
        }

    def new_query(self) -> str:
        """Return the id of a callback query that has not been answered."""
        self._query_id += 1
        self._queries.add(str(self._query_id))
        return str(self._query_id)

    def close_query(self, query_id: str) -> bool:
        """Mark a callback query as answered; say whether it was open."""
        found = query_id in self._queries
        self._queries.discard(query_id)
        return found

    async def deliver_to(self, url: str, secret: str | None) -> None:
        """Deliver updates to a webhook from now on; to none if `url` is empty."""
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
            self._delivery = None
        self.webhook_url = url
        self.updates.webhook = bool(url)
        if url:
            self._delivery = asyncio.create_task(self._deliver(url, secret))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        params = await _params(request)
        fault = self.faults.next(method) or Fault()
        if fault.delay:
            await self._sleep(fault.delay)
        if fault.drop:
            self._record(method, params, 0)
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        try:
            if request.match_info["token"] != self.token:
                raise ApiError(401, "Unauthorized")
            if fault.error is not None:
                raise fault.error
            result = await self.call(method, params)
        except ApiError as error:
            self._record(method, params, error.code)
            return _refusal(error, html=fault.html)
        self._record(method, params, 200)
        return web.json_response({"ok": True, "result": result})

    async def call(self, method: str, params: Params) -> Any:
        """Carry a method out.

        Raises:
            ApiError: if it is refused.
        """
        found = METHODS.get(method.lower())
        if found is None:
            raise ApiError(404, "Not Found")
        return await found(self, params)

    def _record(self, method: str, params: Params, status: int) -> None:
        self.calls.append(Call(method, params, status, self._now()))

    async def _deliver(self, url: str, secret: str | None) -> None:
        """Send updates one after the other; one that is not accepted is sent again."""
        headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
        async with aiohttp.ClientSession() as session:
            pause = 0.05
            while True:
                update = await self.updates.next()
                if await self._accepted(session, url, headers, update):
                    self.updates.pop()
                    pause = 0.05
                else:
                    await self._sleep(pause)
                    pause = min(2 * pause, 5.0)

    async def _accepted(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: dict[str, str],
        update: dict[str, Any],
    ) -> bool:
        try:
            async with session.post(url, json=update, headers=headers) as response:
                if response.status // 100 != 2:
                    return False
                await self._answer_in(response)
                return True
        except aiohttp.ClientError:
            return False

    async def _answer_in(self, response: aiohttp.ClientResponse) -> None:
        """Carry out the call that a webhook may give as its answer."""
        found = await _answer_of(response)
        if "method" in found:
            method = str(found.pop("method"))
            with suppress(ApiError):
                await self.call(method, found)
                self._record(method, found, 200)


async def _params(request: web.Request) -> Params:
    """Read parameters from the query, from JSON, or from either kind of form."""
    params: Params = dict(request.query)
    if request.content_type == "application/json":
        params.update(await request.json())
    elif request.can_read_body:
        params.update(await request.post())
    return params


async def _answer_of(response: aiohttp.ClientResponse) -> Params:
    if response.content_type == "application/json":
        body = await response.read()
        found = json.loads(body) if body else {}
        return found if isinstance(found, dict) else {}
    if response.content_type == "multipart/form-data":
        reader = aiohttp.MultipartReader.from_response(response)
        params: Params = {}
        while (part := await reader.next()) is not None:
            if isinstance(part, aiohttp.BodyPartReader) and part.name is not None:
                params[part.name] = await part.text()
        return params
    return {}


def _refusal(error: ApiError, *, html: bool) -> web.Response:
    if html:
        page = f"<html><body><h1>{error.code} {error.description}</h1></body></html>"
        return web.Response(status=error.code, text=page, content_type="text/html")
    body: dict[str, Any] = {
        "ok": False, "error_code": error.code, "description": error.description,
    }  # fmt: skip
    headers = {}
    if error.retry_after is not None:
        body["parameters"] = {"retry_after": error.retry_after}
        headers["Retry-After"] = str(error.retry_after)
    return web.json_response(body, status=error.code, headers=headers)
