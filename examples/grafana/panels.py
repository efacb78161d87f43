"""What the dashboard shows, from top to bottom."""

from examples.grafana.calls import (
    BREAKER,
    BULKHEAD,
    CACHE,
    FUNCTIONS,
    LIMITS,
    OUTBOUND,
    OVERLOAD,
    RETRY,
)
from examples.grafana.guard import ACCESS, AUDIT, SCREENING, SIGN_IN, THREATS
from examples.grafana.queries import Panel, Row, added, rate, states, total
from examples.grafana.work import POOLS, TUNING, WORK

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
        states("Supervisor", "mobius_supervisor_state", "running", "idle", "stopped", "failed"),
        Panel("Supervised tasks", {
            "{{name}} running": total("mobius_supervisor_running"),
            "{{name}} restarts": rate("mobius_supervisor_restarts_total"),
            "{{name}} crashes": rate("mobius_supervisor_crashes_total")}),
    ],
)  # fmt: skip


ALERTS = Row(
    "Alerts",
    [
        states("State", "mobius_alert_manager_state", "notifying", "standing by"),
        Panel("Firing", {"{{name}} {{severity}}": total("mobius_alert_manager_firing",
                                                        "name, severity")}, stack=True),
        Panel("Others", {"{{name}} pending": total("mobius_alert_manager_pending"),
                         "{{name}} hidden": total("mobius_alert_manager_hidden"),
                         "{{name}} incidents": total("mobius_alert_manager_incidents")},
              help="Hidden: silenced, or explained by another."),
        Panel("Notifications", {
            "{{name}} {{channel}} sent": rate("mobius_alert_manager_sent_total", "name, channel"),
            "{{name}} {{channel}} failed": rate("mobius_alert_manager_failures_total",
                                                "name, channel"),
            "{{name}} {{channel}} refused": rate("mobius_alert_manager_refused_total",
                                                 "name, channel"),
            "{{name}} dropped": rate("mobius_alert_manager_dropped_total")}, "ops"),
        Panel("Still to be sent", {"{{name}} {{channel}}": total("mobius_alert_manager_waiting",
                                                                 "name, channel")}, bad=10),
        Panel("Looks at the rules", {
            NAME: rate("mobius_alert_manager_looks_total"),
            "{{name}} that failed": rate("mobius_alert_manager_rule_errors_total")}, "ops"),
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
    OVERVIEW, FUNCTIONS, CACHE, BREAKER, RETRY, BULKHEAD, LIMITS, OVERLOAD, OUTBOUND, POOLS,
    WORK, HEALTH, ALERTS, ACCESS, SIGN_IN, SCREENING, THREATS, AUDIT, SYSTEM, TUNING, BUSINESS,
    METRICS,
]  # fmt: skip
