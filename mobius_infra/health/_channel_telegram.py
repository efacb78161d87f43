"""Telegram, by its Bot API (core.telegram.org/bots/api#sendmessage)."""

import json
from html import escape
from typing import Any, Final

from mobius_infra.core import Clock, SystemClock, require
from mobius_infra.health._alert_conditions import require_seconds
from mobius_infra.health._channel_webhook import raise_for
from mobius_infra.health._http import Target, request
from mobius_infra.health._notification import Notification, Postponed, as_text

_MOST_UNITS: Final = 4000  # of UTF-16; the API takes 4,096 of what is left without markup


class TelegramChannel:
    """Sends messages to a chat.

    The API knows no idempotency key: after a time-out a message may come twice. Each ends with the
    incident's id, by which people can tell.

    Args:
        token: the bot's.
        chat_id: of a person, a group, or a channel's `@name`.
        name: of the channel.
        base_url: of the Bot API.
        timeout: seconds for one try.
        clock: to understand when it may be tried again.
    """

    __slots__ = ("_chat", "_clock", "_timeout", "_url", "name")

    def __init__(
        self,
        token: str,
        chat_id: int | str,
        name: str = "telegram",
        *,
        base_url: str = "https://api.telegram.org",
        timeout: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        fit = token.isascii() and token.replace(":", "").replace("-", "").replace("_", "").isalnum()
        require(fit, "token", "(hidden)", "a bot's token, as BotFather gives it")
        require(bool(chat_id), "chat_id", chat_id, "a number or a @name")
        self.name = name
        self._url = f"{base_url.rstrip('/')}/bot{token}/sendMessage"
        Target.parse(self._url)
        self._chat, self._timeout = chat_id, require_seconds("timeout", timeout)
        self._clock = clock or SystemClock()

    async def send(self, notification: Notification) -> None:
        """Send it."""
        message = {
            "chat_id": self._chat,
            "text": as_html(notification),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
            # What is resolved wakes nobody.
            "disable_notification": notification.kind in ("resolved", "heartbeat"),
        }
        headers = {"Content-Type": "application/json"}
        body = json.dumps(message).encode()
        answer = await request("POST", self._url, headers, body, self._timeout)
        if answer.status == 429:
            raise Postponed(self.name, "it answered 429", _flood_wait(answer.body))
        raise_for(self.name, answer, self._clock.time())

    def __repr__(self) -> str:
        return f"TelegramChannel({self.name!r}, chat_id={self._chat!r})"


def as_html(notification: Notification) -> str:
    """Return a notification as Telegram's HTML, short enough to be taken."""
    text = as_text(notification, 3900)
    units = text.encode("utf-16-le")[: 2 * _MOST_UNITS]
    # A pair that was cut through the middle is left out.
    title, _, body = units.decode("utf-16-le", "ignore").partition("\n")
    foot = f"\n<code>{escape(notification.incident)}</code>" if notification.incident else ""
    return f"<b>{escape(title)}</b>\n{escape(body)}{foot}"


def _flood_wait(body: bytes) -> float | None:
    """Return the seconds that the API asks to wait, which are in the body and not in a header."""
    try:
        answer: Any = json.loads(body)  # Any: JSON
        return min(max(float(answer["parameters"]["retry_after"]), 0.0), 3600.0)
    except (ValueError, KeyError, TypeError):
        return None
