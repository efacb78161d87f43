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


SIGN_IN = Row(
    "Sessions, second factors, passwords",
    [
        Panel("Sessions", {
            "{{name}} opened": rate("mobius_sessions_opened_total"),
            "{{name}} given a new token": rate("mobius_sessions_rotated_total"),
            "{{name}} ended: {{reason}}": rate("mobius_sessions_ended_total", "name, reason")},
            "ops", help="Ended by binding: a token came from elsewhere than it was given to."),
        Panel("Tokens", {
            "{{name}} good": rate("mobius_sessions_checked_total"),
            "{{name}} {{reason}}": rate("mobius_sessions_refused_total", "name, reason")}, "reqps"),
        Panel("Second factors", {
            "{{name}} {{factor}}": rate("mobius_mfa_verified_total", "name, factor"),
            "{{name}} refused: {{reason}}": rate("mobius_mfa_refused_total", "name, reason"),
            "{{name}} not looked at": rate("mobius_mfa_throttled_total")}, "ops"),
        Panel("Passwords", {
            "{{name}} right": rate("mobius_passwords_right_total"),
            "{{name}} wrong": rate("mobius_passwords_wrong_total")}, "ops", stack=True),
        Panel("Passwords that wait for a thread", {NAME: total("mobius_passwords_waiting")}),
        Panel("Attempts", {
            "{{name}} passed": rate("mobius_attempts_passed_total"),
            "{{name}} judged": rate("mobius_attempts_judged_total"),
            "{{name}} too soon": rate("mobius_attempts_refused_total")}, "ops"),
    ],
)  # fmt: skip


THREATS = Row(
    "Threats",
    [
        Panel("Too much", {"{{name}} {{scenario}}": rate("mobius_threat_detector_scenarios_total",
                                                         "name, scenario")}, "ops", stack=True),
        Panel("Answers", {"{{name}} {{answer}}": rate("mobius_threat_detector_decisions_total",
                                                      "name, answer")}, "ops", stack=True),
        Panel("Calls refused", {"{{name}} {{answer}}": rate("mobius_threat_detector_refused_total",
                                                            "name, answer")}, "reqps", stack=True),
        Panel("Blocks", {NAME: total("mobius_threat_detector_blocks"),
                         "{{name}} watched": total("mobius_threat_detector_subjects")}),
        states("Blocklist", "mobius_threat_detector_blocklist", "shared", "local", "closed",
               "lost"),
    ],
)  # fmt: skip


AUDIT = Row(
    "Audit trail",
    [
        Panel("Records", {
            "{{name}} written": rate("mobius_audit_log_recorded_total"),
            "{{name}} failed": rate("mobius_audit_log_failed_total"),
            "{{name}} dropped": rate("mobius_audit_log_dropped_total")}, "ops", stack=True),
        Panel("Records a group", {NAME: f"{rate('mobius_audit_log_recorded_total')} / "
                                  f"({rate('mobius_audit_log_groups_total')} > 0)"}),
        Panel("Waiting to be written", {NAME: total("mobius_audit_log_waiting")}),
        Panel("Repaired and damaged", {
            "{{name}} torn lines cut off": rate("mobius_audit_log_repaired_total"),
            "{{name}} found changed or gone": rate("mobius_audit_log_damaged_total")}, "ops"),
        Panel("Checkpoints", {
            "{{name}} signed": rate("mobius_audit_log_checkpoints_total"),
            "{{name}} not witnessed": rate("mobius_audit_log_witness_failures_total")}, "ops"),
    ],
)  # fmt: skip


SCREENING = Row(
    "Screening and validation",
    [
        Panel("Inputs refused", {
            "{{name}} {{reason}}": rate("mobius_input_validator_refused_total", "name, reason"),
            "{{name}} would have been: {{reason}}": rate(
                "mobius_input_validator_would_have_refused_total", "name, reason")}, "reqps"),
        Panel("Inputs", {NAME: rate("mobius_input_validator_checked_total")}, "reqps"),
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
