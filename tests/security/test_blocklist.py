"""How blocks grow, which one is found, and how they are written."""

import math
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mobius_infra.core import ConfigurationError
from mobius_infra.security import Block, Terms
from mobius_infra.security._blocklist_names import id_name, ip_name, read_name
from mobius_infra.security._blocklist_steps import (
    FOREVER,
    changed,
    next_block,
    read_shard,
    stronger,
    write_shard,
)
from mobius_infra.security._blocklist_table import BlockTable
from mobius_infra.security._blocklist_text import read_list, write_list
from mobius_infra.security._blocklist_time import SharedTime
from mobius_infra.testing import ManualClock


class Escalation(RuleBasedStateMachine):
    """Offences at any time, and a clock that may jump back."""

    def __init__(self) -> None:
        super().__init__()
        self.terms = Terms(first=10, factor=3, longest=200, forget=500)
        self.now, self.row = 0.0, 0
        self.held: Block | None = None

    @rule(seconds=st.one_of(st.floats(0, 30), st.floats(0, 1000)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(0, 100))
    def jump_back(self, seconds: float) -> None:
        self.now -= seconds

    @rule()
    def offend(self) -> None:
        held, made = self.held, next_block(self.held, self.now, self.terms, "user:7", "why")
        if held is not None and self.now < held.until:
            assert made is None  # a block is never made longer by what is done meanwhile
            return
        assert made is not None
        calm = held is None or self.now - held.until >= 500
        self.row = 1 if calm else self.row + 1
        assert made.times == self.row
        assert made.until == self.now + min(10 * 3 ** (self.row - 1), 200)
        assert stronger(held, made) == made
        self.held = made

    @invariant()
    def it_ends(self) -> None:
        assert self.held is None or self.held.until - self.held.since < 200.001


Escalation.TestCase.settings = settings(max_examples=50, deadline=None)
TestEscalation = Escalation.TestCase


def test_a_thousandth_block_is_as_long_as_the_longest() -> None:
    held = Block("user:7", 0, 1, times=1_000)
    made = next_block(held, 2, Terms(factor=1e300), "user:7", "")
    assert made is not None
    assert made.until - made.since == Terms().longest


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"first": 0}, "first"),
        ({"first": math.nan}, "first"),
        ({"factor": 0.5}, "factor"),
        ({"longest": 10}, "longest"),
        ({"longest": math.inf}, "longest"),
        ({"forget": True}, "forget"),
    ],
)
def test_terms_that_could_not_work_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        Terms(**options)
    assert told.value.field == field


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("user:7", "user:7"),
        ("chat:-100", "chat:-100"),
        ("192.0.2.1", "ip:192.0.2.1"),
        ("ip:192.0.2.1", "ip:192.0.2.1"),
        ("ip:192.0.2.1/32", "ip:192.0.2.1"),
        ("192.0.2.0/24", "ip:192.0.2.0/24"),
        ("2001:db8::5", "ip:2001:db8::/64"),
        ("2001:db8:0:0:1:2:3:4", "ip:2001:db8::/64"),
        ("2001:db8::/48", "ip:2001:db8::/48"),
        ("ip:2001:db8::5/128", "ip:2001:db8::5/128"),
        ("::ffff:192.0.2.1", "ip:192.0.2.1"),
        ("::ffff:192.0.2.0/120", "ip:192.0.2.0/24"),
        ("64:ff9b::192.0.2.1", "ip:192.0.2.1"),
        ("64:ff9b::192.0.2.0/120", "ip:192.0.2.0/24"),
        ("64:ff9b:1::192.0.2.1/128", "ip:192.0.2.1"),
    ],
)
def test_a_subject_has_one_name(text: str, name: str) -> None:
    assert read_name(text).text == name
    assert read_name(name).text == name


@pytest.mark.parametrize(
    "text",
    ["", "7", "user:", "user:a b", "user:a\nb", "user:a#b", "user:" + "x" * 201, "ip:", "ip:x",
     "session:7", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "64:ff9b::/96", "192.0.2.1/24",
     "192.0.2.0/33", 7, None],
)  # fmt: skip
def test_what_is_no_subject_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="subject"):
        read_name(text)


@given(st.one_of(st.text(), st.integers()))
def test_every_id_has_a_name_that_can_be_read(id_: str | int) -> None:
    name = id_name("user", id_)
    assert read_name(name).text == name
    if name != f"user:{id_}":
        assert name.startswith("user:sha256:")


def test_nobody_takes_the_name_of_another_as_his_id() -> None:
    """Whose ids are text may choose one: blocked for that is only he."""
    victim = id_name("user", "Ada Lovelace")
    chosen = victim.removeprefix("user:")
    assert id_name("user", chosen) != victim
    assert read_name(victim).text == victim


addresses = st.one_of(
    st.integers(0, 15).map(lambda n: str(IPv4Address(0xC0000200 + n))),
    st.integers(0, 15).map(lambda n: f"::ffff:{IPv4Address(0xC0000200 + n)}"),
    st.integers(0, 7).map(lambda n: str(IPv6Address((0x20010DB8 << 96) + (n << 63)))),
)
ranges = st.one_of(
    addresses,
    st.sampled_from(["192.0.2.0/28", "192.0.2.8/29", "192.0.0.0/8", "2001:db8::/32",
                     "2001:db8::/62", "2001:db8:0:1::/64", "2001:db8::8000:0:0:0/128"]),
    st.sampled_from(["user:1", "user:2", "chat:1"]),
)  # fmt: skip


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), ranges, st.integers(1, 50)),
            st.tuples(st.just("pop"), ranges, st.just(0)),
            st.tuples(st.just("wait"), st.just(""), st.integers(1, 30)),
            st.tuples(st.just("sweep"), st.just(""), st.integers(0, 30)),
        ),
        max_size=40,
    ),
    st.lists(addresses, min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_what_is_found_is_what_a_plain_list_has(
    done: list[tuple[str, str, int]], asked: list[str]
) -> None:
    clock = ManualClock(epoch=0)
    table = BlockTable(1_000, SharedTime(clock))
    held: dict[str, Block] = {}
    for what, text, number in done:
        if what == "put":
            name = read_name(text).text
            held[name] = Block(name, clock.time(), clock.time() + number)
            table.put(held[name])
        elif what == "pop":
            name = read_name(text).text
            assert table.pop(name) == held.pop(name, None)
        elif what == "wait":
            clock.tick(number)
        else:
            oldest = clock.time() - number
            table.sweep(oldest)
            held = {name: block for name, block in held.items() if block.until > oldest}
        for each in asked:
            assert (table.find(ip=each) is not None) == bool(holding(held, each, clock.time()))
        for user in (1, 2):
            block = held.get(f"user:{user}")
            lasts = block is not None and block.until > clock.time()
            assert table.find(user=user) == table.find(user=str(user)) == (block if lasts else None)
        assert {each.subject: each for each in table} == held


def holding(held: dict[str, Block], address: str, now: float) -> list[Block]:
    name = ip_name(address)
    assert name is not None
    whose = ip_network(name.text.removeprefix("ip:"))
    exact = ip_network(f"{address}/128") if whose.version == 6 else whose
    return [
        block
        for text, block in held.items()
        if text.startswith("ip:")
        and block.until > now
        and (network := ip_network(text.removeprefix("ip:"))).version == whose.version
        and exact.subnet_of(network)  # type: ignore[arg-type]  # the same version
    ]


def test_who_is_blocked_is_found_by_whatever_form_of_the_address() -> None:
    table = BlockTable(10, SharedTime(ManualClock(epoch=0)))
    table.put(Block("ip:192.0.2.1", 0, 1))
    table.put(Block("ip:2001:db8::/64", 0, 1))
    forms = ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "192.0.2.1:443", " 192.0.2.1 ",
             "64:ff9b::c000:201", "2001:db8::9", "2001:DB8::9", "[2001:db8::9]:443",
             "2001:db8::9%eth0"]  # fmt: skip
    assert [each for each in forms if table.find(ip=each) is None] == []
    others = ["192.0.2.2", "2001:db8:0:1::9", "", "x", "\ud800", "\0", "1" * 1000, "192.0.2.01"]
    assert [each for each in others if table.find(ip=each) is not None] == []


def test_those_that_end_soonest_make_room() -> None:
    table = BlockTable(3, SharedTime(ManualClock(epoch=0)))
    for number, until in enumerate([FOREVER, 5, 50, 20, 30]):
        table.put(Block(f"user:{number}", 0, until))
    assert sorted(block.subject for block in table) == ["user:0", "user:2", "user:4"]


def test_blocks_that_are_made_again_and_again_take_no_more_room() -> None:
    table = BlockTable(10, SharedTime(ManualClock(epoch=0)))
    for until in range(1, 10_000):
        table.put(Block("user:7", 0, until))
    assert len(table) == 1
    assert len(table._due) < 100


blocks = st.builds(
    Block,
    st.sampled_from([f"user:{n}" for n in range(6)]),
    st.floats(0, 100),
    st.one_of(st.floats(0, 100), st.just(FOREVER)),
    st.integers(1, 9),
    st.text(max_size=5),
)


@given(*[blocks.map(lambda block: replace(block, subject="user:7"))] * 3)
def test_in_whatever_order_blocks_meet_the_same_one_stays(a: Block, b: Block, c: Block) -> None:
    assert stronger(a, b) == stronger(b, a)
    assert stronger(stronger(a, b), c) == stronger(a, stronger(b, c))
    assert stronger(a, a) == stronger(None, a) == a


@given(
    st.lists(blocks, max_size=8),
    st.dictionaries(st.sampled_from([f"user:{n}" for n in range(6)]), st.booleans()),
    st.integers(1, 6),
    st.floats(0, 100),
)
def test_a_change_adds_lifts_forgets_and_keeps_to_its_room(
    held: list[Block], lifted: dict[str, bool], most: int, oldest: float
) -> None:
    shard = {block.subject: block for block in held}
    changes = {
        name: None if gone else Block(name, 0, 200.0, 1, "new") for name, gone in lifted.items()
    }
    after = changed(shard, changes, oldest=oldest, most=most)
    assert len(after) <= most
    for name, change in changes.items():
        if change is None:
            assert name not in after
    for block in after.values():
        assert block.until > oldest
        assert block == shard.get(block.subject) or block == changes.get(block.subject)
    assert changed(after, {}, oldest=oldest, most=most) == after
    assert read_shard(write_shard(after)) == after


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"blocks":[[1]]}', b'{"blocks":[["user:7",0,1,1,5]]}',
     b'{"blocks":[["user:7","0",1,1,""]]}', b'{"blocks":[["nobody",0,1,1,""]]}',
     b'{"blocks":[["user:7",0,1,true,""]]}', b'{"blocks":[["user:7",0,NaN,1,""]]}',
     b'{"blocks":[["user:7",0,1' + b"0" * 400 + b',1,""]]}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_shard_is_not_believed(data: bytes) -> None:
    with pytest.raises(ValueError, match="not of this version"):
        read_shard(data)


@given(st.lists(ranges, max_size=12))
def test_what_was_written_out_can_be_read_in(names: list[str]) -> None:
    given = {read_name(each).text for each in names}
    text = write_list(Block(name, 0, 1) for name in given)
    assert {name.text for name in read_list(text)} == given


def test_a_list_with_a_line_that_is_none_is_refused_by_its_number() -> None:
    assert [each.text for each in read_list("# none\n\n 192.0.2.1 # scanner\r\nuser:7\n")] == [
        "ip:192.0.2.1", "user:7",
    ]  # fmt: skip
    with pytest.raises(ConfigurationError) as told:
        read_list("192.0.2.1\n192.0.2.300\n")
    assert told.value.field == "line 2"
