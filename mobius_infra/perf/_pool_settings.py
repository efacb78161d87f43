"""A pool's settings: from code, or from a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

from mobius_infra.core import Config, require


def is_number(value: object) -> bool:
    """Say whether it is a number that one can calculate with; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def require_seconds(field: str, value: object, *, none: str = "") -> None:
    """Refuse what is not a positive number of seconds, nor None where that means something."""
    good = (bool(none) and value is None) or (is_number(value) and value > 0)  # type: ignore[operator]
    require(good, field, value, "a positive number of seconds" + (none and f", or None: {none}"))


def require_count(field: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(whole, field, value, f"a whole number of at least {least}")


class PoolConfig(Config):
    """A pool's settings, as they may stand in a file.

    Attributes:
        min_size: connections that are kept, also when nobody needs them.
        max_size: connections at most, those being made and closed included.
        queue: borrowers that wait at most, beside those for whom a connection is being made.
        max_wait: seconds that a borrower waits at most; None: as long as it takes.
        connect_timeout: seconds that `connect` may take.
        close_timeout: seconds that `close` may take; after that the connection is terminated.
        check_timeout: seconds that `check` may take.
        check_after: seconds of idleness after which a connection is checked before it is lent.
        idle_timeout: seconds of idleness after which those above `min_size` are closed; None:
            never.
        lifetime: seconds after which a connection is replaced, when it is idle or given back:
            servers, proxies and firewalls forget connections, and a new server behind the same
            name gets its share. None: never.
        jitter: share of the lifetime that is taken off at random, so that connections made
            together do not end together.
        first_pause: seconds before connecting again after it failed; doubles each time, less up to
            a half at random.
        most_pause: seconds that no pause exceeds.
        open_after: failures to connect in a row after which borrowers are refused at once while
            there is no connection.
        leak_after: seconds after which a borrower that gives nothing back is reported; None: who
            has a connection is not noted. Noting it costs about a third of a microsecond.
        trace_every: note the stack of one borrower in so many, for that report; 1: of all, about
            2 µs each; 0: of none.
    """

    min_size: int = 0
    max_size: int = 10
    queue: int = 1_000
    max_wait: float | None = 5.0
    connect_timeout: float = 10.0
    close_timeout: float = 5.0
    check_timeout: float = 5.0
    check_after: float = 30.0
    idle_timeout: float | None = 300.0
    lifetime: float | None = 3_600.0
    jitter: float = 0.1
    first_pause: float = 0.1
    most_pause: float = 10.0
    open_after: int = 3
    leak_after: float | None = None
    trace_every: int = 0


@dataclass(slots=True)
class Sizes:
    """How many connections there are to be; changed by `resize`."""

    least: int
    most: int

    def set(self, least: int, most: int) -> None:
        """Change both.

        Raises:
            ConfigurationError: naming the one at fault; nothing is changed then.
        """
        require_count("min_size", least, 0)
        require_count("max_size", most, 1)
        require(least <= most, "min_size", least, f"at most max_size, {most}")
        self.least, self.most = least, most


def validate(settings: PoolConfig) -> None:
    """Refuse what can't work.

    Raises:
        ConfigurationError: naming the field at fault, its value, and what is allowed.
    """
    Sizes(0, 1).set(settings.min_size, settings.max_size)
    require_count("queue", settings.queue, 0)
    require_seconds("max_wait", settings.max_wait, none="as long as it takes")
    for field in ("connect_timeout", "close_timeout", "check_timeout", "check_after"):
        require_seconds(field, getattr(settings, field))
    require_seconds("idle_timeout", settings.idle_timeout, none="kept however long they idle")
    require_seconds("lifetime", settings.lifetime, none="kept however old they are")
    share = is_number(settings.jitter) and 0 <= settings.jitter < 1
    require(share, "jitter", settings.jitter, "a share in [0, 1)")
    require_seconds("first_pause", settings.first_pause)
    require_seconds("most_pause", settings.most_pause)
    long = settings.most_pause >= settings.first_pause
    require(long, "most_pause", settings.most_pause, "at least first_pause")
    require_count("open_after", settings.open_after, 1)
    require_seconds("leak_after", settings.leak_after, none="leaks are not looked for")
    require_count("trace_every", settings.trace_every, 0)
    noted = not settings.trace_every or settings.leak_after is not None
    require(noted, "trace_every", settings.trace_every, "0 unless leak_after is given")


def settings_of(base: PoolConfig | None, overrides: Mapping[str, object]) -> PoolConfig:
    """Return the settings of `base`, or the defaults, with some replaced.

    Raises:
        ConfigurationError: for one that is not known, or a value out of range.
    """
    known = PoolConfig.model_fields
    for field, value in overrides.items():
        require(field in known, field, value, "left out: the settings are " + ", ".join(known))
    settings = (base or PoolConfig()).model_copy(update=overrides)
    validate(settings)
    return settings


def keep_interval(settings: PoolConfig) -> float:
    """Return the seconds between two looks at what has become too old: a quarter of the least."""
    limits = (settings.idle_timeout, settings.lifetime, settings.leak_after)
    return min(min(limit or inf for limit in limits) / 4.0, 30.0)
