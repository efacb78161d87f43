"""What the library asks of a place that keeps things: bytes by key, atomic steps, messages."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ParamSpec, Protocol, Self, TypeVar

from mobius_infra.core._config import require
from mobius_infra.core._events import Event, Events
from mobius_infra.core._script import Scalar, Script

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])

MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as published.

    Attributes:
        channel: where it was published.
        data: its bytes.
    """

    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may have been missed here: the connection was lost, or the reader was too slow.

    Whoever keeps something fresh by messages must now ask again for what it keeps.

    Attributes:
        reason: what happened, in words.
    """

    reason: str


Subscription = AsyncIterator[Message | Gap]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLost(Event):
    """A backend stopped answering. Said once, until it is back.

    Attributes:
        reason: what the driver said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRestored(Event):
    """A backend answers again.

    Attributes:
        down_for: seconds since it was lost.
    """

    down_for: float


class Backend(Protocol):
    """Bytes by key with expiry, atomic steps, and messages.

    Keys are text of 1 to 1,024 bytes as UTF-8; every backend puts its namespace before them, so
    that applications can share a server. Values are bytes. A `ttl` is in seconds and positive;
    None keeps a value until it is deleted. A key that a script uses belongs to the script:
    `delete` forgets it, reading it as a value is not defined.

    Every operation raises `BackendUnavailableError` when the backend can't be reached or was lost
    (a write may or may not have happened), `BackendTimeoutError` when it took too long, and
    `BackendError` for what it refused. Cancelling a caller never disturbs another's operation.
    """

    @property
    def name(self) -> str:
        """The URL without its password: for people, labels and errors."""
        ...

    @property
    def events(self) -> Events:
        """Emits `BackendLost` and `BackendRestored`."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value under `key`, or None."""
        ...

    async def get_with_ttl(self, key: str) -> tuple[bytes, float | None] | None:
        """Return the value and its remaining seconds (None: no expiry), or None."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values in the order of `keys`."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store one value."""
        ...

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Store several values, each atomically; not all or nothing."""
        ...

    async def delete(self, *keys: str) -> int:
        """Delete values and script states; return how many there were."""
        ...

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: float | None = None
    ) -> bool:
        """Store `value` if the present one is `expected`; say whether it did.

        None as `expected` means that there must be none; None as `value` deletes.
        """
        ...

    async def run(
        self, script: Script[P, Result], key: str, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        """Run a script's step atomically on the state under `key`, at the backend's time.

        Arguments are positional: a Lua twin knows no names.
        """
        ...

    async def now(self) -> float:
        """Return the backend's own time in seconds since the epoch: one time for the fleet."""
        ...

    async def publish(self, channel: str, data: bytes) -> None:
        """Send a message to everyone who is subscribed now."""
        ...

    def subscribe(self, *channels: str) -> AbstractAsyncContextManager[Subscription]:
        """Receive what is published from the moment the context is entered.

        The iterator gives messages and, where some may have been missed, a `Gap`. It goes on by
        itself after a lost connection, and never raises for one.
        """
        ...

    async def ping(self) -> None:
        """Return if the backend answers; raise as any operation does if not."""
        ...

    async def close(self) -> None:
        """Let go of connections and tasks; what still waits fails. Twice is harmless."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


def check_key(key: str) -> None:
    """Refuse a key that not every backend could store.

    Raises:
        ConfigurationError: if it is empty, too long, or can't be written as UTF-8.
    """
    # Quick for nearly every key: no character takes more than four bytes.
    if key and len(key) * 4 <= MAX_KEY_BYTES and key.isascii():
        return
    allowed = f"text of 1 to {MAX_KEY_BYTES} bytes as UTF-8"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    require(0 < size <= MAX_KEY_BYTES, "key", key, allowed)


def check_ttl(ttl: float | None) -> None:
    """Refuse a `ttl` that is neither None nor positive, not-a-number included.

    Raises:
        ConfigurationError: naming the value.
    """
    if ttl is not None and not 0 < ttl < float("inf"):
        require(False, "ttl", ttl, "a positive number of seconds, or None for no expiry")
