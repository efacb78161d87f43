"""`rediss://`: a real server behind TLS, trusted only if its certificate is."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mobius_infra.core import BackendUnavailableError, ConfigurationError, Message, open_backend
from tests.servers.redis import RedisServer
from tests.servers.waiting import patient


def write_certificate(folder: Path) -> Path:
    """Write a self-signed certificate of 127.0.0.1, with its key, to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@asynccontextmanager
async def tls_before(server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Terminate TLS before a server that speaks none; give the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pipe(reader, outward), pipe(inward, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def test_it_speaks_tls_with_a_server_that_the_ca_file_vouches_for(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    certificate = write_certificate(tmp_path)
    async with (
        tls_before(redis_server, certificate) as port,
        open_backend(patient(f"rediss://127.0.0.1:{port}?ca_file={certificate}")) as backend,
    ):
        await backend.set("k", b"1" * 100_000, 10)
        values = await asyncio.gather(*[backend.get("k") for _ in range(20)])
        assert values == [b"1" * 100_000] * 20
        async with backend.subscribe("c") as subscription:
            await backend.publish("c", b"hello")
            assert await anext(subscription) == Message("c", b"hello")


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with (
        tls_before(redis_server, write_certificate(tmp_path)) as port,
        open_backend(patient(f"rediss://127.0.0.1:{port}")) as backend,
    ):
        with pytest.raises(BackendUnavailableError, match="certificate"):
            await backend.get("k")


@pytest.mark.parametrize("scheme", ["rediss", "redis"])
def test_a_ca_file_must_be_there_and_be_of_use(scheme: str, tmp_path: Path) -> None:
    file = tmp_path / ("ca.pem" if scheme == "rediss" else "")
    with pytest.raises(ConfigurationError, match="existing file, with rediss:// only"):
        open_backend(f"{scheme}://127.0.0.1?ca_file={file}")
