"""An alert manager as the status page knows it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mobius_infra.health._alert_manager import AlertManager
from mobius_infra.health._alert_views import AlertSnapshot, AlertView


class AlertPage:
    """Shows what a manager knows, and passes on what people answer.

    Args:
        manager: whose alerts they are.
    """

    __slots__ = ("_manager",)

    def __init__(self, manager: AlertManager) -> None:
        self._manager = manager

    def snapshot(self) -> Mapping[str, Any]:  # Any: JSON
        """Return alerts as the page shows them, and all else that the manager shows."""
        found = self._manager.snapshot()
        ends = {each.id: each.ends_at for each in found.silences}
        folded = _folded(found)
        return {
            **asdict(found),
            "alerts": [_row(alert, ends, folded.get(alert.id, [])) for alert in found.alerts],
        }

    async def acknowledge(self, alert: str, *, by: str, note: str = "") -> None:
        """Take note that somebody is at it."""
        await self._manager.acknowledge(alert, by=by, note=note)

    async def silence(
        self, matchers: Mapping[str, str], *, until: float, by: str, comment: str = ""
    ) -> None:
        """Tell nobody of what matches, until then."""
        await self._manager.silence(matchers, by=by, ends_at=until, note=comment)


def _row(alert: AlertView, ends: Mapping[str, float], folded: list[str]) -> dict[str, Any]:
    return {
        **asdict(alert),
        "name": alert.rule,
        "state": alert.phase,
        "acknowledged_by": alert.acknowledged.by if alert.acknowledged else None,
        "silenced_until": ends.get(alert.silenced_by or ""),
        "folded": folded,
    }


def _folded(found: AlertSnapshot) -> dict[str, list[str]]:
    """Return by alert what is not told because of it, or is told with it and not named."""
    names = {alert.id: alert.rule for alert in found.alerts}
    folded = {alert.id: list(alert.hides) for alert in found.alerts}
    for incident in found.incidents:
        # Beside the first of those that are named.
        named = [each for each in incident.alerts if each not in incident.folded]
        if named and named[0] in folded:
            folded[named[0]] += [each for each in incident.folded if each not in folded[named[0]]]
    return {at: [names.get(each, each) for each in ids] for at, ids in folded.items()}
