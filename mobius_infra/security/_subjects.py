"""Keys of persons: destroying one erases all that was encrypted by it, wherever it lies."""

from hashlib import sha256

from mobius_infra.core import Backend, MobiusError
from mobius_infra.security._cipher import Cipher
from mobius_infra.security._keys import Key


class SubjectErasedError(MobiusError):
    """The data of a subject was erased: its key is gone.

    Attributes:
        subject: a digest of whose data it was.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(f"the key of subject {subject} is gone, and with it what it encrypted")
        self.subject = subject


class SubjectKeys:
    """A key for each subject, kept in a backend, encrypted by the application's own.

        subjects = SubjectKeys(backend, cipher)
        stored = await subjects.encrypt("user:7", b"Ada")
        await subjects.erase("user:7")  # in backups and logs too

    A key is asked for each time, so that an erasure counts for all processes from then on. The
    backend is given no names: what a key is kept under is a digest.

    Args:
        backend: keeps the keys; back it up apart from the data, or an erasure does not erase.
        cipher: encrypts the keys.
    """

    __slots__ = ("_backend", "_cipher")

    def __init__(self, backend: Backend, cipher: Cipher) -> None:
        self._backend = backend
        self._cipher = cipher

    async def encrypt(self, subject: str, data: bytes, context: str = "") -> bytes:
        """Encrypt by the subject's key, which is made if there is none.

        Raises:
            BackendError: if the backend failed.
        """
        return (await self._cipher_of(subject, make=True)).encrypt(data, context)

    async def decrypt(self, subject: str, token: bytes, context: str = "") -> bytes:
        """Decrypt by the subject's key.

        Raises:
            SubjectErasedError: if that is gone.
            DecryptionError: if `token` was not made by it.
            BackendError: if the backend failed.
        """
        return (await self._cipher_of(subject, make=False)).decrypt(token, context)

    async def erase(self, subject: str) -> bool:
        """Destroy the subject's key; say whether there was one.

        Raises:
            BackendError: if the backend failed.
        """
        return bool(await self._backend.delete(_place(subject)))

    async def _cipher_of(self, subject: str, *, make: bool) -> Cipher:
        place = _place(subject)
        held = await self._backend.get(place)
        if held is None and make:
            fresh = self._cipher.encrypt(Key.parse(Key.generate()).reveal(), place)
            await self._backend.compare_and_set(place, None, fresh)
            held = await self._backend.get(place)  # another may have been first
        if held is None:
            raise SubjectErasedError(place.rpartition(":")[2][:16])
        return Cipher([Key(self._cipher.decrypt(held, place))])

    def __repr__(self) -> str:
        return f"SubjectKeys({self._backend.name!r})"


def _place(subject: str) -> str:
    return f"subject:{sha256(subject.encode()).hexdigest()}"
