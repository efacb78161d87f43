"""Keys from arguments: typed, so that `1`, `True`, `1.0` and `"1"` differ, and never colliding.

Each value is written as a letter for its type and then itself, text with its length before it, so
that no two different lists of arguments are written alike.
"""

import inspect
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from uuid import UUID

from mobius_infra.core import ConfigurationError, compile_key

MAX_LENGTH = 200
"""A longer key is stored under its hash."""

KeyFunction = Callable[..., str]


def encode_key(value: object) -> str:
    """Write one argument so that it differs from every other value of every other type.

    An object of a type that is not known is asked for its `cache_key`, an attribute.

    Raises:
        ConfigurationError: if it has none.
    """
    kind = type(value)
    if kind is str:
        return f"s{len(value)}:{value}"  # type: ignore[arg-type]  # a str, by `kind`
    if kind is int:
        return f"i{value}"
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value)
    own = getattr(value, "cache_key", None)
    if own is not None:
        return f"o{_named(kind)}={encode_key(own() if callable(own) else own)}"
    if isinstance(value, Enum):
        return f"e{_named(kind)}={encode_key(value.value)}"
    raise ConfigurationError(
        "key",
        value,
        f"given, or made of plain values: a {kind.__qualname__} has no attribute cache_key "
        "to stand for it (for a method, give key= or put cache_key on its object)",
    )


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(letter: str) -> Callable[[object], str]:
    return lambda value: f"{letter}{len(str(value))}:{value}"


def _series(letter: str, *, in_order: bool) -> Callable[[object], str]:
    def encode(value: object) -> str:
        parts = [encode_key(each) for each in value]  # type: ignore[attr-defined]  # iterable
        return f"{letter}{len(parts)}({','.join(parts if in_order else sorted(parts))})"

    return encode


def _mapping(value: object) -> str:
    pairs = value.items()  # type: ignore[attr-defined]  # a dict, by the table
    parts = sorted(f"{encode_key(key)}={encode_key(each)}" for key, each in pairs)
    return f"m{len(parts)}({','.join(parts)})"


_PLAIN: dict[type, Callable[[object], str]] = {
    type(None): lambda value: "n",
    bool: lambda value: f"b{value:d}",
    float: lambda value: f"f{value!r}",
    complex: _text("c"),
    bytes: lambda value: f"y{value.hex()}",  # type: ignore[attr-defined]  # bytes, by the table
    Decimal: _text("d"),
    UUID: _text("u"),
    date: _text("D"),
    datetime: lambda value: f"T{value.isoformat()}",  # type: ignore[attr-defined]  # by the table
    time: _text("H"),
    timedelta: _text("E"),
    tuple: _series("t", in_order=True),
    list: _series("l", in_order=True),
    frozenset: _series("x", in_order=False),
    set: _series("z", in_order=False),
    dict: _mapping,
}


def bounded(key: str) -> str:
    """Return `key`, or its hash behind its beginning if it is long or no valid text."""
    if len(key) <= MAX_LENGTH and (key.isascii() or _encodes(key)):
        return key
    return _hashed(key)


def tag_name(tag: str) -> str:
    """Return what stands for `tag` wherever tags are kept, bounded like a key."""
    return bounded(tag) if tag and "\0" not in tag else _hashed(tag)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _hashed(key: str) -> str:
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=20).hexdigest()
    beginning = key[:40].partition("\0")[0]
    return f"{beginning.encode(errors='replace').decode()}#{digest}"


def key_function(
    prefix: str, template: str | Callable[..., str] | None, func: Callable[..., object]
) -> KeyFunction:
    """Make the function that turns a call's arguments into its key.

    Args:
        prefix: names the function; ends with a colon.
        template: as in `compile_key`; None: all arguments, with their types.
        func: the function that is decorated.

    Raises:
        ConfigurationError: if the template names no parameter.
    """
    if template is not None:
        own = compile_key(template, func)
        return lambda *args, **kwargs: prefix + bounded(own(*args, **kwargs))
    signature = inspect.signature(func)

    def of_all(*args: object, **kwargs: object) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        rest = ",".join(encode_key(each) for each in bound.arguments.values())
        return prefix + bounded(rest)  # whoever forgets by prefix finds all of it

    parameters = list(signature.parameters.values())
    single = len(parameters) == 1 and parameters[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    if not single:
        return of_all

    def of_one(*args: object, **kwargs: object) -> str:
        if len(args) == 1 and not kwargs:
            value = args[0]
            if type(value) is int:
                return f"{prefix}i{value}"
            if type(value) is str and len(value) < MAX_LENGTH // 2 and value.isascii():
                return f"{prefix}s{len(value)}:{value}"
        return of_all(*args, **kwargs)

    return of_one
