"""Who does too much gets an answer: slow down, prove who you are, stay out for a while."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, Self

from mobius_infra.core import Backend, Clock, Events, SystemClock, require
from mobius_infra.security._baseline import Baseline
from mobius_infra.security._blocklist import Blocklist
from mobius_infra.security._blocklist_names import Name, read_name, subjects_of
from mobius_infra.security._blocklist_steps import (
    FOREVER,
    Block,
    Terms,
    next_block,
    require_positive,
)
from mobius_infra.security._blocklist_text import read_list, write_list
from mobius_infra.security._risk import SEVERITY, Grades, answer_to
from mobius_infra.security._scenario import Activity, Scenario
from mobius_infra.security._threat_allowed import Allowed, Users
from mobius_infra.security._threat_answers import Explanation, Standing, ThreatStats
from mobius_infra.security._threat_book import Book
from mobius_infra.security._threat_events import (
    BlockedByHand,
    BlockLifted,
    BlocksImported,
    Evidence,
    ThreatDecided,
)
from mobius_infra.security._threat_explain import explain
from mobius_infra.security._threat_guard import Guarded, OnError, Source
from mobius_infra.security._threat_refusals import Refusals
from mobius_infra.security._threat_watch import Offence, Watch

Mode = Literal["observe", "block"]

_CALM: Final = Standing()


class ThreatDetector:
    """Judges users, addresses and chats by what they do.

        threats = ThreatDetector("bot", [failed_logins(), probing()], users=admins)

        @threats.guarded(user="message.from_user.id")
        async def handle(message: Message) -> None: ...

    Args:
        name: labels its numbers and events, and separates its blocks in the backend.
        scenarios: what is too much.
        baseline: how much more than usual is too much; None: no usual is learned.
        grades: which risk gets which answer.
        terms: how long blocks last.
        users: ids that are never refused, or a function that says of an id whether it is; it must
            not raise.
        networks: addresses and ranges that are never refused for being those. A user who comes
            from there may be.
        mode: `block`, or `observe`: nobody is refused but who is blocked by hand.
        max_subjects: subjects watched at most.
        max_blocks: blocks at most.
        backend: shares blocks with the fleet, while `async with threats:` lasts.
        clock: measures.

    Raises:
        ConfigurationError: if a value can't work.
    """

    __slots__ = (
        "_allowed", "_book", "_clock", "_decisions", "_find", "_fired", "_graded", "_grades",
        "_ignored", "_list", "_mode", "_refusals", "_reported", "_spared", "_terms", "_time",
        "_watch", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        scenarios: Sequence[Scenario],
        *,
        baseline: Baseline | None = None,
        grades: Grades | None = None,
        terms: Terms | None = None,
        users: Users = (),
        networks: Iterable[str] = (),
        mode: Mode = "block",
        max_subjects: int = 10_000,
        max_blocks: int = 100_000,
        backend: Backend | None = None,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "text that is not empty")
        require(mode in ("observe", "block"), "mode", mode, "'observe' or 'block'")
        for field, most in (("max_subjects", max_subjects), ("max_blocks", max_blocks)):
            require(type(most) is int and most > 0, field, most, "a positive whole number")
        names = [scenario.name for scenario in scenarios]
        good = len(set(names)) == len(names) and "baseline" not in names
        require(good, "scenarios", names, "of different names, none of them 'baseline'")
        self.name = name
        self.events = Events()
        self._clock = clock = clock or SystemClock()
        self._grades = grades or Grades()
        self._terms = terms or Terms()
        self._mode = mode
        self._allowed = Allowed(users, networks)
        self._book = Book(max_subjects, self._grades)
        self._watch = Watch(scenarios, baseline, self._book)
        self._graded = self._book.graded
        self._list = Blocklist(
            name, most=max_blocks, forget=self._terms.forget, backend=backend, events=self.events,
            clock=clock,
        )  # fmt: skip
        self._time = self._list.time
        self._find = self._list.table.find
        self._refusals = Refusals(name, self.events, self._time, enforced=mode == "block")
        self._reported = self._spared = self._ignored = 0
        self._decisions: dict[str, int] = {}
        self._fired: dict[str, int] = {}

    def report(self, activity: Activity) -> tuple[Evidence, ...]:
        """Say what somebody did; return what was too much with it.

        What allowed users do, and what is done by or from where it is blocked, is not looked at.
        """
        self._reported += 1
        if activity.user is not None and self._allowed.user(activity.user):
            self._spared += 1
            return ()
        ip = activity.ip
        if ip is not None and self._allowed.ip(ip) is not None:
            ip = None
        if self._find(activity.user, ip, activity.chat) is not None:
            self._ignored += 1
            return ()
        now = self._clock.monotonic()
        subjects = subjects_of(activity.user, ip, activity.chat)
        offences = self._watch.offences(activity, subjects, now)
        return tuple(self._judge(offence, now) for offence in offences)

    def _judge(self, offence: Offence, now: float) -> Evidence:
        """Add to a subject's risk, and choose the answer."""
        subject, scenario, risk, seen = offence
        at = self._time()
        evidence = Evidence(scenario, at, risk, seen)
        track = self._book.track(subject, now)
        track.evidence.append(evidence)
        total = track.risk(now, self._grades) + risk
        answer = answer_to(total, self._grades)
        block = None
        if answer == "block":
            held = self._list.table.get(subject)
            reason = f"{scenario} in {self.name}"
            block = next_block(held, at, self._terms, subject, reason) or held
        # A block settles the risk: its end is a new beginning, but for the length of the next.
        track.set_risk(0.0 if answer == "block" else total, now)
        self._book.grade(subject, "observe" if answer == "block" else answer)
        enforced = self._mode == "block"
        if block is not None and enforced:
            self._list.put(block)
        self._fired[scenario] = self._fired.get(scenario, 0) + 1
        self._decisions[answer] = self._decisions.get(answer, 0) + 1
        self.events.emit(
            ThreatDecided(
                source=self.name,
                at=at,
                subject=subject,
                answer=answer,
                risk=total,
                evidence=evidence,
                seconds=None if block is None else block.until - block.since,
                times=0 if block is None else block.times,
                enforced=enforced,
            )
        )
        return evidence

    def calm(
        self, user: str | int | None = None, ip: str | None = None, chat: str | int | None = None
    ) -> bool:
        """Say whether there is nothing against these for certain: what nearly all calls come to."""
        return not self._graded and self._find(user, ip, chat) is None

    def check(
        self,
        *,
        user: str | int | None = None,
        ip: str | None = None,
        chat: str | int | None = None,
    ) -> Standing:
        """Say how somebody stands, without counting it as a call."""
        return _CALM if self.calm(user, ip, chat) else self._stand(user, ip, chat)

    def _stand(self, user: str | int | None, ip: str | None, chat: str | int | None) -> Standing:
        now = self._clock.monotonic()
        self._book.tidy(now)
        subjects = subjects_of(user, ip, chat)
        if self._graded.keys().isdisjoint(subjects.values()) and not self._find(user, ip, chat):
            return _CALM  # before it is asked whether he is allowed, which may take longer
        if user is not None and self._allowed.user(user):
            return _CALM
        if ip is not None and self._allowed.ip(ip) is not None:
            ip = None
            subjects.pop("ip", None)
        block = self._find(user, ip, chat)
        if block is not None:
            left = block.until - self._time()
            after = None if left == FOREVER else left
            return Standing("block", block.subject, 0.0, block, after)
        worst = _CALM
        for subject in subjects.values():
            track = self._graded.get(subject)
            if track is not None:
                risk = track.risk(now, self._grades)
                answer = answer_to(risk, self._grades)
                self._book.grade(subject, answer)
                if SEVERITY[answer] > SEVERITY[worst.answer]:
                    worst = Standing(answer, subject, risk)
        return worst

    def demand(
        self,
        *,
        user: str | int | None = None,
        ip: str | None = None,
        chat: str | int | None = None,
        verified: object = False,
    ) -> Standing:
        """Return how somebody stands who makes a call, if it may be made.

        Args:
            user: who makes it.
            ip: from which address.
            chat: in which chat.
            verified: whether a second factor was shown.

        Raises:
            ThreatRefusedError: if he is blocked, must show a second factor, or was let through a
                moment ago while he is throttled.
        """
        standing = self.check(user=user, ip=ip, chat=chat)
        answer, subject = standing.answer, standing.subject
        if subject is None:
            return standing
        after = standing.retry_after
        if answer != "block":
            if self._mode == "observe" or (answer == "step_up" and verified):
                return standing
            if answer == "throttle":
                track, now = self._graded[subject], self._clock.monotonic()
                after = track.let_through + self._grades.pause - now
                if after <= 0:
                    track.let_through = now
                    return standing
        raise self._refusals.refuse(subject, answer, after)

    def guarded(
        self,
        *,
        user: Source | None = None,
        ip: Source | None = None,
        chat: Source | None = None,
        verified: Source | None = None,
        on_error: OnError = "refuse",
    ) -> Guarded:
        """Return a decorator that raises `ThreatRefusedError` instead of calling; see `demand`.

        None is nobody, also on the way: a channel's post has no `from_user`. An exception, or what
        is neither text nor a whole number, is counted as an error and told of by `GuardFailed`.

        Args:
            user: the parameter that says who calls, or a path from one such as
                `message.from_user.id`; or a function of the call's arguments.
            ip: the same for the address.
            chat: the same for the chat.
            verified: the same for whether a second factor was shown; after an error, none was.
            on_error: `refuse` the call, or let it `pass` as far as the rest of who makes it may.
                In the mode `observe` it passes.
        """
        sources = {"user": user, "ip": ip, "chat": chat, "verified": verified}
        return Guarded(self, self._refusals, sources, on_error)

    def block(self, subject: str, *, seconds: float | None = None, reason: str) -> None:
        """Block a subject by hand. If it is blocked already, the longer block stays.

        Args:
            subject: `user:7`, `chat:-100`, an address or a range.
            seconds: for how long; None: until it is lifted.
            reason: why, for people.

        Raises:
            ConfigurationError: if it is no subject, or is one that is never refused.
        """
        name = read_name(subject)
        allowed = self._allowed.why(name)
        require(allowed is None, "subject", subject, f"one that may be refused: it is {allowed}")
        self._block([name], seconds, reason)
        at = self._time()
        self.events.emit(
            BlockedByHand(
                source=self.name, at=at, subject=name.text, seconds=seconds, reason=reason
            )
        )

    def _block(self, names: Iterable[Name], seconds: float | None, reason: str) -> None:
        if seconds is not None:
            require_positive("seconds", seconds)
        require(isinstance(reason, str), "reason", reason, "text")
        now = self._time()
        until = FOREVER if seconds is None else now + seconds
        for name in names:
            self._list.put(Block(name.text, now, until, 1, reason))

    def unblock(self, subject: str) -> bool:
        """End a subject's block and forget what it did; return whether there was a block.

        An address that is in a blocked range stays blocked by that.

        Raises:
            ConfigurationError: if it is no subject.
        """
        name = read_name(subject).text
        self._book.pop(name)
        if self._list.lift(name) is None:
            return False
        self.events.emit(BlockLifted(source=self.name, at=self._time(), subject=name))
        return True

    def import_blocks(self, text: str, *, seconds: float | None = None, reason: str) -> int:
        """Block all of a list, one address, range or subject a line; return how many.

        Allowed users and networks that are in it stay allowed.

        Raises:
            ConfigurationError: naming the line that is none; then none is blocked.
        """
        names = read_list(text)
        self._block(names, seconds, reason)
        self.events.emit(
            BlocksImported(source=self.name, at=self._time(), count=len(names), reason=reason)
        )
        return len(names)

    def export_blocks(self) -> str:
        """Return the blocks that last now, one a line."""
        return write_list(self.blocks())

    def blocks(self) -> list[Block]:
        """Return the blocks that last now."""
        now = self._time()
        return [block for block in self._list.table if block.until > now]

    def explain(self, subject: str) -> Explanation:
        """Say what is known of a subject in this process, and what is done about it.

        Raises:
            ConfigurationError: if it is no subject.
        """
        return explain(
            read_name(subject),
            book=self._book,
            table=self._list.table,
            allowed=self._allowed,
            grades=self._grades,
            now=self._clock.monotonic(),
            time=self._time(),
        )

    def stats(self) -> ThreatStats:
        """Return its numbers as they are now."""
        return ThreatStats(
            reported=self._reported,
            spared=self._spared,
            ignored=self._ignored,
            decisions=dict(self._decisions),
            scenarios=dict(self._fired),
            refused=dict(self._refusals.answers),
            errors=self._refusals.errors,
            forgotten=self._book.forgotten,
            subjects=len(self._book),
            blocks=len(self._list.table),
            blocklist=self._list.state,
        )

    async def __aenter__(self) -> Self:
        """Share blocks with the fleet from now on."""
        await self._list.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Share no more; the blocks that are known stay."""
        await self._list.close()

    def __repr__(self) -> str:
        return f"ThreatDetector({self.name!r}, mode={self._mode!r}, blocks={len(self._list.table)})"
