"""One-time passwords of the time (RFC 6238): six digits that change every half minute."""

import hmac
import secrets
from base64 import b32decode, b32encode
from typing import Final, Literal, Never, Self
from urllib.parse import quote, urlencode

from mobius_infra.core import require

_SHORTEST: Final = 16  # bytes of a secret (RFC 4226, section 4)
_BYTES: Final = 20  # as RFC 4226 recommends, and every authenticator takes
_ALGORITHMS: Final = ("sha1", "sha256", "sha512")


class Totp:
    """A secret that a person's authenticator shares. Neither text nor `repr` shows it.

    Args:
        secret: 16 random bytes or more.
        digits: of a code, 6 to 8.
        period: seconds for which a code is shown.
        algorithm: of the HMAC. Many authenticators know `sha1` only, which is as good here.

    Raises:
        ConfigurationError: if a value can't work; the secret is not shown.
    """

    __slots__ = ("_algorithm", "_digits", "_period", "_secret")

    def __init__(
        self,
        secret: bytes,
        *,
        digits: int = 6,
        period: int = 30,
        algorithm: Literal["sha1", "sha256", "sha512"] = "sha1",
    ) -> None:
        require(len(secret) >= _SHORTEST, "secret", "***", f"{_SHORTEST} random bytes or more")
        require(type(digits) is int and 6 <= digits <= 8, "digits", digits, "6, 7 or 8")
        require(type(period) is int and period > 0, "period", period, "a whole number of seconds")
        require(algorithm in _ALGORITHMS, "algorithm", algorithm, "one of " + str(_ALGORITHMS))
        self._secret = bytes(secret)
        self._digits = digits
        self._period = period
        self._algorithm = algorithm

    @classmethod
    def generate(cls) -> Self:
        """Make a new secret."""
        return cls(secrets.token_bytes(_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a secret that is written as authenticators take it: in base32.

        Raises:
            ConfigurationError: if it is not; the text is not shown.
        """
        tight = text.replace(" ", "").upper().rstrip("=")
        try:
            secret = b32decode(tight + "=" * (-len(tight) % 8))
        except ValueError:
            secret = b""
        return cls(secret)

    def reveal(self) -> bytes:
        """Return the secret itself: to be kept encrypted."""
        return self._secret

    def text(self) -> str:
        """Return the secret in base32, for people to type in; it is shown once, and to one."""
        return b32encode(self._secret).decode().rstrip("=")

    def uri(self, account: str, issuer: str) -> str:
        """Return what a QR code for an authenticator says; the secret is in it.

        Args:
            account: whose it is, such as an e-mail address.
            issuer: where, such as the name of a bot.
        """
        query = {
            "secret": self.text(),
            "issuer": issuer,
            "algorithm": self._algorithm.upper(),
            "digits": self._digits,
            "period": self._period,
        }
        label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
        return f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}"

    def step_at(self, now: float) -> int:
        """Return the number of the period that `now`, in seconds since the epoch, is in."""
        return int(now // self._period)

    def code(self, step: int) -> str:
        """Return the code of a period (RFC 4226, section 5.3)."""
        digest = hmac.digest(self._secret, step.to_bytes(8), self._algorithm)
        start = digest[-1] & 15
        number = int.from_bytes(digest[start : start + 4]) & 0x7FFF_FFFF
        return str(number % 10**self._digits).zfill(self._digits)

    def matching(self, code: str, now: float, drift: int = 1) -> int | None:
        """Return the newest period, of those about `now`, that a code is of; None if of none.

        Args:
            code: as it was typed in; spaces are taken for none.
            now: seconds since the epoch.
            drift: periods before and after that count, since clocks differ and people are slow.
        """
        typed = "".join(code.split()).encode("utf-8", "surrogatepass")
        present, found = self.step_at(now), None
        # All are compared, whichever matches: the time that it takes says nothing.
        for step in range(max(0, present - drift), present + drift + 1):
            if hmac.compare_digest(self.code(step).encode(), typed):
                found = step
        return found

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not pickled: that would write it where nobody looks for it")

    def __repr__(self) -> str:
        return f"Totp(digits={self._digits}, period={self._period}, algorithm={self._algorithm!r})"
