"""Roles: what they allow and deny, and from which others they inherit."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mobius_infra.core import ConfigurationError, require
from mobius_infra.security._access_conditions import Condition
from mobius_infra.security._access_patterns import Pattern, parse_pattern, require_name


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern of permissions, and the conditions under which it counts: all must hold.

    Attributes:
        permission: such as `wallet:read`, `wallet:*` or `*`.
        when: asked in order; one that doesn't hold ends the asking.
    """

    permission: str
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of rules.

    Attributes:
        name: what it is granted by.
        inherits: roles whose rules are also this one's.
        allow: what it may do; text stands for a rule without conditions.
        deny: what it must not do, whatever is allowed by any role.
    """

    name: str
    inherits: tuple[str, ...] = ()
    allow: tuple[str | Rule, ...] = ()
    deny: tuple[str | Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule as it is applied.

    Attributes:
        name: where it is written, such as `member.allow[1]`.
        role: whose it is.
        denies: whether it forbids.
        pattern: what it is about.
        when: its conditions.
    """

    name: str
    role: str
    denies: bool
    pattern: Pattern
    when: tuple[Condition, ...]


def entries_of(role: Role) -> tuple[Entry, ...]:
    """Return a role's own rules, checked.

    Raises:
        ConfigurationError: naming the entry at fault.
    """
    require_name(role.name, "role")
    made = []
    for effect, rules in (("allow", role.allow), ("deny", role.deny)):
        require(isinstance(rules, tuple), f"{role.name}.{effect}", rules, "a tuple of permissions")
        for at, rule in enumerate(rules):
            name = f"{role.name}.{effect}[{at}]"
            whole = rule if isinstance(rule, Rule) else Rule(rule)
            given: object = whole.when
            conditions = isinstance(given, tuple) and all(
                isinstance(each, Condition) for each in given
            )
            require(conditions, f"{name}.when", whole.when, "a tuple of conditions")
            pattern = parse_pattern(whole.permission, name)
            made.append(Entry(name, role.name, effect == "deny", pattern, whole.when))
    return tuple(made)


def check_inheritance(roles: Mapping[str, Role]) -> None:
    """Refuse a parent that is no role, and a role that inherits from itself by any way.

    Raises:
        ConfigurationError: naming the role; for a cycle, with its path.
    """
    for role in roles.values():
        require(isinstance(role.inherits, tuple), f"{role.name}.inherits", role.inherits, "a tuple")
        for at, parent in enumerate(role.inherits):
            if parent not in roles:
                raise unknown_role(f"{role.name}.inherits[{at}]", parent, roles)
    done: set[str] = set()
    for start in roles:
        _walk(start, roles, done)


def _walk(start: str, roles: Mapping[str, Role], done: set[str]) -> None:
    """Go depth first, with a list for a stack: a chain may be longer than Python's."""
    if start in done:
        return
    path, left = [start], [iter(roles[start].inherits)]
    on_path = {start}
    while path:
        parent = next(left[-1], None)
        if parent is None:
            left.pop()
            name = path.pop()
            on_path.discard(name)
            done.add(name)
        elif parent in on_path:
            cycle = [*path[path.index(parent) :], parent]
            role = roles[path[-1]]
            field, shown = f"{role.name}.inherits", " -> ".join(cycle)
            raise ConfigurationError(field, role.inherits, f"free of cycles; this is one: {shown}")
        elif parent not in done:
            path.append(parent)
            on_path.add(parent)
            left.append(iter(roles[parent].inherits))


def unknown_role(field: str, name: object, roles: Iterable[str]) -> ConfigurationError:
    """Return the error for a role that there isn't."""
    known = ", ".join(sorted(roles)[:20]) or "none is defined"
    return ConfigurationError(field, name, f"a role that is defined: {known}")


def inherited(names: Iterable[str], roles: Mapping[str, Role]) -> dict[str, str | None]:
    """Return every role that comes with `names`, with the role that it came by; the nearest first.

    Raises:
        KeyError: of a role that is not defined.
    """
    via: dict[str, str | None] = dict.fromkeys(names)
    queue = deque(via)
    while queue:
        name = queue.popleft()
        for parent in roles[name].inherits:
            if parent not in via:
                via[parent] = name
                queue.append(parent)
    return via
