"""Rows of what keeps out those who should not be in."""

from examples.grafana.queries import Panel, Row, rate, share, states, total

NAME = "{{name}}"

ACCESS = Row(
    "Access",
    [
        Panel("Decisions", {"{{name}} allowed": rate("mobius_access_allowed_total"),
                            "{{name}} denied": rate("mobius_access_denied_total")},
              "reqps", stack=True),
        Panel("Denied", {NAME: share("mobius_access_denied_total", "mobius_access_allowed_total")},
              "percentunit"),
        Panel("Could not be decided", {NAME: rate("mobius_access_errors_total")}, "ops",
              help="A condition of the policy raised. The answer was no."),
        states("Grants", "mobius_access_grants", "known", "local", "stale"),
        Panel("Policies", {"{{name}} taken": rate("mobius_access_reloads_total"),
                           "{{name}} refused": rate("mobius_access_refused_total"),
                           "{{name}} subjects": total("mobius_access_subjects")}),
    ],
)  # fmt: skip


SCREENING = Row(
    "Screening",
    [
        Panel("Suspicious", {NAME: f"{rate('mobius_detector_suspicious_total')} / "
                             f"({rate('mobius_detector_screened_total')} > 0)"}, "percentunit"),
        Panel("Texts", {
            "{{name}} turned away": rate("mobius_detector_blocked_total"),
            "{{name}} would have been": rate("mobius_detector_would_have_blocked_total")},
            "reqps", help="Would have been: the mode `observe` let them pass."),
        Panel("Findings", {"{{name}} {{attack}}": rate("mobius_detector_findings_total",
                                                       "name, attack")}, "ops", stack=True),
    ],
)  # fmt: skip
