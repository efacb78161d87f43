"""The scenarios that nearly every service wants."""

from mobius_infra.security._blocklist_names import By
from mobius_infra.security._scenario import Scenario


def failed_logins(
    capacity: float = 5, leak: float = 60, *, by: By = "user", risk: float = 100
) -> Scenario:
    """Watch `login_failed`: somebody guesses a password."""
    return Scenario("failed_logins", ("login_failed",), by, capacity, leak, risk=risk)


def password_spraying(
    capacity: float = 10, leak: float = 60, *, by: By = "ip", risk: float = 100
) -> Scenario:
    """Watch `login_failed` about many accounts from one address."""
    return Scenario(
        "password_spraying", ("login_failed",), by, capacity, leak, distinct=True, risk=risk
    )


def probing(
    capacity: float = 8, leak: float = 30, *, by: By = "user", risk: float = 50
) -> Scenario:
    """Watch `command_unknown` and `command_denied`: somebody looks for what is there."""
    kinds = ("command_unknown", "command_denied")
    return Scenario("probing", kinds, by, capacity, leak, distinct=True, risk=risk)


def enumeration(
    capacity: float = 20, leak: float = 10, *, by: By = "user", risk: float = 50
) -> Scenario:
    """Watch `not_found`: somebody counts through ids."""
    return Scenario("enumeration", ("not_found",), by, capacity, leak, distinct=True, risk=risk)


def flooding(
    capacity: float = 60, leak: float = 0.5, *, by: By = "user", risk: float = 40
) -> Scenario:
    """Watch every activity: far more of it than anybody does by hand."""
    return Scenario("flooding", (), by, capacity, leak, risk=risk)


def repeated_findings(
    capacity: float = 3, leak: float = 600, *, by: By = "user", risk: float = 100
) -> Scenario:
    """Watch `suspected`: one text that looks like an attack is nothing, four of them are one."""
    return Scenario("repeated_findings", ("suspected",), by, capacity, leak, distinct=True,
                    risk=risk)  # fmt: skip


def burst_after_silence(
    capacity: float = 20,
    leak: float = 3,
    *,
    silence: float = 86_400,
    by: By = "user",
    risk: float = 40,
) -> Scenario:
    """Watch every activity after a silence: an account that was taken over wakes up busy."""
    return Scenario("burst_after_silence", (), by, capacity, leak, silence=silence, risk=risk)


def impossible_switching(
    capacity: float = 2, leak: float = 1_800, *, by: By = "user", risk: float = 70
) -> Scenario:
    """Watch changes of place: two people use one account. Step-up tells which is the owner."""
    return Scenario("impossible_switching", (), by, capacity, leak, switching=True, risk=risk)
