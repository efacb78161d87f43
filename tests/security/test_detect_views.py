"""The readings of a text: bounded, each made of the one before, none of them lossy."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.security import views
from mobius_infra.security._views import LONGEST


def readings(text: str) -> dict[str, str]:
    return dict(views(text))


def test_ordinary_text_has_one_view() -> None:
    assert readings("Hello there\nhow are you? :-)") == {"raw": "Hello there\nhow are you? :-)"}


@pytest.mark.parametrize(
    ("text", "view", "expected"),
    [
        ("a%27b", "percent", "a'b"),
        ("a%2527b", "percent-twice", "a'b"),
        ("1'+or+1", "percent", "1' or 1"),
        ("%u0027", "percent", "'"),
        ("&#x27;&lt;&#60", "entities", "'<<"),
        ("&lpar;&colon;", "entities", "(:"),
        ("%26lt;", "entities", "<"),
        ("\uff1cscript\uff1e", "nfkc", "<script>"),
        ("%EF%BC%9C", "nfkc", "<"),
    ],
)
def test_layers_come_off_in_order(text: str, view: str, expected: str) -> None:
    assert readings(text)[view] == expected


def test_a_plus_among_words_stays_a_plus() -> None:
    assert readings("1 + 1 = 2") == {"raw": "1 + 1 = 2"}
    assert readings("1 + 1%3D2")["percent"].startswith("1 + 1")


def test_bytes_that_are_no_utf_8_are_kept() -> None:
    assert readings("%c0%ae")["percent"] == "\udcc0\udcae"


def test_joiners_of_emoji_and_persian_stay_in_every_view() -> None:
    for text in (
        "\N{MAN}\u200d\N{PERSONAL COMPUTER}",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ):
        assert all(text in view.text for view in views(text))


def test_a_number_of_thousands_of_digits_is_no_entity_and_no_error() -> None:
    # html.unescape raises ValueError beyond 4,300 digits
    assert readings("&#" + "9" * 5_000)["raw"].startswith("&#9")
    assert readings("&#" + "0" * 5_000 + "60;")["entities"] == "<"


def test_what_normalisation_makes_longer_is_bounded() -> None:
    assert max(len(view.text) for view in views("\ufdfa" * 100_000)) == 4 * LONGEST


@given(st.text(st.characters() | st.sampled_from("%&#;+'\"<0123456789abcdefx")))
def test_there_are_at_most_five_views_and_each_differs_from_the_one_before(text: str) -> None:
    found = views(text)
    assert 1 <= len(found) <= 5
    assert found[0].text == text[:LONGEST]
    assert all(a.text != b.text for a, b in pairwise(found))
