"""What checking costs: a handler's text beside a bare await, and time that grows no faster."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import pytest

from mobius_infra.security import (
    Email,
    FileName,
    Identifier,
    InvalidInputError,
    JsonText,
    Sanitizer,
    Text,
    Wallet,
    WebUrl,
    escape_markdown,
    validated,
)

PLAIN = ("Hello my friend, could you tell me what the weather is like tomorrow? " * 3)[:200]
OTHER = ("Привет, друг, не подскажешь, какая завтра погода? 👩🏽‍🚀 سلام، می‌خواهم " * 3)[:200]
CALLS = 100

CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "text": (Text(), PLAIN),
    "text of other scripts": (Text(), OTHER),
    "identifier": (Identifier(reserved={"admin"}), "ada_lovelace"),
    "file name": (FileName(extensions={"png"}), "holiday in Rome.png"),
    "link": (WebUrl(), "https://www.example.com/a/b?c=d"),
    "e-mail": (Email(), "ada.lovelace@example.org"),
    "ethereum": (Wallet("ethereum"), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    "ton": (Wallet("ton"), "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs"),
    "json of 1 kB": (
        JsonText(),
        '{"items": [' + ", ".join(['{"id": 123456, "n": "x"}'] * 40) + "]}",
    ),
    "html": (Sanitizer(), f"<p>{PLAIN}</p><script>x</script>"),
    "markdown": (escape_markdown, PLAIN),
}


@pytest.mark.benchmark(group="validation: one value")
@pytest.mark.parametrize("name", CHECKS)
def test_a_check(benchmark: Any, name: str) -> None:
    check, value = CHECKS[name]

    def many() -> None:
        for _ in range(CALLS):
            check(value)

    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(many, rounds=20, warmup_rounds=2)


async def bare(user: int, note: str) -> int:
    return user


@validated("bench")
async def checked(user: int, note: Annotated[str, Text()]) -> int:
    return user


@pytest.mark.benchmark(group="validation: a handler with one text of 200 characters")
@pytest.mark.parametrize("call", [bare, checked], ids=["bare", "checked"])
def test_a_handler(benchmark: Any, call: Any) -> None:
    async def many() -> None:
        for _ in range(CALLS):
            await call(7, PLAIN)

    benchmark.extra_info["calls"] = CALLS
    with asyncio.Runner() as runner:
        benchmark.pedantic(lambda: runner.run(many()), rounds=30, warmup_rounds=3)


LONG = 1_000_000
PUMPED: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "text": (
        Text(longest=LONG, scripts={"Latin"}),
        [
            "a",
            "é",
            "a\u0301",
            "سی\u200c",
            "😀\u200d😀",
            "\u2068a\u2069",
            "\u2068",
            "🏴\U000e0067",
            "\n",
        ],
    ),
    "json": (
        JsonText(most_bytes=LONG, deepest=200, most_items=LONG),
        ['"', '"\\', "[", "]", "1,", "1", '{"a":', "\\ud8", '""'],
    ),
    "html": (Sanitizer(longest=LONG), ["<", "<b>x</b>", "&lt;", "<a href=x:>", "<!--", "<p "]),
    "markdown": (escape_markdown, ["\\", "*"]),
}


@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name, (_, seeds) in PUMPED.items() for seed in seeds]
)
def test_twice_the_text_takes_about_twice_the_time(name: str, seed: str) -> None:
    check = PUMPED[name][0]
    ratio = min(_cost(check, seed, 40_000) / _cost(check, seed, 20_000) for _ in range(3))
    assert ratio < 2.5


def _cost(check: Callable[[Any], Any], seed: str, length: int) -> float:
    """Return the processor's time for it, the best of a few."""
    text, best = (seed * length)[:length], float("inf")
    for _ in range(3):
        start = time.process_time()
        with suppress(InvalidInputError):
            check(text)
        best = min(best, time.process_time() - start)
    return max(best, 1e-5)  # what takes less is as good as nothing
