"""The decision: default deny, deny beats allow, and an error is a no.

A policy never changes; another takes its place. What it remembers of decisions goes with it, so
nothing remembered can be of another policy. It remembers by roles, never by subject, and never
what a condition said: a subject that nobody knows leaves nothing behind, and an attribute that
changes is seen at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mobius_infra.core import ConfigurationError, require
from mobius_infra.security._access_conditions import ConditionError, Request
from mobius_infra.security._access_patterns import covers, overlaps, parse_permission
from mobius_infra.security._roles import (
    Entry,
    Role,
    check_inheritance,
    entries_of,
    inherited,
    unknown_role,
)

_MAX_PLANS: Final = 8192  # of roles and permission; when there are more, all are made anew
_MAX_HELD: Final = 1024  # sets of roles


class Ruling(NamedTuple):
    """What was decided.

    Attributes:
        allowed: whether it may be.
        rule: the entry of the policy that decided; None where none did.
        error: what could not be evaluated; None where all could.
    """

    allowed: bool
    rule: str | None = None
    error: str | None = None


class Considered(NamedTuple):
    """One rule that is about the permission.

    Attributes:
        rule: its place in the policy.
        effect: `allow` or `deny`.
        held: whether its conditions hold; None if it was not asked or could not be evaluated.
    """

    rule: str
    effect: str
    held: bool | None


DENIED: Final = Ruling(False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to ask for some roles and a permission.

    Attributes:
        fixed: the decision, where no condition can change it.
        denies: conditional rules that forbid.
        allows: conditional rules that allow; none where one allows anyhow.
        anyhow: that one.
    """

    fixed: Ruling | None
    denies: tuple[Entry, ...] = ()
    allows: tuple[Entry, ...] = ()
    anyhow: Entry | None = None


def make_plan(entries: Iterable[Entry]) -> Plan:
    """Sort the rules that are about a permission by what must still be asked."""
    denies, allows = [], []
    anyhow = None
    for entry in entries:
        if entry.denies:
            if not entry.when:
                return Plan(Ruling(False, entry.name))
            denies.append(entry)
        elif entry.when:
            allows.append(entry)
        elif anyhow is None:
            anyhow = entry
    if anyhow is not None:
        allows.clear()
    if not denies and not allows:
        return Plan(DENIED if anyhow is None else Ruling(True, anyhow.name))
    return Plan(None, tuple(denies), tuple(allows), anyhow)


def judge(plan: Plan, request: Request) -> Ruling:
    """Decide a request by its plan.

    Every rule that allows is asked, also after one that holds: whether an error denies must not
    depend on the order in which rules are written.
    """
    if plan.fixed is not None:
        return plan.fixed
    granted = plan.anyhow
    try:
        for entry in plan.denies:
            if applies(entry, request):
                return Ruling(False, entry.name)
        for entry in plan.allows:
            if applies(entry, request) and granted is None:
                granted = entry
    except ConditionError as error:
        return Ruling(False, entry.name, f"{entry.name}: {error.reason}")
    return DENIED if granted is None else Ruling(True, granted.name)


def applies(entry: Entry, request: Request) -> bool:
    """Say whether all conditions of a rule hold.

    Raises:
        ConditionError: if one can't be evaluated.
    """
    for condition in entry.when:  # noqa: SIM110 - a generator costs as much as a condition
        if not condition.ask(request):
            return False
    return True


class Policy:
    """Roles with their rules, and who has them.

    Args:
        roles: in any order; each may inherit from any other, however deep.
        default: roles that every subject has.
        subjects: roles of subjects by id: the first to grant others theirs.

    Raises:
        ConfigurationError: naming the entry at fault: an unknown role, a cycle with its path.
    """

    __slots__ = ("_entries", "_held", "_plans", "_roles", "default", "subjects")

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        default: Sequence[str] = (),
        subjects: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._roles = {role.name: role for role in roles}
        if len(self._roles) < len(roles):
            names = [role.name for role in roles]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError("roles", twice, "defined once")
        self._entries = {role.name: entries_of(role) for role in roles}
        check_inheritance(self._roles)
        self.default = self._known("default", default)
        self.subjects = {
            each: self._known(f"subjects.{each}", names) for each, names in (subjects or {}).items()
        }
        require("" not in self.subjects, "subjects", "", "ids that are not empty")
        self._held: dict[tuple[str, ...], tuple[Entry, ...]] = {}
        self._plans: dict[tuple[tuple[str, ...], str], Plan] = {}

    def _known(self, field: str, names: Sequence[str]) -> tuple[str, ...]:
        for at, name in enumerate(names):
            if name not in self._roles:
                raise unknown_role(f"{field}[{at}]", name, self._roles)
        return tuple(sorted(set(names)))

    @property
    def roles(self) -> Mapping[str, Role]:
        """The roles by name."""
        return dict(self._roles)

    def with_role(self, role: Role) -> "Policy":
        """Return this policy with a role more, or with another of that name.

        Raises:
            ConfigurationError: as the constructor does.
        """
        roles = [each for each in self._roles.values() if each.name != role.name]
        return Policy([*roles, role], default=self.default, subjects=self.subjects)

    def plan(self, roles: tuple[str, ...], permission: str) -> Plan:
        """Return what is left to ask.

        Raises:
            ConditionError: if one of the roles is not defined here: what it denies is not known.
            ConfigurationError: if `permission` is none.
        """
        found = self._plans.get((roles, permission))
        if found is None:
            asked = parse_permission(permission)
            found = make_plan(each for each in self.held(roles) if covers(each.pattern, asked))
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[roles, permission] = found
        return found

    def held(self, roles: tuple[str, ...]) -> tuple[Entry, ...]:
        """Return all rules of some roles and of those that they inherit from.

        Raises:
            ConditionError: if one of the roles is not defined here.
        """
        found = self._held.get(roles)
        if found is None:
            found = tuple(entry for role in self.via(roles) for entry in self._entries[role])
            if len(self._held) >= _MAX_HELD:
                self._held.clear()
            self._held[roles] = found
        return found

    def via(self, roles: Iterable[str]) -> dict[str, str | None]:
        """Return every role that comes with some, with the role that it came by.

        Raises:
            ConditionError: if one of the roles is not defined here.
        """
        try:
            return inherited(roles, self._roles)
        except KeyError as error:
            raise ConditionError(f"the role {error.args[0]!r} is not defined") from None

    def lacks(self, roles: tuple[str, ...], role: str, *, giving: bool) -> str | None:
        """Return a rule of `role` that bearers of `roles` may not pass on; None if there is none.

        Who grants a role (`giving`) must have all that it allows, under no other conditions. Who
        takes one away gives back what it denies, and must have that. A rule that denies counts
        whether or not its conditions hold now.
        """
        mine = self.held(roles)
        for entry in self.held((role,)):
            if entry.denies is giving:
                continue
            had = any(
                not each.denies
                and covers(each.pattern, entry.pattern)
                and set(each.when) <= (set(entry.when) if giving else set())
                for each in mine
            )
            if not had or any(
                each.denies and overlaps(each.pattern, entry.pattern) for each in mine
            ):
                return entry.name
        return None

    def __repr__(self) -> str:
        rules = sum(map(len, self._entries.values()))
        return f"Policy(roles={len(self._roles)}, rules={rules}, subjects={len(self.subjects)})"
