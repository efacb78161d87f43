"""The status of a service in a terminal. The one module that needs the extra `cli`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from mobius_infra.core import import_extra

# Any, here and below: JSON, as `/status` gives it, and rich, which may be missing.
Json = dict[str, Any]

_COLOURS = {
    "up": "green", "closed": "green", "shared": "green", "degraded": "yellow",
    "half_open": "yellow", "recovering": "yellow", "local": "yellow", "down": "red", "open": "red",
    "isolated": "red",
}  # fmt: skip
_CODES = {"up": 0, "degraded": 1}
_ANSWERED_BADLY = 3


class StatusUnavailableError(Exception):
    """The status could not be read; says why."""


def main(arguments: list[str]) -> int:
    """Show a service's status, and return how it is.

    Returns:
        0: up; 1: degraded; 2: down, or not known; 3: there was no answer.
    """
    parser = argparse.ArgumentParser("mobius_infra status", description="Show a service's status.")
    parser.add_argument("url", help="where its status is served, such as http://127.0.0.1:8080")
    parser.add_argument("--token", help="shows the details where one is needed")
    parser.add_argument("--once", action="store_true", help="print it once, and end")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    given = parser.parse_args(arguments)
    rich = import_extra("rich", feature="the status in a terminal", extra="cli")
    console = import_extra("rich.console", feature=rich.__name__, extra="cli").Console()
    url = given.url.rstrip("/").removesuffix("/status") + "/status.json"
    if given.once:
        try:
            status = read_status(url, given.token)
        except StatusUnavailableError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return _ANSWERED_BADLY
        console.print(render(status))
        return _CODES.get(status["health"]["state"], 2)
    return _show(url, given.token, given.every, console)


def _show(url: str, token: str | None, every: float, console: Any) -> int:
    live = import_extra("rich.live", feature="the status in a terminal", extra="cli").Live
    code = _ANSWERED_BADLY
    shown: Any = "waiting for the first answer"
    try:
        with live(shown, console=console, screen=console.is_terminal, auto_refresh=False) as screen:
            while True:
                try:
                    status = read_status(url, token)
                    code = _CODES.get(status["health"]["state"], 2)
                    shown = render(status)
                    screen.update(shown, refresh=True)
                except StatusUnavailableError as error:
                    screen.update(_stacked([str(error), shown]), refresh=True)
                time.sleep(every)  # a program of its own: nothing else runs here
    except KeyboardInterrupt:
        return code


def read_status(url: str, token: str | None = None) -> Json:
    """Read a status document.

    Raises:
        StatusUnavailableError: if there is none.
    """
    if not url.startswith(("http://", "https://")):
        raise StatusUnavailableError(f"{url}: not an http or https address")
    headers = {"accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        with urlopen(Request(url, headers=headers), timeout=5) as answer:  # noqa: S310 - as above
            found = json.load(answer)
    except HTTPError as error:
        needed = " (give --token)" if error.code == 401 else ""
        raise StatusUnavailableError(f"{url}: answered {error.code}{needed}") from error
    except (URLError, OSError, ValueError) as error:
        raise StatusUnavailableError(f"{url}: {error}") from error
    if not isinstance(found, dict) or found.get("version") != 1:
        raise StatusUnavailableError(f"{url}: not a status of a version that is known here")
    return found


def render(status: Json) -> Any:
    """Return all of it for rich to print."""
    return _stacked(list(_parts(status)))


def _parts(status: Json) -> Iterator[Any]:
    health = status["health"]
    yield _text((status["title"], "bold"), ("  ", ""), _state(health["state"]))
    alerts = [each for each in (status["alerts"] or {}).get("alerts", ()) if _is_open(each)]
    if alerts:
        yield _table("Alerts", ["", "severity", "state", "why"], [
            (each["name"], each["severity"], each["state"], each.get("reason") or "")
            for each in alerts
        ])  # fmt: skip
    shares = {
        part["part"]: part["windows"]["30d"]["share"]
        for part in (status["uptime"] or {}).get("parts", ())
    }
    yield _table("Checks", ["", "state", "30 days", "why"], [
        (each["name"], _state(each["state"]), _percent(shares.get(each["name"])), _why(each))
        for each in health["checks"]
    ])  # fmt: skip
    yield _table("Components", ["", "kind", "state"], [
        (each["name"], each["kind"], _state_of(each)) for each in status["components"]
    ])  # fmt: skip


def _is_open(alert: Json) -> bool:
    return alert.get("state") in ("pending", "firing")


def _why(check: Json) -> str:
    causes = ", ".join(check["consequence_of"])
    return " · ".join(part for part in (causes and f"because of {causes}", check["reason"]) if part)


def _state_of(component: Json) -> Any:
    for number in component["numbers"]:
        if number["kind"] == "state":
            return _state(str(number["value"]))
    return "failed" if "failed" in component else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{int(share * 1e5) / 1e3:g} %"


def _state(state: str) -> tuple[str, str]:
    return state.replace("_", "-"), _COLOURS.get(state, "dim")


def _text(*parts: tuple[str, str]) -> Any:
    # As text with a style, never as markup: names may look like it.
    return import_extra("rich.text", feature="the status", extra="cli").Text.assemble(*parts)


def _table(title: str, columns: list[str], rows: list[tuple[Any, ...]]) -> Any:
    table = import_extra("rich.table", feature="the status", extra="cli").Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for row in rows:
        table.add_row(
            *(_text(each if isinstance(each, tuple) else (str(each), "")) for each in row)
        )
    return table


def _stacked(parts: list[Any]) -> Any:
    return import_extra("rich.console", feature="the status", extra="cli").Group(*parts)
