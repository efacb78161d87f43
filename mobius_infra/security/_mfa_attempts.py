"""Attempts to prove who one is: counted by account and source, ever further apart.

By the account alone, whoever fails on purpose could lock its owner out; by the source alone, many
sources could guess at one account, or one at many. Each attempt is counted before it is judged, so
that a thousand at once are not all judged before the first has failed.
"""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

from mobius_infra.core import (
    Backend,
    Clock,
    Event,
    Events,
    Outcome,
    Rejected,
    Script,
    State,
    Stats,
    SystemClock,
    counter,
    require,
)


def step(
    state: State | None,
    now: float,
    free: int,
    base: float,
    longest: float,
    memory: float,
    /,
) -> Outcome[tuple[bool, float]]:
    """Count an attempt, and say how long until the next; or refuse it, and say the same."""
    attempts, start = state or (0, 0)
    if now < start:
        left = min(start - now, longest)  # also where the backend's time was put back
        return [attempts, now + left], (False, left), left + memory
    attempts += 1
    wait = 0.0
    if attempts >= free:
        wait = min(longest, base * 2.0 ** min(attempts - free, 40))
    return [attempts, now + wait], (True, wait), wait + memory


ATTEMPTS: Final = Script("attempts", step, files(__package__).joinpath("attempts.lua"))


class TooManyAttemptsError(Rejected):
    """An attempt was not judged, since there had been too many from the same source.

    Attributes:
        user: whose account it is about.
    """

    def __init__(self, name: str, user: str, retry_after: float) -> None:
        super().__init__(
            f"attempts {name!r}: too many for {user!r} from one source; "
            f"try again in {retry_after:.0f} s",
            name=name,
            retry_after=retry_after,
        )
        self.user = user


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsSlowed(Event):
    """A source has failed at an account so often that its next attempt must wait.

    Told once for each attempt that is let through, and so ever more rarely.

    Attributes:
        user: whose account it is.
        origin: the source.
        wait: seconds until the next attempt, unless this one is right.
    """

    user: str
    origin: str
    wait: float


@dataclass(frozen=True, slots=True)
class AttemptsStats(Stats):
    """What was counted, in this process."""

    judged: int = counter("Attempts that were let through to be judged")
    refused: int = counter("Attempts that came too soon after the others")
    passed: int = counter("Attempts that were right")


class Attempts:
    """Keeps attempts at an account apart, without locking its owner out.

        attempts = Attempts("password", backend)
        await attempts.reserve("ada", source=address)
        if await passwords.verify(stored, given):
            await attempts.passed("ada", source=address)

    Some attempts are free. After them each has to wait twice as long as the last. Another source
    has attempts of its own, so who fails on purpose keeps nobody out but himself.

    Args:
        name: labels its numbers, and separates its counts in the backend.
        backend: keeps the counts; its time decides. Without it nothing is judged.
        free: attempts before the first has to wait.
        base: seconds that this one waits.
        longest: seconds that any waits at most; bounds what the owner loses who shares a source
            with an attacker.
        memory: seconds after which attempts are forgotten.
        clock: dates events.

    Raises:
        ConfigurationError: if a value can't work.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        free: int = 5,
        base: float = 1.0,
        longest: float = 300.0,
        memory: float = 3_600.0,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        require(type(free) is int and free > 0, "free", free, "a whole number, 1 or more")
        for field, value in (("base", base), ("longest", longest), ("memory", memory)):
            good = not isinstance(value, bool) and 0 < value < float("inf")
            require(good, field, value, "a positive number of seconds")
        require(base <= longest, "longest", longest, "not less than base")
        self.name = name
        self.events = Events()
        self._backend = backend
        self._free = free
        self._times = (float(base), float(longest), float(memory))
        self._clock: Clock = clock or SystemClock()
        self._judged = self._refused = self._passed = 0

    async def reserve(self, user: str | int, *, source: str) -> None:
        """Count an attempt that is about to be judged. It counts as failed until it has passed.

        Args:
            user: whose account it is at, whether there is one or not.
            source: where it comes from: an address, a chat.

        Raises:
            TooManyAttemptsError: if it comes too soon.
            BackendError: if the backend failed; the attempt must not be judged.
        """
        judged, wait = await self._backend.run(
            ATTEMPTS, self._key(user, source), self._free, *self._times
        )
        if not judged:
            self._refused += 1
            raise TooManyAttemptsError(self.name, str(user), wait)
        self._judged += 1
        if wait:
            at = self._clock.time()
            self.events.emit(
                AttemptsSlowed(source=self.name, at=at, user=str(user), origin=source, wait=wait)
            )

    async def passed(self, user: str | int, *, source: str) -> None:
        """Forget the attempts: one was right.

        Raises:
            BackendError: if the backend failed; they stay counted.
        """
        self._passed += 1
        await self._backend.delete(self._key(user, source))

    def _key(self, user: str | int, source: str) -> str:
        given: object = source
        require(isinstance(given, str) and bool(given), "source", source, "text, not empty")
        return f"attempts:{self.name}:{digest_of(str(user), source)}"

    def stats(self) -> AttemptsStats:
        """Return the counts as they are now."""
        return AttemptsStats(judged=self._judged, refused=self._refused, passed=self._passed)

    def __repr__(self) -> str:
        return f"Attempts({self.name!r}, free={self._free})"


def digest_of(user: str, source: str) -> str:
    """Return a digest of an account and a source, from which their ends can't be moved."""
    text = f"{len(user)}:{user}{source}"
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
