"""Routes: who is told of which alerts, how they are grouped, and who is next if nobody answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mobius_infra.core import ConfigurationError, require
from mobius_infra.health._alert_conditions import require_count, require_names, require_seconds
from mobius_infra.health._notification import Channel
from mobius_infra.health._rules import require_labels
from mobius_infra.health._silence import matches


@dataclass(frozen=True, slots=True)
class Step:
    """Who is told when an alert has not been acknowledged for some time.

    Attributes:
        after: seconds since the alert was first told; 0 for the first step.
        channels: where it goes then, beside those before.
    """

    after: float
    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        require_seconds("after", self.after, zero=True)
        require_channels("channels", self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What becomes of alerts whose labels match. The first route that matches takes an alert.

    Attributes:
        channels: who is told at first.
        name: unique.
        match: patterns by label, such as `{"severity": "critical"}`; empty matches all.
        group_by: labels that alerts of one incident share. By rule, if not said otherwise.
        wait: seconds from the first alert of an incident until it is told, so that those that
            come with it are told together.
        interval: seconds between two notifications of one incident to tell what is new; one that
            is more severe than all before does not wait.
        repeat: seconds until what still fires, and was not acknowledged, is told again.
        most_incidents: open at once; alerts beyond them fold into one more. This bounds a storm.
        escalation: the steps after the first.
        listed: alerts that a notification names with their reasons; the rest are folded.
    """

    channels: tuple[Channel, ...]
    name: str = "default"
    match: Mapping[str, str] = field(default_factory=dict)
    group_by: tuple[str, ...] = ("alert",)
    wait: float = 10.0
    interval: float = 300.0
    repeat: float = 4 * 3600.0
    most_incidents: int = 5
    escalation: tuple[Step, ...] = ()
    listed: int = 10

    def __post_init__(self) -> None:
        require(bool(self.name), "name", self.name, "a name that no other route has")
        require_channels("channels", self.channels)
        require_labels("match", self.match)
        require_names("group_by", self.group_by)
        require_seconds("wait", self.wait, zero=True)
        require_seconds("interval", self.interval)
        require_seconds("repeat", self.repeat)
        for name in ("most_incidents", "listed"):
            require_count(name, getattr(self, name), 1)
        times = [0.0, *(step.after for step in self.escalation)]
        rising = all(one < next_ for one, next_ in pairwise(times))
        require(rising, "escalation", times[1:], "steps with times above zero that rise")

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, the first included."""
        return (Step(0.0, self.channels), *self.escalation)

    def targets(self, reached: int) -> list[str]:
        """Return the targets of the steps up to `reached`: each channel in the step it is in."""
        return [
            target(channel.name, number)
            for number, step in enumerate(self.steps[: reached + 1])
            for channel in step.channels
        ]

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Say whether an alert with these labels is told by this route."""
        return matches(self.match, labels)

    def group(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return what an alert with these labels is grouped by."""
        return tuple(labels.get(name, "") for name in self.group_by)


def target(channel: str, step: int) -> str:
    """Return the name under which is kept what a channel was told in a step."""
    return f"{step}#{channel}"


def parse_target(name: str) -> tuple[str, int]:
    """Return channel and step of a target."""
    step, _, channel = name.partition("#")
    return channel, int(step)


def require_channels(name: str, channels: object) -> None:
    """Refuse what is no tuple of channels."""
    if not isinstance(channels, tuple) or not channels:
        raise ConfigurationError(name, channels, "a tuple of at least one channel")
    for each in channels:
        named = isinstance(getattr(each, "name", None), str) and each.name
        require(bool(named) and hasattr(each, "send"), name, each, "channels: a name and send()")


def channels_of(routes: Sequence[Route]) -> dict[str, Channel]:
    """Return all channels by name.

    Raises:
        ConfigurationError: if two different ones have one name.
    """
    found: dict[str, Channel] = {}
    for route in routes:
        for step in route.steps:
            for channel in step.channels:
                same = found.setdefault(channel.name, channel)
                unique = "a name that no other channel has"
                require(same is channel, "channel", channel.name, unique)
    return found
