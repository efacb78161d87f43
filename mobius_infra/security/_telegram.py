"""What comes from Telegram, proven: the webhook's secret, and what a Web App was started with.

https://core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app
"""

import hmac
import math
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from mobius_infra.core import import_extra, require
from mobius_infra.security._invalid import InvalidInputError, fits_size
from mobius_infra.security._json_limits import JsonText

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_LONGEST = 16_384
_JSON = JsonText(most_bytes=_LONGEST)
TELEGRAM_KEY: Final = bytes.fromhex(
    "e7bf03a2fa4602af4580703d88dda5bb59f32ed8b02a56c187fe7d34caed242d"
)
"""Telegram's public key by which third parties verify `initData`; its test servers have another."""


@dataclass(frozen=True, slots=True)
class InitData:
    """What a Web App was started with, after its signature was found to be right.

    Attributes:
        fields: all of them, by name, as text.
        auth_date: when it was signed, in seconds since the epoch.
        user: who started it, if it says so.
    """

    fields: Mapping[str, str] = field(repr=False)
    auth_date: int
    user: Mapping[str, Any] | None = field(repr=False)  # Any: JSON


def matches_secret(given: str | None, secret: str) -> bool:
    """Say whether the header `X-Telegram-Bot-Api-Secret-Token` is the webhook's secret.

    Args:
        given: the header, or None if there was none.
        secret: what was given to `setWebhook`.

    Raises:
        ConfigurationError: if the secret is none that `setWebhook` takes; it is not shown.
    """
    good = _SECRET.fullmatch(secret) is not None
    require(good, "secret", "***", "1 to 256 letters, digits, _ and -")
    if given is None:
        return False
    # As bytes: for text, `compare_digest` takes only ASCII.
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())


def verify_init_data(
    init_data: str, *, token: str, now: float, max_age: float, ahead: float = 30.0
) -> InitData:
    """Return what `Telegram.WebApp.initData` says, if the bot's token signed it, and lately.

    Args:
        init_data: as the Web App sent it.
        token: the bot's.
        now: seconds since the epoch.
        max_age: seconds since it was signed; the signature alone stays right for ever.
        ahead: seconds that Telegram's clock may be ahead of this one.

    Raises:
        InvalidInputError: `malformed`, `signature` or `stale`.
        ConfigurationError: without a token, or for an age that can't be; the token is not shown.
    """
    require(bool(token), "token", "***", "a bot's token")
    fields = _fields(init_data)
    given = fields.get("hash", "")
    signed = _lines(fields, {"hash"})
    key = hmac.digest(b"WebAppData", token.encode(), sha256)
    right = hmac.new(key, signed, sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), given.encode()):
        raise _unsigned()
    return _fresh(fields, now, max_age, ahead)


def verify_init_data_signature(
    init_data: str,
    *,
    bot_id: int,
    now: float,
    max_age: float,
    ahead: float = 30.0,
    key: bytes = TELEGRAM_KEY,
) -> InitData:
    """Return what `initData` says, if Telegram signed it for a bot, whose token is not needed.

    Needs the extra `security` (cryptography, for Ed25519).

    Args:
        init_data: as the Web App sent it.
        bot_id: of the bot that the Web App belongs to.
        now: seconds since the epoch.
        max_age: seconds since it was signed.
        ahead: seconds that Telegram's clock may be ahead of this one.
        key: Telegram's public key.

    Raises:
        InvalidInputError: `malformed`, `signature` or `stale`.
        ConfigurationError: for an id, a key or an age that can't be.
    """
    require(type(bot_id) is int and bot_id > 0, "bot_id", bot_id, "a bot's number")
    require(len(key) == 32, "key", key, "32 bytes")
    fields = _fields(init_data)
    signed = f"{bot_id}:WebAppData\n".encode() + _lines(fields, {"hash", "signature"})
    try:
        signature = urlsafe_b64decode(fields.get("signature", "") + "==")
    except (Base64Error, ValueError):
        raise _unsigned() from None
    crypto = import_extra(
        "mobius_infra.security._crypto", feature="Telegram's signature", extra="security"
    )
    if not crypto.ed25519_verifies(key, signature, signed):
        raise _unsigned()
    return _fresh(fields, now, max_age, ahead)


def _fields(init_data: str) -> dict[str, str]:
    """Split a query, strictly: what is there twice or is no UTF-8 has no one meaning."""
    fits_size(init_data, _LONGEST, None)
    found: dict[str, str] = {}
    for part in init_data.split("&"):
        name, equals, value = part.partition("=")
        try:
            name, value = _decoded(name), _decoded(value)
        except UnicodeDecodeError:
            raise _malformed() from None
        if not equals or not name or name in found:
            raise _malformed()
        found[name] = value
    return found


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _lines(fields: Mapping[str, str], without: set[str]) -> bytes:
    return "\n".join(
        f"{name}={value}" for name, value in sorted(fields.items()) if name not in without
    ).encode()


def _fresh(fields: dict[str, str], now: float, max_age: float, ahead: float) -> InitData:
    require(max_age > 0 and math.isfinite(max_age), "max_age", max_age, "seconds, more than 0")
    require(ahead >= 0 and math.isfinite(ahead), "ahead", ahead, "seconds, 0 or more")
    written = fields.get("auth_date", "")
    if not (written.isascii() and written.isdigit() and len(written) < 16):
        raise _malformed()
    at = int(written)
    if not -ahead <= now - at <= max_age:
        raise InvalidInputError("stale", f"{now - at:.0f} seconds old", f"{max_age:g} at most")
    user = _JSON(fields["user"]) if "user" in fields else None
    if user is not None and not isinstance(user, dict):
        raise _malformed()
    return InitData(MappingProxyType(fields), at, user)


def _malformed() -> InvalidInputError:
    return InvalidInputError("malformed", "not as Telegram writes it", "initData of a Web App")


def _unsigned() -> InvalidInputError:
    return InvalidInputError("signature", "a wrong signature", "signed for this bot by Telegram")
