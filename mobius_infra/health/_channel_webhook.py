"""Webhooks, signed as the Standard Webhooks specification says (standardwebhooks.com, 1.0)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from mobius_infra.core import Clock, SystemClock, require
from mobius_infra.health._alert_conditions import require_seconds
from mobius_infra.health._channels import as_json
from mobius_infra.health._http import Response, Target, request
from mobius_infra.health._notification import Notification, Postponed, Refused

_LATER: Final = frozenset({408, 425, 429})  # beside 5xx: it may go well another time
_LONGEST: Final = 3600.0  # seconds that another may ask us to be silent


class WebhookChannel:
    """Posts notifications as JSON.

    Each carries `webhook-id` and `Idempotency-Key`, the same when it is sent again: after a
    time-out nobody knows whether it arrived, so whoever receives should drop an id that it had.
    Redirects are not followed.

    Args:
        url: where to.
        name: of the channel.
        secret: signs what is sent; at least 16 bytes, known to the receiver alone.
        headers: sent beside, such as `Authorization`.
        timeout: seconds for one try.
        clock: tells the time that is signed.
    """

    __slots__ = ("_clock", "_headers", "_secret", "_timeout", "_url", "name")

    def __init__(
        self,
        url: str,
        name: str = "webhook",
        *,
        secret: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        Target.parse(url)
        self._secret = None if secret is None else _key(secret)
        self.name = name
        self._url, self._headers = url, dict(headers or {})
        self._timeout = require_seconds("timeout", timeout)
        self._clock = clock or SystemClock()

    async def send(self, notification: Notification) -> None:
        """Post it."""
        body = as_json(notification)
        stamp = str(int(self._clock.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mobius-infra",
            "Idempotency-Key": notification.id,
            "webhook-id": notification.id,
            "webhook-timestamp": stamp,
            **self._headers,
        }
        if self._secret is not None:
            headers["webhook-signature"] = sign(self._secret, notification.id, stamp, body)
        answer = await request("POST", self._url, headers, body, self._timeout)
        raise_for(self.name, answer, self._clock.time())

    def __repr__(self) -> str:
        return f"WebhookChannel({self.name!r}, host={Target.parse(self._url).authority!r})"


def raise_for(channel: str, answer: Response, now: float) -> None:
    """Raise what an answer means, unless it is well."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status in _LATER or status >= 500:
        after = retry_after(answer.headers.get("retry-after"), now)
        raise Postponed(channel, f"it answered {status}", after)
    raise Refused(channel, f"it answered {status}")


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` asks for (RFC 9110, section 10.2.3); an hour at most.

    Args:
        value: of the header: seconds or a date.
        now: to count a date from.
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0), _LONGEST)


def sign(secret: bytes, id_: str, stamp: str, body: bytes) -> str:
    """Return the signature of a notification's id, time and body."""
    digest = hmac.new(secret, f"{id_}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def verify_signature(
    secret: str | bytes,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    tolerance: float = 300.0,
) -> bool:
    """Say whether a webhook comes from whoever has the secret, and lately.

    Args:
        secret: the sender's.
        headers: as received, with names in lower case.
        body: as received, byte by byte.
        now: the receiver's time, in seconds since the epoch.
        tolerance: seconds that its time may be off: what is older was recorded and sent again.
    """
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > tolerance:
        return False
    right = sign(_key(secret), id_, stamp, body).encode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(right, each.encode()) for each in given)


def _key(secret: str | bytes) -> bytes:
    """Return a secret's bytes: base64 where it begins with `whsec_`, as the specification says."""
    if isinstance(secret, str):
        encoded = secret.removeprefix("whsec_")
        key = base64.b64decode(encoded) if encoded != secret else secret.encode()
    else:
        key = secret
    require(len(key) >= 16, "secret", "(hidden)", "at least 16 bytes")
    return key
