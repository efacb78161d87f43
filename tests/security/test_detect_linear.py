"""Every pattern of every rule takes time linear in the text: its steps are counted, not timed."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.steps import Steps, pumps

MODULES = ("commands", "others", "paths", "sql", "sql_lexer", "strict", "views", "xss")


# These are only ever tried at one place, so that what they cost is not asked of every place.
AT_ONE_PLACE = {
    "_ONE_WORD",
    "_PROSE",
    "_ARGUMENT",
    "_ARGUMENTS",
    "_BACKTICK",
    "_IN_PROSE",
    "_AT_NUMBER",
    "_AFTER_QUOTE",
    "_SCHEMAS",
    "_PROCEDURE",
    "_ATTRIBUTE",
}


def patterns_in(value: Any) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns_in(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from patterns_in(each)


def all_patterns() -> list[Any]:
    found: dict[str, Any] = {}
    for module in MODULES:
        names = vars(importlib.import_module(f"mobius_infra.security._{module}"))
        for name, value in names.items():
            if name.startswith("_") and name not in {*AT_ONE_PLACE, "_SHAPES", "_CODES", "_SPECS"}:
                for number, pattern in enumerate(patterns_in(value)):
                    found.setdefault(
                        pattern.pattern, pytest.param(pattern, id=f"{module}{name}{number}")
                    )
    return list(found.values())


@pytest.mark.parametrize("pattern", all_patterns())
def test_twice_the_text_takes_about_twice_the_steps(pattern: re.Pattern[str]) -> None:
    for short, long in zip(pumps(pattern, 150), pumps(pattern, 300), strict=True):
        assert Steps(pattern, long).search() < 2.5 * Steps(pattern, short).search() + 600


@pytest.mark.parametrize("bad", [r"(?:a|a)*b", r"(?:a+)+b", r"x\s*y|\s+y", r"a+b"])
def test_what_is_not_linear_would_be_seen(bad: str) -> None:
    pattern = re.compile(bad)
    texts = pumps(pattern, 900)
    with pytest.raises(OverflowError):
        max(Steps(pattern, text).search() for text in texts)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"a[bc]{1,3}+d?$", "xabcb"),
        (r"(?i)\bfoo(?=\s)(?<!x)", "a FOO b"),
        (r"(['\"]).*?\1", "a'b'c"),
    ],
)
def test_the_counting_matcher_agrees_with_re(pattern: str, text: str) -> None:
    compiled = re.compile(pattern)
    steps = Steps(compiled, text)
    ends = [
        end
        for start in range(len(text) + 1)
        if (end := next(steps.run(steps.tree, 0, start), None)) is not None
    ]
    match = compiled.search(text)
    assert match is not None
    assert ends[0] == match.end()
