"""Sessions kept on the server: a token that says nothing, and may be ended at any time."""

import secrets
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from mobius_infra.core import Backend, Clock, Events, Scalar, SystemClock, require
from mobius_infra.security._access_conditions import Subject, user_id
from mobius_infra.security._session_events import (
    Ending,
    SessionEnded,
    SessionEndedError,
    SessionOpened,
    SessionRotated,
    SessionsStats,
    TooManySessionsError,
)
from mobius_infra.security._session_step import LISTED, SESSIONS, Answer

_BYTES: Final = 32
_CHARACTERS: Final = 43  # of 32 bytes as base64url, without padding
_LONGEST_LABEL: Final = 200
_MOST: Final = 1_000  # sessions of a user: each check reads them all


@dataclass(frozen=True, slots=True)
class Session:
    """A session, as it was when it was asked for. Its token is not in it.

    Attributes:
        id: names it, in lists and events; opens nothing.
        user: whose it is.
        created: when it was opened, in seconds since the epoch by the backend's time.
        seen: when its token was last checked, likewise.
        verified_at: when a second factor was last verified, by this process's monotonic clock;
            None if none was.
        label: what it was given to be known by, such as the name of a browser.
    """

    id: str
    user: str
    created: float
    seen: float
    verified_at: float | None
    label: str

    @property
    def subject(self) -> Subject:
        """The user, as access control knows him; with what he verified, for `mfa=`."""
        return Subject(self.user, verified_at=self.verified_at)


class Sessions:
    """The sessions of users, in a backend.

        sessions = Sessions("web", backend)
        token = await sessions.open("7", binding=user_agent)
        session = await sessions.check(token, binding=user_agent)

    A token is 256 random bits; the backend is given its digest only. Every check asks the backend,
    so that a session that was ended is ended everywhere at once. All of a user's sessions are one
    value there, and times are the backend's.

    Every method raises `BackendError` if the backend failed: nobody is let in on a guess.

    Args:
        name: labels its numbers and events, and separates its sessions in the backend.
        backend: keeps them; one that forgets signs everybody out.
        idle: seconds after which a session ends that is not used.
        absolute: seconds after which any session ends.
        limit: sessions that a user may have.
        on_limit: `replace` ends the one that was not used for longest, `refuse` the newcomer.
        grace: seconds for which a token that was rotated away is still good, for requests that
            were on their way: without what was verified at the rotation. 0 for none.
        clock: measures how old the verification of a second factor is.

    Raises:
        ConfigurationError: if a value can't work.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        idle: float = 1_800.0,
        absolute: float = 43_200.0,
        limit: int = 10,
        on_limit: Literal["replace", "refuse"] = "replace",
        grace: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        require(0 < _number(idle) < float("inf"), "idle", idle, "a positive number of seconds")
        good = idle <= _number(absolute) < float("inf")
        require(good, "absolute", absolute, "a number of seconds, not less than idle")
        good = type(limit) is int and 0 < limit <= _MOST
        require(good, "limit", limit, f"a whole number from 1 to {_MOST}")
        good = on_limit in ("replace", "refuse")
        require(good, "on_limit", on_limit, "'replace' or 'refuse'")
        require(0 <= _number(grace) < idle, "grace", grace, "0 or more seconds, less than idle")
        self.name = name
        self.events = Events()
        self._backend = backend
        self._times = (float(idle), float(absolute))
        self._limit = limit
        self._replaces = on_limit == "replace"
        self._grace = float(grace)
        self._clock: Clock = clock or SystemClock()
        self._opened = self._checked = self._rotated = 0
        self._refused: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    async def open(
        self, user: str | int, *, binding: str = "", label: str = "", verified: bool = False
    ) -> str:
        """Open a session for a user who has proved who he is; return its token.

        Args:
            user: his id.
            binding: what the token shall be good with only: a device's id, a user agent. Only a
                digest of it is kept. Empty for nothing.
            label: for the list of his sessions, such as a user agent; cut at 200 characters.
            verified: whether he has just proved it by a second factor, too.

        Raises:
            ConfigurationError: if `user` is no id.
            TooManySessionsError: if he has as many as he may have, and none is to be replaced.
        """
        whose = user_id(user)
        session, (token, digest) = secrets.token_hex(8), _new_token()
        await self._remember(digest, whose)
        bound, wanted = _bound(binding), bool(verified)
        shown = label[:_LONGEST_LABEL].encode("utf-8", "replace").decode()
        opened, _, *ended = await self._run(
            whose, "open", session, digest, bound, shown, wanted, self._limit, self._replaces
        )
        if not opened:
            raise TooManySessionsError(self.name, whose, self._limit)
        self._opened += 1
        at = self._clock.time()
        self.events.emit(SessionOpened(source=self.name, at=at, user=whose, session=session))
        self._tell_ended(whose, ended, "limit")
        return token

    async def check(self, token: str, *, binding: str = "") -> Session:
        """Return the session that a token opens, and note that it was used.

        A token that comes with another `binding` than it was given with ends its session.

        Raises:
            SessionEndedError: if it opens none.
        """
        asked_at = self._clock.monotonic()  # before: what was verified is no younger than it looks
        user, digest = await self._who(token)
        answer = await self._run(user, "check", digest, _bound(binding))
        session = self._session(user, answer, asked_at)
        self._checked += 1
        return session

    async def rotate(self, token: str, *, binding: str = "", verified: bool = False) -> str:
        """Give a session another token, and return that; to be done where privileges change.

        The old token is good for `grace` seconds yet, but with what had been verified before only;
        and it can't be rotated any more. So whoever knew or planted it gains nothing.

        Args:
            token: the present one.
            binding: as it was opened with.
            verified: whether the user has just verified a second factor, see `Mfa.verify`.

        Raises:
            SessionEndedError: if `token` opens no session, or has been rotated away.
        """
        asked_at = self._clock.monotonic()
        user, digest = await self._who(token)
        fresh, fresh_digest = _new_token()
        await self._remember(fresh_digest, user)
        bound, wanted = _bound(binding), bool(verified)
        answer = await self._run(user, "rotate", digest, bound, fresh_digest, wanted, self._grace)
        session = self._session(user, answer, asked_at)
        self._rotated += 1
        at = self._clock.time()
        self.events.emit(
            SessionRotated(source=self.name, at=at, user=user, session=session.id, verified=wanted)
        )
        return fresh

    async def end(self, token: str, *, binding: str = "") -> None:
        """End the session that a token opens, as where a user signs out; none is no error."""
        try:
            session = await self.check(token, binding=binding)
        except SessionEndedError:
            return
        await self._end(session.user, session.id, "", "logout")

    async def revoke(self, user: str | int, session: str) -> bool:
        """End one of a user's sessions, by its id, everywhere; say whether there was one."""
        require(bool(session), "session", session, "the id of a session")
        return bool(await self._end(user_id(user), session, "", "revoked"))

    async def revoke_all(self, user: str | int, *, keep: str = "") -> int:
        """End all of a user's sessions, everywhere, such as when his password changes.

        Args:
            user: whose.
            keep: the id of one that goes on.

        Returns:
            how many there were.
        """
        return await self._end(user_id(user), "", keep, "revoked")

    async def of(self, user: str | int) -> list[Session]:
        """Return a user's sessions, the oldest first."""
        whose, asked_at = user_id(user), self._clock.monotonic()
        now, *parts = await self._run(whose, "list")
        rows = [parts[start : start + LISTED] for start in range(0, len(parts), LISTED)]
        return [self._made(whose, row, now, asked_at) for row in rows]

    async def _run(self, user: str, op: str, *args: Scalar) -> Answer:
        key = f"sessions:{self.name}:{sha256(user.encode()).hexdigest()}"
        return await self._backend.run(SESSIONS, key, op, *self._times, *args)

    async def _remember(self, digest: str, user: str) -> None:
        """Say whose token it is: a hint that is asked for first, and opens nothing by itself."""
        await self._backend.set(self._hint(digest), user.encode(), self._times[1])

    def _hint(self, digest: str) -> str:
        return f"session:{self.name}:{digest}"

    async def _who(self, token: str) -> tuple[str, str]:
        digest = _digest(token)
        user = None if digest is None else await self._backend.get(self._hint(digest))
        if digest is None or user is None:
            raise self._refuse("unknown")
        return user.decode(), digest

    def _session(self, user: str, answer: Answer, asked_at: float) -> Session:
        kind, session, *rest = answer
        if kind == "binding":
            self._tell_ended(user, [session], "binding")
            raise self._refuse("binding")
        if kind != "ok":
            raise self._refuse("unknown")
        *parts, now = rest
        return self._made(user, [session, *parts], now, asked_at)

    # The parts of an answer are numbers and text, as the step gives them.
    def _made(self, user: str, parts: list[Scalar], now: Scalar, asked_at: float) -> Session:
        session, created, seen, verified, label = parts
        age = max(0.0, float(now) - float(verified))
        return Session(
            id=str(session),
            user=user,
            created=float(created),
            seen=float(seen),
            verified_at=asked_at - age if verified else None,
            label=str(label),
        )

    def _refuse(self, reason: Literal["unknown", "binding"]) -> SessionEndedError:
        self._refused[reason] += 1
        return SessionEndedError(self.name, reason)

    async def _end(self, user: str, session: str, keep: str, reason: Ending) -> int:
        ended = await self._run(user, "end", session, keep)
        self._tell_ended(user, ended, reason)
        return len(ended)

    def _tell_ended(self, user: str, sessions: Answer | list[Scalar], reason: Ending) -> None:
        at = self._clock.time()
        for each in sessions:
            self._ended[reason] += 1
            self.events.emit(
                SessionEnded(source=self.name, at=at, user=user, session=str(each), reason=reason)
            )

    def stats(self) -> SessionsStats:
        """Return the counts as they are now."""
        return SessionsStats(
            opened=self._opened,
            checked=self._checked,
            rotated=self._rotated,
            refused=dict(self._refused),
            ended=dict(self._ended),
        )

    def __repr__(self) -> str:
        idle, absolute = self._times
        return f"Sessions({self.name!r}, idle={idle:g}, absolute={absolute:g}, limit={self._limit})"


def _new_token() -> tuple[str, str]:
    token = secrets.token_urlsafe(_BYTES)
    return token, sha256(token.encode()).hexdigest()


def _digest(token: object) -> str | None:
    """Return the digest of a token; None for what can't be one."""
    if not isinstance(token, str) or len(token) != _CHARACTERS or not token.isascii():
        return None
    return sha256(token.encode()).hexdigest()


def _bound(binding: str) -> str:
    require(isinstance(binding, str), "binding", type(binding), "text")
    return sha256(binding.encode("utf-8", "surrogatepass")).hexdigest() if binding else ""


def _number(value: object) -> float:
    """Return a number; not-a-number, which fails every comparison, for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    return value
