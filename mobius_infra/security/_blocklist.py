"""The blocks of one detector, its own or the fleet's."""

from mobius_infra.core import Backend, Clock, Events
from mobius_infra.security._blocklist_share import Share
from mobius_infra.security._blocklist_steps import Block, stronger
from mobius_infra.security._blocklist_table import BlockTable
from mobius_infra.security._blocklist_time import SharedTime
from mobius_infra.security._threat_events import BlocklistLost, BlocklistRestored


class Blocklist:
    """A table of blocks, and the backend that it is shared through.

    Args:
        name: separates it from others in the backend, and names the source of events.
        most: blocks at most.
        forget: seconds for which one that has ended is kept for its `times`.
        backend: shares them; None: they are this process's.
        events: is told when the backend fails, and when it is back.
        clock: measures.
    """

    __slots__ = ("_events", "_forget", "_name", "_share", "state", "table", "time")

    def __init__(
        self,
        name: str,
        *,
        most: int,
        forget: float,
        backend: Backend | None,
        events: Events,
        clock: Clock,
    ) -> None:
        self.time = SharedTime(clock)
        self.table = BlockTable(most, self.time)
        self.state = "local" if backend is None else "closed"
        self._name = name
        self._forget = forget
        self._events = events
        self._share: Share | None = None
        if backend is not None:
            self._share = Share(
                backend, name, self.table, self.time, most=most, forget=forget, told=self._tell,
                clock=clock,
            )  # fmt: skip

    def put(self, block: Block) -> None:
        """Add a block; of two of a subject, the one that lasts longer stays."""
        block = stronger(self.table.get(block.subject), block)
        self.table.sweep(self.time() - self._forget)
        self.table.put(block)
        if self._share is not None:
            self._share.tell(block.subject, block)

    def lift(self, subject: str) -> Block | None:
        """Remove a subject's block, its `times` with it; return it."""
        if self._share is not None:
            self._share.tell(subject, None)  # also of one that is not heard of here yet
        return self.table.pop(subject)

    async def start(self) -> None:
        """Share from now on."""
        if self._share is not None:
            self.state = "shared"
            await self._share.start()

    async def close(self) -> None:
        """Share no more; what is known stays."""
        if self._share is not None:
            await self._share.close()
            self.state = "closed"

    def _tell(self, reason: str | None) -> None:
        at = self.time()
        if reason is None:
            self.state = "shared"
            self._events.emit(BlocklistRestored(source=self._name, at=at))
        else:
            self.state = "lost"
            self._events.emit(BlocklistLost(source=self._name, at=at, reason=reason))
