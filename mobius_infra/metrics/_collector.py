"""The object that knows all metrics of a process."""

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, overload

from mobius_infra.core import Clock, Component, Event, Events, Stats, SystemClock, counter, gauge
from mobius_infra.core import require
from mobius_infra.metrics import _measure
from mobius_infra.metrics._declared import Declared, MetricConfig, MetricsConfig, require_no_clash
from mobius_infra.metrics._family import Family, Labels
from mobius_infra.metrics._gather import Gathered
from mobius_infra.metrics._instruments import Counter, Gauge, Histogram, Info, Summary
from mobius_infra.metrics._labelled import Labelled
from mobius_infra.metrics._names import clean
from mobius_infra.metrics._prometheus import CollectorRegistry, Registry, encode, negotiate
from mobius_infra.metrics._watched import Watched, kind_of

log = logging.getLogger("mobius_infra")

F = TypeVar("F")
Kind = Literal["counter", "gauge", "histogram", "summary", "info"]

_SLICE = 0.005  # seconds of collecting, after which the event loop gets a turn
_MOST_EVENTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CardinalityExceeded(Event):
    """A metric has as many series as it may; further label values share one. Told once.

    Attributes:
        metric: its name.
        max_series: the bound.
    """

    metric: str
    max_series: int


@dataclass(frozen=True, slots=True)
class MetricsStats(Stats):
    """A collector's own numbers."""

    scrapes: int = counter("Times that all numbers were collected")
    failures: Mapping[str, int] = counter("Sources that failed while collecting", label="source")
    refused: Mapping[str, int] = counter("Observations that were no finite number", label="metric")
    overflowed: Mapping[str, int] = counter(
        "Look-ups of labels past a metric's bound", label="metric"
    )
    watched: int = gauge("Components that are watched")
    declared: int = gauge("Metrics that were declared")
    series: int = gauge("Series that were collected last")


class MetricsCollector:
    """Knows every number of a process, and writes them for Prometheus and others.

        metrics = MetricsCollector("bot")
        metrics.watch(cache, breaker)
        orders = metrics.counter("orders", "Orders placed", labels=["kind"])

        @metrics.timed
        async def place(order: Order) -> None:
            orders.labels(kind=order.kind).inc()

        content_type, body = metrics.render(accept=None)

    A field `hits` of a watched component's `CacheStats` becomes
    `mobius_cache_hits_total{name="prices"}`, read when somebody looks: watching costs a component
    nothing. A state becomes one series a state that was seen, 1 for the present one. Events become
    `mobius_events_total{source, event}`. Whatever raises is left out, logged and counted, and the
    rest is there.

    Args:
        name: value of the label `service` on every series; none if empty.
        max_series: series of one metric; what is past that shares one labelled `other`. A
            histogram's child is as many as it has buckets, and two.
        utf8_names: whether declared names may be any UTF-8 text, as from Prometheus 3 on. Who does
            not ask for them so gets underscores.
        clock: measures calls.

    Raises:
        ConfigurationError: for a value out of range.
    """

    def __init__(
        self,
        name: str = "",
        *,
        max_series: int = 1_000,
        utf8_names: bool = False,
        clock: Clock | None = None,
    ) -> None:
        require(type(max_series) is int and max_series >= 1, "max_series", max_series, "at least 1")
        self.name = name
        self.events = Events()
        self._max_series = max_series
        self._utf8 = utf8_names
        self._clock = clock or SystemClock()
        self._extra: Labels = (("service", clean(name)),) if name else ()
        self._registry = Registry(self.collect, self._failed)
        self._declared: dict[str, Declared] = {}
        self._watched: dict[tuple[str, str], Watched] = {}
        self._told = Labelled(
            "mobius_events", ("source", "event"), _MOST_EVENTS,
            lambda: Counter("mobius_events"), lambda: None,
        )  # fmt: skip
        self._failures: Tally[str] = Tally()
        self._scrapes = self._series = 0

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
            made._declare(each)
        return made

    # What components say.

    def watch(self, *components: Component) -> None:
        """Export the numbers and count the events of `components` from now on.

        They are held weakly where their class allows. Another of the same kind and name takes the
        place of the one before, and goes on from where its counters stood.
        """
        for component in components:
            at = kind_of(component), component.name
            watched = self._watched.setdefault(at, Watched(component))
            if watched.component not in (None, component):
                log.warning("%s %r is watched in place of another", *at)
            watched.follow(component, self._count)

    def unwatch(self, component: Component) -> None:
        """Export it no more; its counters end too."""
        watched = self._watched.pop((kind_of(component), component.name), None)
        if watched is not None:
            watched.leave()

    def _count(self, event: Event) -> None:
        self._told.labels(event.source, type(event).__name__).inc()

    # What the application declares.

    @overload
    def counter(self, name: str, doc: str, *, unit: str = "") -> Counter: ...
    @overload
    def counter(
        self, name: str, doc: str, *, labels: Sequence[str], unit: str = ""
    ) -> Labelled[Counter]: ...
    def counter(self, name: str, doc: str, *, labels: Sequence[str] = (), unit: str = "") -> Any:
        """Declare a number that only grows. Prometheus sees `{name}_total`.

        Args:
            name: letters, digits and underscores; unique.
            doc: what it counts, in words.
            labels: their names; then `labels(...)` gives the counter of their values.
            unit: such as `bytes`; the name must end in it.

        Raises:
            ConfigurationError: for a name or label that is none, or that clashes with another.
        """
        return self._add(name, "counter", doc, labels, unit)

    @overload
    def gauge(
        self, name: str, doc: str, *, unit: str = "", read: Callable[[], float] | None = None
    ) -> Gauge: ...
    @overload
    def gauge(
        self, name: str, doc: str, *, labels: Sequence[str], unit: str = ""
    ) -> Labelled[Gauge]: ...
    def gauge(
        self,
        name: str,
        doc: str,
        *,
        labels: Sequence[str] = (),
        unit: str = "",
        read: Callable[[], float] | None = None,
    ) -> Any:
        """Declare a number that goes up and down; `read` gives it when somebody looks.

        The other arguments and errors are those of `counter`.
        """
        require(read is None or not labels, "read", read, "left out where there are labels")
        return self._add(name, "gauge", doc, labels, unit, read=read)

    @overload
    def histogram(
        self, name: str, doc: str, *, buckets: Sequence[float] | None = None, unit: str = ""
    ) -> Histogram: ...
    @overload
    def histogram(
        self,
        name: str,
        doc: str,
        *,
        labels: Sequence[str],
        buckets: Sequence[float] | None = None,
        unit: str = "",
    ) -> Labelled[Histogram]: ...
    def histogram(
        self,
        name: str,
        doc: str,
        *,
        labels: Sequence[str] = (),
        buckets: Sequence[float] | None = None,
        unit: str = "",
    ) -> Any:
        """Declare observations counted by size; their upper bounds are `buckets`, ascending.

        By default those that Prometheus' libraries use, for seconds from 5 ms to 10 s. The other
        arguments and errors are those of `counter`.
        """
        return self._add(name, "histogram", doc, labels, unit, buckets=buckets)

    @overload
    def summary(
        self, name: str, doc: str, *, quantiles: Sequence[float] | None = None, unit: str = ""
    ) -> Summary: ...
    @overload
    def summary(
        self,
        name: str,
        doc: str,
        *,
        labels: Sequence[str],
        quantiles: Sequence[float] | None = None,
        unit: str = "",
    ) -> Labelled[Summary]: ...
    def summary(
        self,
        name: str,
        doc: str,
        *,
        labels: Sequence[str] = (),
        quantiles: Sequence[float] | None = None,
        unit: str = "",
    ) -> Any:
        """Declare observations of which some `quantiles` are told, each within one percent.

        By default 0.5, 0.9 and 0.99. They are of this process alone and of all time: what is to be
        added up over processes is a histogram. The rest is as in `counter`.
        """
        return self._add(name, "summary", doc, labels, unit, quantiles=quantiles)

    def info(self, name: str, doc: str) -> Info:
        """Declare facts such as a version. Prometheus sees `{name}_info`. As in `counter`."""
        found: Info = self._add(name, "info", doc, (), "")
        return found

    def __getitem__(self, name: str) -> Any:  # Any: of the kind that it was declared with
        """Return a metric that was declared, as by a file.

        Raises:
            KeyError: if none has this name.
        """
        return self._declared[name].metric

    def heavy_hitters(self) -> dict[str, list[tuple[tuple[str, ...], int]]]:
        """Say of each metric past its bound which label values came most often, and how often."""
        found = {
            name: declared.metric.heavy_hitters()
            for name, declared in self._declared.items()
            if isinstance(declared.metric, Labelled)
        }
        return {name: top for name, top in found.items() if top}

    def _add(
        self,
        name: str,
        kind: Kind,
        doc: str,
        labels: Sequence[str],
        unit: str,
        *,
        read: Callable[[], float] | None = None,
        buckets: Sequence[float] | None = None,
        quantiles: Sequence[float] | None = None,
    ) -> Any:
        config = MetricConfig.model_construct(
            name=name, kind=kind, doc=doc, labels=labels, unit=unit, buckets=buckets,
            quantiles=quantiles,
        )  # fmt: skip
        return self._declare(config, read)

    def _declare(self, config: MetricConfig, read: Callable[[], float] | None = None) -> Any:
        declared = Declared(
            config,
            clock=self._clock,
            most=self._max_series,
            utf8=self._utf8,
            warn=self._warn,
            read=read,
        )
        require_no_clash(declared, self._declared.values())
        self._declared[config.name] = declared
        return declared.metric

    def _warn(self, metric: str) -> None:
        most = self._max_series
        log.warning("metric %s has its %d series; further labels share one", metric, most)
        at = self._clock.time()
        self.events.emit(
            CardinalityExceeded(source=self.name, at=at, metric=metric, max_series=most)
        )

    # Decorators.

    @overload
    def timed(self, func: F, /) -> F: ...
    @overload
    def timed(
        self, /, *, name: str = ..., buckets: Sequence[float] | None = None
    ) -> Callable[[F], F]: ...
    def timed(
        self,
        func: Any = None,
        /,
        *,
        name: str = "function_seconds",
        buckets: Sequence[float] | None = None,
    ) -> Any:
        """Time the calls of a function, sync or async: a histogram by `function` and `outcome`.

        The outcome is `ok`, `error` or `cancelled`.

        Raises:
            ConfigurationError: for what is no function that returns once, or for a `name` that
                stands for something else already.
        """
        doc = "How long calls took"
        seconds = self._shared(name, "histogram", doc, ("function", "outcome"), buckets)
        return self._apply(func, lambda plain: _measure.timed(plain, seconds, self._monotonic))

    @overload
    def counted(self, func: F, /) -> F: ...
    @overload
    def counted(
        self, /, *, by: _measure.By | None = None, name: str = ...
    ) -> Callable[[F], F]: ...
    def counted(
        self, func: Any = None, /, *, by: _measure.By | None = None, name: str = "function_calls"
    ) -> Any:
        """Count the calls of a function, sync or async, by `function`, `outcome` and `by`.

        Args:
            func: what is decorated.
            by: a parameter's name, a template such as `"{user.plan}"`, or a function of the
                arguments: the value of the label `by`.
            name: of the counter.

        Raises:
            ConfigurationError: as `timed`, and for a `by` that names no parameter.
        """
        labels = ("function", "outcome", "by")
        calls = self._shared(name, "counter", "Calls that ended", labels, None)
        return self._apply(func, lambda plain: _measure.counted(plain, calls, by))

    @overload
    def in_flight(self, func: F, /) -> F: ...
    @overload
    def in_flight(self, /, *, name: str = ...) -> Callable[[F], F]: ...
    def in_flight(self, func: Any = None, /, *, name: str = "function_in_flight") -> Any:
        """Say how many calls of a function, sync or async, are under way. As `timed`."""
        running = self._shared(name, "gauge", "Calls under way", ("function",), None)
        return self._apply(func, lambda plain: _measure.in_flight(plain, running))

    @property
    def _monotonic(self) -> Callable[[], float]:
        return self._clock.monotonic

    @staticmethod
    def _apply(func: Any, decorate: Callable[[Any], Any]) -> Any:
        return decorate if func is None else decorate(func)

    def _shared(
        self,
        name: str,
        kind: Kind,
        doc: str,
        labels: tuple[str, ...],
        buckets: Sequence[float] | None,
    ) -> Any:
        """Return the metric of several decorated functions, declaring it for the first."""
        known = self._declared.get(name)
        if known is None:
            unit = "seconds" if name.endswith("_seconds") else ""
            return self._add(name, kind, doc, labels, unit, buckets=buckets)
        same = (known.config.kind, known.config.labels) == (kind, labels)
        require(same, "name", name, f"that of a {kind} labelled {labels}, or of nothing yet")
        fits = buckets is None or buckets == known.config.buckets
        require(fits, "buckets", buckets, f"as {name} has them already: {known.config.buckets}")
        return known.metric

    # What all of it comes to.

    def collect(self) -> list[Family]:
        """Return all families as they are now, without what failed.

        A foreign collector's, in `registry`, are not among them: only Prometheus' formats can
        write those.
        """
        gathered = Gathered(self._extra)
        for _ in self._steps(gathered):
            pass
        return self._gathered(gathered)

    def render(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return the content type and body that a scrape with this `Accept` header gets."""
        encoder, content_type = negotiate(accept)
        families = self.collect()
        return content_type, encode(encoder, families, self._registry.foreign(), self._failed)

    async def render_async(self, accept: str | None = None) -> tuple[str, bytes]:
        """Do as `render`, without holding the event loop up for longer than a few milliseconds.

        Numbers are collected on the loop, which gets a turn after each 5 ms of it; and written in a
        thread, which lets go of the interpreter as often.
        """
        encoder, content_type = negotiate(accept)
        gathered, now = Gathered(self._extra), self._clock.monotonic
        began = now()
        for _ in self._steps(gathered):
            if now() - began > _SLICE:
                await asyncio.sleep(0)
                began = now()
        families, foreign = self._gathered(gathered), list(self._registry.foreign())
        body = await asyncio.to_thread(encode, encoder, families, foreign, self._failed)
        return content_type, body

    @property
    def registry(self) -> CollectorRegistry:
        """A registry of prometheus-client with all of it, for foreign collectors and tools.

        One that raises there is left out of a scrape, and counted.
        """
        return self._registry

    def _steps(self, gathered: Gathered) -> Iterator[None]:
        self._scrapes += 1
        for watched in list(self._watched.values()):
            self._attempt(watched.name, lambda each=watched: self._read(each, gathered))
            yield
        for name, declared in list(self._declared.items()):
            self._attempt(name, lambda each=declared: gathered.put(each.family(self._extra)))
            yield
        for labels, told in self._told.children():
            doc = "Events, by source and kind"
            gathered.add("mobius_events", "counter", doc, labels, told.read())
        own = Watched(self)
        own.follow(self, lambda event: None)
        self._read(own, gathered)
        own.leave()

    def _read(self, watched: Watched, gathered: Gathered) -> None:
        for name, kind, doc, labels, value in list(watched.read()):
            own = {each for each, _ in labels}
            whole = labels if "name" in own else (("name", clean(watched.name)), *labels)
            full = f"mobius_{watched.kind}_{name}"
            assert kind != "state"  # noqa: S101 - `read` makes gauges of them
            gathered.add(full, kind, doc, whole, value)

    def _attempt(self, source: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            # One source that is broken must not hide the numbers of all others.
            log.exception("the numbers of %r could not be collected", source)
            self._failed(source)

    def _failed(self, source: str) -> None:
        self._failures[source] += 1

    def _gathered(self, gathered: Gathered) -> list[Family]:
        families = list(gathered.families())
        self._series = sum(len(family.series) for family in families)
        return families

    def stats(self) -> MetricsStats:
        """Return its own numbers; they are exported too."""
        declared = self._declared.items()
        return MetricsStats(
            scrapes=self._scrapes,
            failures=dict(self._failures),
            refused={name: each.refused() for name, each in declared if each.refused()},
            overflowed={
                name: each.metric.overflowed
                for name, each in declared
                if isinstance(each.metric, Labelled) and each.metric.overflowed
            },
            watched=sum(each.component is not None for each in self._watched.values()),
            declared=len(self._declared),
            series=self._series,
        )

    def __repr__(self) -> str:
        return (
            f"MetricsCollector({self.name!r}, components={len(self._watched)}, "
            f"metrics={len(self._declared)})"
        )
