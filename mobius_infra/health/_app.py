"""The pages, as an ASGI application that needs no framework."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from mobius_infra.core import (
    BackendError,
    Clock,
    CodecError,
    Component,
    ConfigurationError,
    SystemClock,
    require,
)
from mobius_infra.health._alert_manager import AlertManager
from mobius_infra.health._alert_page import AlertPage
from mobius_infra.health._document import Alerting, Charts, Document, Monitored, health_json
from mobius_infra.health._feed import Feed, dump
from mobius_infra.health._page import load_page
from mobius_infra.health._reports import Report
from mobius_infra.health._states import Health
from mobius_infra.health._uptime import Uptime

# Any: ASGI's own messages.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Rendered = tuple[str, bytes]
Metrics = Callable[[str | None], Rendered | Awaitable[Rendered]]

_JSON = "application/json"
_HEALTH = "application/health+json"
_LONGEST_BODY = 16_384
_SHORTEST_TOKEN = 16


Header = tuple[bytes, bytes]


class Answer:
    """A status, headers, and a body or a stream of pieces."""

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(
        self,
        status: int,
        kind: str,
        body: bytes = b"",
        *headers: Header,
        stream: AsyncIterator[bytes] | None = None,
        policy: bytes = b"default-src 'none'; frame-ancestors 'none'",
    ) -> None:
        self.status = status
        self.body = body
        self.stream = stream
        self.headers = [
            (b"content-type", kind.encode()),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", policy),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"vary", b"accept, authorization"),
            *headers,
        ]
        if stream is None:
            self.headers.append((b"content-length", str(len(body)).encode()))


def refusal(status: int, error: str, *headers: Header) -> Answer:
    """Return an answer that says what is wrong."""
    return Answer(status, _JSON, dump({"error": error}), *headers)


_NOT_PASSED_ON = "it could not be passed on to the process that notifies: try again"
_UNAUTHORISED = refusal(401, "a token is needed", (b"www-authenticate", b"Bearer"))


class StatusApp:
    """The application that `status_app` makes. It can be told to `drain`."""

    def __init__(
        self,
        document: Document,
        metrics: Metrics | None,
        alerts: Alerting | None,
        token: str | None,
        feed: Feed,
    ) -> None:
        self._document = document
        self._metrics = metrics
        self._alerts = alerts
        self._token = None if token is None else token.encode()
        self._feed = feed
        html, policy = load_page()
        self._html = Answer(200, "text/html; charset=utf-8", html, policy=policy)
        self._draining = False
        # The last report with its answers: a thousand questions a second make them once.
        self._answers: tuple[Report, dict[tuple[str, bool], Answer]] | None = None
        self._probes: dict[str, Callable[[Report], bool]] = {
            "/health": lambda report: report.state in (Health.UP, Health.DEGRADED),
            "/health/live": lambda report: report.alive,
            "/health/ready": lambda report: report.ready and not self._draining,
            "/health/startup": lambda report: report.started,
        }
        self._pages = {"/status", "/status.json", "/status/events"}
        self._actions = {"/status/acknowledge": self._acknowledge, "/status/silence": self._silence}

    def drain(self) -> None:
        """Be not ready from now on, so that no new work comes; and let open pages go."""
        self._draining = True
        self._answers = None
        self._feed.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            await _respond(answer, receive, send, head=scope["method"] == "HEAD")
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/") or "/"
        method = scope["method"]
        known = path in self._probes or path in self._pages or path == "/metrics"
        if path in self._actions:
            if method != "POST":
                return refusal(405, "only POST is allowed", (b"allow", b"POST"))
            return await self._act(path, scope, receive)
        if not known or (path == "/metrics" and self._metrics is None):
            return refusal(404, "not found")
        if method not in ("GET", "HEAD"):
            return refusal(405, "only GET and HEAD are allowed", (b"allow", b"GET, HEAD"))
        headers = dict(scope["headers"])
        allowed = self._allowed(headers)
        if path in self._probes:
            return self._probe(path, details=allowed)
        return await self._page(path, headers.get(b"accept"), allowed=allowed)

    async def _page(self, path: str, accept: bytes | None, *, allowed: bool) -> Answer:
        wanted = None if accept is None else accept.decode("latin-1")
        if path == "/status" and "text/html" in (wanted or ""):
            # For everybody: there is nothing in it yet, it asks for what it shows.
            return self._html
        if not allowed:
            return _UNAUTHORISED
        if path == "/metrics":
            assert self._metrics is not None  # noqa: S101 - else it is not found
            rendered = self._metrics(wanted)
            kind, body = await rendered if isawaitable(rendered) else rendered
            return Answer(200, kind, body)
        if path == "/status/events":
            return Answer(200, "text/event-stream", stream=self._feed.read())
        return Answer(200, _JSON, dump(self._document.whole()))

    def _probe(self, path: str, *, details: bool) -> Answer:
        report = self._document.monitor.report()
        if self._answers is None or self._answers[0] is not report:
            self._answers = report, {}
        answers = self._answers[1]
        answer = answers.get((path, details))
        if answer is None:
            well = self._probes[path](report)
            # Whether it lives has nothing to do with what it depends on: that is not even shown.
            found = {"status": "pass" if well else "fail"}
            if path != "/health/live":
                found = health_json(report, well=well, details=details)
            answer = Answer(200 if well else 503, _HEALTH, dump(found))
            answers[path, details] = answer
        return answer

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        if self._token is None:
            return True
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    # What may be done.

    async def _act(self, path: str, scope: Scope, receive: Receive) -> Answer:
        alerts = self._alerts
        if alerts is None:
            return refusal(404, "there are no alerts")
        if self._token is None:
            return refusal(403, "nothing can be changed here: no token is configured")
        # A token in a header is also what keeps other sites from asking in a visitor's name.
        if not self._allowed(dict(scope["headers"])):
            return _UNAUTHORISED
        return await self._carry_out(path, alerts, receive)

    async def _carry_out(self, path: str, alerts: Alerting, receive: Receive) -> Answer:
        try:
            await self._actions[path](alerts, json.loads(await _body(receive)))
        except ConfigurationError as error:
            return refusal(400, str(error))
        except (BackendError, CodecError):
            # Not in its own words: where the backend is, is not for the page.
            return refusal(503, _NOT_PASSED_ON, (b"retry-after", b"5"))
        except (ValueError, TypeError, KeyError, AttributeError):
            return refusal(400, "not as documented")
        return Answer(200, _JSON, dump(alerts.snapshot()))

    async def _acknowledge(self, alerts: Alerting, given: dict[str, Any]) -> None:
        by, note = _text(given, "by"), _text(given, "note", "")
        await _done(alerts.acknowledge(_text(given, "alert"), by=by, note=note))

    async def _silence(self, alerts: Alerting, given: dict[str, Any]) -> None:
        matchers = {str(name): str(value) for name, value in given["matchers"].items()}
        until = float(given["until"])
        by, comment = _text(given, "by"), _text(given, "comment", "")
        await _done(alerts.silence(matchers, until=until, by=by, comment=comment))

    def __repr__(self) -> str:
        return f"StatusApp({self._document.title!r})"


App = Callable[[Scope, Receive, Send], Awaitable[None]]


def status_app(
    monitor: Monitored,
    *,
    components: Iterable[Component] = (),
    metrics: Metrics | None = None,
    uptime: Uptime | None = None,
    alerts: AlertManager | Alerting | None = None,
    charts: Charts | None = None,
    objective: float = 0.999,
    token: str | None = None,
    title: str = "Status",
    interval: float = 1.0,
    clock: Clock | None = None,
) -> StatusApp:
    """Make the application that answers `/health`, `/metrics` and `/status`.

    - `/health`: `application/health+json`; 503 while the whole is down or not known
    - `/health/ready`: 503 until it has started, while a critical check is down, and from `drain` on
    - `/health/startup`: 503 until it has started
    - `/health/live`: 503 only if a liveness check is down: no dependency can fail it
    - `/metrics`: what `metrics` gives for the request's `Accept`; 404 without it
    - `/status`: a page for people who ask for HTML, JSON for programs; also as `/status.json`
    - `/status/events`: the JSON and its changes, as server-sent events
    - `/status/acknowledge`, `/status/silence`: what can be done about alerts, by POST; 503 if
      it can't be passed on to the process that notifies

    None of them runs a check: all show what the monitor knows.

    Args:
        monitor: whose checks are shown.
        components: whose numbers are shown, and whose events, from now on.
        metrics: takes an `Accept` header, returns content type and body, or an awaitable of them.
        uptime: whose availability is shown.
        alerts: which are shown, and can be acknowledged and silenced.
        charts: numbers over time that are drawn.
        objective: share of the time that each thing shall be up.
        token: who sends it as `Authorization: Bearer …` sees the details and may act; the others
            see up or down. None: everybody sees the details, and nobody may act.
        title: of the page.
        interval: seconds between two looks for changes, while a page is open.
        clock: measures them.

    Raises:
        ConfigurationError: for a token shorter than 16 characters, or a value out of range.
    """
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii()):
        # Not its value: errors are logged.
        raise ConfigurationError("token", "***", f"{_SHORTEST_TOKEN} or more ASCII characters")
    require(0 < objective < 1, "objective", objective, "between 0 and 1, such as 0.999")
    require(0 < interval < float("inf"), "interval", interval, "a positive number of seconds")
    used = clock or SystemClock()
    if isinstance(alerts, AlertManager):
        alerts = AlertPage(alerts)
    document = Document(
        monitor,
        components,
        title=title,
        uptime=uptime,
        alerts=alerts,
        charts=charts,
        objective=objective,
        clock=used,
    )
    feed = Feed(document, interval=interval, clock=used)
    return StatusApp(document, metrics, alerts, token, feed)


async def _respond(answer: Answer, receive: Receive, send: Send, *, head: bool) -> None:
    start = {
        "type": "http.response.start", "status": answer.status, "headers": answer.headers
    }  # fmt: skip
    await send(start)
    if answer.stream is not None and not head:
        await _stream(answer.stream, receive, send)
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


async def _stream(pieces: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send pieces as they come, until there are no more or the reader has gone."""

    async def send_all() -> None:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(send_all()), asyncio.create_task(until_gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, OSError):
                await task


async def _body(receive: Receive) -> bytes:
    """Return what was sent.

    Raises:
        ValueError: if that is too long.
    """
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > _LONGEST_BODY:
            raise ValueError(f"more than {_LONGEST_BODY} bytes")
        if not message.get("more_body", False):
            return body


def _text(given: dict[str, Any], field: str, default: str | None = None) -> str:
    value = given.get(field, default)
    require(isinstance(value, str), field, value, "a text")
    return str(value)


async def _done(result: Awaitable[object] | object) -> None:
    if isawaitable(result):
        await result


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
