"""Write `mobius.json`, the dashboard that Grafana imports: `python -m examples.grafana.dashboard`.

The panels are in `panels.py` and `calls.py`. Nobody edits the JSON by hand.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.grafana.panels import ROWS
from examples.grafana.queries import Panel, Row

FILE = Path(__file__).with_name("mobius.json")

SCOPE_ALL = 'job=~"$job", instance=~"$instance"'
SCOPE = SCOPE_ALL + ', name=~"$name"'

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

COLUMNS = 24
SIZES = {"stat": (4, 4), "timeseries": (8, 8), "state-timeline": (16, 8)}
"""Columns and lines of a panel."""

STATES = {
    "closed": "green", "up": "green", "shared": "green", "connected": "green", "idle": "blue",
    "local": "blue", "half_open": "yellow", "recovering": "yellow", "degraded": "orange",
    "shedding": "orange", "unknown": "purple", "isolated": "purple", "open": "red", "down": "red",
    "running": "green", "stopped": "purple", "failed": "red", "notifying": "green",
    "standing by": "blue", "known": "green", "stale": "orange", "closing": "yellow",
    "unreachable": "red", "ready": "green", "new": "blue", "starting": "blue",
    "draining": "yellow", "ended": "purple", "lost": "red", "normal": "green", "high": "orange",
    "critical": "red",
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana's JSON model."""
    return {
        "title": "mobius-infra",
        "uid": "mobius-infra",
        "tags": ["mobius-infra"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(variables())},
        "annotations": {"list": []},
        "panels": list(panels()),
    }


def variables() -> Iterator[dict[str, Any]]:
    """Yield what can be chosen at the top."""
    yield {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0,
    }  # fmt: skip
    anything = '{__name__=~"mobius_.+"}'
    scopes = {
        "job": anything,
        "instance": '{__name__=~"mobius_.+", job=~"$job"}',
        "name": '{__name__=~"mobius_.+", job=~"$job", instance=~"$instance"}',
    }
    for name, selector in scopes.items():
        yield {
            "name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE,
            "query": {"query": f"label_values({selector}, {name})", "refId": name},
            "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]}, "hide": 0,
        }  # fmt: skip


def panels() -> Iterator[dict[str, Any]]:
    """Yield rows with their panels; all but the first are folded."""
    number, top = 0, 0
    for at, row in enumerate(ROWS):
        folded = at > 0
        number += 1
        head = {
            "id": number, "type": "row", "title": row.title, "collapsed": folded, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        top += 1
        drawn, height = laid_out(row, number, top)
        number += len(drawn)
        if folded:
            yield head | {"panels": drawn}
        else:
            yield head
            yield from drawn
            top += height


def laid_out(row: Row, number: int, top: int) -> tuple[list[dict[str, Any]], int]:
    """Return a row's panels, from left to right and down, and how many lines they take."""
    drawn, x, y, tallest = [], 0, top, 0
    for panel in row.panels:
        width, height = SIZES[panel.sort]
        if x + width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        number += 1
        place = {"x": x, "y": y, "w": width, "h": height}
        drawn.append({"id": number, "gridPos": place, **picture(panel)})
        x, tallest = x + width, max(tallest, height)
    return drawn, y + tallest - top


def picture(panel: Panel) -> dict[str, Any]:
    """Return one panel, but for its place."""
    bad = [] if panel.bad is None else [{"color": "red", "value": panel.bad}]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "mappings": mappings(panel),
        "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}, *bad]},
    }
    if panel.sort != "state-timeline":
        defaults["min"] = 0
    return {
        "type": panel.sort,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + at), "datasource": SOURCE, "legendFormat": legend,
                "expr": scoped(query), "range": True,
            }
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"defaults": defaults | custom(panel), "overrides": []},
        "options": OPTIONS[panel.sort],
    }  # fmt: skip


def custom(panel: Panel) -> dict[str, Any]:
    """Return how lines are drawn."""
    if panel.sort != "timeseries":
        return {}
    stacked = {"stacking": {"mode": "normal"}, "fillOpacity": 20} if panel.stack else {}
    threshold = {} if panel.bad is None else {"thresholdsStyle": {"mode": "line"}}
    return {"custom": {"lineWidth": 1, "showPoints": "never", **stacked, **threshold}}


def mappings(panel: Panel) -> list[dict[str, Any]]:
    """Return what the numbers of a state timeline stand for."""
    options = {
        str(number): {"text": state, "color": STATES[state], "index": number}
        for number, state in enumerate(panel.states)
    }
    return [{"type": "value", "options": options}] if options else []


OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background", "graphMode": "area",
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
}  # fmt: skip


def scoped(query: str) -> str:
    """Fill in the label filter."""
    return query.replace("$scope_all", SCOPE_ALL).replace("$scope", SCOPE)


def text() -> str:
    """Return what the file holds."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
