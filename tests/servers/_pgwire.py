"""PostgreSQL's protocol on a plain socket: simple queries, without a client under test."""

import socket
import struct
from typing import BinaryIO

from tests.servers.ports import LOOPBACK

_PROTOCOL = 3 << 16  # version 3.0


class PostgresError(Exception):
    """The server answered with an error; the message is the server's, its SQLSTATE in front."""


def query(
    port: int, sql: str, *, user: str, database: str, timeout: float = 60.0
) -> list[tuple[str | None, ...]]:
    """Run `sql` on a connection of its own and return its rows, each value as text.

    Args:
        port: The server's port on 127.0.0.1; it must trust `user` without a password.
        sql: One or several statements; the rows of all are returned together.
        user: Who connects.
        database: What to connect to.
        timeout: Seconds for connecting and for each part of the answer.

    Raises:
        PostgresError: A statement, or the connection, was refused.
        OSError: The server cannot be reached or broke the connection.
    """
    with socket.create_connection((LOOPBACK, port), timeout) as link, link.makefile("rb") as answer:
        options = f"user\0{user}\0database\0{database}\0\0".encode()
        link.sendall(struct.pack("!ii", 8 + len(options), _PROTOCOL) + options)
        _read_until_idle(answer)
        text = sql.encode() + b"\0"
        link.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
        rows = _read_until_idle(answer)
        link.sendall(b"X" + struct.pack("!i", 4))
        return rows


def _read_until_idle(answer: BinaryIO) -> list[tuple[str | None, ...]]:
    """Read messages up to ReadyForQuery (PostgreSQL documentation, "Message Formats")."""
    rows = []
    error = None
    while True:
        header = answer.read(5)
        if len(header) < 5:
            raise error or ConnectionResetError("the server closed the connection")
        kind, length = struct.unpack("!ci", header)
        body = answer.read(length - 4)
        if kind == b"D":
            rows.append(_read_row(body))
        elif kind == b"E":
            fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
            error = PostgresError(f"{fields[b'C']} {fields[b'M']}")
        elif kind == b"Z":
            if error:
                raise error
            return rows


def _read_row(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack_from("!h", body)
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, position)
        position += 4
        values.append(None if size < 0 else body[position : position + size].decode())
        position += max(size, 0)
    return tuple(values)
