"""Rows of connections and of work that runs beside the calls."""

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
