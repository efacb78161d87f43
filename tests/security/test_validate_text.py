"""Text is looked at and left as it is; what deceives is refused, what has a purpose is fine."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import Identifier, InvalidInputError, Text, skeleton, views
from mobius_infra.security._unicode import script_of
from mobius_infra.security._views import LONGEST, percent_decoded
from tests.security.support import calm, reason

FINE = {
    "family": "👨‍👩‍👧‍👦",
    "astronaut of a colour": "👩🏽‍🚀",
    "heart on fire": "❤️‍🔥",
    "keycap": "1️⃣",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "Persian": "می‌خواهم",
    "Persian after a space": "سلام \u200cها",
    "Hindi": "क्‍ष",
    "Sinhala": "ශ්‍රී",
    "Thai": "ภาษา\u200bไทย",
    "Hebrew with a mark of direction": "שלום\u200e (x)",
    "isolated name": "\u2068Ada\u2069 joined",
    "isolates in one another": "\u2067a\u2068b\u2069c\u2069",
    "lines": "one\n\ttwo\r\nthree",
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "Tiếng Việt"),
    "Japanese variant": "葛\U000e0100城",
    "Zalgo, a little": "e\u0301\u0302",
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_what_people_write_passes_as_it_came(text: str) -> None:
    assert Text()(text) is text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\0b", "control"),
        ("a\x1b[0m", "control"),
        ("a\x85b", "control"),
        ("a\ufffeb", "control"),
        ("pass\u200bword", "invisible"),
        ("pass\u200cword", "invisible"),
        ("pass\u200dword", "invisible"),
        ("pass\xadword", "invisible"),
        ("\ufefftext", "invisible"),
        ("a\u2060b", "invisible"),
        ("a\u3164b", "invisible"),
        ("a\u034fb", "invisible"),
        ("a\U000e0041b", "invisible"),  # a tag without a flag
        ("😀\ufe0f\ufe01\ufe02", "invisible"),  # a message in variation selectors
        ("\ufe0f", "invisible"),
        ("\u200d😀", "invisible"),
        ("😀\u200d", "invisible"),
        ("😀\u200d\u200d😀", "invisible"),
        ("می‌‌‌خواهم", "invisible"),  # three in a row
        ("a\u202eb", "bidi"),
        ("a\u202db\u202c", "bidi"),
        ("a\u2066b", "bidi"),
        ("a\u2066b\nc", "bidi"),
        ("\u2066" * 200 + "\u2069" * 200, "bidi"),
        ("a\u202bb\nc\u202c", "bidi"),  # closed in another line
        ("a\u2069b", "bidi"),  # closes what the text around it opened
        ("\u2066a\u202c\u2069", "bidi"),
        ("\u202aa\u2069", "bidi"),
        ("e" + "\u0301" * 9, "marks"),
        ("half \ud800", "encoding"),
    ],
)
def test_what_deceives_is_refused(text: str, expected: str) -> None:
    assert reason(Text(), text) == expected


def test_the_length_is_bounded_in_characters_and_in_bytes() -> None:
    assert reason(Text(longest=3), "abcd") == "length"
    assert reason(Text(shortest=2), "a") == "length"
    assert reason(Text(most_bytes=5), "ééé") == "bytes"
    assert reason(Text(most_bytes=6), "ééé") is None


def test_the_length_is_bounded_before_normalising_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = Text(longest=20, normalize="NFKC")
    assert reason(check, "\ufdfa\ufdfa") == "length"  # 18 characters each
    lengths: list[int] = []
    honest = unicodedata.normalize

    def normalize(form: Any, text: str) -> str:
        lengths.append(len(text))
        return honest(form, text)

    monkeypatch.setattr("unicodedata.normalize", normalize)
    assert reason(check, "é" * 1_000_000) == "length"
    assert lengths == []


def test_an_error_says_what_and_where_and_never_the_value() -> None:
    with pytest.raises(InvalidInputError) as caught:
        Text()("my password is hunter2\u202e")
    assert "U+202E at 22" in str(caught.value)
    assert "hunter2" not in repr(caught.value) + str(caught.value) + str(caught.value.fields())


def test_one_line_has_no_end_of_line_of_any_kind() -> None:
    for end in "\n\r\t\u2028\u2029":
        assert reason(Text(lines=False), f"a{end}b") == "control"


def test_scripts_and_classes_are_allowed_by_name() -> None:
    latin = Text(scripts={"Latin"})
    assert reason(latin, "Zoë, 1!😀") is None
    assert reason(latin, "pаypal") == "script"
    assert reason(Text(scripts={"Latin", "Cyrillic"}), "Аda") is None
    digits = Text(classes={"Nd", "P"})
    assert reason(digits, "1-2") is None
    assert reason(digits, "1 2") == "class"


def test_normalising_is_asked_for() -> None:
    assert Text()("e\u0301") == "e\u0301"
    assert Text(normalize="NFC")("e\u0301") == "\xe9"
    assert Text(normalize="NFKC")("\uff41") == "a"


@pytest.mark.parametrize("value", [None, 1, b"text", ["text"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    assert reason(Text(), value) == "type"


@pytest.mark.parametrize(
    "settings",
    [
        {"longest": 0}, {"longest": True}, {"longest": 1.5}, {"shortest": -1}, {"most_bytes": 0},
        {"shortest": 5, "longest": 4}, {"scripts": {"Klingon"}}, {"classes": {"X"}}, {"marks": -1},
        {"normalize": "NFD"},
    ],
)  # fmt: skip
def test_settings_that_can_not_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Text(**settings)


CURIOUS = st.sampled_from("\u200b\u200c\u200d\ufe0fسक😀\u2068\u2069\u202a\u202c\n\u0301e\ufdfa")
MANY = st.lists(CURIOUS | st.characters(codec="utf-8"), max_size=30).map("".join)


@calm
@given(MANY, st.sampled_from([None, "NFC", "NFKC"]))
def test_what_passed_passes_again_unchanged(text: str, form: Any) -> None:
    check = Text(normalize=form)
    try:
        passed = check(text)
    except InvalidInputError:
        return
    assert check(passed) == passed


@calm
@given(MANY)
def test_a_text_that_passes_does_not_open_or_close_directions_for_others(text: str) -> None:
    if reason(Text(), text) is None:
        for line in text.replace("\r", "\n").replace("\u2029", "\n").split("\n"):
            depth = 0
            for char in line:
                depth += (char in "\u2066\u2067\u2068\u202a\u202b") - (char in "\u2069\u202c")
                assert depth >= 0
            assert depth == 0


@calm
@given(st.text(max_size=50))
@example("%25252e%2e&amp;lt;\uff0e")
def test_a_reading_of_a_text_does_not_change_by_being_read_again(text: str) -> None:
    readings = views(text)
    assert views(text) == readings
    last = readings[-1].text
    if readings[-1].name == "nfkc":
        assert unicodedata.normalize("NFKC", last) == last
    assert all(len(each.text) <= 4 * LONGEST for each in readings)
    if "%" not in text and "+" not in text:
        assert percent_decoded(text) == text


@calm
@given(st.text(max_size=30))
def test_a_skeleton_is_its_own(text: str) -> None:
    once = skeleton(text)
    assert skeleton(skeleton(once)) == skeleton(once)


def test_skeletons_join_what_looks_alike_and_part_what_does_not() -> None:
    assert skeleton("раураl") == skeleton("paypal")  # Cyrillic
    assert skeleton("rn") == skeleton("m")
    assert skeleton("g\u200boogle") == skeleton("google")
    assert skeleton("paypal") != skeleton("paypol")


def test_every_character_has_a_script() -> None:
    assert script_of("a") == "Latin"
    assert script_of("я") == "Cyrillic"
    assert script_of("1") == "Common"
    assert script_of("\u0301") == "Inherited"
    assert script_of("\0") == "Common"
    assert script_of("\U0010ffff") == "Unknown"


@pytest.mark.parametrize(
    "name", ["ada", "Ada_99", "рената", "山田太郎", "山田タロウ", "김철수", "a.b-c", "Zoë"]
)
def test_names_of_one_script_pass(name: str) -> None:
    assert Identifier()(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("аdmin", "script"),  # a Cyrillic letter among Latin ones
        ("αdmin", "script"),
        ("ad min", "class"),
        ("ad@min", "class"),
        ("_admin", "class"),
        ("-x", "class"),
        ("adm\u200bin", "invisible"),
        ("adm\u200din", "invisible"),
        ("adm\u202ein", "invisible"),
        ("😀", "class"),
        ("", "length"),
        ("a" * 65, "length"),
        ("a" + "\u0316" * 5, "marks"),
    ],
)
def test_names_that_deceive_are_refused(name: str, expected: str) -> None:
    assert reason(Identifier(), name) == expected


@pytest.mark.parametrize(
    "name", ["admin", "ADMIN", "Admin", "ADMlN", "adm1n", "ａｄｍｉｎ", "ADM1N", "аdmіn"]
)
def test_nobody_looks_like_a_reserved_name(name: str) -> None:
    assert reason(Identifier(reserved={"admin"}), name) in {"reserved", "script"}
    assert reason(Identifier(reserved={"Admin"}), name) in {"reserved", "script"}


def test_a_name_all_in_another_script_may_look_like_a_reserved_one() -> None:
    assert reason(Identifier(reserved={"scope"}), "ѕсоре") == "reserved"
    assert reason(Identifier(reserved={"SCOPE"}), "ѕсоре") == "reserved"
    assert reason(Identifier(reserved={"scope"}), "скопа") is None


def test_a_name_is_returned_in_its_normal_form() -> None:
    assert Identifier()("ａｄａ") == "ada"
