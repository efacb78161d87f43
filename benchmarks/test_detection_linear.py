"""Time grows with the length of the text and no faster, whatever the text is made of.

Measured in the processor's time of this process, which other work on the machine does not change,
and as the best of several, since what remains only adds.
"""

import time

import pytest

from mobius_infra.security import _detect
from mobius_infra.security._detect import inspect_text
from mobius_infra.security._views import LONGEST

SEEDS = [
    "'", '"', "`", "<", "(", ")", "(((", ".", "..", "../", "/*", "--", "#", "\\", "\x00", "@",
    "1,", "1+", ";", "%25", "&#1", "ﷺ", "\udcc0\udcae", "0x2e", "<a x='", '<a x="', "<a/x=",
    "<a x=", "<script ", "select ", "(select ", "union all ", "f(1,", "sleep(", "or a ",
    "or 1=", "' or ", "; drop ", "a.b", "select a from b where c ", "javascript:",
    ">javascript:", "data:", "style=expression/*", "document.", "onload=", "'-alert",
    "constructor(", "[]", "\r\nx-", "['$ne'", "; return ", "this.a==", "ignore the ",
    "<!entity x", "{{", "${", "$(", "; ls ", "cat ", "`ls", "a'b", "{a,b}", "/?", "/etc/",
    "=a)(",
]  # fmt: skip


def cost(text: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        inspect_text(text, level=4)
        best = min(best, time.process_time() - start)
    return best


def ratio(seed: str) -> float:
    """Return time(2n) / time(n), the least of a few: a busy machine can only make it larger."""
    return min(cost(pumped(seed, 4_000)) / cost(pumped(seed, 2_000)) for _ in range(3))


def pumped(seed: str, length: int) -> str:
    return (seed * length)[:length]


@pytest.mark.parametrize("seed", SEEDS)
def test_twice_the_text_takes_about_twice_the_time(seed: str) -> None:
    assert ratio(seed) < 2.5


def test_beyond_the_bound_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_detect, "views", lambda text: pytest.fail("it was read"))
    assert [each.rule for each in inspect_text("'" * (LONGEST + 1))] == ["size.length"]
