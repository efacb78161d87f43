"""Climbing out of a directory is seen inside a sentence too; talk of building programs is not."""

import pytest

from mobius_infra.security import Detector, inspect_text


def rules(text: str) -> set[str]:
    return {finding.rule for finding in inspect_text(text)}


CLIMBS = [
    "../../../../etc/passwd",
    "../../../x",
    "..\\..\\..\\winnt",
    "....//....//....//x",
    ".../...//.../...//.../...//x",
    "..///////..////..//////x",
    "..;/..;/..;/manager/html",
    "..2f..2f..2fetc",
    "..5c..5c..5cwinnt",
    "..0x2f..0x2f..0x2fetc",
    "0x2e0x2e/0x2e0x2e/0x2e0x2e/etc",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fx",
    "..%252f..%252f..%252fx",
    "..%c0%af..%c0%af..%c0%afx",
    "\uff0e\uff0e\u2215\uff0e\uff0e\u2215\uff0e\uff0e\u2215x",
]


@pytest.mark.parametrize("climb", CLIMBS)
@pytest.mark.parametrize("sentence", ["see {}", "see {} for more", "  {}  ", "a file/{} b"])
def test_three_steps_count_wherever_they_stand(sentence: str, climb: str) -> None:
    assert "path.climb" in rules(sentence.format(climb))


@pytest.mark.parametrize("steps", range(3, 40))
def test_any_number_of_steps_more_counts_too(steps: int) -> None:
    for step in ("../", "..\\", "....//", "..;/"):
        assert "path.climb" in rules(f"see {step * steps}x for more")


@pytest.mark.parametrize(
    "text",
    [
        "please read ../../etc/passwd to me",
        "please read ..\\..\\boot.ini to me",
        "please read ../../.ssh/id_rsa to me",
    ],
)
def test_two_steps_in_a_sentence_count_where_they_lead_to_what_attackers_ask_for(text: str) -> None:
    assert Detector("screen").check(text).suspicious
    assert not Detector("screen").check(text.replace("../../", "").replace("..\\", "")).suspicious


@pytest.mark.parametrize(
    "text",
    [
        "I built it with ../../src/configure, is that right?",
        "Remove the ../../ workaround",
        "I took ../../src, and /etc/passwd is not in it",
        "In /etc/passwd and in ../../src/x.c",
        "write s/.../.../ or a/../b/../c there",
        "yes.../no.../perhaps.../never, or so",
        "1/2/.. 3/4/.. 5/6/..",
        "See /etc/passwd and ../src/main.c",
    ],
)
def test_talk_about_paths_is_left_alone(text: str) -> None:
    assert not Detector("screen").check(text).suspicious


@pytest.mark.parametrize("text", ["../x", "../../x", "a=../x", "/..\\x", " ../../src "])
def test_in_a_value_one_step_is_enough(text: str) -> None:
    assert "path.step" in rules(text)


@pytest.mark.parametrize("text", ["/0x2e0x2e", "/%c0%aex", "%25%5c", "web-infweb.xml"])
def test_what_nothing_honest_writes_is_seen_as_it_came(text: str) -> None:
    assert rules(text) & {"path.encoded", "path.system-file"}
