"""What Telegram sends is proven, fresh, and shown nowhere."""

import hmac
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiogram.utils.web_app import check_webapp_signature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import (
    InvalidInputError,
    matches_secret,
    verify_init_data,
    verify_init_data_signature,
)
from tests.security.support import calm

CORPUS = Path(__file__).with_name("payloads") / "telegram_initdata.json"
TOKEN = "1:of-a-test"
NOW = 1_700_000_000


def signed(token: str = TOKEN, **fields: str) -> str:
    lines = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    key = hmac.digest(b"WebAppData", token.encode(), sha256)
    given_hash = hmac.new(key, lines.encode(), sha256).hexdigest()
    return "&".join(f"{n}={quote(v)}" for n, v in {**fields, "hash": given_hash}.items())


def fault(init_data: str, **settings: Any) -> str | None:
    try:
        verify_init_data(init_data, **{"token": TOKEN, "now": NOW, "max_age": 60, **settings})
    except InvalidInputError as error:
        return error.reason
    return None


GOOD = signed(auth_date=str(NOW), user='{"id": 7, "first_name": "Zoë + &="}', query_id="A b")


def test_what_the_bot_token_signed_is_returned() -> None:
    found = verify_init_data(GOOD, token=TOKEN, now=NOW, max_age=60)
    assert found.auth_date == NOW
    assert found.user == {"id": 7, "first_name": "Zoë + &="}
    assert found.fields["query_id"] == "A b"
    assert "Zo" not in repr(found)
    with pytest.raises(TypeError):
        found.fields["user"] = ""  # type: ignore[index]


def test_a_right_signature_gets_stale() -> None:
    assert fault(GOOD, now=NOW + 60) is None
    assert fault(GOOD, now=NOW + 61) == "stale"
    assert check_webapp_signature(TOKEN, GOOD)  # aiogram's check does not look at the date


def test_a_date_in_the_future_is_refused_but_for_what_clocks_differ() -> None:
    assert fault(GOOD, now=NOW - 30) is None
    assert fault(GOOD, now=NOW - 31) == "stale"
    assert fault(GOOD, now=NOW - 1, ahead=0) == "stale"
    assert fault(GOOD, now=float("nan")) == "stale"


@calm
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int) -> None:
    changed = chr(ord(GOOD[at]) ^ 1 << bit)
    text = GOOD[:at] + changed + GOOD[at + 1 :]
    try:
        found = verify_init_data(text, token=TOKEN, now=NOW, max_age=60)
    except InvalidInputError:
        return
    # Another way of writing the same: %c3 for %C3.
    assert found == verify_init_data(GOOD, token=TOKEN, now=NOW, max_age=60)


@pytest.mark.parametrize(
    ("init_data", "expected"),
    [
        ("", "malformed"),
        ("hash", "malformed"),
        ("=x", "malformed"),
        (f"{GOOD}&", "malformed"),
        (f"{GOOD}&auth_date={NOW}", "malformed"),  # twice
        (f"{GOOD}&%61uth_date={NOW}", "malformed"),
        (f"{GOOD}&x=%ff", "malformed"),
        (f"{GOOD}&x=1", "signature"),
        (GOOD.replace("hash=", "hash=é"), "signature"),
        (GOOD.upper(), "signature"),
        (signed("another", auth_date=str(NOW)), "signature"),
        (signed(user="{}"), "malformed"),  # signed, without a date
        (signed(auth_date="١٢٣"), "malformed"),
        (signed(auth_date="-1"), "malformed"),
        (signed(auth_date="9" * 30), "malformed"),
        (signed(auth_date=str(NOW), user="[]"), "malformed"),
        (signed(auth_date=str(NOW), user="{"), "syntax"),
        ("a=" + "x" * 20_000, "length"),
        ("a=\ud800", "encoding"),
    ],
)
def test_other_data_is_refused(init_data: str, expected: str) -> None:
    assert fault(init_data) == expected


def test_the_cases_of_the_corpus() -> None:
    cases = json.loads(CORPUS.read_text("utf-8"))
    assert len(cases) == 10
    for case in cases:
        passes = fault(case["init_data"], token=case["token"], now=NOW) is None
        assert passes is case["aiogram"], case["name"]
        assert fault(case["init_data"], token=case["token"], now=NOW + 3600), case["name"]


def test_neither_token_nor_data_are_in_an_error() -> None:
    with pytest.raises(InvalidInputError) as caught:
        verify_init_data(GOOD + "x", token=TOKEN, now=NOW, max_age=60)
    shown = str(caught.value) + repr(caught.value.fields())
    assert TOKEN not in shown
    assert "Zo" not in shown
    with pytest.raises(ConfigurationError) as refused:
        matches_secret("x", "secret with spaces")
    assert "spaces" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [{"token": ""}, {"max_age": 0}, {"max_age": float("inf")}, {"max_age": float("nan")},
     {"ahead": -1}],
)  # fmt: skip
def test_settings_that_can_not_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        fault(GOOD, **settings)


# From the documentation of @telegram-apps/init-data-node: signed by Telegram itself.
TELEGRAMS = (
    "user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%20%2B%20-%20%3F%20%5C%2F%22%2C"
    "%22last_name%22%3A%22Kibenko%22%2C%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A%22"
    "ru%22%2C%22is_premium%22%3Atrue%2C%22allows_write_to_pm%22%3Atrue%2C%22photo_url%22%3A%22https"
    "%3A%5C%2F%5C%2Ft.me%5C%2Fi%5C%2Fuserpic%5C%2F320%5C%2F4FPEE4tmP3ATHa57u6MqTDih13LTOiMoKoLDRG4P"
    "nSA.svg%22%7D&chat_instance=8134722200314281151&chat_type=private&auth_date=1733509682&signature="
    "TYJxVcisqbWjtodPepiJ6ghziUL94-KNpG8Pau-X7oNNLNBM72APCpi_RKiUlBvcqo5L-LAxIc3dnTzcZX_PDg&hash="
    "a433d8f9847bd6addcc563bff7cc82c89e97ea0d90c11fe5729cae6796a36d73"
)
BOT, SIGNED = 7_342_037_359, 1_733_509_682


def test_telegrams_own_signature_is_verified_without_the_token() -> None:
    found = verify_init_data_signature(TELEGRAMS, bot_id=BOT, now=SIGNED + 9, max_age=60)
    assert found.user is not None
    assert found.user["id"] == 279_058_397
    for init_data, bot, now, reason in (
        (TELEGRAMS, BOT + 1, SIGNED, "signature"),
        (TELEGRAMS, BOT, SIGNED + 61, "stale"),
        (TELEGRAMS.replace("private", "group"), BOT, SIGNED, "signature"),
        (TELEGRAMS.replace("signature=TY", "signature=Ty"), BOT, SIGNED, "signature"),
        (TELEGRAMS.replace("signature=TY", "signature="), BOT, SIGNED, "signature"),
        (TELEGRAMS.replace("signature=", "signatur="), BOT, SIGNED, "signature"),
        (TELEGRAMS.replace("signature=", "signature=%C3%A9"), BOT, SIGNED, "signature"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            verify_init_data_signature(init_data, bot_id=bot, now=now, max_age=60)
        assert caught.value.reason == reason


def test_another_public_key_may_be_given() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = urlsafe_b64encode(key.sign(f"7:WebAppData\nauth_date={NOW}".encode())).decode()
    text = f"auth_date={NOW}&hash=x&signature={signature.rstrip('=')}"
    public = key.public_key().public_bytes_raw()
    found = verify_init_data_signature(text, bot_id=7, now=NOW, max_age=60, key=public)
    assert found.user is None


@pytest.mark.parametrize("settings", [{"bot_id": 0}, {"bot_id": "7"}, {"key": b"short"}])
def test_an_id_or_a_key_that_can_not_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        verify_init_data_signature(
            TELEGRAMS, **{"bot_id": BOT, "now": SIGNED, "max_age": 60, **settings}
        )


def test_the_secret_of_the_webhook() -> None:
    assert matches_secret("s3cret_-", "s3cret_-")
    for wrong in (None, "", "s3cret_", "S3cret_-", "s3cret_-\n", "é", "\ud800"):
        assert not matches_secret(wrong, "s3cret_-")


@pytest.mark.parametrize("secret", ["", "with space", "é", "a" * 257, "a\n"])
def test_a_secret_that_telegram_would_not_take_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError):
        matches_secret("x", secret)
