"""Rows of connections, of work beside the calls, and of what all of it runs on."""

from examples.grafana.queries import Panel, Row, rate, states, total

NAME = "{{name}}"

POOLS = Row(
    "Connection pools",
    [
        states("State", "mobius_pool_state", "open", "closing", "closed", "unreachable"),
        Panel("Connections", {
            "{{name}} lent": total("mobius_pool_in_use"),
            "{{name}} idle": total("mobius_pool_idle"),
            "{{name}} being made": total("mobius_pool_connecting"),
            "{{name}} at most": total("mobius_pool_max_size")}),
        Panel("Waiting for one", {NAME: total("mobius_pool_waiting")}, bad=1,
              help="Longer than a moment: the pool is too small, or calls hold on too long."),
        Panel("Lent", {NAME: rate("mobius_pool_borrowed_total"),
                       "{{name}} after waiting": rate("mobius_pool_waited_total")}, "ops"),
        Panel("Got none", {"{{name}} {{reason}}": rate("mobius_pool_refused_total",
                                                       "name, reason")}, "ops", stack=True),
        Panel("Made and given up", {
            "{{name}} made": rate("mobius_pool_connected_total"),
            "{{name}} not reached": rate("mobius_pool_connect_failures_total"),
            "{{name}} given up: {{reason}}": rate("mobius_pool_discarded_total",
                                                  "name, reason")}, "ops"),
        Panel("Held for too long", {NAME: rate("mobius_pool_leaks_total")}, "ops",
              help="The log names who borrowed them, and where."),
        Panel("Balanced: load", {"{{name}} {{server}}": total("mobius_balanced_pool_load",
                                                              "name, server")}),
        Panel("Balanced: failures", {
            "{{name}} {{server}}": rate("mobius_balanced_pool_failures_total", "name, server"),
            "{{name}} failed over": rate("mobius_balanced_pool_failovers_total")}, "ops"),
        Panel("Balanced: out of use", {"{{name}} {{server}}": total(
            "mobius_balanced_pool_ejected", "name, server")}, bad=1),
    ],
)  # fmt: skip


WORK = Row(
    "Work in the background, batches, threads",
    [
        states("Service", "mobius_lifespan_state", "ready", "new", "starting", "draining",
               "closing", "ended"),
        Panel("Tasks", {
            "{{name}} succeeded": rate("mobius_background_succeeded_total"),
            "{{name}} failed": rate("mobius_background_failed_total"),
            "{{name}} no room": rate("mobius_background_rejected_total")}, "ops", stack=True),
        Panel("Tasks under way", {"{{name}}": total("mobius_background_under_way"),
                                  "{{name}} waiting": total("mobius_background_waiting")}),
        Panel("Queues", {
            "{{name}} succeeded": rate("mobius_work_queue_succeeded_total"),
            "{{name}} failed": rate("mobius_work_queue_failed_total"),
            "{{name}} no room": rate("mobius_work_queue_rejected_total")}, "ops", stack=True),
        Panel("Waiting in queues", {
            "{{name}}": total("mobius_work_queue_waiting"),
            "{{name}} callers held back": total("mobius_work_queue_blocked")}),
        Panel("Threads", {
            "{{name}} at work": total("mobius_threads_under_way"),
            "{{name}} at work for nobody": total("mobius_threads_abandoned"),
            "{{name}} waited for": total("mobius_threads_waiting"),
            "{{name}} at most": total("mobius_threads_limit")}),
        Panel("Keys a batch", {NAME: f"{rate('mobius_batched_keys_total')} / "
                               f"({rate('mobius_batched_batches_total')} > 0)"}),
        Panel("Calls that cost nothing", {
            "{{name}} joined another": f"{rate('mobius_coalesced_joined_total')} / "
            f"({rate('mobius_coalesced_joined_total')} + "
            f"{rate('mobius_coalesced_started_total')} > 0)",
            "{{name}} debounced": f"1 - {rate('mobius_debounced_runs_total')} / "
            f"({rate('mobius_debounced_calls_total')} > 0)"}, "percentunit"),
    ],
)  # fmt: skip


TUNING = Row(
    "Event loop, memory and tuning",
    [
        Panel("Loop held up", {
            NAME: rate("mobius_loop_monitor_blocked_total"),
            "{{name}} all threads": rate("mobius_loop_monitor_stood_still_total")}, "ops",
            help="The log shows the stack that held it."),
        Panel("Loop held up for", {NAME: rate("mobius_loop_monitor_blocked_seconds_total")},
              "percentunit"),
        states("Memory", "mobius_memory_monitor_level", "normal", "high", "critical"),
        Panel("Memory in use", {
            NAME: total("mobius_memory_monitor_used_bytes"),
            "{{name}} of": total("mobius_memory_monitor_limit_bytes"),
            "{{name}} free in the allocator": total("mobius_memory_monitor_slack_bytes")}, "bytes"),
        Panel("Room made", {
            "{{name}} functions called": rate("mobius_memory_monitor_reliefs_total"),
            "{{name}} failed": rate("mobius_memory_monitor_relief_failures_total"),
            "{{name}} trimmed": rate("mobius_memory_monitor_trims_total")}, "ops"),
        Panel("Garbage collection", {
            NAME: rate("mobius_gc_tuner_pause_seconds_total"),
            "{{name}} longest": "max by (name) (mobius_gc_tuner_longest_pause_seconds{$scope})"},
            "s"),
        Panel("Full collections", {
            "{{name}} idle": rate("mobius_gc_tuner_idle_total"),
            "{{name}} forced": rate("mobius_gc_tuner_forced_total")}, "ops"),
        Panel("Objects used again", {
            NAME: f"{rate('mobius_object_pool_reused_total')} / "
            f"({rate('mobius_object_pool_reused_total')} + "
            f"{rate('mobius_object_pool_made_total')} > 0)"}, "percentunit"),
        Panel("Resources", {"{{name}} {{resource}}": "max by (name, resource) ("
              "mobius_resource_monitor_share{$scope})"}, "percentunit", bad=0.9),
        Panel("Knobs", {"{{name}} {{knob}}": "max by (name, knob) (mobius_tuner_value{$scope})"}),
        Panel("Decisions", {"{{name}} {{outcome}}": rate("mobius_tuner_decisions_total",
                                                         "name, outcome")}, "ops"),
    ],
)  # fmt: skip
