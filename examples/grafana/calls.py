"""Rows of what calls go through."""

from examples.grafana.queries import Panel, Row, rate, share, states, total

NAME = "{{name}}"

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
