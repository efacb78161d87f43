"""Objects are used again, within bounds, and never in a state that nobody knows."""

from contextlib import ExitStack

import pytest

from mobius_infra.core import ConfigurationError
from mobius_infra.perf import ObjectPool


def test_the_last_given_back_is_lent_first_and_no_more_are_kept_than_may_be() -> None:
    pool = ObjectPool("buffers", bytearray, size=2)
    with ExitStack() as stack:
        lent = [stack.enter_context(pool.lend()) for _ in range(3)]
        assert len({id(each) for each in lent}) == 3
    stats = pool.stats()
    assert (stats.made, stats.reused, stats.dropped, stats.idle) == (3, 0, 1, 2)
    with pool.lend() as again:
        assert again is lent[1]  # a stack ends last in, first out
    assert pool.stats().reused == 1
    assert repr(pool) == "ObjectPool('buffers', idle=2 of 2)"
    pool.clear()
    assert pool.stats().idle == 0


def test_one_whose_block_raised_or_that_cannot_be_reset_is_not_used_again() -> None:
    pool = ObjectPool("buffers", bytearray, reset=bytearray.clear)
    with pool.lend() as buffer:
        buffer.extend(b"secret")
    with pool.lend() as again:
        assert again is buffer
        assert again == b""
    with pytest.raises(ZeroDivisionError), pool.lend():
        _ = 1 // 0
    assert pool.stats().idle == 0
    broken = ObjectPool("broken", bytearray, reset=lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError), broken.lend():
        pass
    assert broken.stats().idle == 0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="size"):
        ObjectPool("buffers", bytearray, size=0)
    with pytest.raises(ConfigurationError, match="name"):
        ObjectPool("", bytearray)
