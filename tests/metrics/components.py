"""One of every component there is to watch, and what may be asked of their metrics."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path

from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

from mobius_infra.breaker import (
    CircuitBreaker,
    Fleet,
    KeyedBreaker,
    RetryBudget,
    bulkhead,
    deadline,
    fallback,
    hedge,
    retry,
    throttle,
    timeout,
)
from mobius_infra.cache import Cache
from mobius_infra.core import Component
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.health import AlertManager, HealthMonitor, Supervisor, Uptime
from mobius_infra.metrics import (
    ActiveUsers,
    EventLoop,
    FeatureUse,
    Funnel,
    GarbageCollector,
    History,
    JsonLines,
    Machine,
    MetricsCollector,
    OpenTelemetryExport,
    Process,
    Workers,
)
from mobius_infra.metrics._declared import OWN
from mobius_infra.metrics._names import series_names
from mobius_infra.metrics._watched import kind_of
from mobius_infra.perf import (
    Background,
    BalancedPool,
    Endpoint,
    GcTuner,
    Knob,
    Lifespan,
    LoopMonitor,
    MemoryMonitor,
    ObjectPool,
    Pool,
    ResourceMonitor,
    Tuner,
    WorkQueue,
    batched,
    coalesced,
    debounced,
    run_in_threads,
)
from mobius_infra.ratelimit import (
    AdaptiveLimiter,
    LoadShedder,
    MemoryLoad,
    Outbound,
    RateLimiter,
    fair,
)
from mobius_infra.security import (
    Access,
    Attempts,
    AuditLog,
    Cipher,
    Detector,
    InputValidator,
    Key,
    Mfa,
    Passwords,
    Policy,
    Sessions,
    ThreatDetector,
)
from mobius_infra.testing import ManualClock

EVERYWHERE = frozenset({"name", "service", "instance", "job", "worker"})
"""Labels that any series has or may have."""


def components(directory: Path) -> list[Component]:
    """Make one of each; nothing is entered, so nothing runs."""
    clock = ManualClock()
    metrics = MetricsCollector("bot")
    exporter = ConsoleMetricExporter()
    backend, key = MemoryBackend(clock=clock), Key(bytes(range(32)))
    database = Pool("database", partial(asyncio.sleep, 0), clock=clock)
    return [
        Cache("prices", ttl=30, clock=clock),
        CircuitBreaker("upstream", clock=clock),
        KeyedBreaker("hosts", key="host"),
        Fleet(backend, clock=clock),
        bulkhead(2),
        bulkhead(2, key="host"),
        retry(OSError, attempts=3),
        RetryBudget(),
        timeout(1),
        deadline(1),
        hedge(1),
        fallback(value=1),
        throttle(OSError),
        RateLimiter("per-user", "1/s", clock=clock),
        fair(2, tenant="user"),
        AdaptiveLimiter("service"),
        LoadShedder("shed", [MemoryLoad(1 << 30)]),
        Outbound("telegram", overall="30/s", chat="1/s", group="20/m", is_group=bool),
        HealthMonitor(),
        Supervisor(clock=clock),
        Uptime("shop", read=dict, clock=clock),
        AlertManager(clock=clock),
        Lifespan("shop", clock=clock),
        database,
        BalancedPool("replicas", [Endpoint(database)], clock=clock),
        Background("mails", clock=clock),
        WorkQueue("jobs", asyncio.sleep, clock=clock),
        run_in_threads("pdf", clock=clock),
        batched("users", clock=clock),
        coalesced("rates"),
        debounced("save", 1, clock=clock),
        Access("access", Policy([]), clock=clock),
        Detector("chat", clock=clock),
        InputValidator("inputs", {}, clock=clock),
        ThreatDetector("threats", [], clock=clock),
        Sessions("web", backend, clock=clock),
        Attempts("login", backend, clock=clock),
        Mfa("totp", backend, Cipher([key]), clock=clock),
        Passwords(),
        AuditLog(directory / "audit", [key], clock=clock),
        LoopMonitor(clock=clock),
        MemoryMonitor(clock=clock),
        GcTuner(clock=clock),
        ObjectPool("buffers", bytearray),
        ResourceMonitor(clock=clock),
        Tuner("tuner", [Knob("size", lambda: 8, print, 1, 64)], lambda: 0.0, clock=clock),
        Process(),
        Machine(),
        EventLoop(),
        GarbageCollector(),
        ActiveUsers(),
        FeatureUse(),
        Funnel("order", ["began", "paid"]),
        metrics,
        History("history"),
        JsonLines(directory / "lines", metrics),
        OpenTelemetryExport(metrics, exporter),
        Workers(directory, metrics),
    ]


def exported(found: Iterable[Component]) -> dict[str, set[str]]:
    """Every name that a series of them may have in Prometheus, and the labels that are its own.

    From what their statistics declare, not from a scrape: much is only there once it happened.
    """
    names: dict[str, set[str]] = dict(_of_collector())
    for component in found:
        for field in fields(component.stats()):
            kind, label = field.metadata["kind"], field.metadata["label"]
            name = f"mobius_{kind_of(component)}_{field.name}"
            own = {"state"} if kind == "state" else {label} - {None}
            names[f"{name}_total" if kind == "counter" else name] = own
    return names


def _of_collector() -> Iterator[tuple[str, set[str]]]:
    labels = {"mobius_events": {"source", "event"}, "mobius_scrape_failures": {"source"}}
    for name in OWN:
        yield f"{name}_total", labels.get(name, {"metric"})
    yield "mobius_workers_age_seconds", set()
    for name in series_names("function_seconds", "histogram"):
        yield name, {"function", "outcome", "le"}
    yield "function_calls_total", {"function", "outcome"}
    yield "function_in_flight", {"function"}
