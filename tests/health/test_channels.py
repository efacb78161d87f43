"""Channels against real receivers on the loopback."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mobius_infra.core import ConfigurationError, MissingExtraError
from mobius_infra.health import (
    Channel,
    FileChannel,
    Line,
    LogChannel,
    Notification,
    Postponed,
    Refused,
    Severity,
    TelegramChannel,
    WebhookChannel,
    apprise_channel,
    as_text,
    verify_signature,
)
from mobius_infra.health._channel_telegram import as_html
from mobius_infra.health._channel_webhook import retry_after
from mobius_infra.testing import ManualClock
from tests.health.alerting import T0, World, manager
from tests.health.support import until

# Apprise loads all its plug-ins, one of which uses what Python 3.13 has no more.
quiet = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "0123456789abcdef"


def notification(id_: str = "n-1", reason: str = "5 is above 3") -> Notification:
    line = Line("a <b>", Severity.CRITICAL, reason, T0, "look & see", {"team": "x"})
    return Notification(
        id_, "firing", T0, "m", "i-1", "[CRITICAL] m: a <b>", Severity.CRITICAL, (line,),
        folded=("c",), folded_count=1,
    )  # fmt: skip


class Receiver:
    """A server that keeps what it is sent, and answers as told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], str]] = []
        self.hangs = False
        self.over = asyncio.Event()
        self.url = ""

    async def handle(self, asked: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        self.got.append((asked.path, headers, await asked.read()))
        if self.hangs:
            await self.over.wait()
        status, given, text = self.answers.pop(0) if self.answers else (200, {}, "{}")
        return web.Response(status=status, headers=given, text=text)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        receiver.over.set()
        await runner.cleanup()


async def test_a_webhook_is_signed_and_carries_its_id(
    receiver: Receiver, manual_clock: ManualClock
) -> None:
    channel = WebhookChannel(f"{receiver.url}/hook", secret=SECRET, headers={"X-A": "b"},
                             clock=manual_clock)  # fmt: skip
    await channel.send(notification())
    ((path, headers, body),) = receiver.got
    assert (path, headers["x-a"]) == ("/hook", "b")
    assert headers["webhook-id"] == headers["idempotency-key"] == json.loads(body)["id"] == "n-1"
    now = manual_clock.time()

    def fits(**changed: Any) -> bool:
        given: Any = {"secret": SECRET, "headers": headers, "body": body, "now": now}
        return verify_signature(**given | changed)

    assert fits()
    assert fits(headers=headers | {"webhook-signature": f"v1,other {headers['webhook-signature']}"})
    assert not fits(secret="0123456789abcdeF")
    assert not fits(body=body + b" ")
    assert not fits(now=now + 301)  # recorded, and sent again
    assert not fits(headers=headers | {"webhook-id": "n-2"})
    assert not fits(headers=headers | {"webhook-timestamp": "x"})
    assert not fits(headers={})


async def test_a_signature_is_the_specifications_own_example() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    assert verify_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body, now=1614265330)


@pytest.mark.parametrize(
    ("status", "headers", "error", "after"),
    [
        (200, {}, None, None), (204, {}, None, None), (301, {"Location": "/x"}, Refused, None),
        (400, {}, Refused, None), (401, {}, Refused, None), (404, {}, Refused, None),
        (410, {}, Refused, None), (408, {}, Postponed, None), (425, {}, Postponed, None),
        (429, {"Retry-After": "7"}, Postponed, 7), (500, {}, Postponed, None),
        (503, {"Retry-After": "120"}, Postponed, 120),
        (503, {"Retry-After": "soon"}, Postponed, None),
        (503, {"Retry-After": "99999999"}, Postponed, 3600),
    ],
)  # fmt: skip
async def test_what_an_answer_means(
    receiver: Receiver, status: int, headers: dict[str, str],
    error: type[Refused | Postponed] | None, after: float | None,
) -> None:  # fmt: skip
    receiver.answers = [(status, headers, "a secret text")]
    channel = WebhookChannel(receiver.url)
    if error is None:
        await channel.send(notification())
        return
    with pytest.raises(error, match=f"it answered {status}") as caught:
        await channel.send(notification())
    assert "secret" not in str(caught.value)
    assert getattr(caught.value, "retry_after", None) == after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("0", 0), ("12", 12), ("-1", None), ("1.5", None), ("", None), ("²", None),
        (formatdate(T0 + 90, usegmt=True), 90), (formatdate(T0 - 90, usegmt=True), 0),
        ("Fri, 99 Foo 2023", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, T0) == seconds


async def test_a_webhook_that_hangs_or_is_not_there_may_be_tried_again(receiver: Receiver) -> None:
    receiver.hangs = True
    with pytest.raises(TimeoutError):
        await WebhookChannel(receiver.url, timeout=0.05).send(notification())
    with pytest.raises(OSError, match="Connect call failed"):
        await WebhookChannel("http://127.0.0.1:1/").send(notification())


async def test_a_receiver_that_is_down_gets_all_in_order_and_each_once_by_its_id(
    receiver: Receiver, manual_clock: ManualClock
) -> None:
    world, under_way = World(), 0

    class Watched(WebhookChannel):
        """Lets the manager's clock go on only when the answer has come."""

        __slots__ = ()

        async def send(self, notification: Notification) -> None:
            nonlocal under_way
            under_way += 1
            try:
                await super().send(notification)
            finally:
                under_way -= 1

    channel = Watched(receiver.url, clock=manual_clock, timeout=60)
    rules = [world.rule(each) for each in "abc"]
    receiver.answers = [(503, {}, "")] * 3 + [(429, {"Retry-After": "400"}, "")]
    async with manager(manual_clock, None, rules, channel) as alerts:  # type: ignore[arg-type]
        world.bad = set("abc")
        while [each.progress for each in alerts.snapshot().deliveries].count("sent") < 3:
            await manual_clock.advance(2)
            await until(lambda: under_way == 0)
    ids = [headers["webhook-id"] for _, headers, _ in receiver.got]
    titles = [json.loads(body)["title"] for _, _, body in receiver.got]
    assert list(dict.fromkeys(titles)) == [f"[WARNING] m: {each}" for each in "abc"]
    assert ids.count(ids[0]) == 5  # four that failed, and the one that did not
    assert len(ids) == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: WebhookChannel("nowhere"), lambda: WebhookChannel("http://u:p@host/"),
        lambda: WebhookChannel("http://host/", secret="short"),
        lambda: WebhookChannel("http://host/", timeout=0),
        lambda: TelegramChannel("to/ken", 1), lambda: TelegramChannel("1:a", ""),
        lambda: TelegramChannel("1:a", 1, base_url="ftp://x"), lambda: FileChannel("x", keep=-1),
        lambda: apprise_channel("x"), lambda: apprise_channel("x", "no url at all"),
    ],
)  # fmt: skip
@quiet
def test_a_channel_that_can_not_work_is_refused_without_its_secret(
    make: Callable[[], Channel],
) -> None:
    with pytest.raises(ConfigurationError) as error:
        make()
    assert not {"short", "u:p", "to/ken"} & set(str(error.value).split("'"))


@quiet
def test_secrets_are_never_shown() -> None:
    shown = [
        repr(WebhookChannel("https://host/very-secret", secret=SECRET)),
        repr(TelegramChannel("123:token", "@ops")), repr(FileChannel("/x")), repr(LogChannel()),
        repr(apprise_channel("all", "json://user:pass@host/")),
    ]  # fmt: skip
    assert shown == [
        "WebhookChannel('webhook', host='host')", "TelegramChannel('telegram', chat_id='@ops')",
        "FileChannel('file', path='/x')", "LogChannel('log')", "AppriseChannel('all', services=1)",
    ]  # fmt: skip


async def test_telegram_is_sent_escaped_text(receiver: Receiver) -> None:
    channel = TelegramChannel("123:token", -5, base_url=receiver.url)
    await channel.send(notification())
    ((path, _, body),) = receiver.got
    assert path == "/bot123:token/sendMessage"
    message = json.loads(body)
    assert (message["chat_id"], message["parse_mode"]) == (-5, "HTML")
    assert message["text"] == (
        "<b>[CRITICAL] m: a &lt;b&gt;</b>\ncritical: a &lt;b&gt;: 5 is above 3\n  look &amp; see\n"
        "and 1 more that belong to it\n<code>i-1</code>"
    )


async def test_telegram_says_how_long_to_wait_in_the_body(receiver: Receiver) -> None:
    channel = TelegramChannel("123:token", -5, base_url=receiver.url)
    flood = json.dumps({"ok": False, "parameters": {"retry_after": 33}})
    receiver.answers = [(429, {}, flood), (429, {}, "?"), (403, {}, "{}"), (502, {}, "{}")]
    for error, after in ((Postponed, 33), (Postponed, None), (Refused, None), (Postponed, None)):
        with pytest.raises(error) as caught:
            await channel.send(notification())
        assert getattr(caught.value, "retry_after", None) == after
        assert "token" not in str(caught.value)


@pytest.mark.parametrize("letter", ["x", "<", "😀", "ä"])
def test_a_text_for_telegram_is_short_enough_whatever_it_is_made_of(letter: str) -> None:
    text = as_html(notification(reason=letter * 9000))
    plain = unescape(text.replace("<b>", "").replace("</b>", ""))
    assert len(plain.encode("utf-16-le")) // 2 <= 4096
    assert len(as_text(notification(reason=letter * 9000))) <= 3500


async def test_a_file_gets_lines_of_json_and_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    channel = FileChannel(path, most_bytes=1000, keep=2)
    await asyncio.gather(*(channel.send(notification(f"n-{n}")) for n in range(20)))
    files = [path, Path(f"{path}.1"), Path(f"{path}.2")]
    assert sorted(tmp_path.iterdir()) == files
    assert all(each.stat().st_size <= 1000 for each in files)
    ids = [
        json.loads(line)["id"] for each in reversed(files) for line in each.read_text().splitlines()
    ]
    assert ids == [f"n-{n}" for n in range(20)][-len(ids) :]


async def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"id": "n-0"}\n{"id": "n-')
    await FileChannel(path).send(notification())
    assert [line[:13] for line in path.read_text().splitlines()] == [
        '{"id": "n-0"}', '{"id": "n-', '{"id":"n-1","',
    ]  # fmt: skip


async def test_a_file_that_can_not_be_written_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await FileChannel(tmp_path / "missing" / "x").send(notification())


async def test_the_log_has_the_severitys_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await LogChannel().send(notification())
        await LogChannel().send(Notification("n-2", "resolved", T0, "m", title="over"))
    assert [(each.levelname, each.message.splitlines()[0]) for each in caplog.records] == [
        ("CRITICAL", "[CRITICAL] m: a <b>"), ("INFO", "over"),
    ]  # fmt: skip


@quiet
async def test_apprise_delivers_and_what_it_could_not_is_tried_again(receiver: Receiver) -> None:
    channel = apprise_channel("all", receiver.url.replace("http://", "json://"))
    await channel.send(notification())
    ((_, _, body),) = receiver.got
    assert json.loads(body)["title"] == "[CRITICAL] m: a <b>"
    receiver.answers = [(500, {}, "")]
    with pytest.raises(Postponed):
        await channel.send(notification())


def test_without_apprise_the_error_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mobius_infra.health._channel_apprise", raising=False)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises((MissingExtraError, ModuleNotFoundError), match="apprise"):
        apprise_channel("all", "json://host")
