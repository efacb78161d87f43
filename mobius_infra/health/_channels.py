"""Channels that need nobody else: the log, and a file of JSON lines."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from mobius_infra.core import import_extra, require
from mobius_infra.health._alert_conditions import require_count
from mobius_infra.health._alert_step import Severity
from mobius_infra.health._notification import Channel, Notification, as_text

_NOTIFICATION: Final = TypeAdapter(Notification)
_LEVELS: Final = {
    Severity.CRITICAL: logging.CRITICAL,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}


def as_json(notification: Notification) -> bytes:
    """Return a notification as one line of JSON, without the line break."""
    return _NOTIFICATION.dump_json(notification)


class LogChannel:
    """Writes to a logger, at the level of the severity; what is resolved as information.

    Args:
        name: of the channel.
        logger: `mobius_infra.alerts` if None.
    """

    __slots__ = ("_logger", "name")

    def __init__(self, name: str = "log", *, logger: logging.Logger | None = None) -> None:
        self.name = name
        self._logger = logger or logging.getLogger("mobius_infra.alerts")

    async def send(self, notification: Notification) -> None:
        """Log it."""
        ended = notification.kind in ("resolved", "heartbeat")
        level = logging.INFO if ended else _LEVELS[notification.severity]
        self._logger.log(level, "%s", as_text(notification))

    def __repr__(self) -> str:
        return f"LogChannel({self.name!r})"


class FileChannel:
    """Appends lines of JSON to a file, and is sure that they are on the disk.

    A file that has grown beyond its size is renamed to `name.1`, that to `name.2`, and so on.

    Args:
        path: of the file; its folder must exist.
        name: of the channel.
        most_bytes: of one file.
        keep: older files that are kept.
    """

    __slots__ = ("_keep", "_lock", "_most", "_path", "name")

    def __init__(
        self,
        path: str | Path,
        name: str = "file",
        *,
        most_bytes: int = 10 * 1024 * 1024,
        keep: int = 5,
    ) -> None:
        require_count("most_bytes", most_bytes, 1)
        require_count("keep", keep, 0)
        self.name = name
        self._path, self._most, self._keep = Path(path), most_bytes, keep
        self._lock = asyncio.Lock()

    async def send(self, notification: Notification) -> None:
        """Append it."""
        async with self._lock:
            await asyncio.to_thread(self._append, as_json(notification) + b"\n")

    def _append(self, line: bytes) -> None:
        path = self._path
        if path.exists() and path.stat().st_size + len(line) > self._most:
            self._rotate()
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process died while it wrote
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _rotate(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{n}") for n in range(1, self._keep + 1))]
        names[-1].unlink(missing_ok=True)
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.rename(older)

    def __repr__(self) -> str:
        return f"FileChannel({self.name!r}, path={str(self._path)!r})"


def apprise_channel(name: str, *urls: str) -> Channel:
    """Make a channel of everything that Apprise speaks: mail, Slack, Matrix, ntfy and so on.

    Args:
        name: of the channel.
        urls: Apprise's own, such as `ntfy://host/topic`. Where one of several fails, all are told
            again.

    Raises:
        MissingExtraError: if Apprise is not installed.
        ConfigurationError: for a URL that Apprise does not understand.
    """
    module = import_extra(
        "mobius_infra.health._channel_apprise", feature="the Apprise channel", extra="apprise"
    )
    require(bool(urls), "urls", urls, "at least one of Apprise's URLs")
    made: Channel = module.AppriseChannel(name, urls)
    return made
