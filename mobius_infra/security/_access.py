"""Who may do what: roles from a policy, grants shared by a fleet, decisions at once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

from mobius_infra.core import (
    Backend,
    Clock,
    ConfigurationError,
    Events,
    SystemClock,
    require,
)
from mobius_infra.security._access_conditions import (
    ConditionError,
    Request,
    Subject,
    Who,
    as_subject,
    id_of,
)
from mobius_infra.security._access_events import (
    AccessDeniedError,
    GrantDeniedError,
    GrantsLost,
    GrantsRestored,
    PolicyRefused,
    PolicyReplaced,
    RoleChanged,
)
from mobius_infra.security._access_explain import Decision, explain
from mobius_infra.security._access_grants import Granted, Grants, changed_by, joined
from mobius_infra.security._access_patterns import parse_permission
from mobius_infra.security._access_requires import Requires, ResourceSource, SubjectSource
from mobius_infra.security._access_stats import AccessStats
from mobius_infra.security._access_tally import Tally
from mobius_infra.security._policy import DENIED, Policy, Ruling, judge
from mobius_infra.security._policy_file import PolicyFile
from mobius_infra.security._policy_follow import Follower
from mobius_infra.security._roles import unknown_role

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_STALE: Final = "what is granted could not be read from the backend"


class Access:
    """Decides who may do what. What no rule allows is denied, and a rule that denies beats all.

        access = Access("bot", PolicyFile("policy.json"), subject=current_user)

        @access.requires("wallet:read", resource="wallet")
        async def balance(wallet: Wallet) -> Decimal: ...

    Args:
        name: labels its numbers and events, and separates its grants in the backend.
        policy: the rules, or the file that holds them.
        subject: the context variable that says who acts, for `requires`: a `Subject`, or an id.
        backend: where roles that are granted are kept, for the fleet; without one, grants are this
            process's, and gone with it. It must be as durable as the roles: one that forgets
            forgets who is suspended, too.
        max_staleness: seconds after which a change has reached every process. One that can't read
            the backend for so long denies everything until it can.
        clock: measures.

    Raises:
        ConfigurationError: if a value can't work, or the file's policy is wrong.
    """

    def __init__(
        self,
        name: str,
        policy: Policy | PolicyFile,
        *,
        subject: SubjectSource | None = None,
        backend: Backend | None = None,
        max_staleness: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        good = not isinstance(max_staleness, bool) and 0 < max_staleness < float("inf")
        require(good, "max_staleness", max_staleness, "a positive number of seconds")
        self.name = name
        self.events = Events()
        self._clock: Clock = clock or SystemClock()
        self._subject = subject
        self._follower: Follower | None = None
        if isinstance(policy, PolicyFile):
            self._follower = Follower(
                policy, replace=self.replace, refused=self._refused_policy, clock=self._clock
            )
            policy = self._follower.first
        require(isinstance(policy, Policy), "policy", policy, "a Policy or a PolicyFile")
        self._policy = policy
        self._granted: Granted = {}
        self._roles: dict[str, tuple[str, ...]] = {}
        self._tally = Tally(name, self.events, self._clock)
        self._reloads = self._refused = 0
        self._grants: Grants | None = None
        if backend is not None:
            self._grants = Grants(
                backend,
                name,
                max_staleness=max_staleness,
                changed=self._hear,
                told=self._tell,
                clock=self._clock,
            )
        self._join()

    def allows(
        self,
        subject: Who,
        permission: str,
        resource: object = None,
        context: Mapping[str, object] = _NOTHING,
    ) -> bool:
        """Say whether a subject may do something.

        Args:
            subject: its id, or a `Subject`; None is nobody, and may do nothing.
            permission: such as `wallet:read`; never a pattern.
            resource: what conditions look at as `resource`.
            context: what they look at as `context`.

        Raises:
            ConfigurationError: if `permission` is no permission, or `subject` no subject.
        """
        ruling = self._decide(subject, permission, resource, context)
        if ruling.allowed:
            self._tally.allowed += 1
            return True
        self._tally.deny(subject, permission, ruling)
        return False

    def check(
        self,
        subject: Who,
        permission: str,
        resource: object = None,
        context: Mapping[str, object] = _NOTHING,
        *,
        mfa: float | None = None,
    ) -> None:
        """Return if a subject may do something; as `allows` in everything else.

        Args:
            subject: as for `allows`.
            permission: likewise.
            resource: likewise.
            context: likewise.
            mfa: seconds; the subject must have proved by a second factor who it is, and no longer
                ago than that, see `Subject.verified_at`.

        Raises:
            AccessDeniedError: if it may not.
            StepUpRequiredError: if it might, but for `mfa`.
        """
        ruling = self._decide(subject, permission, resource, context)
        if not ruling.allowed:
            raise self._tally.refuse(subject, permission, ruling)
        if mfa is not None:
            self._tally.require_proof(subject, permission, mfa)
        self._tally.allowed += 1

    def explain(
        self,
        subject: Who,
        permission: str,
        resource: object = None,
        context: Mapping[str, object] = _NOTHING,
    ) -> Decision:
        """Return the decision with its reasons; it is neither counted nor told of."""
        ruling = self._decide(subject, permission, resource, context)
        asked = None if subject is None else as_subject(subject)
        roles = () if asked is None else self._roles_of(asked)
        request = None if asked is None else Request(asked, permission, resource, context)
        return explain(self._policy, roles, permission, request, ruling)

    def requires(
        self,
        permission: str,
        *,
        resource: ResourceSource | None = None,
        subject: SubjectSource | None = None,
        mfa: float | None = None,
    ) -> Requires:
        """Return a decorator that raises `AccessDeniedError` instead of calling.

        Args:
            permission: what the call takes.
            resource: the parameter that is the resource, or a path from one such as
                `message.chat`; or a function, sync or async, that takes the call's arguments.
            subject: the parameter that says who acts, or a path from one, or a context variable;
                the constructor's if None.
            mfa: seconds; the subject must have proved by a second factor who it is, and no longer
                ago than that. If not, `StepUpRequiredError` is raised: ask for a code, then
                `Sessions.rotate(token, verified=True)`. The subject must be a `Subject`, such as
                `Session.subject`.
        """
        who = self._subject if subject is None else subject
        return Requires(self, permission, who, resource, mfa)

    def failed(self, subject: Who, permission: str, error: str) -> AccessDeniedError:
        """Count and tell of a decision that could not be made; return the error to raise."""
        return self._tally.refuse(subject, permission, Ruling(False, None, error))

    def _decide(
        self, who: Who, permission: str, resource: object, context: Mapping[str, object]
    ) -> Ruling:
        if who is None:
            parse_permission(permission)
            return DENIED
        policy = self._policy
        try:
            if self._grants is not None and not self._grants.fresh:
                return Ruling(False, None, _STALE)
            if type(who) is str and who:
                roles = self._roles.get(who, policy.default)
            else:
                who = as_subject(who)
                roles = self._roles_of(who)
            plan = policy.plan(roles, permission)
        except ConditionError as error:
            return Ruling(False, None, error.reason)
        if plan.fixed is not None:
            return plan.fixed
        return judge(plan, Request(as_subject(who), permission, resource, context))

    def _roles_of(self, subject: Subject) -> tuple[str, ...]:
        roles = self._roles.get(subject.id, self._policy.default)
        return tuple(sorted({*roles, *subject.roles})) if subject.roles else roles

    def roles_of(self, subject: Subject | str | int) -> tuple[str, ...]:
        """Return the roles that a subject has, those that come by inheritance left out."""
        return self._roles_of(as_subject(subject))

    async def grant(self, subject: str | int, role: str, *, by: Who) -> bool:
        """Give a role to a subject; return whether it is news.

        Args:
            subject: its id.
            role: a role of the policy.
            by: who grants. He needs the permission `role:grant:NAME`, and all that the role
                allows: nobody grants what he lacks. The first are named in the policy.

        Raises:
            GrantDeniedError: if he may not.
            ConfigurationError: if there is no such role.
            BackendError: if the backend failed; the grant may or may not have been made.
        """
        return await self._change(subject, role, by, giving=True)

    async def revoke(self, subject: str | int, role: str, *, by: Who) -> bool:
        """Take a granted role from a subject; return whether he had it.

        A role that the policy names him for can't be revoked, only written out of the policy.

        Args:
            subject: its id.
            role: a role of the policy, or one that is not there any more.
            by: who revokes. He needs the permission `role:revoke:NAME`; and if the role denies
                something, he must have that: nobody ends his own suspension.

        Raises:
            GrantDeniedError: if he may not.
            ConfigurationError: if `role` is no name.
            BackendError: if the backend failed; the role may or may not have been revoked.
        """
        return await self._change(subject, role, by, giving=False)

    async def _change(self, subject: str | int, role: str, by: Who, *, giving: bool) -> bool:
        whose = as_subject(subject).id
        if giving and role not in self._policy.roles:
            raise unknown_role("role", role, self._policy.roles)
        permission = f"role:{'grant' if giving else 'revoke'}:{role}"
        parse_permission(permission, "role")

        def step(granted: Granted) -> Granted | None:
            self._may_change(whose, role, by, permission, giving=giving)
            return changed_by(granted, whose, role, giving=giving)

        if self._grants is not None:
            changed = await self._grants.change(step)
        else:
            made = step(self._granted)
            changed = made is not None
            self._hear(self._granted if made is None else made)
        if changed:
            who = id_of(by) or ""
            at = self._clock.time()
            self.events.emit(
                RoleChanged(
                    source=self.name, at=at, subject=whose, role=role, granted=giving, by=who
                )
            )
        return changed

    def _may_change(self, whose: str, role: str, by: Who, permission: str, *, giving: bool) -> None:
        # What was granted has just been read: `_hear` comes before the step of a change.
        ruling = self._decide(by, permission, None, _NOTHING)
        lacks = None if ruling.allowed else permission
        if by is not None and ruling.allowed and role in self._policy.roles:
            lacks = self._policy.lacks(self.roles_of(by), role, giving=giving)
        if lacks is None:
            return
        if not ruling.allowed:
            self._tally.deny(by, permission, ruling)
        raise GrantDeniedError(self.name, id_of(by) or "nobody", whose, role, f"lacks {lacks}")

    def _hear(self, granted: Granted) -> None:
        self._granted = granted
        self._join()

    def _join(self) -> None:
        """Put together who has which roles; one assignment, so that no decision sees half."""
        self._roles = joined(self._policy, self._granted)

    def _tell(self, reason: str | None) -> None:
        at = self._clock.time()
        if reason is None:
            self.events.emit(GrantsRestored(source=self.name, at=at))
        else:
            self.events.emit(GrantsLost(source=self.name, at=at, reason=reason))

    @property
    def policy(self) -> Policy:
        """The rules that decide now."""
        return self._policy

    def replace(self, policy: Policy) -> None:
        """Let another policy decide from now on."""
        require(isinstance(policy, Policy), "policy", policy, "a Policy")
        self._policy = policy
        self._join()
        self._reloads += 1
        at = self._clock.time()
        self.events.emit(PolicyReplaced(source=self.name, at=at, roles=len(policy.roles)))

    async def reload(self) -> bool:
        """Read the policy's file again; return whether its policy is another.

        Raises:
            ConfigurationError: naming the entry at fault; the old policy still decides.
        """
        if self._follower is None:
            raise ConfigurationError("policy", self._policy, "a PolicyFile, to be read again")
        return await self._follower.reload()

    def _refused_policy(self, reason: str) -> None:
        self._refused += 1
        self.events.emit(PolicyRefused(source=self.name, at=self._clock.time(), reason=reason))

    async def __aenter__(self) -> Self:
        """Follow the policy's file and the fleet's grants from now on."""
        if self._grants is not None:
            await self._grants.start()
        if self._follower is not None:
            self._follower.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Follow no more; with a backend, everything is denied from now on."""
        if self._follower is not None:
            await self._follower.close()
        if self._grants is not None:
            await self._grants.close()

    def stats(self) -> AccessStats:
        """Return the counts as they are now."""
        return AccessStats(
            allowed=self._tally.allowed,
            denied=self._tally.denied,
            errors=self._tally.errors,
            reloads=self._reloads,
            refused=self._refused,
            subjects=len(self._roles),
            grants=self._grants_state,
        )

    @property
    def _grants_state(self) -> str:
        if self._grants is None:
            return "local"
        return "known" if self._grants.fresh else "stale"

    def __repr__(self) -> str:
        return f"Access({self.name!r}, {self._policy!r}, grants={self._grants_state!r})"
