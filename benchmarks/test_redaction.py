"""What looking for personal data costs, and that its time grows as the text does."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from mobius_infra.security import Redactor, find_personal
from mobius_infra.security._pii import KINDS

CHAT = "shall we meet at the station at half past seven? bring the 2 books, please. " * 3

PUMPS = [
    "a", "a@", "a.", "@a.", "1", "1 ", "1-", "+1", "+1(", "A", "AA11", "DE89 ", "eyJaaaaaaaa.",
    "password=", "password =", "token: ", "-----BEGIN PRIVATE KEY-----", "1.", "255.", "(415)",
]  # fmt: skip


@pytest.mark.benchmark(group="redaction: 230 characters without anything")
def test_redact(benchmark: Any) -> None:
    benchmark(Redactor().redact, CHAT)


def took(text: str) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        find_personal(text, (*KINDS, "ip"))
        best = min(best, time.process_time() - began)
    return best


def test_time_of_a_text_twice_as_long(record_figure: Callable[[str, str], None]) -> None:
    ratios = {
        pump: took(pump * (400_000 // len(pump))) / took(pump * (200_000 // len(pump)))
        for pump in PUMPS
    }
    worst = max(ratios, key=ratios.__getitem__)
    record_figure("worst ratio over pumped texts", f"{ratios[worst]:.2f} ({worst!r})")
