"""Decisions: default deny, deny beats allow, errors deny; roles, explanations, the decorator."""

import asyncio
import gc
import itertools
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, Event, Rejected
from mobius_infra.security import (
    Access,
    AccessDeniedError,
    AccessFailed,
    AccessRefused,
    Condition,
    GrantDeniedError,
    Policy,
    Role,
    RoleChanged,
    Rule,
    Subject,
    compare,
    owner,
)
from mobius_infra.security._access_patterns import covers, overlaps


@dataclass
class Wallet:
    owner: object
    amount: object = 0


def make(*roles: Role, name: str = "a", **options: Any) -> tuple[Access, list[Event]]:
    access = Access(name, Policy(roles, **options))
    events: list[Event] = []
    access.events.subscribe(events.append)
    return access, events


MEMBER = Role("member", allow=(Rule("wallet:*", (owner,)), "help:read"))
ADMIN = Role("admin", inherits=("member",), allow=("wallet:*", "role:*"))
FROZEN = Role("frozen", deny=("wallet:write", "role:*"))


# Patterns.

SEGMENTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3).map(tuple)
ALL = [tuple(path) for size in range(1, 5) for path in itertools.product("abc", repeat=size)]


@settings(max_examples=100, deadline=None)
@given(SEGMENTS, SEGMENTS)
def test_covering_and_overlapping_are_what_they_say_of_every_permission(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    mine = {each for each in ALL if covers(one, each)}
    its = {each for each in ALL if covers(other, each)}
    assert overlaps(one, other) == bool(mine & its)
    assert covers(one, other) == (its <= mine)


@pytest.mark.parametrize("text", ["", ":", "a:", "a::b", "a:*", "a b", "ä", "a" * 257, "a\n", 5])
def test_what_is_no_permission_is_refused(text: Any) -> None:
    access, _ = make(MEMBER)
    with pytest.raises(ConfigurationError, match="permission is"):
        access.allows("7", text)
    with pytest.raises(ConfigurationError, match="permission is"):
        access.requires(text, subject="user")


@pytest.mark.parametrize("text", ["wal*", "a:b*", "**", "", "a:*:", "*a"])
def test_a_star_stands_for_a_whole_segment(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"member.allow\[0\] is"):
        Policy([Role("member", allow=(text,))])


# Decisions.


def test_what_no_rule_allows_is_denied() -> None:
    access, events = make(MEMBER, default=["member"])
    assert access.allows("7", "help:read")
    assert not access.allows("7", "help:write")
    assert not access.allows("7", "help:read:more")
    assert [type(event) for event in events] == [AccessRefused, AccessRefused]


def test_nobody_may_do_nothing() -> None:
    access, _ = make(Role("all", allow=("*",)), default=["all"])
    assert not access.allows(None, "help:read")
    with pytest.raises(AccessDeniedError, match="nobody in particular"):
        access.check(None, "help:read")


@pytest.mark.parametrize("who", [True, 1.5, b"7", "", ["7"], ()])
def test_what_is_no_subject_is_refused(who: Any) -> None:
    access, _ = make(Role("all", allow=("*",)), default=["all"])
    with pytest.raises(ConfigurationError, match="subject"):
        access.allows(who, "help:read")


def test_a_rule_that_denies_beats_every_rule_that_allows() -> None:
    access, _ = make(ADMIN, MEMBER, FROZEN, subjects={"7": ["admin", "frozen"]})
    assert access.allows("7", "wallet:read")
    assert not access.allows("7", "wallet:write")
    assert access.explain("7", "wallet:write").rule == "frozen.deny[0]"


def test_an_owner_may_what_others_may_not() -> None:
    access, _ = make(MEMBER, default=["member"])
    assert access.allows(7, "wallet:read", Wallet(7))
    assert access.allows("7", "wallet:read", {"owner": 7})
    assert not access.allows("7", "wallet:read", Wallet("8"))
    assert not access.allows("None", "wallet:read", Wallet(None))


@pytest.mark.parametrize("resource", [None, {}, Wallet(True), Wallet(1.0), Wallet(["7"]), 5])
def test_an_owner_that_cannot_be_told_denies_and_is_told_of(resource: object) -> None:
    access, events = make(MEMBER, default=["member"])
    assert not access.allows(7, "wallet:read", resource)
    assert isinstance(events[-1], AccessFailed)
    assert "member.allow[0]" in events[-1].error
    assert access.stats().errors == 1


def boom(_request: object) -> bool:
    raise LookupError("secret-value")


async def later(_request: object) -> bool:
    return False


ERRING = {
    "raises": boom,
    "coroutine": later,
    "none": lambda _request: None,
    "one": lambda _request: 1,
    "text": lambda _request: "yes",
}


@pytest.mark.parametrize("name", ERRING)
def test_a_condition_that_errs_denies_whether_it_would_allow_or_forbid(name: str) -> None:
    condition = Condition(name, ERRING[name])  # type: ignore[arg-type]  # the mistake
    allowing, told = make(Role("r", allow=(Rule("a:b", (condition,)),)), default=["r"])
    assert not allowing.allows("7", "a:b")
    denying, more = make(
        Role("r", allow=("a:b",), deny=(Rule("a:b", (condition,)),)), default=["r"]
    )
    assert not denying.allows("7", "a:b")
    for event in (told[-1], more[-1]):
        assert isinstance(event, AccessFailed)
        assert name in event.error
    gc.collect()
    assert "secret-value" not in repr((told, more, allowing.explain("7", "a:b")))


@pytest.mark.parametrize("order", [1, -1])
def test_whether_an_error_denies_does_not_depend_on_the_order_of_rules(order: int) -> None:
    rules = [
        Rule("a:b", (Condition("yes", lambda _: True),)),
        Rule("a:b", (Condition("no", boom),)),
    ]
    access, _ = make(Role("r", allow=tuple(rules[::order])), default=["r"])
    assert not access.allows("7", "a:b")


def test_cancellation_passes_through_a_condition() -> None:
    def cancelled(_request: object) -> bool:
        raise asyncio.CancelledError

    access, _ = make(Role("r", allow=(Rule("a", (Condition("c", cancelled),)),)), default=["r"])
    with pytest.raises(asyncio.CancelledError):
        access.allows("7", "a")
    assert access.stats().errors == 0


NAN = float("nan")


@pytest.mark.parametrize(
    ("test", "wanted", "amount", "expected"),
    [
        ("at_most", 100, 100, True), ("at_most", 100, 101, False), ("at_most", 100, NAN, None),
        ("at_most", 100, True, None), ("at_most", 100, "5", None), ("at_least", 5, None, None),
        ("at_least", 5, 5.0, True), ("equals", 1, True, False), ("equals", 1, 1.0, True),
        ("equals", "1", 1, False), ("not_equals", 1, 2, True), ("in", [1, 2], 2, True),
        ("in", [1, 2], True, False), ("contains", "a", ["a"], True), ("contains", "a", "abc", None),
        ("equals", None, None, True), ("equals", 1, print, None),
    ],
)  # fmt: skip
def test_comparisons_are_strict_and_err_where_they_make_no_sense(
    test: str, wanted: object, amount: object, expected: bool | None
) -> None:
    condition = compare("resource.amount", test, wanted)
    access, events = make(Role("r", allow=(Rule("a", (condition,)),)), default=["r"])
    assert access.allows("7", "a", Wallet(7, amount)) is bool(expected)
    assert any(isinstance(event, AccessFailed) for event in events) is (expected is None)


def test_an_attribute_can_be_compared_with_another() -> None:
    condition = compare("resource.amount", "at_most", {"attribute": "subject.limit"})
    access, _ = make(Role("r", allow=(Rule("a", (condition,)),)), default=["r"])
    assert access.allows(Subject("7", attributes={"limit": 10}), "a", Wallet(7, 10))
    assert not access.allows(Subject("7", attributes={"limit": 9}), "a", Wallet(7, 10))
    assert not access.allows("7", "a", Wallet(7, 10))


@pytest.mark.parametrize("path", ["resource", "other.a", "resource.__class__", "resource._a", ""])
def test_a_path_leads_only_where_the_application_meant(path: str) -> None:
    with pytest.raises(ConfigurationError, match="when is"):
        compare(path, "equals", 1)


def test_a_condition_is_asked_anew_each_time() -> None:
    access, _ = make(MEMBER, default=["member"])
    wallet = Wallet(7)
    assert access.allows(7, "wallet:read", wallet)
    wallet.owner = 8
    assert not access.allows(7, "wallet:read", wallet)


def test_a_role_that_is_not_defined_denies_everything() -> None:
    access, events = make(ADMIN, MEMBER, default=["admin"])
    assert access.allows("7", "wallet:read")
    assert not access.allows(Subject("7", roles=("gone",)), "wallet:read")
    assert isinstance(events[-1], AccessFailed)
    assert "'gone'" in events[-1].error


# Roles.


def test_a_cycle_is_refused_with_its_path() -> None:
    policy = Policy([Role("a", inherits=("b",)), Role("b", inherits=("c",)), Role("c")])
    with pytest.raises(ConfigurationError, match="a -> b -> c -> a"):
        policy.with_role(Role("c", inherits=("a",)))
    with pytest.raises(ConfigurationError, match="c -> c"):
        policy.with_role(Role("c", inherits=("c",)))


def test_a_diamond_is_no_cycle() -> None:
    tip = Role("d", inherits=("b", "c"))
    Policy([tip, Role("b", inherits=("a",)), Role("c", inherits=("a",)), Role("a")])


def test_a_chain_of_any_length_is_followed_to_its_end() -> None:
    length = 5 * sys.getrecursionlimit()
    chain = [Role(f"r{at}", inherits=(f"r{at + 1}",)) for at in range(length)]
    access, _ = make(*chain, Role(f"r{length}", allow=("a",)), default=["r0"])
    assert access.allows("7", "a")
    assert len(access.explain("7", "a").via) == length + 1


def test_an_unknown_role_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"a\.inherits\[0\] is 'b'"):
        Policy([Role("a", inherits=("b",))])
    with pytest.raises(ConfigurationError, match=r"subjects\.7\[0\] is 'b'"):
        Policy([Role("a")], subjects={"7": ["b"]})
    with pytest.raises(ConfigurationError, match="defined once"):
        Policy([Role("a"), Role("a")])


def test_subjects_that_nobody_knows_leave_nothing_behind() -> None:
    access, _ = make(MEMBER, ADMIN, default=["member"], subjects={"1": ["admin"]})
    access.allows("x", "wallet:read", Wallet(1))
    before = len(access._roles), len(access.policy._plans), len(access.policy._held)
    for number in range(1000):
        access.allows(f"x{number}", "wallet:read", Wallet(1))
        access.allows(Subject(f"y{number}"), "help:read")
    after = len(access._roles), len(access.policy._plans), len(access.policy._held)
    assert after == (before[0], before[1] + 1, before[2])


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobius_infra.security._policy._MAX_PLANS", 10)
    access, _ = make(MEMBER, default=["member"])
    for number in range(100):
        access.allows("7", f"junk:{number}")
    assert len(access.policy._plans) <= 10


# Properties.

SCOPES = st.sampled_from(["a", "b", "a:a", "a:b", "a:*", "*", "*:a", "b:*"])
CONDITIONS = st.sampled_from(
    [
        (), (owner,), (Condition("boom", boom),), (Condition("yes", lambda _: True),),
        (Condition("no", lambda _: False),),
    ]
)  # fmt: skip
RULES = st.lists(st.builds(Rule, SCOPES, CONDITIONS), max_size=3).map(tuple)
NAMES = ["r0", "r1", "r2"]


@st.composite
def policies(draw: st.DrawFn) -> list[Role]:
    return [
        Role(
            name,
            inherits=tuple(draw(st.sets(st.sampled_from(NAMES[:at])))) if at else (),
            allow=draw(RULES),
            deny=draw(RULES),
        )
        for at, name in enumerate(NAMES)
    ]


ASKED = st.sampled_from(["a", "b", "a:a", "a:b", "b:a", "b:b:b"])


@settings(max_examples=60, deadline=None)
@given(policies(), SCOPES, CONDITIONS, ASKED, st.sampled_from(["7", "8"]))
def test_a_rule_more_that_denies_never_grants(
    roles: list[Role], scope: str, when: Any, asked: str, who: str
) -> None:
    before = Access("a", Policy(roles, default=["r2"]))
    top = roles[2]
    more = Role("r2", top.inherits, top.allow, (*top.deny, Rule(scope, when)))
    after = Access("a", before.policy.with_role(more))
    if after.allows(who, asked, Wallet("7")):
        assert before.allows(who, asked, Wallet("7"))


CHANGES = st.one_of(
    st.tuples(st.just("policy"), policies()),
    st.tuples(st.just("ask"), st.tuples(st.sampled_from(["1", "7", "8"]), ASKED)),
    st.tuples(st.just("grant"), st.tuples(st.sampled_from(["1", "7"]), st.sampled_from(NAMES))),
)


@settings(max_examples=40, deadline=None)
@given(policies(), st.lists(CHANGES, max_size=12))
def test_what_is_remembered_is_what_would_be_decided_anew(
    roles: list[Role], changes: list[tuple[str, Any]]
) -> None:
    access = Access("a", Policy(roles, default=["r0"], subjects={"8": ["r1"]}))
    granted: dict[str, tuple[str, ...]] = {}
    for kind, what in changes:
        if kind == "policy":
            roles = what
            access.replace(Policy(roles, default=["r0"], subjects={"8": ["r1"]}))
        elif kind == "grant":
            granted = {**granted, what[0]: (what[1],)}
            access._hear(granted)
        else:
            who, asked = what
            new = Access("a", Policy(roles, default=["r0"], subjects={"8": ["r1"]}))
            new._hear(granted)
            expected = new.allows(who, asked, Wallet("7"))
            assert access.allows(who, asked, Wallet("7")) is expected
            assert access.explain(who, asked, Wallet("7")).allowed is expected


# Explanations.


def test_a_decision_explains_itself() -> None:
    access, events = make(ADMIN, MEMBER, subjects={"7": ["admin"]})
    told = access.explain("7", "help:read")
    assert str(told) == "help:read allowed to '7': by member.allow[1], via admin > member"
    assert told.roles == ("admin",)
    told = access.explain("7", "wallet:read", Wallet(8))
    assert [tuple(each) for each in told.considered] == [
        ("admin.allow[0]", "allow", True),
        ("member.allow[0]", "allow", False),
    ]
    assert str(access.explain("8", "a")) == "a denied to '8': no rule allows it"
    assert str(access.explain(None, "a")) == "a denied to nobody: no rule allows it"
    failed = access.explain(Subject("8", roles=("member",)), "wallet:read")
    assert "there is no resource.owner" in str(failed)
    assert failed.considered[0].held is None
    assert events == []


def test_nothing_shows_an_attributes_value() -> None:
    access, events = make(MEMBER, default=["member"])
    subject = Subject("7", attributes={"key": "secret-value"})
    with pytest.raises(AccessDeniedError) as caught:
        access.check(subject, "wallet:read", {"owner": ["secret-value"]})
    shown = (subject, events, caught.value, caught.value.fields(), access, access.stats())
    assert "secret-value" not in repr(shown) + str(caught.value)
    assert repr(access) == "Access('a', Policy(roles=1, rules=2, subjects=0), grants='local')"


# The decorator.

acting: ContextVar[Any] = ContextVar("acting")


def test_a_call_is_made_only_for_who_may() -> None:
    access = Access("a", Policy([MEMBER], default=["member"]), subject=acting)
    made = []

    @access.requires("wallet:read", resource="wallet")
    async def read(wallet: Wallet) -> object:
        made.append(wallet)
        return wallet.amount

    async def main() -> None:
        with pytest.raises(AccessDeniedError):
            await read(Wallet(7))  # nobody acts
        acting.set(7)
        assert await read(Wallet(7, 5)) == 5
        with pytest.raises(AccessDeniedError) as caught:
            await read(wallet=Wallet(8))
        assert isinstance(caught.value, Rejected)
        assert (caught.value.subject, caught.value.rule) == ("7", None)

    asyncio.run(main())
    assert len(made) == 1
    assert (access.stats().allowed, access.stats().denied) == (1, 2)


async def test_subject_and_resource_are_reached_through_parameters_and_functions() -> None:
    access, events = make(MEMBER, default=["member"])

    async def load(message: Any, wallet_id: int) -> Wallet:
        return {1: Wallet(7), 2: Wallet(8)}[wallet_id]

    class Bot:
        @access.requires("wallet:read", subject="message.user", resource=lambda _self, *a: load(*a))
        async def show(self, message: Any, wallet_id: int) -> int:
            return wallet_id

    message = type("Message", (), {"user": 7})()
    assert await Bot().show(message, 1) == 1
    with pytest.raises(AccessDeniedError):
        await Bot().show(message, 2)
    with pytest.raises(AccessDeniedError, match="KeyError where the resource"):
        await Bot().show(message, 3)
    assert isinstance(events[-1], AccessFailed)
    with pytest.raises(AccessDeniedError, match="AttributeError where the subject"):
        await Bot().show(None, 1)
    with pytest.raises(TypeError, match="wallet_id"):
        await Bot().show(message)  # type: ignore[call-arg]  # a wrong call is no denial


def test_what_could_not_work_is_refused_at_decoration() -> None:
    access, _ = make(MEMBER)

    async def show(user: int) -> None: ...

    with pytest.raises(ConfigurationError, match="subject is None"):
        access.requires("a")
    with pytest.raises(ConfigurationError, match=r"subject is 'usr'.*\(user\)"):
        access.requires("a", subject="usr")(show)
    with pytest.raises(ConfigurationError, match="resource is 'user__import__'"):
        access.requires("a", subject="user", resource="user__import__")(show)
    with pytest.raises(ConfigurationError, match="resource is 5"):
        access.requires("a", subject="user", resource=5)  # type: ignore[arg-type]  # the mistake


# Grants, in one process.


async def test_nobody_grants_what_he_lacks() -> None:
    helper = Role("helper", allow=("role:grant:*", "help:*"))
    reader = Role("reader", allow=("help:read",))
    access, events = make(
        ADMIN, MEMBER, helper, reader, default=[], subjects={"1": ["admin"], "2": ["helper"]}
    )
    assert await access.grant("3", "reader", by="2")
    assert access.allows("3", "help:read")
    assert not await access.grant(3, "reader", by="2")
    assert [type(event) for event in events] == [RoleChanged]
    with pytest.raises(GrantDeniedError, match=r"lacks admin.allow\[0\]"):
        await access.grant("2", "admin", by="2")
    with pytest.raises(GrantDeniedError, match="lacks role:grant:reader"):
        await access.grant("4", "reader", by="3")
    with pytest.raises(GrantDeniedError, match="'nobody'"):
        await access.grant("4", "reader", by=None)
    with pytest.raises(GrantDeniedError, match="lacks role:revoke:reader"):
        await access.revoke("3", "reader", by="2")
    with pytest.raises(ConfigurationError, match="role is 'gone'"):
        await access.grant("4", "gone", by="1")
    assert await access.revoke("3", "reader", by="1")
    assert not access.allows("3", "help:read")
    assert access.stats().subjects == 2


async def test_nobody_ends_his_own_suspension_or_passes_on_what_is_denied_to_him() -> None:
    wallets = Role("wallets", allow=("wallet:*",))
    frozen = Role("frozen", deny=("wallet:write",))
    access, _ = make(ADMIN, MEMBER, wallets, frozen, subjects={"1": ["admin"], "2": ["admin"]})
    assert await access.grant("2", "frozen", by="1")
    with pytest.raises(GrantDeniedError, match=r"lacks frozen.deny\[0\]"):
        await access.revoke("2", "frozen", by="2")
    with pytest.raises(GrantDeniedError, match=r"lacks wallets.allow\[0\]"):
        await access.grant("3", "wallets", by="2")
    assert await access.revoke("2", "frozen", by="1")


@pytest.mark.parametrize(
    ("denied", "given"),
    [
        ("wallet:send", "wallet:*"),  # less than is given
        ("wallet:*", "wallet:send"),  # more
        ("wallet:send", "wallet:send"),
        ("*:send", "wallet:*"),  # some of it, and more
        ("wallet:*:high", "wallet:send:*"),
    ],
)
@pytest.mark.parametrize("when", [(), (owner,)])
async def test_what_is_denied_in_part_is_not_passed_on_as_a_whole(
    denied: str, given: str, when: tuple[Condition, ...]
) -> None:
    roles = [
        Role("boss", allow=("role:*", "wallet:*")),
        Role("curbed", deny=(Rule(denied, when),)),
        Role("given", allow=(given,)),
        Role("suspended", deny=(given,)),
    ]
    access = Access("a", Policy(roles, subjects={"1": ["boss", "curbed"], "2": ["boss"]}))
    with pytest.raises(GrantDeniedError, match="lacks given"):
        await access.grant("9", "given", by="1")
    assert not access.allows("9", given.replace("*", "send"))
    assert await access.grant("9", "given", by="2")
    await access.grant("9", "suspended", by="2")
    with pytest.raises(GrantDeniedError, match="lacks suspended"):
        await access.revoke("9", "suspended", by="1")
    assert not access.allows("9", given.replace("*", "send"))
    assert await access.revoke("9", "suspended", by="2")


async def test_what_one_may_under_a_condition_is_not_passed_on_without_it() -> None:
    lord = Role("lord", inherits=("member",), allow=("role:*",))
    anyone = Role("anyone", allow=("wallet:read",))
    own = Role("own", allow=(Rule("wallet:read", (owner,)),))
    access, _ = make(lord, MEMBER, anyone, own, subjects={"1": ["lord"]})
    assert await access.grant("2", "own", by="1")
    with pytest.raises(GrantDeniedError, match=r"lacks anyone.allow\[0\]"):
        await access.grant("2", "anyone", by="1")
