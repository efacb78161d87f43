"""One-time passwords by the vectors of RFC 4226 and RFC 6238, and what is shown of the secret."""

import pickle
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import Totp
from mobius_infra.security._recovery_codes import digest_of, new_codes

DIGITS = b"1234567890"


def test_codes_are_those_of_rfc_4226() -> None:
    """Appendix D."""
    wanted = (
        "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489".split()  # noqa: SIM905
    )
    totp = Totp(DIGITS * 2)
    assert [totp.code(count) for count in range(10)] == wanted


@pytest.mark.parametrize(
    ("now", "sha1", "sha256", "sha512"),
    [
        (59, "94287082", "46119246", "90693936"),
        (1111111109, "07081804", "68084774", "25091201"),
        (1111111111, "14050471", "67062674", "99943326"),
        (1234567890, "89005924", "91819424", "93441116"),
        (2000000000, "69279037", "90698825", "38618901"),
        (20000000000, "65353130", "77737706", "47863826"),
    ],
)
def test_codes_are_those_of_rfc_6238(now: int, sha1: str, sha256: str, sha512: str) -> None:
    """Appendix B, with the secrets of its errata."""
    made = [
        Totp((DIGITS * 7)[:20], digits=8, algorithm="sha1"),
        Totp((DIGITS * 7)[:32], digits=8, algorithm="sha256"),
        Totp((DIGITS * 7)[:64], digits=8, algorithm="sha512"),
    ]
    assert [totp.code(totp.step_at(now)) for totp in made] == [sha1, sha256, sha512]
    assert made[0].matching(sha1, now) == now // 30


@given(st.binary(min_size=16, max_size=64), st.integers(0, 2**33), st.sampled_from([6, 7, 8]))
def test_a_peer_agrees(secret: bytes, now: int, digits: int) -> None:
    ours = Totp(secret, digits=digits)
    peer = pyotp.TOTP(ours.text(), digits=digits)
    assert ours.code(ours.step_at(now)) == peer.at(now)
    assert Totp.parse(ours.text()).reveal() == secret
    parsed = pyotp.parse_uri(ours.uri("ada: a@b/c?", "Bot & Co"))
    assert parsed.secret == ours.text()
    assert (parsed.name, parsed.issuer) == ("ada: a@b/c?", "Bot & Co")


def test_a_code_is_good_for_the_period_before_and_after() -> None:
    totp = Totp.generate()
    now = 1_790_000_015.0
    present = totp.step_at(now)
    taken = [totp.matching(totp.code(present + away), now) for away in range(-3, 4)]
    assert taken == [None, None, present - 1, present, present + 1, None, None]
    assert totp.matching(totp.code(present + 1), now, drift=0) is None
    code = totp.code(present)
    assert totp.matching(f" {code[:3]} {code[3:]}\n", now) == present


def test_of_two_periods_of_one_code_it_is_the_newer() -> None:
    """So that it is used up for both, and the look at one never ends early."""

    class Constant(Totp):
        def code(self, step: int) -> str:
            return "111111"

    assert Constant(DIGITS * 2).matching("111111", 59.0) == 2


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "٣٤٥٦٧٨", "\ud800", "-00001"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert Totp(DIGITS * 2).matching(code, 59.0) is None


def test_the_uri_says_all() -> None:
    uri = urlsplit(Totp(DIGITS * 2).uri("ada@example.org", "Bot"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Bot:ada%40example.org")
    assert parse_qs(uri.query)["secret"] == ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"]


@pytest.mark.parametrize(
    "options",
    [
        {"secret": b"short"},
        {"digits": 5},
        {"digits": 9},
        {"digits": True},
        {"period": 0},
        {"period": 30.0},
        {"algorithm": "md5"},
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Totp(**{"secret": DIGITS * 2, **options})


@pytest.mark.parametrize("text", ["", "GEZDGNBV", "1890!", "é", "secret-secret-secret-secret"])
def test_a_secret_that_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Totp.parse(text)
    assert not text or text not in f"{caught.value} {caught.value.fields()}"


def test_the_secret_is_not_shown_nor_pickled() -> None:
    totp = Totp(DIGITS * 2)
    assert repr(totp) == str(totp) == "Totp(digits=6, period=30, algorithm='sha1')"
    with pytest.raises(TypeError):
        pickle.dumps(totp)


def test_a_recovery_code_is_read_as_it_was_meant() -> None:
    (code,) = new_codes(1, lambda _: 1)
    assert code == "1111-1111-1111-1111"
    kept = digest_of(code, "7")
    for typed in ("1111111111111111", " LIil-1111 1111-1111 ", "iiiiiiiiiiiiiiii"):
        assert digest_of(typed, "7") == kept
    assert digest_of("oooo-OOOO-0000-0000", "7") == digest_of("0" * 16, "7")
    assert digest_of(code, "8") != kept
    assert code not in str(kept)


@pytest.mark.parametrize("typed", ["", "287082", "1" * 15, "1" * 17, "u" * 16, "\u0661" * 16])
def test_what_is_no_recovery_code_has_no_digest(typed: str) -> None:
    assert digest_of(typed, "7") is None


def test_recovery_codes_are_of_many_bits() -> None:
    codes = new_codes(1_000)
    assert len(set(codes)) == 1_000
    assert len(set("".join(codes)) - {"-"}) == 32
