"""The time that blocks are measured in: the backend's, told by this process's own clock."""

from mobius_infra.core import Clock


class SharedTime:
    """Seconds since the epoch by the backend; until it was asked, as this machine believes.

    Attributes:
        monotonic: this process's clock.
        offset: what the backend's time is ahead of that.
        known: whether the backend was asked.
    """

    __slots__ = ("known", "monotonic", "offset")

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self.offset = clock.time() - clock.monotonic()
        self.known = False

    def __call__(self) -> float:
        """Return the time."""
        return self.monotonic() + self.offset

    def learn(self, there: float, asked_at: float) -> float:
        """Take the backend's time, asked for at `asked_at`; return by how much it was wrong."""
        offset = there - (asked_at + self.monotonic()) / 2
        wrong, self.offset = offset - self.offset, offset
        self.known = True
        return wrong
