"""Follow a policy's file: a new one replaces the old at once, a broken one is told of."""

import asyncio
from collections.abc import Callable

from mobius_infra.core import Clock, ConfigurationError
from mobius_infra.security._policy import Policy
from mobius_infra.security._policy_file import PolicyFile


class Follower:
    """Reads a policy's file again.

    The bytes are compared, not the time of change: that may be the same for two files.

    Args:
        file: holds the policy; is read at once.
        replace: is given each new policy.
        refused: is told what is wrong with one, once.
        clock: waits.

    Raises:
        ConfigurationError: if the file's policy is wrong.
    """

    __slots__ = (
        "_clock", "_complaint", "_data", "_file", "_lock", "_refused", "_replace", "_task", "first",
    )  # fmt: skip

    def __init__(
        self,
        file: PolicyFile,
        *,
        replace: Callable[[Policy], None],
        refused: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._file = file
        self._data = file.read()
        self.first = file.parse(self._data)
        self._replace = replace
        self._refused = refused
        self._clock = clock
        self._complaint: str | None = None
        self._lock = asyncio.Lock()  # of two reads, the later is the newer
        self._task: asyncio.Task[None] | None = None

    async def reload(self) -> bool:
        """Read the file; return whether its policy is another.

        Raises:
            ConfigurationError: naming the entry at fault.
        """
        try:
            async with self._lock:
                data = await asyncio.to_thread(self._file.read)
            # Nothing waits from here on, so that what was read later also replaces later; and
            # nothing is told under the lock.
            policy = None if data == self._data else self._file.parse(data)
        except ConfigurationError as error:
            complaint, self._complaint = self._complaint, str(error)
            if complaint != self._complaint:
                self._refused(self._complaint)
            raise
        self._complaint = None
        if policy is None:
            return False
        self._data = data
        self._replace(policy)
        return True

    def start(self) -> None:
        """Look at the file from now on, if it is to be looked at."""
        if self._task is None and self._file.every is not None:
            self._task = asyncio.ensure_future(self._watch(self._file.every))

    async def close(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, every: float) -> None:
        while True:
            await self._clock.sleep(every)
            try:
                await self.reload()
            except ConfigurationError:
                continue  # was told; the old policy decides
