"""All numbers of a process: those that code adds to, and those that components have anyway."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Self, TypeVar, Unpack, overload

from mobius_infra.core import (
    Clock,
    Component,
    Event,
    Events,
    SystemClock,
    require,
)
from mobius_infra.metrics import _measure
from mobius_infra.metrics._config import MetricsConfig
from mobius_infra.metrics._declared import OWN, Declared
from mobius_infra.metrics._family import Family, Labels, joined
from mobius_infra.metrics._instruments import Counter, Gauge, Histogram, Info, Summary
from mobius_infra.metrics._labelled import Cardinality, Declaration, Labelled
from mobius_infra.metrics._names import Claims, label_value
from mobius_infra.metrics._options import (
    Many,
    ManyBuckets,
    ManyQuantiles,
    One,
    OneBuckets,
    OneQuantiles,
    OneRead,
)  # fmt: skip
from mobius_infra.metrics._prometheus import Metric, Registry, encode
from mobius_infra.metrics._reports import CardinalityExceeded, MetricsStats
from mobius_infra.metrics._watched import Watched

log = logging.getLogger("mobius_infra")

F = TypeVar(
    "F", bound="Callable[..., object] | staticmethod[..., Any] | classmethod[Any, ..., Any]"
)

T = TypeVar("T")
P = TypeVar("P", bound="Family | Metric | None")

_TURN = 0.002
"""Seconds that a scrape works before it lets the event loop do something else."""


class MetricsCollector:
    """The numbers of one process, for every exporter.

        metrics = MetricsCollector("bot")
        metrics.watch(cache, breaker)
        orders = metrics.counter("orders", "Orders placed", labels=["kind"])
        orders.labels("book").inc()
        fetch = metrics.timed(fetch)
        content_type, body = metrics.render(accept=None)

    A field `hits` of a watched component's `CacheStats` becomes
    `mobius_cache_hits_total{name="prices"}`. A state becomes one series a state that was seen, 1
    for the present one. Events become `mobius_events_total{source, event}`. Watching costs a
    component nothing until somebody looks. What raises then is left out, logged the first time,
    and counted in `mobius_scrape_failures_total{source}`.

    Args:
        name: value of the label `service` on every series; none if empty.
        max_series: that a metric may have if it says nothing itself, as Prometheus counts them: a
            histogram's buckets are series each. 2,000 take about a megabyte.
        utf8_names: allow any text as a name of a metric or label, as Prometheus 3 does. Readers
            that do not ask for it get underscores.
        clock: where durations come from.

    Attributes:
        registry: for prometheus-client's own metrics and collectors. They are in what `render`
            gives, but not in what `collect` does.

    Raises:
        ConfigurationError: for a number of series that is not positive; or on a build of Python
            without its global lock, where adding from threads would lose numbers.
    """

    def __init__(
        self,
        name: str = "",
        *,
        max_series: int = 2_000,
        utf8_names: bool = False,
        clock: Clock | None = None,
    ) -> None:
        locked = getattr(sys, "_is_gil_enabled", lambda: True)()
        require(locked, "this build of Python", "free-threaded", "one with its global lock on")
        self.name = name
        self.events = Events()
        self.registry = Registry(self.collect, self._failed)
        self._clock = clock or SystemClock()
        extra: Labels = (("service", label_value(name)),) if name else ()

        def declared(utf8: bool) -> Declared:
            return Declared(
                extra, max_series, utf8=utf8, clock=self._clock, reserve=self.registry.reserve,
                on_overflow=self._overflowed,
            )  # fmt: skip

        self._declared, self._own = declared(utf8_names), declared(False)
        self._told = self._own.own("mobius_events", ("source", "event"))
        self._failures = self._own.own("mobius_scrape_failures", ("source",))
        self._watched = Watched(extra, self._count, self._failed)

    @classmethod
    def from_config(cls, config: MetricsConfig, *, clock: Clock | None = None) -> Self:
        """Build it as a file describes it, with what is declared there.

        Raises:
            ConfigurationError: naming the entry that is wrong, and what is allowed.
        """
        made = cls(
            config.name, max_series=config.max_series, utf8_names=config.utf8_names, clock=clock
        )
        for each in config.metrics:
            made._declared.declare(**each.model_dump())
        return made

    # What components say.

    def watch(self, *components: Component, keep: bool = False) -> None:
        """Export the numbers and count the events of `components` from now on.

        A component is held weakly where its class allows, and its numbers go when it goes. Another
        of its kind and name goes on from where its counters stood. If both are there at once,
        their counters are added, the gauges are those of the later, and a warning is logged.

        Args:
            components: what to watch; once each, however often it is given.
            keep: hold them, so that they need no other place.
        """
        for component in components:
            self._watched.add(component, keep=keep)

    def unwatch(self, component: Component) -> None:
        """Export it no more. Another of its kind and name goes on from its counters."""
        self._watched.remove(component)

    def _count(self, event: Event) -> None:
        self._told.labels(event.source, type(event).__name__).inc()

    # What the application declares.

    @overload
    def counter(self, name: str, doc: str, **options: Unpack[One]) -> Counter: ...
    @overload
    def counter(self, name: str, doc: str, **options: Unpack[Many]) -> Labelled[Counter]: ...
    def counter(self, name: str, doc: str, **options: Any) -> Any:
        """Declare a number that only grows; `orders` is exported as `orders_total`.

        Args:
            name: letters, digits and underscores, unlike every other in any format.
            doc: what is counted, in words.
            options: `labels`, their names: with them, `labels(...)` of what is returned gives the
                series to add to. `unit`, such as `bytes`: the name ends in it, or is made to.
                `max_series`: at most so many; further label sets share one called `other`.

        Raises:
            ConfigurationError: naming what is wrong, or taken.
        """
        return self._declared.declare("counter", name, doc, **options)

    @overload
    def gauge(self, name: str, doc: str, **options: Unpack[OneRead]) -> Gauge: ...
    @overload
    def gauge(self, name: str, doc: str, **options: Unpack[Many]) -> Labelled[Gauge]: ...
    def gauge(self, name: str, doc: str, **options: Any) -> Any:
        """Declare a number that goes up and down.

        Options as in `counter`, and `read`: it is called for the value when somebody looks.
        """
        return self._declared.declare("gauge", name, doc, **options)

    @overload
    def histogram(self, name: str, doc: str, **options: Unpack[OneBuckets]) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, doc: str, **options: Unpack[ManyBuckets]
    ) -> Labelled[Histogram]: ...
    def histogram(self, name: str, doc: str, **options: Any) -> Any:
        """Declare observations counted by size, to be added up over processes and time.

        Options as in `counter`, and `buckets`: inclusive upper bounds, ascending; 1 ms to 30 s by
        default. Each is a series, for each label set.
        """
        return self._declared.declare("histogram", name, doc, **options)

    @overload
    def summary(self, name: str, doc: str, **options: Unpack[OneQuantiles]) -> Summary: ...
    @overload
    def summary(
        self, name: str, doc: str, **options: Unpack[ManyQuantiles]
    ) -> Labelled[Summary]: ...
    def summary(self, name: str, doc: str, **options: Any) -> Any:
        """Declare observations whose quantiles are told, within one percent.

        They are of this process and of all time. Options as in `counter`, and `quantiles`: 0.5,
        0.9 and 0.99 by default.
        """
        return self._declared.declare("summary", name, doc, **options)

    def info(self, name: str, doc: str) -> Info:
        """Declare facts such as a version: `set` states them. `build` is exported as `build_info`.

        Raises:
            ConfigurationError: naming what is wrong, or taken.
        """
        made: Info = self._declared.declare("info", name, doc)
        return made

    def __getitem__(self, name: str) -> Any:  # Any: of the kind that it was declared with
        """Return a metric that was declared, as by a file.

        Raises:
            KeyError: if there is none of this name.
        """
        metric = self._declared.get(name)
        if metric is None:
            raise KeyError(name)
        return metric if metric.declaration.labels else metric.labels()

    def cardinality(self) -> list[Cardinality]:
        """Say how many series each metric has, the most first, and which labels made them."""
        found = [metric.cardinality() for metric in self._declared]
        return sorted(found, key=lambda each: (-each.overflowed, -each.series))

    def _overflowed(self, metric: Declaration, labels: Labels) -> None:
        log.warning(
            "metric %s has its %d series; %r and other new label sets are counted as other",
            metric.name, metric.limit, dict(labels),
        )  # fmt: skip
        at = self._clock.time()
        self.events.emit(
            CardinalityExceeded(
                source=self.name, at=at, metric=metric.name, max_series=metric.limit, labels=labels
            )
        )

    # Decorators.

    @overload
    def timed(self, func: F, /) -> F: ...
    @overload
    def timed(
        self, /, *, name: str = ..., buckets: Sequence[float] | None = None,
        exemplar: _measure.Exemplify | None = None,
    ) -> Callable[[F], F]: ...  # fmt: skip
    def timed(
        self, func: Any = None, /, *, name: str = "function_seconds",
        buckets: Sequence[float] | None = None, exemplar: _measure.Exemplify | None = None,
    ) -> Any:  # fmt: skip
        """Time the calls of a function, sync or async: a histogram by `function` and `outcome`.

        Args:
            func: what is decorated.
            name: of the histogram, made to end in `_seconds`; functions may share it.
            buckets: of it, if this is the first that names it.
            exemplar: asked at the end of each call, in its context, for what the call can be found
                by: `{"trace_id": …}`, or None. Its bucket keeps the last; OpenMetrics shows it.

        Raises:
            ConfigurationError: for what is no function that returns once, or a `name` that stands
                for something else already.
        """
        good = exemplar is None or callable(exemplar)
        require(good, "exemplar", exemplar, "a function without arguments that returns labels")
        labels, name = ("function", "outcome"), f"{name.removesuffix('_seconds')}_seconds"
        seconds = self._declared.shared("histogram", name, _measure.SECONDS, labels, buckets)
        return self._apply(
            func, lambda plain: _measure.timed(plain, seconds, self._clock.monotonic, exemplar)
        )

    @overload
    def counted(self, func: F, /) -> F: ...
    @overload
    def counted(self, /, *, name: str = ...) -> Callable[[F], F]: ...
    @overload
    def counted(self, /, *, by: _measure.By, name: str) -> Callable[[F], F]: ...
    def counted(
        self, func: Any = None, /, *, by: _measure.By = (), name: str = "function_calls"
    ) -> Any:
        """Count the calls of a function, sync or async, by `function`, `outcome` and `by`.

        Args:
            func: what is decorated.
            by: a parameter, `"kind"`, or a path into one, `"order.kind"`; several of them; or for
                each label a path or a function of the call's arguments. Needs a `name`.
            name: of the counter; functions may share it.

        Raises:
            ConfigurationError: as `timed`, and for a `by` that names no parameter.
        """
        paths = _measure.paths_of(by)
        labels = ("function", "outcome", *paths)
        require(not paths or name != "function_calls", "name", name, "given where there is `by`")
        calls = self._declared.shared("counter", name, _measure.CALLS, labels)
        return self._apply(func, lambda plain: _measure.counted(plain, calls, paths))

    @overload
    def in_flight(self, func: F, /) -> F: ...
    @overload
    def in_flight(self, /, *, name: str = ...) -> Callable[[F], F]: ...
    def in_flight(self, func: Any = None, /, *, name: str = "function_in_flight") -> Any:
        """Say how many calls of a function, sync or async, are under way; as `timed`."""
        running = self._declared.shared("gauge", name, _measure.RUNNING, ("function",))
        return self._apply(func, lambda plain: _measure.in_flight(plain, running))

    @staticmethod
    def _apply(func: Any, decorate: Callable[[Any], Any]) -> Any:
        return decorate if func is None else decorate(func)

    # What all of it comes to.

    def collect(self) -> list[Family]:
        """Return all families as they are now, without what could not be read."""
        return _whole(self._collected())

    async def collect_async(self) -> list[Family]:
        """Do as `collect`, giving the event loop a turn every 2 ms."""
        return _whole(await self._in_turns(self._collected()))

    def render(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return the content type and body that a scrape with this `Accept` header gets."""
        content_type, parts = encode(self._everything(), accept, self._failed)
        return content_type, b"".join(parts)

    async def render_async(self, accept: str | None = None) -> tuple[str, bytes]:
        """Do as `render`, giving the event loop a turn every 2 ms.

        What is read and written in one go is 200 series, one component's `stats()`, or one foreign
        collector, whichever takes longest.
        """
        content_type, parts = encode(self._everything(), accept, self._failed)
        return content_type, b"".join(await self._in_turns(parts))

    async def _in_turns(self, parts: Iterable[T]) -> list[T]:
        found, now = [], self._clock.monotonic
        began = now()
        for part in parts:
            found.append(part)
            if now() - began >= _TURN:
                await self._clock.sleep(0)
                began = now()
        return found

    def _collected(self) -> Iterator[Family | None]:
        yield from self._claimed(self._pieces())
        yield from self._about()

    def _everything(self) -> Iterator[Family | Metric | None]:
        """Give our own pieces, and what the application registered in `registry`."""
        yield from self._claimed(chain(self._pieces(), self.registry.foreign()))
        yield from self._about()

    def _pieces(self) -> Iterator[Family | None]:
        """Give all that is counted here, some at a time; None where others may have a turn."""
        yield from self._declared.families(self._failed)
        yield from self._watched.families()

    def _about(self) -> Iterator[Family]:
        """Give what is to be known of the scrape itself, when the rest has been read."""
        yield from self._declared.about()
        yield from self._own.families(self._failed)

    def _claimed(self, pieces: Iterable[P]) -> Iterator[P]:
        """Leave out what has a name that another has, in any format."""
        claims = Claims(OWN)
        for piece in pieces:
            if piece is None:
                yield piece
                continue
            kind = piece.kind if isinstance(piece, Family) else piece.type
            if claims.take(piece.name, kind, goes_on=isinstance(piece, Family)):
                yield piece
            else:
                self._failed(piece.name, ValueError("another metric has one of its names"))

    def _failed(self, source: str, error: Exception) -> None:
        failures = self._failures.labels(source)
        failures.inc()
        if failures.value == 1:
            log.error("%s could not be read, and is left out", source, exc_info=error)

    def stats(self) -> MetricsStats:
        """Return its own numbers."""
        metrics = list(self._declared)
        return MetricsStats(
            declared=len(metrics),
            watched=len(self._watched),
            label_sets=sum(map(len, metrics)),
            overflowed=sum(metric.overflowed for metric in metrics),
            refused=sum(metric.refused for metric in metrics),
            failures=int(sum(each.value for each in self._failures.series())),
        )

    def __repr__(self) -> str:
        return (
            f"MetricsCollector({self.name!r}, components={len(self._watched)}, "
            f"metrics={len(self._declared)})"
        )


def _whole(pieces: Iterable[Family | None]) -> list[Family]:
    """Join the pieces of each family."""
    parts = groupby((piece for piece in pieces if piece is not None), lambda piece: piece.name)
    return [joined(list(same)) for _, same in parts]
