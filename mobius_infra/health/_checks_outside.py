"""Ready-made checks of what is outside the process. None of them can be a liveness check."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from ssl import SSLContext, create_default_context
from typing import Protocol
from urllib.parse import urlsplit

from mobius_infra.core import Backend, ConfigurationError, require
from mobius_infra.health._outcome import UnhealthyError

MOST_BYTES = 1 << 20
"""Bytes of an answer that are read at most: a check must not fill the memory."""

_TOKEN = re.compile(r"\d{3,}:[\w-]{10,}")


class OutsideCheck:
    """A check that asks something outside the process."""

    __slots__ = ("_ask", "_what")

    asks_outside = True

    def __init__(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        self._what = what
        self._ask = ask

    async def __call__(self) -> None:
        """Raise unless it answers as it should."""
        await self._ask()

    def __repr__(self) -> str:
        return f"OutsideCheck({self._what})"


def backend_check(backend: Backend) -> OutsideCheck:
    """Make a check that passes while `backend` answers."""
    return OutsideCheck(backend.name, backend.ping)


def tcp_check(host: str, port: int) -> OutsideCheck:
    """Make a check that passes while something accepts connections there.

    Raises:
        ConfigurationError: for a host or port that can't be.
    """
    require(bool(host), "host", host, "a name or an address")
    _require_port(port)

    async def ask() -> None:
        _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()

    return OutsideCheck(f"tcp://{host}:{port}", ask)


def http_check(
    url: str,
    *,
    status: Collection[int] = range(200, 400),
    contains: bytes = b"",
    headers: Mapping[str, str] | None = None,
    tls: SSLContext | None = None,
) -> OutsideCheck:
    """Make a check that passes while a GET of `url` is answered as it should be.

    One request on a connection of its own; redirects are not followed. The time-out is the check's.

    Args:
        url: `http://` or `https://`.
        status: codes that are good.
        contains: what must be in the first 1 MiB of the body.
        headers: sent beside `Host` and `User-Agent`.
        tls: how the server is verified; None: by the system's certificates.

    Raises:
        ConfigurationError: for a URL or a header that can't be sent.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    fits = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    if not fits or parts.hostname is None:
        wanted = "an http:// or https:// URL with a host; put credentials into headers"
        raise ConfigurationError("url", _without_secrets(url), wanted)
    host, port = parts.hostname, parts.port or (443 if secure else 80)
    what = f"{parts.scheme}://{parts.netloc}{parts.path}"
    request = _request(parts.netloc, parts.path or "/", parts.query, headers or {})
    context = (tls or create_default_context()) if secure else None

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(request)
            code = _read_status(await reader.readline())
            if code not in status:
                raise UnhealthyError(f"HTTP status {code}")
            if contains and contains not in await _read_body(reader):
                raise UnhealthyError("the answer does not contain what it should")
        finally:
            writer.transport.abort()

    return OutsideCheck(what, ask)


class Bot(Protocol):
    """What `telegram_check` asks: the bots of aiogram and python-telegram-bot are such."""

    async def get_me(self) -> object:
        """Ask Telegram who this is."""
        ...


def telegram_check(bot: Bot) -> OutsideCheck:
    """Make a check that passes while Telegram answers `bot` and knows its token.

    Give it a time-out of some seconds and an interval of a minute or so: it counts against the
    bot's limits as any request does.
    """

    async def ask() -> None:
        try:
            await bot.get_me()
        except Exception as error:  # noqa: BLE001 - of whatever library it is
            # Libraries quote the token, which is the bot's password, in their errors.
            reason = _without_secrets(f"{type(error).__name__}: {error}")
            raise UnhealthyError(reason) from None

    return OutsideCheck("Telegram", ask)


def _without_secrets(text: str) -> str:
    text = re.sub(r"//[^/@]*@", "//***@", text)
    return _TOKEN.sub("***", text)


def _require_port(port: object) -> None:
    fits = isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65_536
    require(fits, "port", port, "a whole number from 1 to 65535")


def _request(host: str, path: str, query: str, headers: Mapping[str, str]) -> bytes:
    target = f"{path}?{query}" if query else path
    # HTTP/1.0: the answer then ends with the connection, and comes in no chunks.
    lines = [f"GET {target} HTTP/1.0", f"Host: {host}", "User-Agent: mobius-infra"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    for line in lines:
        clean = line.isprintable() and line.isascii()
        require(clean, "url or headers", line.partition(":")[0], "printable ASCII in one line")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _read_status(line: bytes) -> int:
    words = line.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise UnhealthyError("what answered does not speak HTTP")
    return int(words[1])


async def _read_body(reader: asyncio.StreamReader) -> bytes:
    """Return what follows the headers, up to a limit."""
    data = bytearray()
    while len(data) < MOST_BYTES and (more := await reader.read(1 << 16)):
        data += more
    return bytes(data).partition(b"\r\n\r\n")[2]
