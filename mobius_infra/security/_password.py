"""Passwords: hashed by argon2id, in threads of their own."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from unicodedata import normalize

from mobius_infra.core import (
    ConfigurationError,
    Events,
    MobiusError,
    Stats,
    counter,
    gauge,
    import_extra,
    require,
)

T = TypeVar("T")

_SALT, _HASH = 16, 32  # bytes, as argon2-cffi makes them


class PasswordRefusedError(MobiusError, ValueError):
    """A password is not one to be used. It is not in the error.

    Attributes:
        reason: why, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PasswordsStats(Stats):
    """What was counted."""

    hashed: int = counter("Passwords hashed")
    right: int = counter("Passwords that were right")
    wrong: int = counter("Passwords that were not, those of unknown users included")
    waiting: int = gauge("Passwords that are being hashed or verified, or wait for it")


class Passwords:
    """Hashes passwords and verifies them, off the event loop.

        async with Passwords() as passwords:
            stored = await passwords.hash("correct horse")
            assert await passwords.verify(stored, "correct horse")

    What is typed is normalised by NFKC, so that the same password is the same on every keyboard.

    Args:
        name: labels its numbers.
        time_cost: passes over the memory. This and the next two are RFC 9106's second recommended
            option.
        memory_cost: kibibytes that each takes.
        parallelism: lanes.
        shortest: characters; 8 is NIST SP 800-63B's least.
        longest: characters; longer ones are never hashed.
        at_once: threads, and so how many times `memory_cost` are taken at most.

    Raises:
        ConfigurationError: if a value can't work.
        MissingExtraError: if the extra `security` is not installed.
    """

    def __init__(
        self,
        name: str = "passwords",
        *,
        time_cost: int = 3,
        memory_cost: int = 65_536,
        parallelism: int = 4,
        shortest: int = 8,
        longest: int = 1_024,
        at_once: int = 2,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        _whole("time_cost", time_cost, 1)
        _whole("parallelism", parallelism, 1)
        _whole("memory_cost", memory_cost, 8 * parallelism)
        _whole("shortest", shortest, 1)
        _whole("longest", longest, shortest)
        _whole("at_once", at_once, 1)
        # Any: a module that may not be installed.
        self._argon2: Any = import_extra(
            "mobius_infra.security._crypto", feature="hashing passwords", extra="security"
        )
        self.name = name
        self.events = Events()
        self._hasher = self._argon2.password_hasher(time_cost, memory_cost, parallelism)
        # Of random bytes, so nothing is right; it takes as long as any other to find that out.
        salt, digest = (_b64(secrets.token_bytes(size)) for size in (_SALT, _HASH))
        costs = f"m={memory_cost},t={time_cost},p={parallelism}"
        self._nobodys = f"$argon2id$v=19${costs}${salt}${digest}"
        self._shortest = shortest
        self._longest = longest
        # Not the event loop's own: its threads are many, each of these takes `memory_cost`, and
        # one that is cancelled goes on until it is done.
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=f"mobius-{name}")
        self._hashed = self._right = self._wrong = self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return what to keep of a password: salt, parameters and hash, as text.

        Raises:
            PasswordRefusedError: if it is too short or too long, or no text.
        """
        data = self._prepared(password)
        if data is None:
            raise PasswordRefusedError(f"is not text of up to {self._longest} characters")
        if len(data.decode()) < self._shortest:
            raise PasswordRefusedError(f"has fewer than {self._shortest} characters")
        made = await self._in_thread(lambda: str(self._hasher.hash(data)))
        self._hashed += 1
        return made

    async def verify(self, stored: str | None, password: str) -> bool:
        """Say whether a password is the one that was hashed.

        Args:
            stored: what `hash` returned; None for a user that there is not: it takes as long as
                with the parameters of now, and is never right.
            password: what was typed in.

        Raises:
            ConfigurationError: if `stored` is no hash by argon2; it is not shown.
        """
        data = self._prepared(password)
        if data is None:  # hashed for nobody, so this tells nothing of whose it was to be
            self._wrong += 1
            return False
        known = self._nobodys if stored is None else stored
        right = await self._in_thread(lambda: self._matches(known, data))
        self._right += right
        self._wrong += not right
        return right

    def _prepared(self, password: str) -> bytes | None:
        """Return what is hashed of a password; None for what never is."""
        given: object = password
        if not isinstance(given, str) or len(given) > self._longest:
            return None
        try:
            return normalize("NFKC", given).encode()
        except UnicodeEncodeError:
            return None

    def _matches(self, stored: str, data: bytes) -> bool:
        try:
            return bool(self._hasher.verify(stored, data))
        except self._argon2.VerifyMismatchError:
            return False
        except self._argon2.InvalidHashError:
            raise ConfigurationError("stored", "***", "a hash by argon2") from None
        except self._argon2.VerificationError as error:  # not even its parameters could be used
            raise ConfigurationError("stored", "***", f"a hash by argon2: {error}") from None

    def outdated(self, stored: str) -> bool:
        """Say whether a hash was made with other parameters than now.

        Its password is to be hashed again when it is known: right after it was verified.

        Raises:
            ConfigurationError: if `stored` is no hash by argon2; it is not shown.
        """
        try:
            return bool(self._hasher.check_needs_rehash(stored))
        except self._argon2.InvalidHashError:
            raise ConfigurationError("stored", "***", "a hash by argon2") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the threads, once what they do is done."""
        await asyncio.to_thread(self._threads.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def stats(self) -> PasswordsStats:
        """Return the counts as they are now."""
        return PasswordsStats(
            hashed=self._hashed, right=self._right, wrong=self._wrong, waiting=self._waiting
        )

    def __repr__(self) -> str:
        hasher = self._hasher
        costs = f"time_cost={hasher.time_cost}, memory_cost={hasher.memory_cost}"
        return f"Passwords({self.name!r}, {costs}, parallelism={hasher.parallelism})"


def _whole(field: str, value: object, least: int) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(good, field, value, f"a whole number, {least} or more")


def _b64(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()
