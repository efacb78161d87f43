"""CoDel: drop what has waited too long, if there always is something that has."""

from math import sqrt

from mobius_infra.core import require
from mobius_infra.ratelimit._overload_checks import require_positive


class Codel:
    """Decides at the head of one queue, as RFC 8289 (Nichols and Jacobson) writes it.

    A queue that empties now and then does its work, however long it gets; one in which everything
    waited longer than `target` for a whole `interval` only delays. From then on one item is
    dropped, and the next ever sooner: after interval / sqrt(number of drops).

    Args:
        target: seconds that are nothing to worry about.
        interval: seconds in which a good queue empties once; about the time that a caller takes to
            notice.
    """

    __slots__ = (
        "_count", "_drop_at", "_dropped", "_dropping", "_interval", "_last_count", "_standing_at",
        "_target",
    )  # fmt: skip

    def __init__(self, target: float = 0.005, interval: float = 0.1) -> None:
        require_positive("target", target, "seconds")
        require_positive("interval", interval, "seconds")
        require(target < interval, "interval", interval, f"longer than target, {target:g} s")
        self._target = target
        self._interval = interval
        self._standing_at: float | None = None  # when the queue will have stood for an interval
        self._dropping = False
        self._dropped = False  # the last one, within a series
        self._drop_at = 0.0
        self._count = self._last_count = 0

    def drops(self, waited: float, now: float) -> bool:
        """Say whether the item at the head is to be dropped.

        Args:
            waited: seconds that it has waited; 0 if it is the only one, which is never dropped.
            now: on the monotonic clock.
        """
        if waited < self._target:
            self._standing_at = None
            self._dropping = self._dropped = False
            return False
        if self._standing_at is None:
            self._standing_at = now + self._interval
            return False
        if now < self._standing_at:
            return False
        if not self._dropping:
            self._begin(now)
            return True
        if self._dropped:
            self._drop_at += self._interval / sqrt(self._count)
        self._dropped = now >= self._drop_at
        self._count += self._dropped
        return self._dropped

    def _begin(self, now: float) -> None:
        # Soon after the last series, go on at about the pace that was right then.
        since = self._count - self._last_count
        recent = now - self._drop_at < 16 * self._interval
        self._count = since if since > 1 and recent else 1
        self._last_count = self._count
        self._drop_at = now + self._interval / sqrt(self._count)
        self._dropping = True
