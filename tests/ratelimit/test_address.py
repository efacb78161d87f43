"""Whose limit an address counts against."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit import ByAddress


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:51234", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("64:ff9b:1::c000:207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_of_one_customer_are_one_key(address: str, key: str) -> None:
    by_address = ByAddress()
    assert by_address(address) == key
    assert by_address.unreadable == 0


@pytest.mark.parametrize(
    "address",
    [None, "", "unknown", "192.0.2", "192.0.2.256", "010.0.0.1", "1.2.3.4.5", "::g", "[", "a" * 999,
     "/run/socket", "192.0.2.7\n192.0.2.8", "127.1", "0x7f000001"],
)  # fmt: skip
def test_what_is_no_address_shares_one_limit_and_is_counted(address: Any) -> None:
    by_address = ByAddress()
    assert by_address(address) == "unknown"
    assert by_address.unreadable == 1


@given(st.text() | st.none(), st.text() | st.none())
def test_nothing_that_comes_in_raises(peer: str | None, forwarded: str | None) -> None:
    by_address = ByAddress(trusted=["0.0.0.0/0", "::/0"])
    assert by_address(peer, forwarded)
    assert by_address("192.0.2.1", forwarded)


def test_prefixes_can_be_chosen() -> None:
    wide = ByAddress(ipv4_prefix=24, ipv6_prefix=48)
    assert wide("192.0.2.7") == "192.0.2.0/24"
    assert wide("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert ByAddress(ipv6_prefix=128)("2001:db8::3") == "2001:db8::3"


def test_a_forwarded_header_is_not_believed_by_default() -> None:
    assert ByAddress()("192.0.2.7", "198.51.100.1") == "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "key"),
    [
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # no proxy of ours: anybody may say so
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the left may be made up
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 2001:db8:ffff::1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1:1234", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # all are ours: the farthest
        ("10.0.0.1", "6.6.6.6, x", "unknown"),
        ("10.0.0.1", "6.6.6.6,", "unknown"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("unix:", "198.51.100.1", "unknown"),
        ("10.0.0.1", "6.6.6.6, " + "10.0.0.2, " * 1000 + "10.0.0.2", "10.0.0.2"),
    ],
)
def test_it_is_read_from_the_right_through_trusted_proxies(
    peer: str, forwarded: str | None, key: str
) -> None:
    assert ByAddress(trusted=["10.0.0.0/8", "2001:db8:ffff::/48"])(peer, forwarded) == key


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"trusted": ["10.0.0.1/8"]}, "trusted"),
        ({"trusted": "everybody"}, "trusted"),
        ({"ipv4_prefix": 33}, "ipv4_prefix"),
        ({"ipv6_prefix": 0}, "ipv6_prefix"),
        ({"ipv6_prefix": True}, "ipv6_prefix"),
    ],
)
def test_bad_settings_are_refused_by_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ByAddress(**options)
    assert caught.value.field == field


def test_it_shows_what_it_trusts() -> None:
    shown = "ByAddress(ipv4_prefix=32, ipv6_prefix=64, trusted=[10.0.0.0/8])"
    assert repr(ByAddress(trusted="10.0.0.0/8")) == shown
