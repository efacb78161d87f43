"""Values as bytes, and back, in a form that says which form it is.

Each stored value begins with two bytes: the version of this layout, and how the rest was made
(format in the low four bits, then compressed, then encrypted). What does not fit, was damaged, or
has the shape of an older release is a `CodecError`, which a cache takes for a miss.
"""

import pickle
import zlib
from collections.abc import Callable
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from mobius_infra.core._config import require
from mobius_infra.core._errors import CodecError
from mobius_infra.core._extras import import_extra

Format = Literal["json", "msgpack", "pickle"]
T = TypeVar("T")
Transform = Callable[[bytes], bytes]

VERSION = 1


class Options(TypedDict, total=False):
    """The keyword arguments of `Codec`."""

    format: Format
    compress_above: int | None
    max_size: int
    encrypt: Transform | None
    decrypt: Transform | None


_FORMATS: tuple[Format, ...] = ("json", "msgpack", "pickle")
_COMPRESSED = 0x10
_ENCRYPTED = 0x20


class Codec(Generic[T]):
    """Turns values of one type into bytes and back.

    Args:
        type_: what the values are: a class, or any annotation that pydantic knows. What comes back
            is validated against it. Without it, JSON's own types come back.
        format: `json`; `msgpack` (smaller, needs the extra `redis`); or `pickle`, which must be
            asked for by name: **whoever can write to the backend can run code in every process
            that reads a pickle from it**. Use it only where all writers are trusted as you trust
            your own code, or with `encrypt` that authenticates.
        compress_above: compress (zlib) a value of more bytes than this; None never does.
        max_size: the most bytes that a value may have, before compression and after expansion: a
            small damaged or hostile value can't fill the memory.
        encrypt: applied last, to whole values; should authenticate, as AES-GCM or Fernet do.
        decrypt: the inverse of `encrypt`; raises if the value was not made by it. With it, values
            that are not encrypted are refused.

    Raises:
        ConfigurationError: for an unknown format, a negative size, or one of the pair of `encrypt`
            and `decrypt` without the other.
        MissingExtraError: for `msgpack` where it is not installed.
    """

    __slots__ = (
        "_adapter",
        "_compress_above",
        "_decrypt",
        "_dump",
        "_encrypt",
        "_format",
        "_load",
        "_max_size",
        "name",
    )

    @overload
    def __init__(self: "Codec[Any]", type_: None = None, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, type_: type[T], **options: Unpack[Options]) -> None: ...
    # Any: an annotation such as `int | None` is no `type[T]`; the caller declares what it is.
    @overload
    def __init__(self, type_: Any, **options: Unpack[Options]) -> None: ...
    def __init__(
        self,
        type_: Any = None,
        *,
        format: Format = "json",  # noqa: A002 - the natural name; the builtin is not used here
        compress_above: int | None = 1024,
        max_size: int = 64 * 1024 * 1024,
        encrypt: Transform | None = None,
        decrypt: Transform | None = None,
    ) -> None:
        require(format in _FORMATS, "format", format, "one of " + ", ".join(_FORMATS))
        require(
            compress_above is None or compress_above >= 0,
            "compress_above",
            compress_above,
            "a number of bytes, or None",
        )
        require(max_size > 0, "max_size", max_size, "a positive number of bytes")
        require(
            (encrypt is None) == (decrypt is None),
            "encrypt",
            encrypt,
            "given together with decrypt",
        )
        self.name = format
        self._format = _FORMATS.index(format)
        self._adapter: TypeAdapter[T] | None = None if type_ is None else TypeAdapter(type_)
        self._dump, self._load = self._functions(format)
        self._compress_above = compress_above
        self._max_size = max_size
        self._encrypt = encrypt
        self._decrypt = decrypt

    # Any: the value is whatever the caller's T is; checked by the adapter, not by the checker.
    def _functions(self, format: Format) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:  # noqa: A002
        adapter = self._adapter
        if format == "pickle":
            return pickle.dumps, pickle.loads
        if format == "json":
            if adapter is None:
                return to_json, from_json
            # Straight from the validator: the adapter's own method would cost as much again.
            return adapter.dump_json, adapter.validator.validate_json
        extra = import_extra(
            "mobius_infra.core._msgpack", feature="the msgpack codec", extra="redis"
        )
        pack, unpack = extra.pack, extra.unpack
        if adapter is None:
            return pack, unpack
        return (
            lambda value: pack(adapter.dump_python(value, mode="json")),
            # As JSON, not as Python: what was dumped as JSON's types is validated as such.
            lambda data: adapter.validate_json(to_json(unpack(data))),
        )

    def encode(self, value: T) -> bytes:
        """Return the bytes to store.

        Raises:
            CodecError: if the value can't be written in this format, or is larger than `max_size`.
        """
        try:
            body = self._dump(value)
        except (
            PydanticSerializationError,
            TypeError,
            ValueError,
            pickle.PicklingError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise CodecError(self.name, f"can't write a {type(value).__name__}: {error}") from error
        if len(body) > self._max_size:
            raise CodecError(self.name, f"{len(body)} bytes are more than {self._max_size}")
        how = self._format
        if self._compress_above is not None and len(body) > self._compress_above:
            smaller = zlib.compress(body, 1)
            if len(smaller) < len(body):
                body, how = smaller, how | _COMPRESSED
        if self._encrypt is not None:
            body, how = self._encrypt(body), how | _ENCRYPTED
        return bytes((VERSION, how)) + body

    def decode(self, data: bytes) -> T:
        """Return the value that was stored.

        Raises:
            CodecError: if these bytes are not one of ours, are damaged, too large, of another
                format, not encrypted as they must be, or of another shape than the type.
        """
        if len(data) < 2 or data[0] != VERSION:
            raise CodecError(self.name, "not a value of this version")
        how, body = data[1], data[2:]
        if how & 0x0F != self._format or how & ~(0x0F | _COMPRESSED | _ENCRYPTED):
            raise CodecError(self.name, "a value of another format")
        if bool(how & _ENCRYPTED) != (self._decrypt is not None):
            raise CodecError(self.name, "encrypted where it should not be, or the reverse")
        try:
            if self._decrypt is not None:
                body = self._decrypt(body)
            if how & _COMPRESSED:
                body = self._expand(body)
            value: T = self._load(body)
        except CodecError:
            raise
        except ValidationError as error:
            reason = (
                f"another shape: {error.error_count()} errors, first: {error.errors()[0]['msg']}"
            )
            raise CodecError(self.name, reason) from error
        # Whatever damaged bytes, a foreign pickle or the caller's decryption may raise is one thing
        # to the reader: a value that can't be read.
        except Exception as error:
            raise CodecError(self.name, f"damaged: {error}") from error
        return value

    def _expand(self, body: bytes) -> bytes:
        expander = zlib.decompressobj()
        whole = expander.decompress(body, self._max_size)
        if not expander.eof:
            raise CodecError(self.name, f"damaged, or larger than {self._max_size} bytes")
        return whole

    def __repr__(self) -> str:
        return f"Codec(format={self.name!r})"
