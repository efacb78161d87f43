"""Who may do what, who does too much, what looks like an attack, and secrets kept."""

from mobius_infra.security._access import (
    Access,
)
from mobius_infra.security._access_conditions import (
    Condition,
    ConditionError,
    Request,
    Subject,
    compare,
    owner,
)
from mobius_infra.security._access_events import (
    AccessDeniedError,
    AccessFailed,
    AccessRefused,
    GrantDeniedError,
    GrantsLost,
    GrantsRestored,
    PolicyRefused,
    PolicyReplaced,
    RoleChanged,
)
from mobius_infra.security._access_explain import (
    Decision,
)
from mobius_infra.security._access_stats import (
    AccessStats,
)
from mobius_infra.security._baseline import (
    Baseline,
)
from mobius_infra.security._blocklist_steps import (
    Block,
    Terms,
)
from mobius_infra.security._cipher import (
    Cipher,
    DecryptionError,
    Rewritten,
    rewrite_values,
)
from mobius_infra.security._detect import (
    SINKS,
    Detector,
    DetectorStats,
    Finding,
    Mode,
    ScreenedError,
    Sink,
    Suspected,
    Verdict,
    inspect_text,
)
from mobius_infra.security._keys import (
    Key,
)
from mobius_infra.security._pii import (
    Found,
    find_personal,
)
from mobius_infra.security._policy import (
    Considered,
    Policy,
)
from mobius_infra.security._policy_file import (
    PolicyFile,
    load_policy,
    parse_policy,
)
from mobius_infra.security._redact import (
    RedactingFilter,
    Redactor,
)
from mobius_infra.security._risk import (
    Answer,
    Grades,
)
from mobius_infra.security._roles import (
    Role,
    Rule,
)
from mobius_infra.security._scenario import (
    Activity,
    Scenario,
)
from mobius_infra.security._scenario_kinds import (
    burst_after_silence,
    enumeration,
    failed_logins,
    flooding,
    impossible_switching,
    password_spraying,
    probing,
    repeated_findings,
)
from mobius_infra.security._subjects import (
    SubjectErasedError,
    SubjectKeys,
)
from mobius_infra.security._threat_allowed import (
    TELEGRAM_NETWORKS,
)
from mobius_infra.security._threat_answers import (
    Explanation,
    Standing,
    ThreatStats,
)
from mobius_infra.security._threat_events import (
    BlockedByHand,
    BlockLifted,
    BlocklistLost,
    BlocklistRestored,
    BlocksImported,
    Evidence,
    ThreatDecided,
    ThreatRefusedError,
)
from mobius_infra.security._threats import (
    ThreatDetector,
)
from mobius_infra.security._views import (
    View,
    views,
)

__all__ = [
    "SINKS",
    "TELEGRAM_NETWORKS",
    "Access",
    "AccessDeniedError",
    "AccessFailed",
    "AccessRefused",
    "AccessStats",
    "Activity",
    "Answer",
    "Baseline",
    "Block",
    "BlockLifted",
    "BlockedByHand",
    "BlocklistLost",
    "BlocklistRestored",
    "BlocksImported",
    "Cipher",
    "Condition",
    "ConditionError",
    "Considered",
    "Decision",
    "DecryptionError",
    "Detector",
    "DetectorStats",
    "Evidence",
    "Explanation",
    "Finding",
    "Found",
    "Grades",
    "GrantDeniedError",
    "GrantsLost",
    "GrantsRestored",
    "Key",
    "Mode",
    "Policy",
    "PolicyFile",
    "PolicyRefused",
    "PolicyReplaced",
    "RedactingFilter",
    "Redactor",
    "Request",
    "Rewritten",
    "Role",
    "RoleChanged",
    "Rule",
    "Scenario",
    "ScreenedError",
    "Sink",
    "Standing",
    "Subject",
    "SubjectErasedError",
    "SubjectKeys",
    "Suspected",
    "Terms",
    "ThreatDecided",
    "ThreatDetector",
    "ThreatRefusedError",
    "ThreatStats",
    "Verdict",
    "View",
    "burst_after_silence",
    "compare",
    "enumeration",
    "failed_logins",
    "find_personal",
    "flooding",
    "impossible_switching",
    "inspect_text",
    "load_policy",
    "owner",
    "parse_policy",
    "password_spraying",
    "probing",
    "repeated_findings",
    "rewrite_values",
    "views",
]
