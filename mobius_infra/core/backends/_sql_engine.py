"""Tables, statements and connections. The one module that imports SQLAlchemy."""

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mobius_infra.core._errors import BackendError
from mobius_infra.core.backends._sqlite_direct import Direct, Row
from mobius_infra.core.backends._url import BackendUrl

__all__ = ["AsyncConnection", "SQLAlchemyError", "Store", "is_locked", "is_lost"]

SCHEMA_VERSION = 1
_SWEEP = 100  # expired rows that are cleared at a time
_SCHEMA_LOCK, _PUBLISH_LOCK = 0x6D6F6269, 0x6D6F6270  # PostgreSQL's advisory locks of ours

_metadata = sa.MetaData()
_Seconds = sa.Double

_schema = sa.Table("mobius_schema", _metadata, sa.Column("version", sa.Integer, nullable=False))

# Keys are bytes: PostgreSQL's text can't hold NUL, and no collation shall call two keys equal.
_values = sa.Table(
    "mobius_value",
    _metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("value", sa.LargeBinary),
    sa.Column("state", sa.Text),  # of a script, as JSON
    sa.Column("expires", _Seconds, index=True),  # seconds since the epoch; null: never
)

_messages = sa.Table(
    "mobius_message",
    _metadata,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("channel", sa.LargeBinary, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("created", _Seconds, nullable=False, index=True),
)


class Store:
    """A database: opens connections, and knows the statements.

    Reading and writing have an engine each. SQLite allows one writer: its writing engine has one
    connection, and begins each transaction by taking the write lock, so that no transaction finds
    out half way that it can't have it. In WAL mode readers go on meanwhile. Plain reads and writes
    have a connection each beside these, see `Direct`. `synchronous=NORMAL`
    loses nothing that was acknowledged when a process is killed; a power cut may take the last
    moments, and corrupts nothing.
    """

    def __init__(self, url: BackendUrl) -> None:
        self.sqlite = url.scheme == "sqlite"
        if self.sqlite:
            Path(url.path).parent.mkdir(parents=True, exist_ok=True)
            target = sa.URL.create("sqlite+aiosqlite", database=url.path)
            arguments: dict[str, Any] = {"timeout": url.timeout}
        else:
            host, port = url.hosts[0]
            target = sa.URL.create(
                "postgresql+asyncpg", url.username, url.password, host, port, url.path or None
            )
            arguments = {"timeout": url.connect_timeout, "command_timeout": url.timeout}
        self.writer = self._engine(target, arguments, size=1 if self.sqlite else 5)
        self.reader = self._engine(target, arguments, size=4) if self.sqlite else self.writer
        self.direct: Direct | None = None  # SQLite's, once it is open
        self._kept: list[AsyncConnection] = []
        if self.sqlite:
            _prepare_sqlite(self.writer, begin="BEGIN IMMEDIATE")
            _prepare_sqlite(self.reader, begin="BEGIN")
            self._single = self._engine(target, arguments, size=2)
            _prepare_sqlite(self._single, begin="BEGIN")

    @staticmethod
    def _engine(target: sa.URL, arguments: dict[str, Any], size: int) -> AsyncEngine:
        return create_async_engine(
            target, connect_args=arguments, pool_size=size, max_overflow=0, pool_timeout=30
        )

    async def create(self, conn: AsyncConnection) -> None:
        """Create what is missing, once, whoever else is about to.

        Raises:
            BackendError: if the database was made by a newer release.
        """
        if not self.sqlite:
            await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        await conn.run_sync(_metadata.create_all)
        version = (await conn.execute(sa.select(_schema.c.version))).scalar()
        if version is None:
            await conn.execute(sa.insert(_schema).values(version=SCHEMA_VERSION))
        elif version > SCHEMA_VERSION:
            reason = f"its schema is version {version}; this release knows {SCHEMA_VERSION}"
            raise BackendError("SQL", "create", reason)

    async def open_direct(self) -> None:
        """Open what SQLite's plain reads and writes go by."""
        if not self.sqlite:
            return
        drivers: list[Any] = []  # Any: of whatever driver, see `Driver`
        for _ in range(2):
            conn = await self._single.connect()
            self._kept.append(conn)
            drivers.append((await conn.get_raw_connection()).driver_connection)
        self.direct = Direct(*drivers)

    # Any, below: an expression for the time, which the two databases write differently.
    def time(self, local: float) -> Any:
        """Return an expression for now: the server's own where there is one."""
        if self.sqlite:
            return sa.literal(local, _Seconds)
        return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), _Seconds)

    async def now(self, conn: AsyncConnection, local: float) -> float:
        """Return the database's time."""
        return float((await conn.execute(sa.select(self.time(local)))).scalar_one())

    async def read(self, conn: AsyncConnection, keys: list[bytes], local: float) -> list[Row]:
        """Return rows of key, value and remaining seconds of what is alive."""
        now = self.time(local)
        left = _values.c.expires - now
        query = sa.select(_values.c.key, _values.c.value, left).where(
            _values.c.key.in_(keys), _alive(now)
        )
        return [tuple(row) for row in await conn.execute(query)]

    async def write(
        self,
        conn: AsyncConnection,
        items: Iterable[tuple[bytes, bytes]],
        ttl: float | None,
        local: float,
    ) -> None:
        """Store values, whatever was there."""
        for key, value in items:
            await conn.execute(self._upsert(key, value, None, self._expiry(ttl, local)))

    async def delete(self, conn: AsyncConnection, keys: list[bytes], local: float) -> int:
        """Delete rows; return how many were alive."""
        alive = sa.select(sa.func.count()).where(_values.c.key.in_(keys), _alive(self.time(local)))
        count = (await conn.execute(alive)).scalar_one()
        await conn.execute(sa.delete(_values).where(_values.c.key.in_(keys)))
        return int(count)

    async def swap(
        self,
        conn: AsyncConnection,
        key: bytes,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        local: float,
    ) -> bool:
        """Replace `expected` by `value`, each in one statement, which is atomic by itself."""
        now = self.time(local)
        same = sa.and_(_values.c.key == key, _values.c.value == expected, _alive(now))
        if expected is None:
            if value is None:
                return not await self.read(conn, [key], local)
            # Whoever inserts first wins; an expired row counts as none.
            insert = self._upsert(key, value, None, self._expiry(ttl, local), only_if=~_alive(now))
            return (await conn.execute(insert)).rowcount == 1
        if value is None:
            return (await conn.execute(sa.delete(_values).where(same))).rowcount == 1
        update = sa.update(_values).where(same)
        return (
            await conn.execute(update.values(value=value, expires=self._expiry(ttl, local)))
        ).rowcount == 1

    async def lock(self, conn: AsyncConnection, key: bytes) -> None:
        """Keep other transactions from `key`, also where it has no row yet that could be locked."""
        if not self.sqlite:  # whose transaction holds the only write lock already
            digest = int.from_bytes(blake2b(key, digest_size=8).digest(), signed=True)
            await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(digest)))

    async def state(self, conn: AsyncConnection, key: bytes, local: float) -> str | None:
        """Return a script's state."""
        query = sa.select(_values.c.state).where(_values.c.key == key, _alive(self.time(local)))
        found: str | None = (await conn.execute(query)).scalar()
        return found

    async def keep(
        self, conn: AsyncConnection, key: bytes, state: str, ttl: float | None, local: float
    ) -> None:
        """Store a script's state."""
        await conn.execute(self._upsert(key, None, state, self._expiry(ttl, local)))

    async def send(self, conn: AsyncConnection, channel: bytes, data: bytes, local: float) -> None:
        """Store a message. Publishers take turns, so that ids appear in their order."""
        if not self.sqlite:
            await conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_PUBLISH_LOCK)))
        created = self.time(local)
        await conn.execute(sa.insert(_messages).values(channel=channel, data=data, created=created))

    async def last_message(self, conn: AsyncConnection) -> int:
        """Return the id of the newest message."""
        return (await conn.execute(sa.select(sa.func.max(_messages.c.id)))).scalar() or 0

    async def messages(self, conn: AsyncConnection, channels: list[bytes], after: int) -> list[Row]:
        """Return rows of id, channel and data that came after a message."""
        query = (
            sa.select(_messages.c.id, _messages.c.channel, _messages.c.data)
            .where(_messages.c.id > after, _messages.c.channel.in_(channels))
            .order_by(_messages.c.id)
            .limit(1_000)
        )
        return [tuple(row) for row in await conn.execute(query)]

    async def sweep(self, conn: AsyncConnection, local: float, retention: float) -> None:
        """Delete a small batch of what has expired."""
        now = self.time(local)
        for table, old in (
            (_values, _values.c.expires <= now),
            (_messages, _messages.c.created <= now - retention),
        ):
            key = next(iter(table.primary_key))
            batch = sa.select(key).where(old).limit(_SWEEP)
            if not self.sqlite:  # rows that another holds are left to the next sweep
                batch = batch.with_for_update(skip_locked=True)
            await conn.execute(sa.delete(table).where(key.in_(batch)))

    def _expiry(self, ttl: float | None, local: float) -> Any:
        return None if ttl is None else self.time(local) + ttl

    def _upsert(
        self, key: bytes, value: bytes | None, state: str | None, expires: Any, only_if: Any = None
    ) -> Any:
        insert = (sqlite if self.sqlite else postgresql).insert(_values)
        columns = {"value": value, "state": state, "expires": expires}
        return insert.values(key=key, **columns).on_conflict_do_update(
            index_elements=[_values.c.key], set_=columns, where=only_if
        )

    async def close(self) -> None:
        """Close all connections."""
        self.direct = None
        for conn in self._kept:
            await conn.close()
        if self.sqlite:
            await self._single.dispose()
        await self.writer.dispose()
        await self.reader.dispose()


def _alive(now: Any) -> Any:
    return sa.or_(_values.c.expires.is_(None), _values.c.expires > now)


def _prepare_sqlite(engine: AsyncEngine, *, begin: str) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def connected(dbapi: Any, record: object) -> None:
        dbapi.isolation_level = None  # transactions begin as `begun` says, not by the driver
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
            dbapi.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine.sync_engine, "begin")
    def begun(conn: sa.Connection) -> None:
        conn.exec_driver_sql(begin)


def is_locked(error: BaseException) -> bool:
    """Say whether another process kept SQLite's write lock for too long."""
    cause = error.orig if isinstance(error, OperationalError) else error
    return isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)


def is_lost(error: BaseException) -> bool:
    """Say whether the database could not be reached, or was lost."""
    if isinstance(error, OSError):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    )
