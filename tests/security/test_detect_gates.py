"""What the cheap looks before the rules leave out, no rule would have found; levels only add."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy import PAYLOADS
from mobius_infra.security import _commands, _others, _paths, _xss
from mobius_infra.security._detect import inspect_text
from mobius_infra.security._views import views
from tests.security.test_detect import PIECES

LINES = [
    line for path in sorted(PAYLOADS.glob("*.txt")) for line in path.read_text("utf-8").splitlines()
]
FINDERS = [
    (_commands, _commands.find_command),
    (_others, _others.find_others),
    (_paths, _paths.find_path),
    (_xss, _xss.find_xss),
]


def found(text: str) -> list[set[str]]:
    return [{hit.rule.id for view in views(text) for hit in find(view.text)} for _, find in FINDERS]


def lost(text: str) -> list[set[str]]:
    """Say what the rules find with every gate open and not with the gates as they are."""
    gated = found(text)
    with pytest.MonkeyPatch.context() as patch:
        for module, _ in FINDERS:
            patch.setattr(module, "mentions", lambda text, words: True)
        opened = found(text)
    return [more - less for more, less in zip(opened, gated, strict=True)]


def test_the_gates_lose_nothing_of_the_payloads() -> None:
    assert {line: losses for line in LINES if any(losses := lost(line))} == {}


@given(st.lists(st.sampled_from([*PIECES, " ", "a", "print(", "passwd"]), max_size=12).map("".join))
def test_the_gates_lose_nothing_of_what_is_put_together(text: str) -> None:
    assert not any(lost(text))


@pytest.mark.parametrize("line", LINES)
def test_a_higher_level_finds_no_less(line: str) -> None:
    rules = [{each.rule for each in inspect_text(line, level=level)} for level in (1, 2, 3, 4)]
    assert rules[0] <= rules[1] <= rules[2] <= rules[3]


@pytest.mark.parametrize(
    ("text", "level"), [("admin'", 2), ("onerror", 3), ("a<5", 4), ("<b>", 3), ("../x", 1)]
)
def test_each_level_adds_its_own(text: str, level: int) -> None:
    assert inspect_text(text, level=level)
    assert level == 1 or not inspect_text(text, level=level - 1)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("x;c''at /etc/hosts", "command.after-value", ";c''at"),
        ("a=..0x2f..0x2fetc", "path.step", "=..0x2f"),
        ("1 UNI/**/ON SEL/**/ECT 1", "sqli.union", "UNI/**/ON SEL/**/ECT 1"),
    ],
)
def test_a_span_says_where_it_stood_in_the_disguised_text(
    text: str, rule: str, expected: str
) -> None:
    (span,) = [each.span for each in inspect_text(text) if each.rule == rule]
    assert text[slice(*span)] == expected
