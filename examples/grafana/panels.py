"""What the dashboard shows: rows of panels, each a few expressions of PromQL.

`$scope` stands for the label filter by the dashboard's variables.
"""

from dataclasses import dataclass
from typing import Literal

Sort = Literal["timeseries", "stat", "state-timeline"]


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: what it answers.
        queries: legend and expression of each line.
        unit: Grafana's name of one.
        sort: what it is drawn as.
        help: what to make of it, shown at the title.
        bad: values from here on are red, where there is such a bound.
        stack: whether the lines add up to something.
        states: of a state timeline, what its numbers stand for, the best first.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    sort: Sort = "timeseries"
    help: str = ""
    bad: float | None = None
    stack: bool = False
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """Panels of one component; folded but for the first row, and only drawn once unfolded."""

    title: str
    panels: list[Panel]


def rate(metric: str, by: str = "name") -> str:
    """Return what a counter does a second."""
    return f"sum by ({by}) (rate({metric}{{$scope}}[$__rate_interval]))"


def total(metric: str, by: str = "name") -> str:
    """Return a gauge, added up over workers and instances."""
    return f"sum by ({by}) ({metric}{{$scope}})"


def share(part: str, *others: str) -> str:
    """Return which part of a whole a counter is, the whole being the sum with the others."""
    whole = " + ".join(rate(each) for each in (part, *others))
    return f"{rate(part)} / ({whole} > 0)"


def states(title: str, metric: str, *names: str, help: str = "") -> Panel:  # noqa: A002
    """Return a line for each component, whose colour is its state; of many workers the worst."""
    numbered = " or ".join(
        f'({metric}{{$scope, state="{name}"}} == 1) * {number}' for number, name in enumerate(names)
    )
    query = {"{{name}} {{instance}}": f"max by (name, instance) ({numbered})"}
    return Panel(title, query, sort="state-timeline", states=names, help=help)


def added(*summands: str) -> str:
    """Return the sum of sums of which any may be missing."""
    # Not one sum of all with `or` between: that takes series of the same labels for the same.
    return " + ".join(f"(sum({each}) or vector(0))" for each in summands)


NAME = "{{name}}"

OVERVIEW = Row(
    "Is anything wrong?",
    [
        Panel(
            "Circuits open",
            {"": 'sum(mobius_circuit_breaker_state{$scope, state=~"open|isolated"}) or vector(0)'},
            sort="stat", bad=1, help="What stands behind them is not called at all.",
        ),
        Panel(
            "Health checks down",
            {"": "sum(mobius_health_monitor_down{$scope}) or vector(0)"},
            sort="stat", bad=1,
        ),
        Panel(
            "Turned away a second",
            {
                "": added(
                    *(
                        f"rate(mobius_{counter}_total{{$scope}}[$__rate_interval])"
                        for counter in (
                            "circuit_breaker_rejected", "keyed_breaker_rejected",
                            "bulkhead_rejected", "keyed_bulkhead_rejected",
                            "rate_limiter_limited", "fair_limiter_rejected",
                            "adaptive_limiter_rejected", "load_shedder_shed", "outbound_refused",
                            "throttle_rejected",
                        )
                    )
                )
            },
            unit="reqps", sort="stat",
            help="By bulkheads, limits, shedding, the outbound queue and open circuits together.",
        ),
        Panel(
            "Found in a cache",
            {
                "": "sum(rate(mobius_cache_hits_total{$scope}[$__rate_interval])) / "
                "(sum(rate(mobius_cache_hits_total{$scope}[$__rate_interval])) + "
                "sum(rate(mobius_cache_misses_total{$scope}[$__rate_interval])) > 0)"
            },
            unit="percentunit", sort="stat",
        ),
        Panel(
            "Degraded",
            {
                "": added(
                    'mobius_rate_limiter_mode{$scope, state="degraded"}',
                    'mobius_fleet_state{$scope, state="degraded"}',
                )
            },
            sort="stat", bad=1, help="Limiters and fleets that do without their backend.",
        ),
        Panel(
            "Metrics lost",
            {
                "": added(
                    "increase(mobius_scrape_failures_total{$scope_all}[$__range])",
                    "increase(mobius_series_overflows_total{$scope_all}[$__range])",
                    "increase(mobius_observations_refused_total{$scope_all}[$__range])",
                )
            },
            sort="stat", bad=1, help="Failures, overflows and refusals in the time shown.",
        ),
        Panel(
            "Events",
            {"{{source}}: {{event}}": "sum by (source, event) "
             "(increase(mobius_events_total{$scope_all}[$__rate_interval])) > 0"},
            help="Whatever changed: circuits, tiers, limits, checks.",
        ),
        states("Health", "mobius_health_monitor_state", "up", "unknown", "degraded", "down"),
    ],
)  # fmt: skip

FUNCTIONS = Row(
    "Functions (timed, counted, in_flight)",
    [
        Panel("Calls", {"{{function}} {{outcome}}": "sum by (function, outcome) "
              "(rate(function_seconds_count{$scope_all}[$__rate_interval]))"}, "reqps"),
        Panel(
            "Errors",
            {
                "{{function}}": "sum by (function) (rate(function_seconds_count{$scope_all, "
                'outcome="error"}[$__rate_interval])) / (sum by (function) (rate('
                'function_seconds_count{$scope_all, outcome=~"ok|error"}[$__rate_interval])) > 0)'
            },
            "percentunit",
            help="Of the calls that were tried and not given up.",
        ),
        Panel(
            "Duration",
            {
                f"{{{{function}}}} p{percent}": f"histogram_quantile({percent / 100}, sum by "
                '(function, le) (rate(function_seconds_bucket{$scope_all, outcome=~"ok|error"}'
                "[$__rate_interval])))"
                for percent in (50, 99)
            },
            "s",
        ),
        Panel("Under way", {"{{function}}": total("function_in_flight", "function").replace(
            "$scope", "$scope_all")}),
    ],
)  # fmt: skip

CACHE = Row(
    "Cache",
    [
        Panel("Found", {NAME: share("mobius_cache_hits_total", "mobius_cache_misses_total")},
              "percentunit", help="Hits of any tier, of all look-ups."),
        Panel("Look-ups", {"{{name}} {{tier}}": rate("mobius_cache_hits_total", "name, tier"),
                           "{{name}} miss": rate("mobius_cache_misses_total")},
              "reqps", stack=True),
        Panel("Loads that failed", {NAME: share("mobius_cache_load_errors_total",
                                                "mobius_cache_loads_total")}, "percentunit"),
        Panel("Mean load", {NAME: f"{rate('mobius_cache_load_seconds_total')} / "
              f"({rate('mobius_cache_loads_total')} > 0)"}, "s"),
        Panel("Old or cached instead", {
            "{{name}} stale": rate("mobius_cache_stale_total"),
            "{{name}} revalidated": rate("mobius_cache_revalidated_total"),
            "{{name}} early": rate("mobius_cache_early_total"),
            "{{name}} error": rate("mobius_cache_errors_served_total"),
        }, "reqps", help="Stale: because a load failed or took too long."),
        Panel("Evictions", {"{{name}} {{cause}}": rate("mobius_cache_evictions_total",
                                                       "name, cause")}, "ops"),
        Panel("Entries", {NAME: total("mobius_cache_entries")}),
        Panel("Weight", {NAME: total("mobius_cache_bytes")}, "bytes"),
        Panel("Loads under way", {NAME: total("mobius_cache_loading")}),
        Panel("Tier errors", {
            "{{name}} {{tier}}": rate("mobius_cache_tier_errors_total", "name, tier"),
            "{{name}} {{tier}} unreadable": rate("mobius_cache_unreadable_total", "name, tier"),
            "{{name}} messages": rate("mobius_cache_messages_failed_total"),
        }, "ops"),
        Panel("Write-behind", {
            "{{name}} {{tier}} waiting": total("mobius_cache_waiting_writes", "name, tier"),
            "{{name}} {{tier}} lost a second": rate("mobius_cache_lost_writes_total",
                                                    "name, tier"),
        }),
        Panel("Predictions that were used", {NAME: share("mobius_cache_predicted_hits_total",
              "mobius_cache_predicted_waste_total")}, "percentunit"),
    ],
)  # fmt: skip

BREAKER = Row(
    "Circuit breakers",
    [
        states("State", "mobius_circuit_breaker_state", "closed", "recovering", "half_open",
               "isolated", "open"),
        Panel("Calls", {
            "{{name}} success": rate("mobius_circuit_breaker_successes_total"),
            "{{name}} failure": rate("mobius_circuit_breaker_failures_total"),
            "{{name}} neutral": rate("mobius_circuit_breaker_neutral_total"),
            "{{name}} rejected": rate("mobius_circuit_breaker_rejected_total"),
        }, "reqps", stack=True),
        Panel("Failures", {NAME: share("mobius_circuit_breaker_failures_total",
                                       "mobius_circuit_breaker_successes_total")},
              "percentunit"),
        Panel("Failures in the window", {
            NAME: f"{total('mobius_circuit_breaker_window_failures')} / "
            f"({total('mobius_circuit_breaker_window_calls')} > 0)"},
            "percentunit", help="What the breaker itself decides by."),
        Panel("Slow", {NAME: rate("mobius_circuit_breaker_slow_total"),
                       "{{name}} in the window": total("mobius_circuit_breaker_window_slow")}),
        Panel("Openings", {
            NAME: "sum by (name) (increase(mobius_circuit_breaker_opened_total{$scope}"
            "[$__rate_interval]))",
            "{{name}} in shadow mode": "sum by (name) (increase("
            "mobius_circuit_breaker_would_open_total{$scope}[$__rate_interval]))"}),
        Panel("Probes", {"{{name}} out": total("mobius_circuit_breaker_probes"),
                         "{{name}} overdue": rate("mobius_circuit_breaker_overdue_total")}),
        Panel("Keyed: circuits not closed", {
            NAME: total("mobius_keyed_breaker_open_keys"),
            "{{name}} of": total("mobius_keyed_breaker_keys")}),
        Panel("Keyed: calls", {
            "{{name}} success": rate("mobius_keyed_breaker_successes_total"),
            "{{name}} failure": rate("mobius_keyed_breaker_failures_total"),
            "{{name}} rejected": rate("mobius_keyed_breaker_rejected_total"),
            "{{name}} unguarded": rate("mobius_keyed_breaker_unguarded_total"),
        }, "reqps", stack=True),
        states("Fleet", "mobius_fleet_state", "connected", "idle", "degraded"),
        Panel("Fleet: votes", {"{{name}} cast": rate("mobius_fleet_votes_total"),
                               "{{name}} late": rate("mobius_fleet_late_total"),
                               "{{name}} lost": rate("mobius_fleet_lost_total")}, "ops"),
    ],
)  # fmt: skip

RETRY = Row(
    "Retries, time-outs, hedges, fallbacks",
    [
        Panel("Retries a call", {NAME: f"{rate('mobius_retry_retries_total')} / "
              f"({rate('mobius_retry_calls_total')} > 0)"},
              help="Load that retries add: 0.1 is a tenth more."),
        Panel("What became of retried calls", {
            "{{name}} recovered": rate("mobius_retry_recovered_total"),
            "{{name}} gave up: {{reason}}": rate("mobius_retry_gave_up_total", "name, reason"),
        }, "reqps", stack=True),
        Panel("Retry budget", {"{{name}} left": total("mobius_retry_budget_balance"),
              "{{name}} refused a second": rate("mobius_retry_budget_refused_total")}),
        Panel("Timed out", {
            NAME: f"{rate('mobius_timeout_expired_total')} / "
            f"({rate('mobius_timeout_calls_total')} > 0)",
            "{{name}} (deadline)": f"{rate('mobius_deadline_exceeded_total')} / "
            f"({rate('mobius_deadline_calls_total')} > 0)"}, "percentunit"),
        Panel("Hedges", {
            "{{name}} sent": rate("mobius_hedge_attempts_total"),
            "{{name}} won": rate("mobius_hedge_won_total"),
            "{{name}} withheld: {{reason}}": rate("mobius_hedge_withheld_total", "name, reason"),
        }, "reqps"),
        Panel("Fallbacks", {"{{name}} {{by}}": rate("mobius_fallback_answered_total", "name, by"),
                            "{{name}} failed": rate("mobius_fallback_failed_total")}, "reqps"),
        Panel("Throttle: share not sent", {NAME: "max by (name) (mobius_throttle_probability"
              "{$scope})"}, "percentunit"),
    ],
)  # fmt: skip

BULKHEAD = Row(
    "Bulkheads",
    [
        Panel("Slots taken", {
            NAME: f"{total('mobius_bulkhead_in_use')} / ({total('mobius_bulkhead_limit')} > 0)"},
            "percentunit", bad=1, help="At 100 % calls wait, or are turned away."),
        Panel("Waiting", {NAME: total("mobius_bulkhead_waiting"),
                          "{{name}} (keyed)": total("mobius_keyed_bulkhead_waiting")}),
        Panel("Admitted", {NAME: rate("mobius_bulkhead_admitted_total"),
                           "{{name}} after waiting": rate("mobius_bulkhead_waited_total"),
                           "{{name}} (keyed)": rate("mobius_keyed_bulkhead_admitted_total")},
              "reqps"),
        Panel("Turned away", {
            "{{name}} {{reason}}": rate("mobius_bulkhead_rejected_total", "name, reason"),
            "{{name}} {{reason}} (keyed)": rate("mobius_keyed_bulkhead_rejected_total",
                                                "name, reason")}, "reqps", stack=True),
    ],
)  # fmt: skip

LIMITS = Row(
    "Rate limits",
    [
        Panel("Refused", {NAME: share("mobius_rate_limiter_limited_total",
                                      "mobius_rate_limiter_allowed_total")}, "percentunit"),
        Panel("Decisions", {"{{name}} allowed": rate("mobius_rate_limiter_allowed_total"),
                            "{{name}} waited": rate("mobius_rate_limiter_waited_total"),
                            "{{name}} limited": rate("mobius_rate_limiter_limited_total")},
              "reqps"),
        states("Where limits are kept", "mobius_rate_limiter_mode", "shared", "local", "degraded"),
        Panel("Waiting", {NAME: total("mobius_rate_limiter_waiting")}),
        Panel("Keys", {NAME: total("mobius_rate_limiter_keys"),
                       "{{name}} without room": rate("mobius_rate_limiter_overflowed_total")}),
        Panel("Backend errors", {NAME: rate("mobius_rate_limiter_backend_errors_total")}, "ops"),
    ],
)  # fmt: skip

OVERLOAD = Row(
    "Load shedding, adaptive and fair limits",
    [
        Panel("Load", {"{{name}} {{signal}}": "max by (name, signal) (mobius_load_shedder_load"
              "{$scope})"}, "percentunit", bad=1, help="Shedding begins at 100 %."),
        states("Shedding", "mobius_load_shedder_mode", "idle", "shedding"),
        Panel("How far shedding has gone", {NAME: "max by (name) (mobius_load_shedder_level"
              "{$scope})"}, help="0 nothing, 1 all background, 2 all normal, 3 everything."),
        Panel("Shed", {"{{name}} {{priority}}": rate("mobius_load_shedder_shed_total",
                                                     "name, priority")}, "reqps", stack=True),
        Panel("Let through", {"{{name}} {{priority}}": rate("mobius_load_shedder_passed_total",
              "name, priority")}, "reqps", stack=True),
        Panel("Calls under way", {
            "{{name}}": total("mobius_load_shedder_inflight"),
            "{{name}} capacity": total("mobius_load_shedder_capacity")}),
        Panel("Signals that fail", {NAME: rate("mobius_load_shedder_signal_errors_total")}, "ops"),
        Panel("Adaptive: limit", {
            "{{name}} limit": total("mobius_adaptive_limiter_limit"),
            "{{name}} under way": total("mobius_adaptive_limiter_inflight"),
            "{{name}} waiting": total("mobius_adaptive_limiter_waiting")}),
        Panel("Adaptive: latency", {
            NAME: "max by (name) (mobius_adaptive_limiter_rtt{$scope})",
            "{{name}} without queueing": "max by (name) (mobius_adaptive_limiter_baseline"
            "{$scope})"}, "s"),
        Panel("Adaptive: calls", {
            "{{name}} succeeded": rate("mobius_adaptive_limiter_succeeded_total"),
            "{{name}} dropped": rate("mobius_adaptive_limiter_dropped_total"),
            "{{name}} rejected": rate("mobius_adaptive_limiter_rejected_total")}, "reqps"),
        Panel("Fair: waiting", {NAME: total("mobius_fair_limiter_waiting"),
                                "{{name}} tenants": total("mobius_fair_limiter_tenants")}),
        Panel("Fair: calls", {
            "{{name}} passed": rate("mobius_fair_limiter_passed_total"),
            "{{name}} {{reason}}": rate("mobius_fair_limiter_rejected_total", "name, reason")},
            "reqps"),
    ],
)  # fmt: skip

OUTBOUND = Row(
    "Outbound messages",
    [
        Panel("Sent", {NAME: rate("mobius_outbound_sent_total")}, "ops"),
        Panel("Waiting", {NAME: total("mobius_outbound_waiting")}),
        Panel("Refused", {NAME: rate("mobius_outbound_refused_total")}, "ops",
              help="They would have waited longer than they may."),
        Panel("Pauses asked for", {"{{name}} {{scope}}": rate("mobius_outbound_pauses_total",
                                                              "name, scope")}, "ops"),
    ],
)  # fmt: skip

HEALTH = Row(
    "Health monitor",
    [
        Panel("Checks that fail", {NAME: f"{rate('mobius_health_monitor_failures_total')} / "
              f"({rate('mobius_health_monitor_runs_total')} > 0)"}, "percentunit"),
        Panel("Checks down", {NAME: total("mobius_health_monitor_down")}, bad=1),
        Panel("Checks that are odd", {
            "{{name}} degraded": total("mobius_health_monitor_degraded"),
            "{{name}} unknown": total("mobius_health_monitor_unknown"),
            "{{name}} flapping": total("mobius_health_monitor_flapping"),
            "{{name}} stuck": total("mobius_health_monitor_stuck")}),
        Panel("Availability in 30 days", {
            "{{name}} {{part}}": "min by (name, part) (mobius_uptime_availability{$scope})"},
            "percentunit"),
        Panel("Checks run", {NAME: rate("mobius_health_monitor_runs_total")}, "ops",
              help="At 0 the monitor does not run, and its state says nothing."),
    ],
)  # fmt: skip

SYSTEM = Row(
    "Process and machine",
    [
        Panel("Processor", {
            "{{instance}} process": "max by (instance) (mobius_process_cpu_share{$scope})",
            "{{instance}} container or machine": "max by (instance) (mobius_machine_cpu_share"
            "{$scope})"}, "percentunit", bad=0.9, help="Of what may be used."),
        Panel("Held back by the quota", {
            "{{instance}}": rate("mobius_machine_throttled_seconds_total", "instance")}, "s",
            help="Seconds a second that work waited because the quota was used up."),
        Panel("Memory", {
            "{{instance}} process": total("mobius_process_resident_bytes", "instance"),
            "{{instance}} used": total("mobius_machine_memory_used_bytes", "instance"),
            "{{instance}} limit": total("mobius_machine_memory_bytes", "instance")}, "bytes"),
        Panel("Disk left", {
            "{{instance}} {{path}}": "min by (instance, path) (mobius_machine_disk_free_bytes"
            "{$scope} / mobius_machine_disk_bytes{$scope})"}, "percentunit"),
        Panel("Files open", {
            "{{instance}}": "max by (instance) (mobius_process_open_files{$scope} / "
            "mobius_process_max_files{$scope})"}, "percentunit", bad=0.8),
        Panel("Network", {
            "{{instance}} {{interface}} in": rate("mobius_machine_received_bytes_total",
                                                  "instance, interface"),
            "{{instance}} {{interface}} out": rate("mobius_machine_sent_bytes_total",
                                                   "instance, interface")}, "Bps"),
        Panel("Event loop: late by", {
            "{{instance}} worst": "max by (instance) (mobius_event_loop_worst_lag_seconds"
            "{$scope})"}, "s", bad=0.1, help="The longest that nothing else could run."),
        Panel("Event loop: tasks", {"{{instance}}": total("mobius_event_loop_tasks", "instance")}),
        Panel("Garbage collection", {
            "{{instance}} generation {{generation}}": rate(
                "mobius_garbage_collector_pause_seconds_total", "instance, generation"),
            "{{instance}} longest": "max by (instance) ("
            "mobius_garbage_collector_longest_pause_seconds{$scope})"}, "s"),
    ],
)  # fmt: skip

BUSINESS = Row(
    "Users",
    [
        Panel("Active users", {"{{name}} {{window}}": "max by (name, window) ("
              "mobius_active_users_users{$scope})"}),
        Panel("Features used", {"{{feature}}": rate("mobius_feature_use_uses_total",
                                                    "feature")}, "ops"),
        Panel("Funnels", {"{{name}} {{step}}": "max by (name, step) (mobius_funnel_conversion"
              "{$scope})"}, "percentunit", help="Share of those under way who came so far."),
    ],
)  # fmt: skip

METRICS = Row(
    "The metrics themselves",
    [
        Panel("Sources that fail", {"{{source}}": "sum by (source) (rate("
              "mobius_scrape_failures_total{$scope_all}[$__rate_interval]))"}, "ops"),
        Panel("Label sets without room", {"{{metric}}": "sum by (metric) (rate("
              "mobius_series_overflows_total{$scope_all}[$__rate_interval]))"}, "ops"),
        Panel("Observations refused", {"{{metric}}": "sum by (metric) (rate("
              "mobius_observations_refused_total{$scope_all}[$__rate_interval]))"}, "ops"),
        Panel("Label sets", {NAME: total("mobius_metrics_collector_label_sets"),
                             "{{name}} watched": total("mobius_metrics_collector_watched")}),
        Panel("Workers alive", {NAME: "max by (name) (mobius_workers_alive{$scope})"}),
        Panel("Age of workers' numbers", {"{{instance}} worker {{worker}}":
              "max by (instance, worker) (mobius_workers_age_seconds{$scope_all})"}, "s"),
        Panel("Exports", {
            "{{name}} lines": rate("mobius_json_lines_written_total"),
            "{{name}} OpenTelemetry": rate("mobius_open_telemetry_export_exports_total"),
            "{{name}} snapshots": rate("mobius_workers_written_total")}, "ops"),
        Panel("Exports that fail", {
            "{{name}} lines": rate("mobius_json_lines_failures_total"),
            "{{name}} lines {{reason}}": rate("mobius_json_lines_dropped_total", "name, reason"),
            "{{name}} OpenTelemetry": rate("mobius_open_telemetry_export_failures_total"),
            "{{name}} workers {{step}}": rate("mobius_workers_failures_total", "name, step"),
            "{{name}} history": rate("mobius_history_save_failures_total")}, "ops"),
    ],
)  # fmt: skip

ROWS = [
    OVERVIEW, FUNCTIONS, CACHE, BREAKER, RETRY, BULKHEAD, LIMITS, OVERLOAD, OUTBOUND, HEALTH,
    SYSTEM, BUSINESS, METRICS,
]  # fmt: skip
