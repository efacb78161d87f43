"""Policies from JSON files: an error names its entry; a broken new file leaves the old policy."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mobius_infra.core import ConfigurationError, Event
from mobius_infra.security import (
    Access,
    AccessFailed,
    Policy,
    PolicyFile,
    PolicyRefused,
    PolicyReplaced,
    load_policy,
    parse_policy,
)
from mobius_infra.testing import ManualClock

GOOD: dict[str, Any] = {
    "roles": {
        "member": {
            "allow": [
                "help:read",
                {"permission": "wallet:*", "when": ["owner"]},
                {"permission": "pay", "when": ["owner", {"resource.amount": {"at_most": 100}}]},
                {"permission": "night", "when": ["dark"]},
            ]
        },
        "admin": {"inherits": ["member"], "allow": ["wallet:*"]},
        "frozen": {"deny": ["*"]},
    },
    "default": ["member"],
    "subjects": {"1": ["admin"], "2": ["frozen"]},
}
CONDITIONS = {"dark": lambda request: request.context["hour"] > 20}


def test_a_file_says_all_that_code_can(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(GOOD))
    access = Access("a", PolicyFile(path, conditions=CONDITIONS))
    assert access.allows("1", "wallet:read")
    assert not access.allows("2", "help:read")
    assert access.allows(7, "pay", {"owner": 7, "amount": 100})
    assert not access.allows(7, "pay", {"owner": 7, "amount": 101})
    assert not access.allows(7, "pay", {"owner": 8, "amount": 100})
    assert access.allows(7, "night", context={"hour": 21})
    assert not access.allows(7, "night", context={"hour": 20})


def at(path: str, value: object) -> dict[str, Any]:
    """Return the good policy with another value at a path."""
    made: Any = json.loads(json.dumps(GOOD))
    place, *rest = path.split("/")
    inside = made
    while rest:
        inside = inside[int(place) if isinstance(inside, list) else place]
        place, *rest = rest
    inside[int(place) if isinstance(inside, list) else place] = value
    return dict(made)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("roles", [], "roles is"),
        ("rolls", {}, "policy is 'rolls'"),
        ("roles/admin/denies", [], "roles.admin is 'denies'"),
        ("roles/admin/inherits", ["boss"], r"admin.inherits\[0\] is 'boss'"),
        ("roles/admin/inherits", "member", "admin.inherits is 'member'"),
        ("roles/member/inherits", ["admin"], "member -> admin -> member"),
        ("roles/member/allow/0", "help:re*", r"member.allow\[0\] is"),
        ("roles/member/allow/0", 5, r"member.allow\[0\] is 5"),
        ("roles/member/allow/1/when", [], r"member.allow\[1\].when is"),
        ("roles/member/allow/1/when", ["light"], r"member.allow\[1\].when\[0\] is 'light'"),
        ("roles/member/allow/1/when", [{}], r"member.allow\[1\].when\[0\] is"),
        ("roles/member/allow/1/when", "owner", r"member.allow\[1\].when is 'owner'"),
        ("roles/member/allow/1/wenn", ["owner"], r"member.allow\[1\] is 'wenn'"),
        ("roles/member/allow/2/when/1", {"resource.amount": {"under": 1}}, "is 'under'"),
        ("roles/member/allow/2/when/1", {"resource.amount": {"at_most": "1"}}, "is '1'"),
        ("roles/member/allow/2/when/1", {"resource.amount": {"in": "abc"}}, "is 'abc'"),
        ("roles/member/allow/2/when/1", {"resource.amount": {}}, "resource.amount is"),
        ("roles/member/allow/2/when/1", {"amount": {"at_most": 1}}, "amount is 'amount'"),
        ("roles/ad min", {}, "role is 'ad min'"),
        ("default", ["gone"], r"default\[0\] is 'gone'"),
        ("subjects/1", ["gone"], r"subjects.1\[0\] is 'gone'"),
        ("subjects/1", [5], r"subjects.1\[0\] is 5"),
    ],
)
def test_an_error_names_the_entry(path: str, value: object, named: str) -> None:
    load_policy(GOOD, CONDITIONS)
    with pytest.raises(ConfigurationError, match=named):
        load_policy(at(path, value), CONDITIONS)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "JSON"),
        (b"\xff", "JSON"),
        ("[" * 100_000, "JSON"),
        ('{"roles": {"a": {"deny": ["x"], "deny": []}}}', "policy is 'deny'"),
        ('{"roles": {"a": {"allow": [NaN]}}}', "policy is 'NaN'"),
        ("{}", "roles is None"),
    ],
)
def test_what_is_no_policy_is_refused(text: str | bytes, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        parse_policy(text)


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), True])
def test_a_pause_that_cannot_work_is_refused(every: float) -> None:
    with pytest.raises(ConfigurationError, match="every is"):
        PolicyFile("policy.json", every=every)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Access("a", PolicyFile(tmp_path / "policy.json"))


async def test_a_new_file_replaces_the_policy_and_a_broken_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(GOOD))
    access = Access("a", PolicyFile(path, conditions=CONDITIONS))
    events: list[Event] = []
    access.events.subscribe(events.append)
    assert access.allows("1", "wallet:read")
    assert not await access.reload()
    for broken in ("{", json.dumps(at("subjects/1", ["gone"]))):
        path.write_text(broken)
        for _ in range(2):  # told of once
            with pytest.raises(ConfigurationError):
                await access.reload()
        assert access.allows("1", "wallet:read")
    assert [type(event) for event in events] == [PolicyRefused, PolicyRefused]
    path.write_text(json.dumps(at("subjects/1", ["member"])))
    assert await access.reload()
    assert isinstance(events[-1], PolicyReplaced)
    assert not access.allows("1", "wallet:read", {"owner": 2})
    assert (access.stats().reloads, access.stats().refused) == (1, 2)


async def test_a_file_is_looked_at_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(GOOD))
    clock = ManualClock()
    file = PolicyFile(path, conditions=CONDITIONS, every=5.0)
    access = Access("a", file, clock=clock)
    told = _Told(access)
    async with access:
        path.unlink()
        await told.after(clock, 5.0, PolicyRefused)
        assert access.allows("1", "wallet:read")
        path.write_text(json.dumps(at("subjects/1", ["frozen"])))
        await told.after(clock, 5.0, PolicyReplaced)
        assert not access.allows("1", "wallet:read")
    assert clock.sleepers == 0


async def test_a_broken_file_that_is_found_by_itself_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(GOOD))
    clock = ManualClock()
    access = Access("a", PolicyFile(path, conditions=CONDITIONS, every=5.0), clock=clock)
    before, told = access.policy, _Told(access)
    async with access:
        for broken in ("{", json.dumps(at("roles/frozen/deny", ["*x"]))):
            path.write_text(broken)
            await told.after(clock, 5.0, PolicyRefused)
            assert access.policy is before
            assert access.allows("1", "wallet:read")
            assert not access.allows("2", "wallet:read")
        path.write_text(json.dumps(GOOD))  # mended: the same as before, so nothing to replace
        assert not await access.reload()
        assert access.policy is before
    assert (access.stats().reloads, access.stats().refused) == (0, 2)


@pytest.mark.parametrize("broken", [None, GOOD, PolicyFile("policy.json"), "policy.json"])
def test_what_is_no_policy_does_not_replace_one(broken: Any) -> None:
    access = Access("a", load_policy(GOOD, CONDITIONS))
    before = access.policy
    with pytest.raises(ConfigurationError, match="policy"):
        access.replace(broken)
    assert access.policy is before
    assert access.allows("1", "wallet:read")
    assert access.stats().reloads == 0


async def test_a_role_that_the_new_policy_lacks_denies_who_has_it() -> None:
    access = Access("a", load_policy(GOOD, CONDITIONS))
    access._hear({"9": ("frozen",)})
    assert not access.allows("9", "help:read")
    smaller = {"roles": {"member": {"allow": ["help:read"]}}, "default": ["member"]}
    access.replace(parse_policy(json.dumps(smaller)))
    events: list[Event] = []
    access.events.subscribe(events.append)
    assert access.allows("8", "help:read")
    assert not access.allows("9", "help:read")  # his role may have denied it
    assert isinstance(events[-1], AccessFailed)


async def test_only_a_file_can_be_read_again() -> None:
    with pytest.raises(ConfigurationError, match="PolicyFile"):
        await Access("a", Policy([])).reload()


class _Told:
    """Waits for an event that a thread's work leads to."""

    def __init__(self, access: Access) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        access.events.subscribe(self._queue.put_nowait)

    async def after(self, clock: ManualClock, seconds: float, kind: type[Event]) -> None:
        while clock.sleepers == 0:  # the look before is still in its thread
            await asyncio.sleep(0.001)
        await clock.advance(seconds)
        while not isinstance(await self._queue.get(), kind):
            pass
