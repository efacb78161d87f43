"""A decision with its reasons, for people who ask why."""

from dataclasses import dataclass

from mobius_infra.security._access_conditions import ConditionError, Request
from mobius_infra.security._access_patterns import covers, parse_permission
from mobius_infra.security._policy import Considered, Policy, Ruling, applies


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why. No attribute's value is in it.

    Attributes:
        allowed: whether it may be.
        subject: its id; None if nobody was acting.
        permission: what was asked for.
        roles: that the subject has.
        rule: the entry of the policy that decided; None where none did.
        via: the roles by which that entry came, from the one that the subject has.
        error: what could not be evaluated, and denied; None where all could.
        considered: every rule that is about the permission.
    """

    allowed: bool
    subject: str | None
    permission: str
    roles: tuple[str, ...]
    rule: str | None
    via: tuple[str, ...]
    error: str | None
    considered: tuple[Considered, ...]

    def __str__(self) -> str:
        verb = "allowed" if self.allowed else "denied"
        who = "nobody" if self.subject is None else repr(self.subject)
        if self.error is not None:
            why = f"could not be decided: {self.error}"
        elif self.rule is None:
            why = "no rule allows it"
        else:
            why = f"by {self.rule}, via {' > '.join(self.via)}"
        return f"{self.permission} {verb} to {who}: {why}"


def explain(
    policy: Policy,
    roles: tuple[str, ...],
    permission: str,
    request: Request | None,
    ruling: Ruling,
) -> Decision:
    """Return a ruling with all that led to it."""
    considered: list[Considered] = []
    via: tuple[str, ...] = ()
    if request is not None:
        asked = parse_permission(permission)
        try:
            entries = [each for each in policy.held(roles) if covers(each.pattern, asked)]
        except ConditionError:
            entries = []  # a role that is not defined: the ruling says so
        for entry in entries:
            held: bool | None
            try:
                held = applies(entry, request)
            except ConditionError:
                held = None
            considered.append(Considered(entry.name, "deny" if entry.denies else "allow", held))
            if entry.name == ruling.rule:
                via = _path(policy.via(roles), entry.role)
    return Decision(
        allowed=ruling.allowed,
        subject=None if request is None else request.subject.id,
        permission=permission,
        roles=roles,
        rule=ruling.rule,
        via=via,
        error=ruling.error,
        considered=tuple(considered),
    )


def _path(via: dict[str, str | None], role: str) -> tuple[str, ...]:
    path = [role]
    while (by := via[path[-1]]) is not None:
        path.append(by)
    return tuple(reversed(path))
