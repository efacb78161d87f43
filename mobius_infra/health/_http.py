"""One HTTP/1.1 request over a connection of its own (RFC 9112): all that probing and telling need.

No redirects, no cookies, no proxies, no reuse: a probe should see what a new client would see, and
a notification is rare. Times are the event loop's, since what they bound is the network.
"""

import asyncio
import ssl
from asyncio import StreamReader
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from mobius_infra.core import require

_MOST_HEADERS: Final = 100
_MOST_BODY: Final = 256 * 1024  # bytes that are kept of an answer; what follows is not read
_BODILESS: Final = (204, 304)


class HttpError(ConnectionError):
    """What came back is no HTTP answer, or ended too early."""


class Response(NamedTuple):
    """An answer.

    Attributes:
        status: three digits.
        headers: by name in lower case; of several with one name the last.
        body: its first 256 KiB.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads.

    Attributes:
        host: name or address, as it is connected to.
        port: TCP port.
        authority: what the `Host` header says.
        path: with its query, as it is asked for.
        secure: whether by TLS.
    """

    host: str
    port: int
    authority: str
    path: str
    secure: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an absolute `http` or `https` URL.

        Raises:
            ConfigurationError: for anything else, and for a URL that carries a password or an
                unescaped space: it would be shown wherever the URL is.
        """
        allowed = "an absolute http or https URL, escaped, without user and password"
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode("ascii")
        except ValueError:
            require(False, "url", "(hidden)", allowed)
            raise
        fit = parts.scheme in ("http", "https") and host and "@" not in parts.netloc
        require(bool(fit), "url", f"{parts.scheme}://…", allowed)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        require(path.isascii() and path.isprintable() and " " not in path, "url", host, allowed)
        secure = parts.scheme == "https"
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port is None else f"{shown}:{port}"
        return cls(host, port or (443 if secure else 80), authority, path, secure)


async def request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 10.0,
    *,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send one request and return the answer, whatever its status.

    Args:
        method: `GET`, `HEAD`, `POST`, …
        url: absolute; see `Target.parse`.
        headers: beside `Host`, `Connection` and `Content-Length`, which are always sent.
        body: sent as it is.
        timeout: seconds for all of it, looking up the name included.
        tls: for https; by default the system's authorities and host names are verified.

    Raises:
        ConfigurationError: for a URL or a header that can't be sent.
        TimeoutError: when it took too long: the other side may or may not have acted.
        OSError: when no connection could be made or it broke (`HttpError` for a bad answer).
    """
    target = Target.parse(url)
    head = _head(method, target, headers or {}, len(body))
    async with asyncio.timeout(timeout):
        secure = (tls or ssl.create_default_context()) if target.secure else None
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=secure)
        try:
            writer.write(head + body)
            await writer.drain()
            return await _read(reader, method)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise HttpError(f"no HTTP answer from {target.authority}: {error}") from error
        finally:
            # Not closed politely: a peer that doesn't answer TLS's farewell would hold us up.
            writer.transport.abort()


def _head(method: str, target: Target, headers: Mapping[str, str], size: int) -> bytes:
    fields = {"Host": target.authority, "Connection": "close", "Accept-Encoding": "identity"}
    if size or method not in ("GET", "HEAD"):
        fields["Content-Length"] = str(size)
    fields |= headers
    for name, value in fields.items():
        # A line break would begin another header, or another request.
        allowed = "printable ASCII in one line"
        require(f"{name}{value}".isascii() and value.isprintable(), f"header {name}", "…", allowed)
        require(name.replace("-", "").isalnum(), "header", name, "letters, digits and hyphens")
    lines = [f"{method} {target.path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
    return "\r\n".join(lines).encode("ascii")


async def _read(reader: StreamReader, method: str) -> Response:
    status = 100
    while status < 200 and status != 101:  # interim answers come before the real one
        version, _, rest = (await _line(reader)).partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("it does not begin with HTTP/1")
        status = int(rest[:3])
        headers = await _headers(reader)
    if method == "HEAD" or status in _BODILESS:
        return Response(status, headers, b"")
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        return Response(status, headers, await _chunks(reader))
    size = headers.get("content-length")
    if size is None:
        return Response(status, headers, await _up_to(reader, _MOST_BODY))
    if not (size.isascii() and size.isdigit()):
        raise ValueError("its length is no number")
    return Response(status, headers, await reader.readexactly(min(int(size), _MOST_BODY)))


async def _line(reader: StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode("latin-1").rstrip("\r\n")


async def _headers(reader: StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError("it has too many headers")


async def _chunks(reader: StreamReader) -> bytes:
    body = b""
    while len(body) < _MOST_BODY:
        size = int((await _line(reader)).partition(";")[0], 16)
        if size < 0:
            raise ValueError("a chunk has a negative size")
        if size == 0:
            return body
        body += await reader.readexactly(min(size, _MOST_BODY - len(body)))
        if len(body) < _MOST_BODY:
            await _line(reader)
    return body


async def _up_to(reader: StreamReader, most: int) -> bytes:
    body = b""
    while len(body) < most and (more := await reader.read(most - len(body))):
        body += more
    return body
