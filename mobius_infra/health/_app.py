"""The pages, as an ASGI application that needs no framework."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import asdict
from typing import Any

from mobius_infra.core import Component, Event, samples
from mobius_infra.health._monitor import HealthMonitor
from mobius_infra.health._page import render_page
from mobius_infra.health._states import Health

# Any: ASGI's own messages.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Metrics = Callable[[str | None], tuple[str, bytes]]
Answer = tuple[int, str, bytes]

_JSON = "application/json"
_RECENT = 50  # events that the page shows
# The page has one style sheet and no script, both its own; nothing else may load.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def status_app(
    monitor: HealthMonitor,
    *,
    components: Iterable[Component] = (),
    metrics: Metrics | None = None,
    title: str = "Status",
) -> App:
    """Make the application that answers `/health`, `/metrics` and `/status`.

    - `/health`, `/health/ready`: JSON; 503 while the whole is down or not yet known
    - `/health/startup`: JSON; 503 until every check has run once
    - `/health/live`: 200 as long as the process answers: no dependency can fail it
    - `/metrics`: what `metrics` gives for the request's `Accept`; 404 without it
    - `/status`, `/status.json`: all of it, for people and for programs

    None of them runs a check: all show what the monitor knows.

    Args:
        monitor: whose checks are shown.
        components: whose numbers are shown, and whose events, from now on.
        metrics: takes an `Accept` header, returns content type and body.
        title: of the page.
    """
    return _StatusApp(monitor, tuple(components), metrics, title)


class _StatusApp:
    def __init__(
        self,
        monitor: HealthMonitor,
        components: tuple[Component, ...],
        metrics: Metrics | None,
        title: str,
    ) -> None:
        self._monitor = monitor
        self._components = components
        self._metrics = metrics
        self._title = title
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        for component in (*components, monitor):
            component.events.subscribe(self._recent.append)
        self._routes: dict[str, Callable[[str | None], Answer]] = {
            "/health": self._health,
            "/health/ready": self._health,
            "/health/startup": self._startup,
            "/health/live": self._live,
            "/status": self._page,
            "/status.json": self._status,
        }
        if metrics is not None:
            self._routes["/metrics"] = lambda accept: (200, *metrics(accept))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            status, kind, body = self._answer(scope)
            await _respond(send, status, kind, body, head=scope["method"] == "HEAD")
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    def _answer(self, scope: Scope) -> Answer:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        route = self._routes.get(path.rstrip("/") or "/")
        if route is None:
            return 404, _JSON, _dump({"error": "not found", "paths": sorted(self._routes)})
        if scope["method"] not in ("GET", "HEAD"):
            return 405, _JSON, _dump({"error": "only GET and HEAD are allowed"})
        accept = dict(scope["headers"]).get(b"accept")
        return route(None if accept is None else accept.decode("latin-1"))

    def _health(self, accept: str | None) -> Answer:
        report = self._monitor.report()
        well = report.state in (Health.UP, Health.DEGRADED)
        return 200 if well else 503, _JSON, _dump(asdict(report))

    def _startup(self, accept: str | None) -> Answer:
        unknown = [
            each.name for each in self._monitor.report().checks if each.state is Health.UNKNOWN
        ]
        return 503 if unknown else 200, _JSON, _dump({"waiting_for": unknown})

    def _live(self, accept: str | None) -> Answer:
        return 200, _JSON, _dump({"state": "up"})

    def _status(self, accept: str | None) -> Answer:
        return 200, _JSON, _dump(self._everything())

    def _page(self, accept: str | None) -> Answer:
        page = render_page(self._title, self._everything())
        return 200, "text/html; charset=utf-8", page.encode()

    def _everything(self) -> dict[str, Any]:  # Any: JSON
        return {
            "health": asdict(self._monitor.report()),
            "components": [
                {
                    "kind": type(component).__name__,
                    "name": component.name,
                    "numbers": [sample._asdict() for sample in samples(component.stats())],
                }
                for component in self._components
            ],
            "events": [
                {"kind": type(event).__name__, **asdict(event)} for event in reversed(self._recent)
            ],
        }


def _dump(value: object) -> bytes:
    return json.dumps(value, default=str).encode()


async def _respond(send: Send, status: int, kind: str, body: bytes, *, head: bool) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", _POLICY.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
