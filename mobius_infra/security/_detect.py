"""Screening: what a text would do if somebody down the line were careless with it.

A signal, not a wall. Parameterised queries and escaping at output stay the fix; this tells you that
somebody is trying, and can turn him away from the fields where no honest value looks so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import (
    Clock,
    ConfigurationError,
    Event,
    Events,
    Rejected,
    Stats,
    SystemClock,
    counter,
    require,
)
from mobius_infra.security._commands import find_command
from mobius_infra.security._others import find_others
from mobius_infra.security._paths import find_path
from mobius_infra.security._rules import CRITICAL, Finder, Rule
from mobius_infra.security._sql import find_sql
from mobius_infra.security._strict import find_strict
from mobius_infra.security._views import LONGEST, views
from mobius_infra.security._xss import find_xss

Mode = Literal["observe", "block"]
Sink = Literal["chat_text", "identifier", "path", "url", "html", "sql", "shell", "template", "any"]

# What can do harm where: a message for people is escaped where it is shown, and quotes code.
_EVERYTHING = frozenset(
    "sqli xss xxe path command template header nosql ldap prompt size".split()  # noqa: SIM905
)
SINKS: Mapping[Sink, frozenset[str]] = {
    "any": _EVERYTHING,
    "chat_text": _EVERYTHING,
    "identifier": _EVERYTHING,
    "path": frozenset({"path", "command", "header", "template", "size"}),
    "url": frozenset({"path", "xss", "header", "command", "sqli", "template", "size"}),
    "html": frozenset({"xss", "xxe", "template", "size"}),
    "sql": frozenset({"sqli", "nosql", "size"}),
    "shell": frozenset({"command", "path", "size"}),
    "template": frozenset({"template", "xss", "size"}),
}
# Nobody can tell an instruction to a model from talk about one.
_NEVER_BLOCKS = frozenset({"prompt"})

_TOO_LONG = Rule("size.length", "size", CRITICAL, f"more than {LONGEST} characters: not read")

_FINDERS: tuple[Finder, ...] = (find_sql, find_xss, find_path, find_command, find_others)
_STRICTER: tuple[Finder, ...] = (*_FINDERS, find_strict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        rule: the rule's id, as `sqli.union`.
        attack: the class of attack: `sqli`, `xss`, `path`, `command`, `template`, ...
        view: the reading of the text in which it showed: `raw`, `percent`, `entities`, ...
        span: where in that reading, from and to.
        score: what it adds to the score of its class.
        why: what was seen, in words.
    """

    rule: str
    attack: str
    view: str
    span: tuple[int, int]
    score: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What screening one text said.

    Attributes:
        text: the text, as it came.
        field: the field that it came in.
        sink: where it is going.
        findings: what was found, the highest scores first.
        score: that of the class with the highest sum; each rule counts once.
        suspicious: whether the score reaches the threshold, in a class that matters to the sink.
        blocked: whether it is to be turned away: suspicious, and the mode of the field is `block`.
    """

    text: str
    field: str
    sink: Sink
    findings: tuple[Finding, ...]
    score: int
    suspicious: bool
    blocked: bool

    def __repr__(self) -> str:
        rules = ", ".join(finding.rule for finding in self.findings) or "clean"
        return f"Verdict({self.field!r}, score={self.score}, blocked={self.blocked}: {rules})"


class ScreenedError(Rejected):
    """A text was turned away.

    Attributes:
        verdict: why. The message names rules and never repeats the text.
    """

    def __init__(self, name: str, verdict: Verdict) -> None:
        rules = ", ".join(finding.rule for finding in verdict.findings)
        super().__init__(
            f"{name} turned away the field {verdict.field!r}: {rules}", name=name, retry_after=None
        )
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected(Event):
    """A text reached the threshold; `verdict.blocked` says whether it was turned away."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class DetectorStats(Stats):
    """Numbers of a `Detector`."""

    screened: int = counter("Texts screened")
    suspicious: int = counter("Texts that reached the threshold")
    blocked: int = counter("Texts turned away")
    would_have_blocked: int = counter("Texts that only the mode `observe` let pass")
    findings: Mapping[str, int] = counter("Findings that counted, by class", label="attack")


def inspect_text(text: str, *, level: int = 1) -> tuple[Finding, ...]:
    """Find what any rule up to the paranoia level sees in any view of `text`: the pure step.

    A rule is reported once, in the first view that shows it. Text longer than 16,384 characters is
    not read but reported as such, in constant time.
    """
    if len(text) > LONGEST:
        return (_finding(_TOO_LONG, "raw", 0, len(text)),)
    found: dict[str, Finding] = {}
    for view in views(text):
        for find in _FINDERS if level == 1 else _STRICTER:
            for rule, start, end in find(view.text):
                if rule.level <= level and rule.id not in found:
                    found[rule.id] = _finding(rule, view.name, start, end)
    return tuple(sorted(found.values(), key=lambda finding: -finding.score))


def _finding(rule: Rule, view: str, start: int, end: int) -> Finding:
    return Finding(rule.id, rule.attack, view, (start, end), rule.score, rule.why)


class Detector:
    """Screen texts for attacks, and say why.

        screen = Detector("screen", block={"username"}, allow={"bio": {"xss"}})
        verdict = screen.check(message.text, field="text", sink="chat_text")

    Args:
        name: labels its numbers and events.
        level: the paranoia level, 1 to 4, as in the OWASP Core Rule Set: more rules, more of them
            wrong. Level 1 is for everybody, 2 for fields that nobody writes prose in, 3 and 4 for
            those that hold a number or a name.
        threshold: the score from which on a text is suspicious; 5 is one critical rule.
        mode: `observe` (the default) reports and lets pass; `block` turns away.
        block: fields, and sinks, that are blocked whatever the mode; start with those that only
            hold identifiers.
        allow: by field, classes (`xss`) or rules (`xss.handler`) that are fine there.
        clock: stamps events.
    """

    __slots__ = (
        "_allow", "_block", "_blocked", "_clock", "_events", "_findings", "_level", "_mode",
        "_name", "_screened", "_suspicious", "_threshold", "_would",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        level: int = 1,
        threshold: int = 5,
        mode: Mode = "observe",
        block: Iterable[str] = (),
        allow: Mapping[str, Iterable[str]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name that is not empty")
        require(type(level) is int and 1 <= level <= 4, "level", level, "1, 2, 3 or 4")
        require(type(threshold) is int and threshold >= 1, "threshold", threshold, "1 or more")
        require(mode in ("observe", "block"), "mode", mode, "'observe' or 'block'")
        require(not isinstance(block, str), "block", block, "a collection of fields and sinks")
        self._name = name
        self._level = level
        self._threshold = threshold
        self._mode = mode
        self._block = frozenset(block)
        self._allow = {field: _allowed(field, what) for field, what in (allow or {}).items()}
        self._clock = clock or SystemClock()
        self._events = Events()
        self._screened = self._suspicious = self._blocked = self._would = 0
        self._findings: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    @property
    def events(self) -> Events:
        """Where `Suspected` is sent."""
        return self._events

    def check(self, text: str, *, field: str = "text", sink: Sink = "any") -> Verdict:
        """Screen one text, and count and report what is found. Never raises because of it.

        Raises:
            ConfigurationError: if the sink is not one of `SINKS`.
        """
        if sink not in SINKS:
            raise ConfigurationError("sink", sink, f"one of {', '.join(SINKS)}")
        self._screened += 1
        findings = inspect_text(text, level=self._level)
        if findings and field in self._allow:
            allowed = self._allow[field]
            findings = tuple(
                each for each in findings if each.rule not in allowed and each.attack not in allowed
            )
        if not findings:
            return Verdict(text, field, sink, (), 0, False, False)
        return self._judge(text, field, sink, findings)

    def demand(self, text: str, *, field: str = "text", sink: Sink = "any") -> str:
        """Return the text as it came, or turn it away where blocking is on.

        Raises:
            ScreenedError: if the verdict is `blocked`.
        """
        verdict = self.check(text, field=field, sink=sink)
        if verdict.blocked:
            raise ScreenedError(self._name, verdict)
        return text

    def stats(self) -> DetectorStats:
        """Return its numbers as they are now."""
        return DetectorStats(
            self._screened, self._suspicious, self._blocked, self._would, dict(self._findings)
        )

    def _judge(self, text: str, field: str, sink: Sink, findings: tuple[Finding, ...]) -> Verdict:
        scores: dict[str, int] = {}
        for each in findings:
            scores[each.attack] = scores.get(each.attack, 0) + each.score
            self._findings[each.attack] = self._findings.get(each.attack, 0) + 1
        harmful = SINKS[sink] - _NEVER_BLOCKS
        top = max((score for attack, score in scores.items() if attack in harmful), default=0)
        suspicious = top >= self._threshold
        blocking = self._mode == "block" or field in self._block or sink in self._block
        verdict = Verdict(
            text, field, sink, findings, max(scores.values()), suspicious, suspicious and blocking
        )
        if suspicious:
            self._suspicious += 1
            self._blocked += blocking
            self._would += not blocking
            self._events.emit(Suspected(source=self._name, at=self._clock.time(), verdict=verdict))
        return verdict

    def __repr__(self) -> str:
        return (
            f"Detector({self._name!r}, level={self._level}, mode={self._mode!r}, "
            f"block={sorted(self._block)})"
        )


def _allowed(field: str, what: Iterable[str]) -> frozenset[str]:
    require(
        not isinstance(what, str), f"allow[{field!r}]", what, "a collection of classes or rules"
    )
    return frozenset(what)
