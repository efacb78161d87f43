"""Checkpoints: how long a trail is and what it has, signed, and kept where its writer can't reach.

Signed by Ed25519 (RFC 8032). Whoever has the public key can check one, and can't make one.
"""

import asyncio
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from mobius_infra.core import Backend, ConfigurationError, require
from mobius_infra.security._audit_entry import encode
from mobius_infra.security._keys import Key, crypto

_CONTEXT = b"mobius_infra audit checkpoint v1\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trail as it was.

    Attributes:
        trail: its random name.
        size: entries in it.
        root: their Merkle root (RFC 6962), as hexadecimal digits.
        at: when, in seconds since the epoch.
        key: the public key that signed it, as base64url.
        signature: Ed25519, of all before, as base64url.
    """

    trail: str
    size: int
    root: str
    at: float
    key: str
    signature: str = ""

    def fields(self) -> dict[str, Any]:  # Any: JSON
        """Return it by names."""
        return {
            "trail": self.trail,
            "size": self.size,
            "root": self.root,
            "at": self.at,
            "key": self.key,
            "signature": self.signature,
        }

    def to_json(self) -> str:
        """Return it as a line, for a witness to keep."""
        return encode(self.fields()).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: if it is none. Its signature is not checked; see `is_signed_by`.
        """
        try:
            found = json.loads(text)
            made = cls(**{name: found[name] for name in cls.__slots__})
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ConfigurationError("checkpoint", text[:80], "what `to_json` wrote") from None
        texts = (made.trail, made.root, made.key, made.signature)
        fits = all(isinstance(each, str) for each in texts)
        fits = fits and type(made.size) is int and type(made.at) in (int, float)
        require(fits, "checkpoint", text[:80], "what `to_json` wrote")
        return made

    def is_signed_by(self, public_key: str) -> bool:
        """Say whether it was signed by that key, and not changed since."""
        module = crypto()
        try:
            signature = urlsafe_b64decode(self.signature)
            known = module.Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(public_key))
            known.verify(signature, self._signed())
        except (ValueError, module.InvalidSignature):
            return False
        # Base64 has several spellings of the same bytes: only the one that was written counts.
        same = urlsafe_b64encode(signature).decode() == self.signature
        return same and self.key == public_key

    def _signed(self) -> bytes:
        fields = self.fields()
        del fields["signature"]
        return _CONTEXT + encode(fields)


class Signer:
    """Signs checkpoints by a key that is derived from `key` for that alone.

    Attributes:
        public_key: what its signatures are checked by, as base64url.
    """

    __slots__ = ("_private", "public_key")

    def __init__(self, key: Key) -> None:
        self._private = crypto().Ed25519PrivateKey.from_private_bytes(
            key.derive("audit checkpoint v1")
        )
        self.public_key = urlsafe_b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, trail: str, size: int, root: bytes, at: float) -> Checkpoint:
        """Return a signed checkpoint."""
        bare = Checkpoint(trail, size, root.hex(), at, self.public_key)
        signature = self._private.sign(bare._signed())
        text = urlsafe_b64encode(signature).decode()
        return Checkpoint(trail, size, bare.root, at, self.public_key, text)

    def __repr__(self) -> str:
        return f"Signer(public_key={self.public_key!r})"


class Witness(Protocol):
    """Keeps checkpoints where whoever can write the trail can't change them."""

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Keep it; raise what there is to raise, and it is given the next one."""
        ...


class FileWitness:
    """Appends checkpoints to a file: on another machine's disk, or one that only appends.

    Args:
        path: of the file.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Append it, and force it to the disk.

        Raises:
            OSError: if it can't be written.
        """
        await asyncio.to_thread(self._append, checkpoint.to_json().encode())

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def __repr__(self) -> str:
        return f"FileWitness({str(self.path)!r})"


class BackendWitness:
    """Keeps the newest checkpoint of a trail in a backend, which is never replaced by a shorter.

    Args:
        backend: somewhere that whoever can write the trail's files can't.
        key: what it is kept under.
    """

    __slots__ = ("_backend", "_key")

    def __init__(self, backend: Backend, key: str) -> None:
        self._backend = backend
        self._key = key

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Keep it, unless what is there is of more entries.

        Raises:
            BackendError: if the backend failed.
            ConfigurationError: if another trail's is kept there.
        """
        new = checkpoint.to_json().encode()
        while True:
            held = await self._backend.get(self._key)
            if held is not None:
                kept = Checkpoint.parse(held.decode())
                require(kept.trail == checkpoint.trail, "trail", checkpoint.trail, kept.trail)
                if kept.size > checkpoint.size:
                    return
            if await self._backend.compare_and_set(self._key, held, new):
                return

    async def newest(self) -> Checkpoint | None:
        """Return what is kept: the head that a verification is to expect.

        Raises:
            BackendError: if the backend failed.
        """
        held = await self._backend.get(self._key)
        return None if held is None else Checkpoint.parse(held.decode())

    def __repr__(self) -> str:
        return f"BackendWitness({self._backend.name!r}, {self._key!r})"
