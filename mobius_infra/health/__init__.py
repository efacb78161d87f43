"""Checks that tell the truth, and pages to look at."""

from mobius_infra.health._alert_book import Acknowledgement
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
from mobius_infra.health._alert_manager import AlertManager
from mobius_infra.health._alert_routes import Route, Step
from mobius_infra.health._alert_stats import AlertStats
from mobius_infra.health._alert_step import AlertState, Phase, Severity, Timing, Verdict
from mobius_infra.health._alert_views import AlertSnapshot, AlertView, DeliveryView, IncidentView
from mobius_infra.health._app import status_app
from mobius_infra.health._burn import BURN_RATES, Burning, BurnRate, Totals
from mobius_infra.health._channel_telegram import TelegramChannel
from mobius_infra.health._channel_webhook import WebhookChannel, verify_signature
from mobius_infra.health._channels import FileChannel, LogChannel, apprise_channel
from mobius_infra.health._checks import backend_check
from mobius_infra.health._heartbeat import Heartbeat
from mobius_infra.health._inhibit import Inhibition
from mobius_infra.health._monitor import (
    CheckFailed,
    CheckRecovered,
    CheckReport,
    Health,
    HealthMonitor,
    Report,
)
from mobius_infra.health._notification import (
    Channel,
    Line,
    Notification,
    Postponed,
    Refused,
    as_text,
)
from mobius_infra.health._rules import Rule, burn_rate_rules, numbers_of, totals_of
from mobius_infra.health._serve import serve
from mobius_infra.health._silence import Silence

__all__ = [
    "BURN_RATES",
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
    "Below",
    "BurnRate",
    "Burning",
    "Changes",
    "Channel",
    "CheckFailed",
    "CheckRecovered",
    "CheckReport",
    "Condition",
    "DeliveryView",
    "FileChannel",
    "Health",
    "HealthMonitor",
    "Heartbeat",
    "IncidentView",
    "Inhibition",
    "Is",
    "Line",
    "LogChannel",
    "Notification",
    "NotificationLost",
    "NotificationSent",
    "NotifierChanged",
    "Phase",
    "Postponed",
    "Refused",
    "Report",
    "Route",
    "Rule",
    "RuleFailed",
    "Severity",
    "Silence",
    "Step",
    "TelegramChannel",
    "Timing",
    "Totals",
    "Verdict",
    "WebhookChannel",
    "When",
    "apprise_channel",
    "as_text",
    "backend_check",
    "burn_rate_rules",
    "numbers_of",
    "serve",
    "status_app",
    "totals_of",
    "verify_signature",
]
