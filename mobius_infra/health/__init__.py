"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._alert_book import (
    Acknowledgement,
)
from mobius_infra.health._alert_checks import (
    check_rules,
)
from mobius_infra.health._alert_conditions import (
    Above,
    Absent,
    Anomalous,
    Below,
    Changes,
    Condition,
    Is,
    When,
)
from mobius_infra.health._alert_events import (
    AlertAcknowledged,
    AlertChanged,
    AlertFiring,
    AlertPending,
    AlertResolved,
    AlertStoreFailed,
    NotificationLost,
    NotificationSent,
    NotifierChanged,
    RuleFailed,
)
from mobius_infra.health._alert_manager import (
    AlertManager,
)
from mobius_infra.health._alert_routes import (
    Route,
    Step,
)
from mobius_infra.health._alert_stats import (
    AlertStats,
)
from mobius_infra.health._alert_step import (
    AlertState,
    Phase,
    Severity,
    Timing,
    Verdict,
)
from mobius_infra.health._alert_views import (
    AlertSnapshot,
    AlertView,
    DeliveryView,
    IncidentView,
)
from mobius_infra.health._app import (
    status_app,
)
from mobius_infra.health._budget import (
    Restarts,
)
from mobius_infra.health._burn import (
    BURN_RATES,
    Burning,
    BurnRate,
    Totals,
)
from mobius_infra.health._channel_telegram import (
    TelegramChannel,
)
from mobius_infra.health._channel_webhook import (
    WebhookChannel,
    verify_signature,
)
from mobius_infra.health._channels import (
    FileChannel,
    LogChannel,
    apprise_channel,
)
from mobius_infra.health._check_events import (
    CheckChanged,
    CheckDegraded,
    CheckEvent,
    CheckFailed,
    CheckFlapping,
    CheckRecovered,
    CheckReleased,
    CheckSettled,
    CheckStuck,
    CheckUnknown,
)
from mobius_infra.health._checks_inside import (
    cache_check,
    component_check,
    disk_check,
    loop_check,
    memory_check,
)
from mobius_infra.health._checks_outside import (
    backend_check,
    http_check,
    tcp_check,
    telegram_check,
)
from mobius_infra.health._flapping import (
    Flapping,
)
from mobius_infra.health._heartbeat import (
    Heartbeat,
)
from mobius_infra.health._inhibit import (
    Inhibition,
)
from mobius_infra.health._ledger import (
    Availability,
    ErrorBudget,
)
from mobius_infra.health._monitor import HealthMonitor
from mobius_infra.health._notification import (
    Channel,
    Line,
    Notification,
    Postponed,
    Refused,
    as_text,
)
from mobius_infra.health._outcome import (
    UnhealthyError,
)
from mobius_infra.health._passive import (
    Traffic,
    traffic_of,
)
from mobius_infra.health._pauses import (
    Pauses,
)
from mobius_infra.health._recovery_events import (
    RecoveryEscalated,
    RecoveryEvent,
    RecoveryFailed,
    RecoveryHeld,
    RecoveryStarted,
    RecoverySucceeded,
)
from mobius_infra.health._reports import (
    CheckReport,
    Report,
)
from mobius_infra.health._rules import (
    Rule,
    burn_rate_rules,
    numbers_of,
    totals_of,
)
from mobius_infra.health._serve import (
    serve,
)
from mobius_infra.health._silence import (
    Silence,
)
from mobius_infra.health._states import (
    Degraded,
    Evidence,
    Health,
    Kind,
)
from mobius_infra.health._supervisor import (
    RestartsExhaustedError,
    Supervisor,
    SupervisorStats,
    TaskCrashed,
    TaskEvent,
    TaskStuck,
)
from mobius_infra.health._uptime import (
    WHOLE,
    WINDOWS,
    Uptime,
    UptimeNotSaved,
    UptimeStats,
)

__all__ = [
    "BURN_RATES",
    "WHOLE",
    "WINDOWS",
    "Above",
    "Absent",
    "Acknowledgement",
    "AlertAcknowledged",
    "AlertChanged",
    "AlertFiring",
    "AlertManager",
    "AlertPending",
    "AlertResolved",
    "AlertSnapshot",
    "AlertState",
    "AlertStats",
    "AlertStoreFailed",
    "AlertView",
    "Anomalous",
    "Availability",
    "Below",
    "BurnRate",
    "Burning",
    "Changes",
    "Channel",
    "CheckChanged",
    "CheckDegraded",
    "CheckEvent",
    "CheckFailed",
    "CheckFlapping",
    "CheckRecovered",
    "CheckReleased",
    "CheckReport",
    "CheckSettled",
    "CheckStuck",
    "CheckUnknown",
    "Condition",
    "Degraded",
    "DeliveryView",
    "ErrorBudget",
    "Evidence",
    "FileChannel",
    "Flapping",
    "Health",
    "HealthMonitor",
    "Heartbeat",
    "IncidentView",
    "Inhibition",
    "Is",
    "Kind",
    "Line",
    "LogChannel",
    "Notification",
    "NotificationLost",
    "NotificationSent",
    "NotifierChanged",
    "Pauses",
    "Phase",
    "Postponed",
    "RecoveryEscalated",
    "RecoveryEvent",
    "RecoveryFailed",
    "RecoveryHeld",
    "RecoveryStarted",
    "RecoverySucceeded",
    "Refused",
    "Report",
    "Restarts",
    "RestartsExhaustedError",
    "Route",
    "Rule",
    "RuleFailed",
    "Severity",
    "Silence",
    "Step",
    "Supervisor",
    "SupervisorStats",
    "TaskCrashed",
    "TaskEvent",
    "TaskStuck",
    "TelegramChannel",
    "Timing",
    "Totals",
    "Traffic",
    "UnhealthyError",
    "Uptime",
    "UptimeNotSaved",
    "UptimeStats",
    "Verdict",
    "WebhookChannel",
    "When",
    "apprise_channel",
    "as_text",
    "backend_check",
    "burn_rate_rules",
    "cache_check",
    "check_rules",
    "component_check",
    "disk_check",
    "http_check",
    "loop_check",
    "memory_check",
    "numbers_of",
    "serve",
    "status_app",
    "tcp_check",
    "telegram_check",
    "totals_of",
    "traffic_of",
    "verify_signature",
]
