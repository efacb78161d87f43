"""One circuit's part in a fleet: what it owes the others, and what it makes of their decisions.

What is decided here goes to the backend in the background, in order, and is kept until it has
arrived. Only a call that would be a probe waits for an answer, and not for long.
"""

from typing import TYPE_CHECKING
from weakref import ref

from mobius_infra.breaker._state import Change, Mode, Outcome, Permit, Rule, State
from mobius_infra.breaker._votes import Ask, FleetView
from mobius_infra.core import BackendError

if TYPE_CHECKING:
    from mobius_infra.breaker._breaker import CircuitBreaker
    from mobius_infra.breaker._fleet import Fleet

_OPINIONS = ("vote", "withdraw")


class CircuitMember:
    """A circuit and the fleet's decision about it.

    It belongs to its breaker, and holds it weakly: circuits of keys come and go.

    Attributes:
        key: under which the backend keeps the fleet's circuit.
        isolated: the fleet isolated the circuit, and nobody has reset it here.
    """

    __slots__ = (
        "__weakref__", "_alone", "_ask_again_at", "_breaker", "_claims", "_doubts", "_fleet",
        "_generation", "_open", "_owed", "_voted", "isolated", "key",
    )  # fmt: skip

    def __init__(self, fleet: "Fleet", breaker: "CircuitBreaker", key: str) -> None:
        self.key = key
        self.isolated = False
        self._fleet = fleet
        self._breaker = ref(breaker)
        self._generation = 0  # of the last decision that was heard of
        self._open = False  # that decision was to open, and the circuit here is so
        self._alone = False  # it was, and closed here while nobody could be told
        self._doubts = True  # others may have decided since
        self._voted = False
        # The fleet's probe, if it is out here, and those that may be: no answer was heard.
        self._claims: dict[Permit, Ask] = {}
        self._owed: list[Ask] = []
        self._ask_again_at = 0.0

    # What happens here.

    def changed(self, change: Change) -> None:
        """Hear of a change of state: vote, or take the vote back."""
        if change.before is State.ISOLATED:
            self.isolated = False
        if not change.enforced:
            return  # in shadow mode it decides for nobody
        opening = change.opening
        if change.after in (State.CLOSED, State.RECOVERING):
            self._closed()
        elif change.after is State.OPEN and opening is not None and opening.rule is not Rule.FLEET:
            self._alone = False
            if not self._open:
                self._vote(opening.number, change.lasted, opening.reason)

    def settled(self, permit: Permit, outcome: Outcome) -> None:
        """Tell the fleet how its probe ended."""
        breaker, ask = self._breaker(), self._claims.pop(permit, None)
        if breaker is None or ask is None:
            return
        rules = breaker.policy.rules
        took = max(breaker.policy.clock.monotonic() - permit.began, permit.longest)
        slow = rules.slow_after is not None and took > rules.slow_after
        if outcome is Outcome.FAILURE or (slow and outcome is not Outcome.NEUTRAL):
            told = breaker.explain()
            pause = told.probe_in if told.state is State.OPEN and told.probe_in else ask.pause
            reason = f"a probe by {self._fleet.node} failed"
            self._owe(ask._replace(op="fail", pause=pause, reason=reason))
        elif outcome is Outcome.SUCCESS:
            self._owe(ask._replace(op="succeed", needed=rules.successes))
        else:
            self._owe(ask._replace(op="release"))

    async def claim(self, permit: Permit) -> bool:
        """Ask for the fleet's probe; a probe of one's own needs no leave.

        False: another probes. True where the circuit has changed meanwhile: the permit is of an
        older generation then, and the breaker decides anew.
        """
        breaker, fleet = self._breaker(), self._fleet
        if breaker is None or breaker.mode is not Mode.ENABLED or not fleet.connected:
            return True
        now = fleet.clock.monotonic()
        if now < self._ask_again_at:
            return False
        rules, draw = breaker.policy.rules, breaker.policy.draw
        opening = breaker.explain().opening
        number = 1 if opening is None else opening.number
        ask = Ask(
            "claim",
            fleet.token(),
            self._generation,
            seconds=rules.probe_timeout,
            pause=rules.backoff.pause(number + 1, draw()),
        )
        try:
            view = await fleet.ask(self.key, ask)
        except BackendError:
            # It may have been granted all the same: how the probe ends is told by its token.
            self._claims[permit] = ask
            return True
        except BaseException:
            self._owe(ask._replace(op="release"))
            raise
        if view.done:
            self._claims[permit] = ask
            return True
        self._apply(view, ask.generation)
        return not self._must_wait(view, now)

    def leave(self) -> None:
        """Take the vote back and give the probe back: this process says no more."""
        for ask in self._claims.values():
            self._owe(ask._replace(op="release"))
        self._claims.clear()
        if self._voted:
            self._withdraw()
        self._fleet.wake(self)  # what was under way may have been cut off

    def _must_wait(self, view: FleetView, now: float) -> bool:
        if view.phase != "open" or view.generation != self._generation:
            return False
        if view.probing:
            self._ask_again_at = now + min(view.probing, self._fleet.poll)
            return True
        self._force_open(view)  # asked too early, or of an opening that it had not heard of
        return False

    def _closed(self) -> None:
        if self._voted:
            self._withdraw()
        if self._open:
            self._open = False
            self._alone = not self._fleet.connected

    def _withdraw(self) -> None:
        self._forget_opinions()
        self._voted = False
        self._owe(Ask("withdraw", self._fleet.node, self._generation))

    def _vote(self, number: int, pause: float, reason: str) -> None:
        self._forget_opinions()
        self._voted = True
        fleet = self._fleet
        self._owe(
            Ask(
                "vote",
                fleet.node,
                self._generation,
                needed=fleet.quorum,
                number=number,
                seconds=max(fleet.vote_ttl, pause),
                pause=pause,
                reason=f"{reason} at {fleet.node}",
            )
        )

    def _forget_opinions(self) -> None:
        """Only the last one counts: without a backend, they would pile up."""
        self._owed = [ask for ask in self._owed if ask.op not in _OPINIONS]

    def _owe(self, ask: Ask) -> None:
        self._owed.append(ask)
        self._fleet.wake(self)

    # What happens elsewhere.

    def heard(self, generation: int) -> None:
        """Hear that another changed the fleet's circuit, or that its probe has ended."""
        self._ask_again_at = 0.0
        if generation > self._generation:
            self.doubt()

    def doubt(self) -> None:
        """Look again: others may have decided without being heard."""
        self._doubts = True
        self._fleet.wake(self)

    async def sync(self) -> None:
        """Tell what is owed, and look if in doubt.

        Raises:
            BackendError: if the backend failed; what it did not take is still owed.
        """
        while self._owed:
            ask = self._owed[0]
            view = await self._fleet.ask(self.key, ask)
            # Another may have come to its place meanwhile: a vote that was taken back.
            if self._owed and self._owed[0] is ask:
                del self._owed[0]
            await self._take(view, ask.generation)
        if self._doubts:
            self._doubts = False  # after an outage, everyone doubts again
            ask = Ask("look", generation=self._generation)
            await self._take(await self._fleet.ask(self.key, ask), ask.generation)

    async def _take(self, view: FleetView, asked: int) -> None:
        """Follow what the fleet decided, unless this node has found out better meanwhile."""
        if self._alone and view.phase == "open" and view.generation == self._generation:
            view = await self._vouch()
        self._alone = False
        self._apply(view, asked)

    async def _vouch(self) -> FleetView:
        """Claim the probe and give the success that this node had while it was alone."""
        breaker, fleet = self._breaker(), self._fleet
        needed = 1 if breaker is None else breaker.policy.rules.successes
        while True:
            ask = Ask("claim", fleet.token(), self._generation, needed, seconds=fleet.timeout * 4)
            view = await fleet.ask(self.key, ask)
            if not view.done:
                return view
            await fleet.ask(self.key, ask._replace(op="succeed"))

    def _apply(self, view: FleetView, asked: int) -> None:
        """Make the circuit what the fleet's is, if that is news."""
        breaker = self._breaker()
        if breaker is None or view.generation < self._generation:
            if view.generation < asked:
                self._open = False  # the backend forgot: the opening is only this node's now
            return
        newer = view.generation > self._generation
        self._generation = view.generation
        if self.isolated and view.phase != "isolated":
            self.isolated = False
            breaker.reset()
        if view.phase == "open":
            if newer:  # else what closed it here came after: a probe, or a hand
                self._force_open(view)
        elif view.phase == "isolated":
            self._open = False
            if newer and breaker.explain().state is not State.ISOLATED:
                breaker.isolate(view.reason)
                self.isolated = True
                self._fleet.watch(self)
        elif self._open:
            self._open = False
            breaker.force_close()

    def _force_open(self, view: FleetView) -> None:
        breaker = self._breaker()
        if breaker is not None:
            self._open = True
            reason = f"opened by the fleet: {view.reason}"
            breaker.force_open(view.wait, reason=reason, number=view.openings)

    def __repr__(self) -> str:
        open_ = ", open" if self._open else ""
        return f"CircuitMember({self.key!r}, generation={self._generation}{open_})"
