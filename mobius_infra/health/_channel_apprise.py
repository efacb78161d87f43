"""Everything that Apprise speaks. The one module that imports it."""

from collections.abc import Sequence
from typing import Final

import apprise

from mobius_infra.core import ConfigurationError
from mobius_infra.health._alert_step import Severity
from mobius_infra.health._notification import Notification, Postponed, as_text

_KINDS: Final = {
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.INFO: apprise.NotifyType.INFO,
}


class AppriseChannel:
    """Sends by Apprise, which says only whether all went well.

    Args:
        name: of the channel.
        urls: Apprise's own.
    """

    __slots__ = ("_apprise", "name")

    def __init__(self, name: str, urls: Sequence[str]) -> None:
        self.name = name
        self._apprise = apprise.Apprise()
        for number, url in enumerate(urls):
            if not self._apprise.add(url):
                # Not shown: Apprise's URLs carry passwords.
                raise ConfigurationError("urls", f"number {number + 1}", "a URL of Apprise's")

    async def send(self, notification: Notification) -> None:
        """Send it; what failed is tried again, since it can't be known whether it would help."""
        ended = notification.kind in ("resolved", "heartbeat")
        kind = apprise.NotifyType.SUCCESS if ended else _KINDS[notification.severity]
        title, _, body = as_text(notification).partition("\n")
        done = await self._apprise.async_notify(
            body=body or title,
            title=title,
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not done:
            raise Postponed(self.name, "Apprise could not deliver it")

    def __repr__(self) -> str:
        return f"AppriseChannel({self.name!r}, services={len(self._apprise)})"
