"""No link leads into the network of the server, in whatever notation and by whatever way."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

import ipaddress
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from mobius_infra.core import ConfigurationError, MissingExtraError
from mobius_infra.security import InvalidInputError, Target, UrlGuard, WebUrl
from mobius_infra.security._addresses import is_public
from mobius_infra.security._url_guard import ask_the_system
from tests.security.support import calm, reason

PRIVATE = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
]  # fmt: skip


@st.composite
def private_addresses(draw: st.DrawFn) -> int:
    network = ipaddress.IPv4Network(draw(st.sampled_from(PRIVATE)))
    first, last = int(network.network_address), int(network.broadcast_address)
    return draw(st.integers(first, last))


def _number(draw: st.DrawFn, value: int) -> str:
    zeros = "0" * draw(st.integers(0, 3))
    return draw(
        st.sampled_from(
            [str(value), f"0x{zeros}{value:x}", f"0X{value:X}", f"0{zeros}{value:o}", str(value)]
        )
    )


@st.composite
def hosts_by_four(draw: st.DrawFn, address: int) -> str:
    """Write an IPv4 address as `inet_aton` takes it: 1 to 4 parts, decimal, octal, hexadecimal."""
    parts = draw(st.integers(1, 4))
    octets = address.to_bytes(4, "big")
    values = [*octets[: parts - 1], int.from_bytes(octets[parts - 1 :], "big")]
    written = ".".join(_number(draw, value) for value in values)
    digits = draw(
        st.sampled_from(["0123456789", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "⓪①②③④⑤⑥⑦⑧⑨"])
    )
    dots = draw(st.sampled_from(".．。｡"))
    written = written.translate(str.maketrans("0123456789.", digits + dots))
    return written + draw(st.sampled_from(["", ".", ".."]))


@st.composite
def hosts_by_six(draw: st.DrawFn, address: int) -> str:
    """Write an IPv4 address within an IPv6 one, in any of the ways that lead to it."""
    four = str(ipaddress.IPv4Address(address))
    site = draw(st.sampled_from(["2a00:1450:4001:801", "fe80:0:0:0", "2001:4860:4860:1"]))
    values = [
        f"::ffff:{four}",
        f"::{four}",
        f"64:ff9b::{four}",
        f"64:ff9b:1::{four}",
        f"::ffff:0:{four}",
        f"2002:{address >> 16:x}:{address & 0xFFFF:x}::1",
        f"2001:0:4136:e378:8000:63bf:{~address >> 16 & 0xFFFF:x}:{~address & 0xFFFF:x}",
        f"{site}:0:5efe:{address >> 16:x}:{address & 0xFFFF:x}",
        f"{site}:200:5efe:{address >> 16:x}:{address & 0xFFFF:x}",
    ]
    written = draw(st.sampled_from(values))
    forms = [
        written,
        ipaddress.IPv6Address(written).exploded,
        ipaddress.IPv6Address(written).compressed,
    ]
    return f"[{draw(st.sampled_from(forms)).upper()}]"


@calm
@given(st.data())
def test_no_notation_of_a_private_address_gets_through(data: st.DataObject) -> None:
    address = data.draw(private_addresses())
    host = data.draw(hosts_by_four(address) | hosts_by_six(address))
    port = data.draw(st.sampled_from(["", ":80", ":"]))
    assert reason(WebUrl(ports=None), f"http://{host}{port}/") in {"address", "host"}


@calm
@given(private_addresses())
def test_no_private_address_counts_as_public_however_it_is_wrapped(address: int) -> None:
    four = ipaddress.IPv4Address(address)
    assert not is_public(four)
    for wrapped in (f"::ffff:{four}", f"64:ff9b::{four}", f"::{four}"):
        assert not is_public(ipaddress.IPv6Address(wrapped))


@pytest.mark.parametrize(
    "address",
    ["::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
     "2001::1", "2002:a00:1::", "3fff::1", "fec0::1", "100::1", "64:ff9b:1::1", "4000::1"],
)  # fmt: skip
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "223.255.255.255",
     "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)  # fmt: skip
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@calm
@given(st.integers(0, 2**32 - 1))
def test_what_is_public_is_global_to_python_too(address: int) -> None:
    four = ipaddress.IPv4Address(address)
    if is_public(four):
        assert four.is_global


@pytest.mark.parametrize(
    ("given_url", "understood"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A?b=C#d", "https://example.com/A?b=C#d"),
        ("http://example.com.:80/", "http://example.com/"),
        ("https://example.com?q=1", "https://example.com/?q=1"),
        ("https://faß.de/ä?ö", "https://xn--fa-hia.de/%C3%A4?%C3%B6"),
        ("https://ｅxample。com/", "https://example.com/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"),
        ('https://a.example.com/%zz%41|"', "https://a.example.com/%zz%41%7C%22"),
        ("https://my_bucket.s3.example.com/x@y:z", "https://my_bucket.s3.example.com/x@y:z"),
    ],
)
def test_a_link_is_returned_as_it_was_understood(given_url: str, understood: str) -> None:
    assert WebUrl()(given_url) == understood
    assert WebUrl()(understood) == understood


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("javascript:alert(1)", "syntax"),
        ("//example.com/", "syntax"),
        ("http:example.com", "syntax"),
        ("http:/example.com", "syntax"),
        ("http:///example.com", "host"),
        ("example.com", "syntax"),
        ("", "syntax"),
        ("http://user:pass@example.com/", "credentials"),
        ("http://example.com@127.0.0.1/", "credentials"),
        ("http://127.0.0.1:80@example.com/", "credentials"),
        ("http://@example.com/", "credentials"),
        ("http://example.com\\@127.0.0.1/", "syntax"),
        ("http://127.0.0.1\\.example.com/", "syntax"),
        ("http://example.com\t.evil.example/", "syntax"),
        ("http://exam\nple.com/", "syntax"),
        ("http://example.com/a b", "syntax"),
        ("http://exam\u200bple.com/", "syntax"),
        (" http://example.com/", "syntax"),
        ("http://example.com/\r\nHost: x", "syntax"),
        ("http://127.0.0.1%00.example.com/", "host"),
        ("http://%31%32%37.0.0.1/", "host"),
        ("http://[::1%25eth0]/", "host"),
        ("http://[fe80::1%eth0]/", "host"),
        ("http://[v1.x]/", "host"),
        ("http://[::1/", "host"),
        ("http://::1/", "host"),
        ("http://1.2.3.4.5/", "address"),
        ("http://1.2.3.256/", "address"),
        ("http://0x/", "address"),
        ("http://example.0x7f/", "address"),
        ("http://08.8.8.8/", "address"),
        ("http://[8.8.8.8]/", "host"),
        ("http://[fa.ce]/", "host"),
        ("http://localhost/", "host"),
        ("http://LOCALHOST./", "host"),
        ("http://ｌocalhost/", "host"),
        ("http://a.localhost/", "host"),
        ("http://intranet/", "host"),
        ("http://metadata.google.internal/", "host"),
        ("http://printer.local/", "host"),
        ("http://router.home.arpa/", "host"),
        ("http://exa℀mple.com/", "host"),
        ("http://-a.com/", "host"),
        ("http://a..com/", "host"),
        ("http://" + "a." * 130 + "com/", "host"),
        ("http://" + "я" * 300 + ".com/", "host"),
        ("http://example.com:22/", "port"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:99999999/", "host"),
        ("http://example.com:8o/", "host"),
        ("http://example.com/" + "a" * 3000, "length"),
        ("http://exam\ud800ple.com/", "encoding"),
    ],
)  # fmt: skip
def test_what_could_be_read_otherwise_or_leads_inside_is_refused(url: str, expected: str) -> None:
    assert reason(WebUrl(), url) == expected


PIECES = st.sampled_from(
    ["http://", "https://", "//", "/", "\\", "@", ":", "80", "443", "#", "?", "[", "]", "::1", "%",
     "%00", ".", "127.0.0.1", "0x7f.1", "localhost", "example.com", "8.8.8.8", "1", "0", "a", "я",
     "。", "．", "ß", "℀", "xn--", "xn--fa-hia", "\t", " ", "\u200d", "_", "-",
     "2606:4700::1", "http:"]
)  # fmt: skip


@calm
@given(st.lists(PIECES | st.characters(codec="utf-8"), max_size=12).map("".join))
@example("http://8.8.8.8/")
@example("https://я.a.com/я")
def test_whatever_passes_is_read_alike_by_the_clients_and_leads_outside(text: str) -> None:
    try:
        passed = WebUrl(ports=None)("http://" + text.removeprefix("http://"))
    except InvalidInputError:
        return
    assert passed.isascii()
    assert WebUrl(ports=None)(passed) == passed
    host = urlsplit(passed).hostname
    assert host is not None
    assert httpx.URL(passed).raw_host.decode().strip("[]") == host
    assert URL(passed, encoded=True).raw_host == host
    try:
        reached: Any = ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        assert "." in host or ":" in host
        return
    assert reached.is_global


def test_only_the_hosts_that_are_allowed() -> None:
    check = WebUrl(hosts={"api.example.com", ".cdn.example.com", "Пример.com"})
    assert reason(check, "https://api.example.com/") is None
    assert reason(check, "https://a.cdn.example.com/") is None
    assert reason(check, "https://пример.com/") is None
    for wrong in ("https://evilapi.example.com/", "https://cdn.example.com/", "https://8.8.8.8/"):
        assert reason(check, wrong) == "host"
    assert reason(WebUrl(hosts={"10.0.0.1"}), "http://10.0.0.1/") == "address"


@pytest.mark.parametrize(
    "settings",
    [{"schemes": "http"}, {"schemes": {"ftp"}}, {"schemes": set()}, {"ports": {0}},
     {"ports": {"80"}}, {"ports": {True}}, {"hosts": "example.com"}, {"longest": 0}],
)  # fmt: skip
def test_settings_that_can_not_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        WebUrl(**settings)


def test_without_idna_a_host_in_other_letters_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    monkeypatch.delitem(sys.modules, "mobius_infra.security._idna", raising=False)
    assert WebUrl()("https://example.com/") == "https://example.com/"
    with pytest.raises(MissingExtraError, match=r"mobius-infra\[security\]"):
        WebUrl()("https://пример.com/")


class Names:
    """What a name server answers, one answer after the other."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answers = self.answers.get(host.partition(".")[0])
        if answers is None:
            raise socket.gaierror(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


async def refused(guard: UrlGuard, url: str, *, after: Target | None = None) -> str:
    with pytest.raises(InvalidInputError) as caught:
        await (guard.open(url) if after is None else guard.follow(after, url))
    return caught.value.reason


async def test_a_name_is_resolved_and_its_address_pinned() -> None:
    guard = UrlGuard(resolve=Names(a=[["93.184.216.34", "2606:4700::1", "93.184.216.34"]]))
    target = await guard.open("https://a.example.com/x?y#z")
    assert target == Target(
        url="https://a.example.com/x?y#z",
        host="a.example.com",
        port=443,
        authority="a.example.com",
        addresses=("93.184.216.34", "2606:4700::1"),
        pinned="https://93.184.216.34/x?y",
    )


async def test_an_address_is_not_resolved() -> None:
    names = Names()
    target = await UrlGuard(WebUrl(ports=None), resolve=names).open("http://[2606:4700::1]:81/x")
    assert (target.pinned, target.authority) == ("http://[2606:4700::1]:81/x", "[2606:4700::1]:81")
    assert names.asked == []


@pytest.mark.parametrize(
    "answer",
    [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["fe80::1%2"], ["::ffff:10.0.0.1"],
     ["64:ff9b::a00:1"], ["not an address"], ["0x7f000001"]],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_refused(answer: Sequence[str]) -> None:
    assert await refused(UrlGuard(resolve=Names(a=[answer])), "http://a.example.com/") == "address"


async def test_a_name_that_changes_its_mind_is_asked_once_and_pinned() -> None:
    names = Names(rebinding=[["93.184.216.34"], ["127.0.0.1"]])
    guard = UrlGuard(resolve=names)
    target = await guard.open("http://rebinding.example.com/")
    assert target.pinned == "http://93.184.216.34/"
    assert len(names.asked) == 1
    assert await refused(guard, "/again", after=target) == "address"


async def test_a_name_without_addresses_is_refused() -> None:
    assert await refused(UrlGuard(resolve=Names()), "http://b.example.com/") == "unresolved"
    assert await refused(UrlGuard(resolve=Names(a=[[]])), "http://a.example.com/") == "unresolved"


async def test_each_redirect_is_checked_again() -> None:
    names = Names(a=[["93.184.216.34"]], b=[["1.1.1.1"]], inside=[["192.168.0.1"]])
    guard = UrlGuard(resolve=names, redirects=2)
    first = await guard.open("https://a.example.com/x/y")
    second = await guard.follow(first, "../z")
    assert (second.url, second.redirects) == ("https://a.example.com/z", 1)
    third = await guard.follow(second, "//b.example.com/")
    assert (third.host, third.pinned, third.redirects) == ("b.example.com", "https://1.1.1.1/", 2)
    assert await refused(guard, "/more", after=third) == "redirect"
    for location, expected in {
        "http://a.example.com/": "redirect",  # no longer encrypted
        "http://169.254.169.254/latest": "address",
        "//127.0.0.1/": "address",
        "https://inside.example.com/": "address",
        "file:///etc/passwd": "scheme",
        "\thttps://a.example.com/": "syntax",
        "/\\127.0.0.1/": "syntax",
        "https://[": "syntax",
        "https://user@a.example.com/": "credentials",
        "/" + "x" * 3000: "length",
    }.items():
        assert await refused(guard, location, after=first) == expected, location


async def test_the_system_is_asked_by_default() -> None:
    # `localhost` is refused by its name; any other name might be asked of a network.
    assert set(await ask_the_system("localhost", 80)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("wrong", [-1, 1.5, True])
def test_a_number_of_redirects_that_can_not_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        UrlGuard(redirects=wrong)


def test_a_guard_says_what_it_allows() -> None:
    assert "redirects=5" in repr(UrlGuard())
