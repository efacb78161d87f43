"""A second factor: codes of an authenticator, recovery codes, and patience with neither."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal

from mobius_infra.core import Backend, BackendError, Clock, Events, Scalar, SystemClock, require
from mobius_infra.security._access_conditions import user_id
from mobius_infra.security._cipher import Cipher
from mobius_infra.security._mfa_attempts import Attempts, TooManyAttemptsError, digest_of
from mobius_infra.security._mfa_events import (
    CodeRefusedError,
    Factor,
    MfaChanged,
    MfaRefused,
    MfaStats,
    NotEnrolledError,
    RecoveryCodeNeededError,
    RecoveryCodeUsed,
    Wrong,
)
from mobius_infra.security._mfa_step import MFA, Answer
from mobius_infra.security._recovery_codes import digest_of as recovery_digest
from mobius_infra.security._recovery_codes import new_codes
from mobius_infra.security._totp import Totp

_GUESSES: Final = 100  # wrong codes from new sources (NIST SP 800-63B, section 5.2.2), ...
_WINDOW: Final = 86_400.0  # ... in so many seconds
_CODES: Final = 10
_CONFIRMING: Final = "confirm"  # the source of all attempts to confirm: whoever makes them
_LONGEST: Final = 64  # characters of what is typed in, spaces and hyphens included


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a user puts into his authenticator. Show it to him only, once, and keep it nowhere.

    Attributes:
        text: the secret, to be typed in.
        uri: what a QR code of it says.
    """

    text: str = field(repr=False)
    uri: str = field(repr=False)


class Mfa:
    """The second factor of users, in a backend.

        mfa = Mfa("bot", backend, cipher)
        enrolment = await mfa.offer("7", account="ada@example.org")
        recovery_codes = await mfa.confirm("7", "287082")
        await mfa.verify("7", "359152", source=address)

    A code is good once, in whichever process it is typed in first, and for the period before and
    after its own. Secrets are kept encrypted, recovery codes as digests.

    Wrong codes make the next wait, see `Attempts`: by user and source. After 100 in a day from
    sources that never were right, such a source needs a recovery code. So neither many guesses nor
    many sources open an account, and none of them keeps its owner out.

    Every method raises `BackendError` if the backend failed: nobody is let in on a guess.

    Args:
        name: labels its numbers and events, and separates its users in the backend.
        backend: keeps the secrets, so it must be durable. Its time is what codes are of.
        cipher: encrypts them. After a change of its key, a secret is rewritten when a code of it
            is next verified.
        issuer: what authenticators show; `name` if None.
        attempts: keeps attempts apart; five are free if None.
        drift: periods before and after that count.
        clock: dates events.

    Raises:
        ConfigurationError: if a value can't work.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        cipher: Cipher,
        *,
        issuer: str | None = None,
        attempts: Attempts | None = None,
        drift: int = 1,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        require(isinstance(cipher, Cipher), "cipher", type(cipher), "a Cipher")
        require(type(drift) is int and 0 <= drift <= 10, "drift", drift, "from 0 to 10")
        self.name = name
        self.events = Events()
        self._backend = backend
        self._cipher = cipher
        self._issuer = issuer or name
        self._drift = drift
        self._clock: Clock = clock or SystemClock()
        self._attempts = attempts or Attempts(f"mfa:{name}", backend, clock=self._clock)
        self._verified: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._throttled = 0

    async def offer(self, user: str | int, *, account: str) -> Enrolment:
        """Make a new secret for a user. It counts for nothing until it is confirmed.

        One that he has stays his until then. Ask for that before he may replace it:
        `@access.requires(..., mfa=300)`.

        Args:
            user: his id.
            account: what authenticators show of him.
        """
        whose, totp = user_id(user), Totp.generate()
        await self._run(whose, "offer", self._sealed(whose, totp))
        return Enrolment(totp.text(), totp.uri(account, self._issuer))

    async def confirm(self, user: str | int, code: str) -> list[str]:
        """Let what was offered count, once a code shows that it was put in; return recovery codes.

        Those of before are good no more. Wrong codes make the next wait, by user; what is offered
        anew meanwhile changes nothing of that.

        Raises:
            CodeRefusedError: if the code is not of what was offered last.
            TooManyAttemptsError: if there were too many; it was not looked at.
            NotEnrolledError: if nothing was offered.
        """
        whose, given = user_id(user), str(code)[:_LONGEST]
        await self._reserve(whose, _CONFIRMING)
        _, offered, now, _ = await self._run(whose, "read")
        if not offered:
            raise NotEnrolledError(self.name, whose)
        period = self._opened(whose, offered).matching(given, float(now), self._drift)
        codes, digests = _recovery(whose)
        confirmed: Scalar = False
        if period is not None:  # but another may have been offered or confirmed meanwhile
            (confirmed,) = await self._run(whose, "confirm", offered, period, *digests)
        if not confirmed:
            self._refuse(whose, _CONFIRMING, "wrong")
            raise CodeRefusedError(self.name, whose, "wrong")
        self._changed(whose, "confirmed")
        with suppress(BackendError):  # it is confirmed, and the codes are shown now or never
            await self._attempts.passed(whose, source=_CONFIRMING)
        return codes

    async def verify(self, user: str | int, code: str, *, source: str) -> Factor:
        """Return if a code is right: which is then used up.

        Args:
            user: whose it is to be.
            code: of his authenticator, or one of his recovery codes.
            source: where it was typed in: an address, a chat.

        Returns:
            which of the two it was.

        Raises:
            CodeRefusedError: if it is wrong or was used.
            TooManyAttemptsError: if there were too many, from this source; it was not looked at.
            RecoveryCodeNeededError: if there were too many, from others; it was not looked at.
            NotEnrolledError: if he has no second factor.
        """
        whose, given = user_id(user), str(code)[:_LONGEST]
        await self._reserve(whose, source)
        place = digest_of(whose, source)
        sealed, now, free = await self._run(whose, "begin", place, _GUESSES, _WINDOW)
        if not sealed:
            raise NotEnrolledError(self.name, whose)
        recovery = recovery_digest(given, whose)
        if recovery is not None:
            await self._spend(whose, recovery, place, source)
        elif not free:
            self._refuse(whose, source, "guessed_at")
            raise RecoveryCodeNeededError(self.name, whose)
        else:
            await self._take(whose, given, str(sealed), float(now), place, source)
        factor: Factor = "code" if recovery is None else "recovery"
        self._verified[factor] += 1
        await self._attempts.passed(whose, source=source)
        return factor

    async def _reserve(self, user: str, source: str) -> None:
        try:
            await self._attempts.reserve(user, source=source)
        except TooManyAttemptsError:
            self._throttled += 1
            raise

    async def _take(
        self, user: str, code: str, sealed: str, now: float, place: str, source: str
    ) -> None:
        totp = self._opened(user, sealed)
        period = totp.matching(code, now, self._drift)
        wrong: Wrong = "wrong"
        if period is not None:
            old = self._cipher.needs_rewrite(urlsafe_b64decode(sealed))
            rewritten = self._sealed(user, totp) if old else sealed
            (taken,) = await self._run(user, "take", sealed, period, place, rewritten)
            if taken:
                return
            wrong = "replayed"
        self._refuse(user, source, wrong)
        raise CodeRefusedError(self.name, user, wrong)

    async def _spend(self, user: str, digest: str, place: str, source: str) -> None:
        spent, left = await self._run(user, "spend", digest, place)
        if not spent:
            self._refuse(user, source, "wrong")
            raise CodeRefusedError(self.name, user, "wrong")
        at = self._clock.time()
        self.events.emit(
            RecoveryCodeUsed(source=self.name, at=at, user=user, origin=source, left=int(left))
        )

    async def new_recovery_codes(self, user: str | int) -> list[str]:
        """Return new recovery codes for a user; those of before are good no more.

        Raises:
            NotEnrolledError: if he has no second factor.
        """
        whose = user_id(user)
        codes, digests = _recovery(whose)
        (replaced,) = await self._run(whose, "codes", *digests)
        if not replaced:
            raise NotEnrolledError(self.name, whose)
        self._changed(whose, "codes")
        return codes

    async def recovery_codes_left(self, user: str | int) -> int | None:
        """Return how many recovery codes a user has left; None if he has no second factor."""
        sealed, _, _, left = await self._run(user_id(user), "read")
        return int(left) if sealed else None

    async def remove(self, user: str | int) -> bool:
        """Forget a user's second factor; say whether he had one."""
        whose = user_id(user)
        had = bool(await self._backend.delete(self._key(whose)))
        if had:
            self._changed(whose, "removed")
        return had

    async def _run(self, user: str, op: str, *args: Scalar) -> Answer:
        return await self._backend.run(MFA, self._key(user), op, *args)

    def _key(self, user: str) -> str:
        return f"mfa:{self.name}:{sha256(user.encode()).hexdigest()}"

    def _sealed(self, user: str, totp: Totp) -> str:
        return urlsafe_b64encode(self._cipher.encrypt(totp.reveal(), self._key(user))).decode()

    def _opened(self, user: str, sealed: Scalar) -> Totp:
        return Totp(self._cipher.decrypt(urlsafe_b64decode(str(sealed)), self._key(user)))

    def _changed(self, user: str, change: Literal["confirmed", "removed", "codes"]) -> None:
        at = self._clock.time()
        self.events.emit(MfaChanged(source=self.name, at=at, user=user, change=change))

    def _refuse(
        self, user: str, source: str, reason: Literal["wrong", "replayed", "guessed_at"]
    ) -> None:
        self._refused[reason] += 1
        at = self._clock.time()
        self.events.emit(
            MfaRefused(source=self.name, at=at, user=user, origin=source, reason=reason)
        )

    def stats(self) -> MfaStats:
        """Return the counts as they are now."""
        return MfaStats(
            verified=dict(self._verified),
            refused=dict(self._refused),
            throttled=self._throttled,
        )

    def __repr__(self) -> str:
        return f"Mfa({self.name!r}, issuer={self._issuer!r}, drift={self._drift})"


def _recovery(user: str) -> tuple[list[str], list[str]]:
    codes = new_codes(_CODES)
    return codes, [str(recovery_digest(code, user)) for code in codes]
