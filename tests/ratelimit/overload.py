"""A model of overload, in virtual time: events in a heap, one seed, nothing waits.

Clients call a server at a steady mean rate. It has some workers and one queue, and finishes what it
began even if nobody waits for it any more. A client gives up after its time-out, and tries again:
that is what makes an overload last.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from mobius_infra.ratelimit import (
    AdaptiveLimiter,
    Aimd,
    Algorithm,
    Gradient2,
    LoadShedder,
    LoadShedError,
    Priority,
    Vegas,
)
from mobius_infra.testing import ManualClock

WORKERS = 10
SERVICE = 0.05
"""Mean seconds of work for a call."""

CAPACITY = WORKERS / SERVICE
TIMEOUT = 0.5
ATTEMPTS = 3
WARM_UP = 5.0


class Guard(Protocol):
    """What decides which calls are made."""

    def enter(self, priority: Priority) -> float | None: ...

    def answered(self, token: float) -> None: ...

    def timed_out(self) -> None: ...


class NoGuard:
    def enter(self, priority: Priority) -> float | None:
        return 0.0

    def answered(self, token: float) -> None:
        pass

    def timed_out(self) -> None:
        pass


class Limited:
    """Calls through an adaptive limiter."""

    def __init__(self, limiter: AdaptiveLimiter) -> None:
        self.limiter = limiter
        self.answered = limiter.release
        self.timed_out = limiter.drop

    def enter(self, priority: Priority) -> float | None:
        return self.limiter.try_acquire()


class Shed:
    """Calls through a load shedder."""

    def __init__(self, shedder: LoadShedder) -> None:
        self.shedder = shedder
        self.answered = shedder.release

    def enter(self, priority: Priority) -> float | None:
        try:
            return self.shedder.admit(priority)
        except LoadShedError:
            return None

    def timed_out(self) -> None:
        self.shedder.release(None)


class QueueDelay:
    """The signal of the server's own process: how long what is next in its queue has waited."""

    name = "queue delay"

    def __init__(self, world: "World") -> None:
        self.world = world

    def value(self) -> float:
        queue = self.world.queue
        return (self.world.clock.monotonic() - queue[0].began) / SERVICE if queue else 0.0


@dataclass
class Result:
    """What was measured after warming up."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    timed_out: int = 0

    @property
    def goodput(self) -> float:
        """Calls answered in time, as a share of what the server can do."""
        return len(self.latencies) / self.seconds / CAPACITY

    @property
    def p99(self) -> float:
        """Seconds that an admitted call took, at the 99th percentile; of those that timed out,
        the time-out."""
        taken = sorted(self.latencies) + [TIMEOUT] * self.timed_out
        return taken[int(len(taken) * 0.99)]


@dataclass(eq=False)
class Call:
    began: float
    attempt: int
    priority: Priority
    token: float
    over: bool = False


class World:
    """Clients, a guard, and the server behind it."""

    def __init__(self, load: float, *, seconds: float, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.guard: Guard = NoGuard()
        self.rate = load * CAPACITY
        self.end = WARM_UP + seconds
        self.result = Result(seconds)
        self.chance = random.Random(seed)
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.order = count()
        self.queue: deque[Call] = deque()
        self.idle = WORKERS
        self.priorities: tuple[Priority, ...] = ("normal",)

    def after(self, seconds: float, then: Callable[..., None], *args: object) -> None:
        at = self.clock.monotonic() + seconds
        heappush(self.events, (at, next(self.order), then, args))

    def run(self) -> Result:
        self.after(0, self.arrive)
        while self.events:
            at, _, then, args = heappop(self.events)
            if at > self.end:
                break
            self.clock.tick(max(at - self.clock.monotonic(), 0))
            then(*args)
        return self.result

    @property
    def counts(self) -> bool:
        return self.clock.monotonic() >= WARM_UP

    def arrive(self) -> None:
        self.after(self.chance.expovariate(self.rate), self.arrive)
        self.attempt(1, self.chance.choice(self.priorities))

    def attempt(self, number: int, priority: Priority) -> None:
        token = self.guard.enter(priority)
        if token is None:
            self.result.refused += self.counts
            self.again(number, priority)
            return
        call = Call(self.clock.monotonic(), number, priority, token)
        self.after(TIMEOUT, self.give_up, call)
        self.queue.append(call)
        self.work()

    def again(self, number: int, priority: Priority) -> None:
        if number < ATTEMPTS:
            self.after(self.chance.uniform(0.05, 0.15), self.attempt, number + 1, priority)

    def give_up(self, call: Call) -> None:
        if not call.over:
            call.over = True
            self.result.timed_out += self.counts
            self.guard.timed_out()
            self.again(call.attempt, call.priority)

    def work(self) -> None:
        while self.idle > 0 and self.queue:
            self.idle -= 1
            # Half of it is always needed, half is as it comes.
            seconds = SERVICE * (0.5 + self.chance.expovariate(2))
            self.after(seconds, self.finish, self.queue.popleft())

    def lose(self, workers: int) -> None:
        """Have so many workers less; those that are at work end it first."""
        self.idle -= workers
        self.work()

    def finish(self, call: Call) -> None:
        self.idle += 1
        if not call.over:
            call.over = True
            if self.counts:
                self.result.latencies.append(self.clock.monotonic() - call.began)
            self.guard.answered(call.token)
        self.work()


def unguarded(world: World) -> None:
    """Let everything through."""


def shedding(world: World) -> None:
    """Shed by the queue of the server."""
    draw = random.Random(2).random
    signals = [QueueDelay(world)]
    world.guard = Shed(LoadShedder("shedder", signals, clock=world.clock, draw=draw))


def limited_by(algorithm: Algorithm) -> Callable[[World], None]:
    """Return what puts an adaptive limiter before the server."""

    def guard(world: World) -> None:
        draw = random.Random(2).random
        world.guard = Limited(AdaptiveLimiter("x", algorithm, clock=world.clock, draw=draw))

    return guard


GUARDS: dict[str, Callable[[World], None]] = {
    "unguarded": unguarded,
    "Gradient2": limited_by(Gradient2()),
    "Vegas": limited_by(Vegas()),
    "Aimd": limited_by(Aimd(timeout=2 * SERVICE)),
    "LoadShedder": shedding,
}


def simulate(guard: str, load: float, *, seconds: float = 30.0, seed: int = 1) -> Result:
    """Offer `load` times the capacity to a server behind a guard."""
    world = World(load, seconds=seconds, seed=seed)
    GUARDS[guard](world)
    return world.run()
