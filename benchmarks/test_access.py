"""Access decisions beside casbin: 50 roles with a permission each, 500 users.

The first of each group is the floor: a look into a dict. `cold` forgets everything before each
decision; `new` has the roles' rules at hand, and decides of a permission for the first time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.conftest import Measure
from mobius_infra.security import Access, Policy, Role, Rule, owner

MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
"""


def make() -> Access:
    roles = [Role(f"role{at}", allow=(f"data{at}:read",)) for at in range(50)]
    roles.append(Role("own", allow=(Rule("wallet:read", (owner,)),)))
    users = {f"user{at}": [f"role{at % 50}", "own"] for at in range(500)}
    return Access("a", Policy(roles, subjects=users))


@pytest.mark.benchmark(group="access: a decision, casbin beside")
class TestDecision:
    def test_dict(self, benchmark: Any) -> None:
        benchmark({("user7", "data7:read"): True}.get, ("user7", "data7:read"))

    def test_cached(self, benchmark: Any) -> None:
        assert benchmark(make().allows, "user7", "data7:read")

    def test_cached_denied(self, benchmark: Any) -> None:
        assert not benchmark(make().allows, "user7", "data8:read")

    def test_cached_owner(self, benchmark: Any) -> None:
        assert benchmark(make().allows, "user7", "wallet:read", {"owner": "user7"})

    def test_new(self, benchmark: Any) -> None:
        access = make()
        plans = access.policy._plans

        def decide() -> bool:
            plans.clear()
            return access.allows("user7", "data7:read")

        assert benchmark(decide)

    def test_cold(self, benchmark: Any) -> None:
        access = make()
        plans, held = access.policy._plans, access.policy._held

        def decide() -> bool:
            plans.clear()
            held.clear()
            return access.allows("user7", "data7:read")

        assert benchmark(decide)

    def test_new_with_all_roles(self, benchmark: Any) -> None:
        roles = [Role(f"role{at}", allow=(f"data{at}:read",)) for at in range(50)]
        access = Access("a", Policy(roles, default=[role.name for role in roles]))
        plans = access.policy._plans

        def decide() -> bool:
            plans.clear()
            return access.allows("user7", "data7:read")

        assert benchmark(decide)

    def test_casbin(self, benchmark: Any) -> None:
        casbin = pytest.importorskip("casbin")
        model = casbin.Enforcer.new_model(text=MODEL)
        enforcer = casbin.Enforcer(model)
        for at in range(50):
            enforcer.add_policy(f"role{at}", f"data{at}", "read")
        for at in range(500):
            enforcer.add_role_for_user(f"user{at}", f"role{at % 50}")
        assert benchmark(enforcer.enforce, "user7", "data7", "read")


async def nothing(user: str) -> str:
    return user


@pytest.mark.benchmark(group="access: a call")
class TestCall:
    def test_bare(self, measure: Measure) -> None:
        measure(lambda: nothing("user7"))

    def test_requires(self, measure: Measure) -> None:
        call: Callable[[str], Awaitable[str]] = make().requires("data7:read", subject="user")(
            nothing
        )
        assert asyncio.run(_await(call("user7"))) == "user7"
        measure(lambda: call("user7"))


async def _await(call: Awaitable[str]) -> str:
    return await call
