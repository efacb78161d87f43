"""A process that alerts, until it is killed.

python -m tests.health.alert_worker DATABASE FILE WHEN, where WHEN is what the channel does: `hang`
before it writes to FILE, `write` and then hang, or `live`.
"""

import asyncio
import sys

from mobius_infra.core import Event, open_backend
from mobius_infra.health import (
    AlertManager,
    FileChannel,
    Is,
    Notification,
    NotificationSent,
    Route,
    Rule,
)


class Channel:
    name = "phone"

    def __init__(self, path: str, when: str) -> None:
        self._file, self._when = FileChannel(path), when

    async def send(self, notification: Notification) -> None:
        print(notification.id, flush=True)
        if self._when != "hang":
            await self._file.send(notification)
        if self._when != "live":
            print("hangs", flush=True)
            await asyncio.Event().wait()


def tell(event: Event) -> None:
    if isinstance(event, NotificationSent):  # said when that is stored
        print("sent", flush=True)


async def main(database: str, path: str, when: str) -> None:
    alerts = AlertManager(
        rules=[Rule(name="a", source=lambda: "bad", condition=Is("bad"))],
        routes=[Route(channels=(Channel(path, when),), wait=0)],
        backend=open_backend(f"sqlite:///{database}"),
        every=0.1,
        member="the only one",
    )
    async with alerts:
        alerts.events.subscribe(tell)
        while alerts.stats().looks < 5:
            await asyncio.sleep(0.02)
        print("looked", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
