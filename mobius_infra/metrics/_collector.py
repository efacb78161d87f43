"""From any component's snapshot to samples, at the moment of the scrape."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from mobius_infra.core import Component, Event, Sample, samples
from mobius_infra.metrics._prometheus import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    encode,
    register,
)

log = logging.getLogger("mobius_infra")

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class MetricsCollector:
    """Owns a Prometheus registry, and fills it from components when it is scraped.

        metrics = MetricsCollector()
        metrics.watch(cache)
        content_type, body = metrics.render(accept=None)

    A field `hits` of a component's `CacheStats` becomes `mobius_cache_hits_total{name="prices"}`.
    A state becomes one sample a state that was seen, 1 for the present one. Events become
    `mobius_events_total{source, event}`. Watching costs a component nothing until somebody looks.

    Args:
        name: value of the label `service` on every sample; none if empty.
        registry: for metrics of the application's own; a fresh one if None.
    """

    def __init__(self, name: str = "", *, registry: CollectorRegistry | None = None) -> None:
        self.name = name
        self.registry = registry or CollectorRegistry()
        self._components: list[Component] = []
        self._states: dict[tuple[str, str], list[str]] = {}
        self._events: Counter[tuple[str, str]] = Counter()
        self._failures = 0
        self._extra = {"service": name} if name else {}
        register(self.registry, self._collect)

    def watch(self, *components: Component) -> None:
        """Export the numbers and count the events of `components` from now on."""
        for component in components:
            self._components.append(component)
            component.events.subscribe(self._count)

    def render(self, accept: str | None = None) -> tuple[str, bytes]:
        """Return the content type and body that a scrape with this `Accept` header gets."""
        return encode(self.registry, accept)

    def _count(self, event: Event) -> None:
        self._events[event.source, type(event).__name__] += 1

    def _collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for component in self._components:
            try:
                read = list(samples(component.stats()))
            except Exception:
                # One component that is broken must not hide the numbers of all others.
                self._failures += 1
                log.exception("stats() of %r failed", component)
                continue
            kind = kind_of(component)
            for sample in read:
                self._add(families, f"mobius_{kind}_{sample.name}", component.name, sample)
        yield from families.values()
        yield self._family(
            "mobius_events", "Events, by source and kind", ("source", "event"), self._events.items()
        )
        yield self._family(
            "mobius_scrape_failures", "Snapshots that failed", (), [((), self._failures)]
        )

    def _add(self, families: dict[str, Metric], name: str, source: str, sample: Sample) -> None:
        labels = {"name": source, **sample.labels, **self._extra}
        if sample.kind == "state":
            states = self._states.setdefault((name, source), [])
            if sample.value not in states:
                states.append(str(sample.value))
            family = families.setdefault(
                name, GaugeMetricFamily(name, sample.doc, labels=[*labels, "state"])
            )
            for each in states:
                family.add_sample(name, {**labels, "state": each}, float(each == sample.value))
            return
        if sample.kind == "counter":
            family = families.setdefault(name, CounterMetricFamily(name, sample.doc))
            family.add_sample(f"{name}_total", labels, float(sample.value))
        else:
            family = families.setdefault(name, GaugeMetricFamily(name, sample.doc))
            family.add_sample(name, labels, float(sample.value))

    def _family(
        self,
        name: str,
        doc: str,
        labels: tuple[str, ...],
        values: Iterable[tuple[tuple[str, ...], int]],
    ) -> Metric:
        family = CounterMetricFamily(name, doc)
        for at, number in values:
            named = dict(zip(labels, at, strict=True))
            family.add_sample(f"{name}_total", {**named, **self._extra}, float(number))
        return family

    def __repr__(self) -> str:
        return f"MetricsCollector({self.name!r}, components={len(self._components)})"


def kind_of(component: Component) -> str:
    """Return what kind of component it is, as part of a metric's name: `rate_limiter`."""
    return _CAMEL.sub("_", type(component).__name__).lower()
