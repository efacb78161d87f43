"""Screening: what a message of 200 characters costs at level 1, whole pipeline."""

from typing import Any

import pytest

from mobius_infra.security import Detector

PLAIN = "Hello my friend, could you tell me what the weather is going to be like tomorrow? " * 3
MARKED = "Hi, I don't think it's working: the price (in USD) was 42,000; can you check again? " * 3
ATTACK = "1' union select name, password from users where id = 1 -- " * 4

CALLS = 100


@pytest.mark.benchmark(group="screening: a message of 200 characters")
@pytest.mark.parametrize("text", [PLAIN, MARKED, ATTACK], ids=["plain", "punctuated", "attack"])
def test_screening(benchmark: Any, text: str) -> None:
    screen = Detector("screen")
    message = text[:200]

    def many() -> None:
        for _ in range(CALLS):
            screen.check(message, sink="chat_text")

    benchmark.extra_info["calls"] = CALLS
    benchmark.pedantic(many, rounds=30, warmup_rounds=3)
