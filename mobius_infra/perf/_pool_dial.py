"""When to connect again after a failure: a small circuit, so that a dead server is not hammered."""


class Dialer:
    """The state of connecting. Pure: time, chance and outcomes are passed in.

    After a failure there is a pause, and then one attempt at a time; pauses double up to `most`.
    Attempts that were under way together count as one failure: ten that a restart has cut off say
    no more than one. After `open_after` failures in a row the server is taken for dead.

    Args:
        first: seconds of the first pause, before jitter.
        most: seconds that no pause exceeds.
        open_after: failures in a row.
    """

    __slots__ = ("_first", "_most", "_open_after", "failures", "generation", "retry_at")

    def __init__(self, first: float, most: float, open_after: int) -> None:
        self._first = first
        self._most = most
        self._open_after = open_after
        self.failures = 0  # in a row
        self.generation = 0  # an attempt keeps the one that it began in
        self.retry_at = 0.0

    @property
    def dead(self) -> bool:
        """Say whether the server is taken for dead."""
        return self.failures >= self._open_after

    def may(self, now: float, under_way: int) -> bool:
        """Say whether another attempt may begin while so many are under way."""
        return not self.failures or (not under_way and now >= self.retry_at)

    def failed(
        self, generation: int, now: float, draw: float, retry_after: float | None = None
    ) -> bool:
        """Note a failure; say whether the server is taken for dead from now on.

        Args:
            generation: what `generation` was when the attempt began.
            now: the time.
            draw: a random number in [0, 1), for the jitter: it takes off up to half of the pause,
                so that processes that lost a server together do not come back together.
            retry_after: seconds that the failure itself asks for, as a circuit breaker's does.
        """
        if generation != self.generation:
            return False
        self.generation += 1
        self.failures += 1
        # The exponent is bounded: a server may be away for days.
        pause = min(self._first * 2.0 ** min(self.failures - 1, 60), self._most)
        self.retry_at = now + max(pause * (1.0 - draw / 2.0), retry_after or 0.0)
        return self.failures == self._open_after

    def succeeded(self) -> int:
        """Note a success; return how many failures in a row it ends."""
        ended, self.failures = self.failures, 0
        self.generation += bool(ended)
        return ended
