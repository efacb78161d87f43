"""What access control tells of, and its refusal. No attribute's value is in any of it."""

from dataclasses import dataclass

from mobius_infra.core import Event, MobiusError, Rejected


class AccessDeniedError(Rejected, PermissionError):
    """A subject may not do what it asked for; the call was not made.

    Attributes:
        subject: its id; None if nobody was acting.
        permission: what was asked for.
        rule: the entry of the policy that decided; None where no rule allows.
        error: what could not be evaluated; None where all could.
    """

    def __init__(
        self,
        name: str,
        subject: str | None,
        permission: str,
        *,
        rule: str | None = None,
        error: str | None = None,
    ) -> None:
        who = "nobody in particular" if subject is None else repr(subject)
        why = error or (f"by {rule}" if rule else "no rule allows it")
        message = f"access {name!r} denies {permission} to {who}: {why}"
        super().__init__(message, name=name, retry_after=None)
        self.subject = subject
        self.permission = permission
        self.rule = rule
        self.error = error


class StepUpRequiredError(AccessDeniedError):
    """A subject may do what it asked for, once it has proved by a second factor who it is.

    Attributes:
        within: seconds for which such a proof is good for this.
    """

    def __init__(self, name: str, subject: str, permission: str, within: float) -> None:
        error = f"a second factor must have been verified within {within:g} s"
        super().__init__(name, subject, permission, error=error)
        self.within = within


class GrantDeniedError(MobiusError, PermissionError):
    """A subject may not grant or revoke a role.

    Attributes:
        name: the access control's.
        by: who tried.
        subject: whose role it would have been.
        role: the role.
        reason: what the one who tried lacks.
    """

    def __init__(self, name: str, by: str, subject: str, role: str, reason: str) -> None:
        super().__init__(
            f"access {name!r}: {by!r} may not change the role {role!r} of {subject!r}: {reason}"
        )
        self.name = name
        self.by = by
        self.subject = subject
        self.role = role
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRefused(Event):
    """A subject was denied something, by a rule or for lack of one.

    Attributes:
        subject: its id; None if nobody was acting.
        permission: what it asked for.
        rule: the entry of the policy that denies; None where no rule allows.
    """

    subject: str | None
    permission: str
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpRequired(Event):
    """A subject must prove by a second factor who it is before it may do what it may do.

    Attributes:
        subject: its id.
        permission: what it asked for.
        within: seconds for which such a proof is good for this.
    """

    subject: str
    permission: str
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFailed(Event):
    """A decision could not be made, and was therefore a no.

    Attributes:
        subject: its id; None if it could not be told.
        permission: what it asked for.
        error: what could not be evaluated.
    """

    subject: str | None
    permission: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReplaced(Event):
    """Another policy decides from now on.

    Attributes:
        roles: how many it defines.
    """

    roles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRefused(Event):
    """A file's new policy is wrong; the old one still decides.

    Attributes:
        reason: names the entry at fault.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChanged(Event):
    """A role was granted or revoked, by this process.

    Attributes:
        subject: whose role it is.
        role: the role.
        granted: whether the subject has it now.
        by: who did it.
    """

    subject: str
    role: str
    granted: bool
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsLost(Event):
    """What was granted can't be read from the backend; when it is too old, all is denied.

    Attributes:
        reason: what the backend said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsRestored(Event):
    """What was granted is known again."""
