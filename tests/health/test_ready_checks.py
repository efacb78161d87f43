"""The ready-made checks, against real sockets, servers and components."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mobius_infra.breaker import CircuitBreaker
from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.core import ConfigurationError, open_backend
from mobius_infra.health import (
    Evidence,
    Health,
    HealthMonitor,
    UnhealthyError,
    backend_check,
    cache_check,
    component_check,
    disk_check,
    http_check,
    loop_check,
    memory_check,
    tcp_check,
    telegram_check,
)
from mobius_infra.health._checks_inside import machine_memory
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky
from tests.conftest import OwnRedisServer
from tests.servers.waiting import patient


async def said(
    check: Callable[[], Awaitable[object]] | Callable[[], object], **options: Any
) -> str:
    """Run a check as a monitor does; give state and reason."""
    monitor = HealthMonitor()
    monitor.check("x", **{"timeout": 5.0, **options})(check)
    report = await monitor.run("x")
    return f"{report.state} {report.reason}".strip()


@asynccontextmanager
async def server(answer: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    """Serve one answer to all requests, and keep these; None: never answer."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield port, heard


@pytest.mark.parametrize(
    ("answer", "options", "result"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", {}, "up"),
        (b"HTTP/1.1 302 Found\r\n\r\n", {}, "up"),
        (b"HTTP/1.1 503 Gone\r\n\r\n", {}, "down HTTP status 503"),
        (b"HTTP/1.1 503 Gone\r\n\r\n", {"status": {503}}, "up"),
        (b"HTTP/1.1 204\r\n\r\n", {"status": [200]}, "down HTTP status 204"),
        (b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nall fine", {"contains": b"fine"}, "up"),
        (
            b"HTTP/1.0 200 OK\r\nfine: fine\r\n\r\nsorry", {"contains": b"fine"},
            "down the answer does not contain what it should",
        ),
        (b"SSH-2.0-OpenSSH\r\n", {}, "down what answered does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", {}, "down what answered does not speak HTTP"),
        (b"", {}, "down what answered does not speak HTTP"),
    ],
)  # fmt: skip
async def test_http(answer: bytes, options: dict[str, Any], result: str) -> None:
    async with server(answer) as (port, heard):
        url = f"http://127.0.0.1:{port}/health?full=1#part"
        assert await said(http_check(url, headers={"Accept": "*/*"}, **options)) == result
    assert (
        heard[0]
        == (
            f"GET /health?full=1 HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n"
            "User-Agent: mobius-infra\r\nAccept: */*\r\n\r\n"
        ).encode()
    )


async def test_http_that_never_answers_is_a_timeout_and_leaves_no_connection() -> None:
    async with server(None) as (port, heard):
        check = http_check(f"http://127.0.0.1:{port}")
        assert (await said(check, timeout=1.0)).startswith("down no answer within 1 s")
        assert len(heard) == 1


async def test_an_endless_answer_is_not_read_for_ever() -> None:
    async with server(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (8 << 20)) as (port, _):
        check = http_check(f"http://127.0.0.1:{port}", contains=b"y")
        assert await said(check) == "down the answer does not contain what it should"


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


async def test_https_verifies_who_answers(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the refused handshake
    async with server(b"HTTP/1.1 200 OK\r\n\r\n", tls) as (port, _):
        url = f"https://127.0.0.1:{port}/"
        assert await said(http_check(url, tls=trusting)) == "up"
        assert "certificate verify failed" in await said(http_check(url))


@pytest.mark.parametrize(
    ("url", "headers", "field"),
    [
        ("ftp://host/", {}, "url"), ("/health", {}, "url"), ("http://", {}, "url"),
        ("http://me:secret@host/", {}, "url"), ("http://höst/", {}, "url or headers"),
        ("http://host/", {"A": "b\r\nC: d"}, "url or headers"),
    ],
)  # fmt: skip
def test_what_can_not_be_sent_is_refused_without_telling_secrets(
    url: str, headers: dict[str, str], field: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http_check(url, headers=headers)
    assert caught.value.field == field
    assert "secret" not in str(caught.value)


async def test_tcp() -> None:
    async with server(b"") as (port, _):
        assert await said(tcp_check("127.0.0.1", port)) == "up"
    assert "ConnectionRefusedError" in await said(tcp_check("127.0.0.1", port))
    for host, wrong in (("", 80), ("host", 0), ("host", 65_536), ("host", True)):
        with pytest.raises(ConfigurationError):
            tcp_check(host, wrong)


async def test_a_backend_is_checked_by_asking_it() -> None:
    backend = open_backend("memory://")
    assert await said(backend_check(backend)) == "up"
    await backend.close()
    assert "closed" in await said(backend_check(backend))
    assert repr(backend_check(backend)) == f"OutsideCheck({backend.name})"


async def test_a_server_that_dies_is_down_and_up_when_it_is_back(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    backend = open_backend(patient(server.url))
    assert await said(backend_check(backend)) == "up"
    server.kill()
    assert (await said(backend_check(backend))).startswith("down")
    server.start()
    async with asyncio.timeout(60):  # its first word may go to a connection that died
        while await said(backend_check(backend)) != "up":
            pass
    await backend.close()


class Bot:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def get_me(self) -> str:
        if self.error is not None:
            raise self.error
        return "me"


async def test_telegram_and_its_token_stays_secret() -> None:
    assert await said(telegram_check(Bot())) == "up"
    error = ValueError("The token `123456:AAH-secret_secret_secret` was rejected")
    assert await said(telegram_check(Bot(error))) == "down ValueError: The token `***` was rejected"


def test_what_asks_outside_is_refused_for_liveness() -> None:
    monitor = HealthMonitor()
    for check in (
        tcp_check("host", 80), http_check("http://host"), telegram_check(Bot()),
        backend_check(open_backend("memory://")),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match="outside the process"):
            monitor.check("alive", kind="liveness")(check)


# Inside.


@pytest.mark.parametrize(
    ("degraded", "down", "state"), [(1.0, 1.0, "up"), (0.0, 1.0, "degraded"), (0.0, 0.0, "down")]
)
async def test_disk(degraded: float, down: float, state: str, tmp_path: Path) -> None:
    found = await said(disk_check(tmp_path, degraded=degraded, down=down))
    assert found.startswith(state)
    assert state == "up" or f"the disk under {tmp_path} is" in found
    assert "FileNotFoundError" in await said(disk_check(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("share", "result"),
    [
        (0.5, "up"), (0.85, "degraded the memory is 85.0% full"),
        (0.99, "down the memory is 99.0% full"),
    ],
)  # fmt: skip
async def test_memory(share: float, result: str) -> None:
    assert await said(memory_check(lambda: share)) == result


def test_the_machines_memory_is_read_as_linux_tells_it(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\nHugePages: 0\n")
    assert machine_memory(meminfo) == pytest.approx(0.6)


async def test_the_loop(manual_clock: ManualClock) -> None:
    async def run(late: float) -> str:
        async def block() -> None:
            await asyncio.sleep(0)
            manual_clock.tick(0.01 + late)

        monitor = HealthMonitor(clock=manual_clock)
        monitor.check("loop", kind="liveness", timeout=20)(loop_check(clock=manual_clock))
        asked = asyncio.create_task(monitor.run("loop"))
        await block()
        for _ in range(5):
            await block()
        await manual_clock.advance(1)
        report = await asked
        return f"{report.state} {report.reason}".strip()

    assert await run(0.0) == "up"
    assert await run(0.2) == "degraded the event loop is 0.2 s late"
    assert await run(1.5) == "down the event loop is 1.5 s late"


async def test_a_breaker() -> None:
    breaker = CircuitBreaker("prices")
    check = component_check(breaker)
    assert await said(check) == "up"
    breaker.isolate()
    assert await said(check) == "down prices is isolated"
    assert await said(component_check(breaker, states={})) == "unknown it returned unknown"
    with pytest.raises(ConfigurationError, match="tell a state"):
        component_check(Cache("no state"))


async def test_a_cache_is_degraded_by_what_failed_since_the_last_look(
    manual_clock: ManualClock,
) -> None:
    backend = Flaky(manual_clock)
    tier = BackendTier(backend)
    cache = Cache("prices", tiers=[MemoryTier(10), tier], clock=manual_clock)
    check, works = cache_check(cache), True

    @cache.cached()
    async def price(coin: str) -> int:
        if not works:
            raise OSError
        return 1

    assert await said(check) == "up"
    await price("a")
    assert await said(check) == "up"
    works = False
    with pytest.raises(OSError, match=r"^$"):
        await price("b")
    assert await said(check) == "degraded 1 of 1 loads failed"
    works, backend.away = True, True
    await price("c")
    assert (await said(check)).startswith("degraded failures of tier")
    assert await said(check) == "up"


async def test_a_check_may_say_in_its_own_words_why() -> None:
    async def replicas() -> None:
        raise UnhealthyError("1 of 3 replicas")

    monitor = HealthMonitor()
    monitor.check("db")(replicas)
    report = await monitor.run("db")
    assert (report.state, report.reason) == (Health.DOWN, "1 of 3 replicas")
    assert report.evidence is Evidence.ERROR
