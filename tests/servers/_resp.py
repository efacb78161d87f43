"""The Redis protocol on a plain socket, so that a server is checked by no client under test."""

import socket
from typing import BinaryIO, Self, TypeAlias

from tests.servers.ports import LOOPBACK

Reply: TypeAlias = "str | bytes | int | list[Reply] | None"
"""A status as str, a value as bytes, a number, a list of replies, or nothing."""


class RespError(Exception):
    """The server answered with an error; the message is the server's."""


class RespConnection:
    """One connection; a context manager that closes it.

    Args:
        port: The server's port on 127.0.0.1.
        password: Sent with AUTH first, if given.
        timeout: Seconds for connecting and for each answer.

    Raises:
        OSError: The server cannot be reached.
        RespError: It refused the password.
    """

    def __init__(self, port: int, *, password: str | None = None, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout)
        self._answers = self._socket.makefile("rb")
        if password is not None:
            try:
                self.call("AUTH", password)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def call(self, *words: str | bytes | int) -> Reply:
        """Send one command and return its answer.

        Raises:
            RespError: The answer is an error.
            OSError: The connection broke, or the answer took too long.
        """
        self._socket.sendall(_encode(words))
        return _read(self._answers)


def _encode(words: tuple[str | bytes | int, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _read(answers: BinaryIO) -> Reply:
    """Read one RESP2 value: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise RespError(rest.decode())
    number = int(rest)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"$":
        return answers.read(number + 2)[:-2]
    return [_read(answers) for _ in range(number)]
