"""A dead man's switch: somebody outside is told at intervals that alerting lives."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from mobius_infra.core import Clock
from mobius_infra.health._alert_conditions import require_seconds
from mobius_infra.health._notification import Channel, Notification
from mobius_infra.health._within import within


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Who is told that alerting lives: whoever misses it raises the alarm.

    Attributes:
        channel: takes a notification of the kind `heartbeat`; what fails is not repeated.
        every: seconds.
    """

    channel: Channel
    every: float = 60.0

    def __post_init__(self) -> None:
        require_seconds("every", self.every)


class Heart:
    """Sends one heartbeat for as long as there is reason to.

    Args:
        heartbeat: where and how often.
        name: the manager's.
        clock: measures the intervals.
        now: tells the time that notifications carry.
        timeout: seconds for one try.
        alive: says whether alerting lives.

    Attributes:
        beats: how many arrived.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        name: str,
        clock: Clock,
        now: Callable[[], float],
        timeout: float,
        alive: Callable[[], bool],
    ) -> None:
        self._heartbeat, self._name, self._clock = heartbeat, name, clock
        self._now, self._timeout, self._alive = now, timeout, alive
        self.beats = 0

    async def work(self) -> None:
        """Beat, for ever."""
        channel = self._heartbeat.channel
        while True:
            await self._clock.sleep(self._heartbeat.every)
            if not self._alive():
                continue
            now = self._now()
            beat = Notification(
                id=f"h-{int(now * 1000):x}",
                kind="heartbeat",
                at=now,
                manager=self._name,
                title=f"[ALIVE] {self._name}",
            )
            with suppress(Exception):  # the next one comes soon; who misses it knows what to do
                await within(self._clock, self._timeout, channel.send(beat))
                self.beats += 1
