"""What is personal or secret is found, and not in ordinary text; logs are without it."""

import json
import logging
import lzma
from collections.abc import Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import RedactingFilter, Redactor, find_personal
from mobius_infra.security._pii import passes_luhn, passes_mod_97

BOT_TOKEN = "110201543:" + "A" * 35
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to ada.l+x@mail.example.com.", "email", "ada.l+x@mail.example.com"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("call (415) 555-2671", "phone", "(415) 555-2671"),
        ("415-555-2671", "phone", "415-555-2671"),
        ("card 4000 0566 5566 5556, please", "card", "4000 0566 5566 5556"),
        ("378282246310005", "card", "378282246310005"),
        ("to DE89 3704 0044 0532 0130 00 USD 5", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        (f"bot {BOT_TOKEN}!", "secret", BOT_TOKEN),
        (f"jwt {JWT}", "secret", JWT),
        ("AKIAIOSFODNN7EXAMPLE", "secret", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1B2" * 9, "secret", "ghp_" + "a1B2" * 9),
        (f"key: {PEM} end", "secret", PEM),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "secret", "-----BEGIN PRIVATE KEY-----\ncut off"),
        ("password=hunter2&x=1", "secret", "hunter2"),
        ('{"api_key": "abc-123"}', "secret", "abc-123"),
        ("Authorization: Bearer abcdef", "secret", "abcdef"),
    ],
)
def test_what_is_personal_or_secret_is_found(text: str, kind: str, value: str) -> None:
    (found,) = find_personal(text)
    assert (found.kind, text[found.start : found.end]) == (kind, value)
    assert Redactor().redact(text) == text.replace(value, f"[{kind}]")


@pytest.mark.parametrize(
    "text",
    [
        "", "a@b", "@name", "x@localhost", "1234 5678 9012 3456", "4000056655665557",
        "2026-11-25 10:22:33.123456", "order 123456789012", "version 1.2.3.4",
        "3.14159265358979323",
        "DE00 3704 0044 0532 0130 00", "XX89370400440532013000", "the token is gone",
        "1700000000000", "550e8400-e29b-41d4-a716-446655440000", "+1 2 3", "0x" + "ab" * 32,
        "a secret: no", "0000 0000 0000 0000",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert find_personal(text) == []


def test_an_address_is_found_only_if_asked_for() -> None:
    text = "from 192.168.0.17, not 1.2.3.4.5 nor 300.1.1.1"
    assert find_personal(text) == []
    assert Redactor(["ip"]).redact(text) == "from [ip], not 1.2.3.4.5 nor 300.1.1.1"
    with pytest.raises(ConfigurationError, match="kinds"):
        Redactor(["shoe size"])  # type: ignore[list-item]


def test_pseudonyms_are_the_same_for_the_same_value() -> None:
    redactor = Redactor(key=b"k" * 16)
    one, two, other = (
        redactor.redact(each) for each in ("+44 20 7946 0958", "+442079460958", "+44 20 7946 0959")
    )
    assert one == two != other
    assert one.startswith("[phone ")
    assert redactor.redact("password=hunter2") == "password=[secret]"
    assert redactor.redact("a@example.com") != Redactor(key=b"j" * 16).redact("a@example.com")
    with pytest.raises(ConfigurationError) as caught:
        Redactor(key=b"short")
    assert "short" not in str(caught.value)


@given(st.text(max_size=200))
def test_nothing_is_left_that_would_be_found_again(text: str) -> None:
    once = Redactor().redact(text)
    assert Redactor().redact(once) == once
    found = find_personal(text)
    assert all(a.end <= b.start for a, b in pairwise(found))


@given(st.integers(10**12, 10**18 - 1))
def test_a_check_digit_is_right_for_one_of_ten(number: int) -> None:
    assert sum(passes_luhn(f"{number}{digit}") for digit in range(10)) == 1


def test_check_digits_of_an_iban() -> None:
    assert passes_mod_97("GB82WEST12345698765432")
    assert not passes_mod_97("GB28WEST12345698765432")


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, StringIO]]:
    logger, out = logging.getLogger("test.redact"), StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s|%(user)s", defaults={"user": ""}))
    handler.addFilter(RedactingFilter(Redactor()))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, out
    logger.removeHandler(handler)


def test_a_log_is_without_it(log: tuple[logging.Logger, StringIO]) -> None:
    logger, out = log
    logger.warning("%s paid with %s", "ada@example.com", "4000 0566 5566 5556")
    logger.warning("who", extra={"user": {"mail": ["bob@example.com"], "password": "hunter2"}})
    try:
        raise ValueError("no such user: eve@example.com")
    except ValueError:
        logger.exception("failed", stack_info=True)
    said = out.getvalue()
    assert "[email] paid with [card]|" in said
    assert "{'mail': ['[email]'], 'password': '[secret]'}" in said
    assert "ValueError: no such user: [email]" in said
    for value in ("ada@", "bob@", "eve@", "4000", "hunter2"):
        assert value not in said


def test_a_wrong_format_loses_nothing_but_its_arguments(
    log: tuple[logging.Logger, StringIO],
) -> None:
    logger, out = log
    logger.warning("%d of ada@example.com", "x")
    assert out.getvalue() == "%d of [email]|\n"


CORPUS = Path(__file__).parents[3] / "shared/corpora/benign_chat.jsonl.xz"


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_ordinary_conversation_is_left_alone() -> None:
    with lzma.open(CORPUS, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    changed = [text for text in texts if Redactor().redact(text) != text]
    assert len(texts) > 6_000
    assert len(changed) <= 1, changed[:5]
