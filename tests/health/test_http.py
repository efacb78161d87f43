"""The small client against a real server, and against raw bytes that no good server sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from mobius_infra.core import ConfigurationError
from mobius_infra.health._http import HttpError, Target, request


@asynccontextmanager
async def answering(raw: bytes, *, close: bool = True) -> AsyncIterator[str]:
    """Serve `raw` to whoever connects."""

    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # the client may have had enough
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            if not close:
                await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await ended.wait()


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_request_arrives_as_it_was_sent_and_the_answer_comes_back() -> None:
    async def echo(asked: web.Request) -> web.Response:
        body = await asked.read()
        return web.Response(status=418, body=body * 2, headers={"X-Q": asked.query_string})

    app = web.Application()
    app.router.add_post("/a/b", echo)
    async with serving(app) as url:
        answer = await request("POST", f"{url}/a/b?c=1", {"X-A": "b"}, b"body")
    assert (answer.status, answer.headers["x-q"], answer.body) == (418, "c=1", b"bodybody")


async def test_an_answer_in_chunks_is_put_together() -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    async with answering(raw) as url:
        assert (await request("GET", url)).body == b"abcde"


async def test_interim_answers_are_passed_over() -> None:
    raw = b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with answering(raw) as url:
        assert (await request("GET", url))[::2] == (200, b"ok")


@pytest.mark.parametrize("raw", [
    b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 two\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
])  # fmt: skip
async def test_what_is_no_answer_is_an_os_error(raw: bytes) -> None:
    async with answering(raw) as url:
        with pytest.raises(HttpError):
            await request("GET", url)


async def test_only_the_beginning_of_an_endless_body_is_kept() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000) as url:
        assert len((await request("GET", url)).body) == 256 * 1024


async def test_a_server_that_says_nothing_is_a_time_out() -> None:
    async with answering(b"", close=False) as url:
        with pytest.raises(TimeoutError):
            await request("GET", url, timeout=0.05)


async def test_nobody_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        await request("GET", "http://127.0.0.1:1/")


@pytest.mark.parametrize("url", [
    "ftp://a/", "/path", "http://", "http://user:secret@host/", "http://a/b c", "http://a:99999/",
])  # fmt: skip
def test_a_url_that_can_not_be_asked_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="url is") as error:
        Target.parse(url)
    assert "secret" not in str(error.value)


async def test_a_header_can_not_smuggle_another() -> None:
    with pytest.raises(ConfigurationError, match="header X-A"):
        await request("GET", "http://127.0.0.1:1/", {"X-A": "b\r\nX-B: c"})


def test_an_ipv6_address_and_a_foreign_name_are_understood() -> None:
    assert Target.parse("https://[::1]:8443/x").authority == "[::1]:8443"
    assert Target.parse("http://bücher.example").host == "xn--bcher-kva.example"
