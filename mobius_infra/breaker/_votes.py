"""What a fleet has decided about one circuit: a pure step, the same in Python and in Lua.

Whatever comes in, what time alone has decided is done first, as of the moment when it was due: a
probe whose lease has ended failed, an isolation that ran its time closes, a vote that ran out is
gone. Then:

| `op` | when | what it does |
|---|---|---|
| `look` | always | nothing |
| `vote` | closed | stands for `seconds`; the one that makes `needed` opens the circuit |
| `withdraw` | closed | takes the vote back |
| `claim` | open, its pause over, nobody probes | grants the one probe, for `seconds` |
| `succeed` | by who probes | counts; the one that makes `needed` closes the circuit |
| `fail` | by who probes | opens it again, for `pause` |
| `release` | by who probes | gives the probe back, and says nothing |
| `isolate` | always | rejects everything for `seconds`, whatever is voted |
| `reset` | always | closes the circuit |

Each change begins a new generation. What is asked from an older one changes nothing: the answer
says what the circuit is now. Generations are microseconds of the backend's time, so they grow
also where the old state has been forgotten.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from importlib.resources import files
from math import floor
from typing import Final, Literal, NamedTuple

from mobius_infra.core import Outcome, Script, State

Op = Literal["look", "vote", "withdraw", "claim", "succeed", "fail", "release", "isolate", "reset"]
Phase = Literal["closed", "open", "isolated"]

KEPT: Final = 3600.0
"""Seconds for which a circuit is remembered after all that it waits for has passed.

Forgotten, it is closed and of no generation. Longer than any settlement or vote is under way."""


class Ask(NamedTuple):
    """What is asked of the step; each `op` reads what it needs.

    Attributes:
        op: what to do.
        who: the node that votes, or the token of the probe.
        generation: that the asker believes in.
        needed: votes to open, or successes to close.
        number: of the voter's own opening: how many in a row.
        seconds: that a vote, a probe's lease or an isolation lasts.
        pause: seconds to open for: the voter's own; after a claim's lease ends; after a failure.
        reason: in words.
    """

    op: Op
    who: str = ""
    generation: int = 0
    needed: int = 1
    number: int = 1
    seconds: float = 0.0
    pause: float = 0.0
    reason: str = ""


class FleetView(NamedTuple):
    """The circuit as it is after the step.

    Attributes:
        done: what was asked was done.
        moved: a new generation has begun, or a probe has ended: others should hear of it.
        phase: what the fleet does with calls.
        generation: of that decision.
        openings: in a row, without having closed.
        wait: seconds until a probe may be claimed, or until the isolation ends.
        probing: seconds that are left of a probe's lease; 0 if nobody probes.
        votes: that stand; of an open circuit, those that opened it.
        reason: of the opening or the isolation, in words.
    """

    done: bool
    moved: bool
    phase: Phase
    generation: int
    openings: int
    wait: float
    probing: float
    votes: int
    reason: str


@dataclass(slots=True)
class _Vote:
    node: str
    expires: float
    number: int
    pause: float


class _Circuit:
    """The state with names. Kept as one flat list, in this order, four values for each vote."""

    __slots__ = (
        "generation", "lease", "lost", "newer", "openings", "phase", "probe", "reason",
        "successes", "until", "votes",
    )  # fmt: skip

    def __init__(self, state: State, now: float, known: int) -> None:
        self.phase: Phase
        self.probe: str  # the token of who probes
        self.lease: float  # when its lease ends
        self.lost: float  # seconds to open for if it does
        (
            self.phase, self.generation, self.openings, self.until, self.reason,
            self.probe, self.lease, self.lost, self.successes, *votes,
        ) = state  # fmt: skip
        self.votes = [_Vote(*votes[at : at + 4]) for at in range(0, len(votes), 4)]
        # Above all that anybody has heard of, also if the backend forgot or its clock went back.
        self.newer = max(floor(now * 1_000_000), self.generation + 1, known + 1)

    def enter(self, phase: Phase, openings: int = 0, until: float = 0.0, reason: str = "") -> None:
        self.phase, self.openings, self.until, self.reason = phase, openings, until, reason
        self.generation = self.newer
        self.newer += 1
        self.successes = 0
        self.free()
        if phase != "open":
            self.votes = []

    def free(self) -> None:
        self.probe, self.lease, self.lost = "", 0.0, 0.0

    def catch_up(self, now: float) -> None:
        if self.probe and now >= self.lease:
            self.enter("open", self.openings + 1, self.lease + self.lost, "a probe was lost")
        elif self.phase == "isolated" and now >= self.until:
            self.enter("closed")
        elif self.phase == "closed":
            self.votes = [vote for vote in self.votes if now < vote.expires]

    def written(self) -> State:
        state: State = [
            self.phase, self.generation, self.openings, self.until, self.reason,
            self.probe, self.lease, self.lost, self.successes,
        ]  # fmt: skip
        for vote in self.votes:
            state += astuple(vote)
        return state


_NEW: Final = ("closed", 0, 0, 0.0, "", "", 0.0, 0.0, 0)


def step(
    state: State | None,
    now: float,
    op: Op,
    who: str,
    generation: int,
    needed: int,
    number: int,
    seconds: float,
    pause: float,
    reason: str,
    /,
) -> Outcome[FleetView]:
    """Do what `Ask` says to a circuit; what it says is not to be done leaves it as it is."""
    circuit = _Circuit(list(_NEW) if state is None else state, now, generation)
    before, probe = circuit.generation, circuit.probe
    circuit.catch_up(now)
    ask = Ask(op, who, generation, needed, number, seconds, pause, reason)
    done = op in _OPS and _OPS[op](circuit, now, ask)
    moved = circuit.generation != before or (probe != "" and circuit.probe == "")
    view = FleetView(
        done, moved, circuit.phase, circuit.generation, circuit.openings,
        max(circuit.until - now, 0.0), max(circuit.lease - now, 0.0), len(circuit.votes),
        circuit.reason,
    )  # fmt: skip
    if circuit.generation == 0 and not circuit.votes:
        return None, view, None  # nothing has ever happened, and a look writes nothing
    last = max([circuit.until, circuit.lease, *(vote.expires for vote in circuit.votes)])
    return circuit.written(), view, KEPT + max(last - now, 0.0)


def _vote(circuit: _Circuit, now: float, ask: Ask) -> bool:
    if circuit.phase != "closed" or ask.generation < circuit.generation:
        return False
    _withdraw(circuit, now, ask)
    votes = circuit.votes
    votes.append(_Vote(ask.who, now + ask.seconds, ask.number, ask.pause))
    if len(votes) >= ask.needed:
        # As the least alarmed of them: one that has long been failing alone doesn't decide for all.
        number, pause = min(vote.number for vote in votes), min(vote.pause for vote in votes)
        circuit.enter("open", number, now + pause, ask.reason)
    return True


def _withdraw(circuit: _Circuit, _now: float, ask: Ask) -> bool:
    if circuit.phase != "closed":
        return False
    before = len(circuit.votes)
    circuit.votes = [vote for vote in circuit.votes if vote.node != ask.who]
    return len(circuit.votes) < before


def _claim(circuit: _Circuit, now: float, ask: Ask) -> bool:
    if circuit.phase != "open" or circuit.generation != ask.generation:
        return False
    if circuit.probe or now < circuit.until:
        return False
    circuit.probe, circuit.lease, circuit.lost = ask.who, now + ask.seconds, ask.pause
    return True


def _settle(circuit: _Circuit, now: float, ask: Ask) -> bool:
    if not circuit.probe or (circuit.probe, circuit.generation) != (ask.who, ask.generation):
        return False
    circuit.free()
    if ask.op == "fail":
        circuit.enter("open", circuit.openings + 1, now + ask.pause, ask.reason)
    elif ask.op == "succeed":
        circuit.successes += 1
        if circuit.successes >= ask.needed:
            circuit.enter("closed")
    return True


def _isolate(circuit: _Circuit, now: float, ask: Ask) -> bool:
    circuit.enter("isolated", 0, now + ask.seconds, ask.reason)
    return True


def _reset(circuit: _Circuit, _now: float, _ask: Ask) -> bool:
    circuit.enter("closed")
    return True


_OPS: Final[dict[str, Callable[[_Circuit, float, Ask], bool]]] = {
    "vote": _vote,
    "withdraw": _withdraw,
    "claim": _claim,
    "succeed": _settle,
    "fail": _settle,
    "release": _settle,
    "isolate": _isolate,
    "reset": _reset,
}  # `look` does nothing

VOTES = Script("circuit_votes", step, files(__package__).joinpath("votes.lua"))
