"""A cluster: each command goes to the master that has its key's slot."""

import asyncio
from collections.abc import Callable, Sequence

from mobius_infra.core._errors import BackendUnavailableError
from mobius_infra.core.backends._redis_client import (
    AskError,
    Connect,
    Connection,
    MovedError,
    connect_to,
    key_slot,
)
from mobius_infra.core.backends._redis_link import Link, Reply, Word
from mobius_infra.core.backends._url import BackendUrl

_REDIRECTS = 5
Address = tuple[str, int]


class Cluster:
    """Links to the masters, made as they are heard of, and which slots each has.

    What a server says of a slot (`MOVED`) is remembered; what it says for one command (`ASK`) is
    followed once. When a master does not answer, all is asked for anew.
    """

    one_server = False

    def __init__(self, url: BackendUrl, link: Callable[[Connect], Link]) -> None:
        self._url = url
        self._link = link
        self._seeds: list[Address] = [(host, port or 6379) for host, port in url.hosts]
        self._links: dict[Address, Link] = {}
        self._slots: dict[int, Address] = {}
        self._learning = asyncio.Lock()

    async def ask(self, operation: str, key: str, *words: Word) -> Reply:
        """Ask the master of `key`; any server if it is empty."""
        slot = key_slot(key.encode()) if key else 0
        asking: Address | None = None
        for attempt in range(_REDIRECTS):
            if slot not in self._slots:
                await self._learn(operation)
            address = asking or self._slots.get(slot) or self._seeds[0]
            link = self._to(address)
            try:
                if asking is None:
                    return await link.ask(operation, *words)
                # Put in one turn, so that nothing comes between the two.
                allowed, reply = link.put(operation, ("ASKING",)), link.put(operation, words)
                link.opened(operation, await allowed)
                return link.opened(operation, await reply)
            except AskError as error:
                asking = (error.host, error.port)
            except MovedError as error:
                self._slots[slot] = (error.host or address[0], error.port)
                asking = None
            except BackendUnavailableError:
                self._slots.clear()  # its replica may have taken over
                if attempt:
                    raise
                asking = None
        reason = f"redirected {_REDIRECTS} times"
        raise BackendUnavailableError(self._url.display, operation, reason)

    async def ask_all(
        self, operation: str, commands: Sequence[tuple[str, Sequence[Word]]]
    ) -> list[Reply]:
        """Ask several at once: one pipeline for each master."""
        return list(
            await asyncio.gather(*(self.ask(operation, key, *words) for key, words in commands))
        )

    def connect_to(self, key: str) -> Connect:
        """Return how to connect to the master of `key`."""

        async def connect() -> Connection:
            slot = key_slot(key.encode())
            if slot not in self._slots:
                await self._learn("connect")
            return await connect_to(self._url, *self._slots.get(slot, self._seeds[0]))()

        return connect

    async def close(self) -> None:
        """Disconnect from all."""
        for link in self._links.values():
            await link.close()

    async def _learn(self, operation: str) -> None:
        """Ask which master has which slots, of whoever answers first."""
        async with self._learning:
            if self._slots:
                return
            last: BackendUnavailableError | None = None
            for address in dict.fromkeys((*self._seeds, *self._links)):
                try:
                    ranges = await self._to(address).ask(operation, "CLUSTER", "SLOTS")
                except BackendUnavailableError as error:
                    last = error
                    continue
                for first, end, master, *_ in ranges:
                    host = master[0].decode() or address[0]
                    for slot in range(first, end + 1):
                        self._slots[slot] = (host, master[1])
                return
            if last is not None:
                raise last

    def _to(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = self._link(connect_to(self._url, *address))
        return link
