"""Who may do what and who is who; secrets kept, and what may be secret found."""

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
    StepUpRequired,
    StepUpRequiredError,
)
from mobius_infra.security._access_explain import (
    Decision,
)
from mobius_infra.security._access_stats import (
    AccessStats,
)
from mobius_infra.security._audit import (
    AuditLog,
)
from mobius_infra.security._audit_checkpoint import (
    BackendWitness,
    Checkpoint,
    FileWitness,
    Witness,
)
from mobius_infra.security._audit_entry import (
    Entry,
)
from mobius_infra.security._audit_errors import (
    AuditError,
    AuditWriteError,
    RecordError,
    TrailError,
    TrailVersionError,
)
from mobius_infra.security._audit_events import (
    AuditFailed,
    AuditRecovered,
    AuditStats,
    NotesDropped,
    SegmentBegun,
    SegmentsDropped,
    TrailDamaged,
    TrailRepaired,
    UpkeepFailed,
    WitnessFailed,
)
from mobius_infra.security._audit_export import (
    export_entries,
)
from mobius_infra.security._audit_read import (
    load_tree,
    read_trail,
)
from mobius_infra.security._audit_verify import (
    Problem,
    Report,
    verify_trail,
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
from mobius_infra.security._email import (
    Email,
)
from mobius_infra.security._html import (
    Sanitizer,
)
from mobius_infra.security._identifiers import (
    Identifier,
)
from mobius_infra.security._invalid import (
    InvalidInputError,
)
from mobius_infra.security._json_limits import (
    JsonText,
)
from mobius_infra.security._keys import (
    Key,
)
from mobius_infra.security._merkle import (
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from mobius_infra.security._mfa import (
    Enrolment,
    Mfa,
)
from mobius_infra.security._mfa_attempts import (
    Attempts,
    AttemptsSlowed,
    AttemptsStats,
    TooManyAttemptsError,
)
from mobius_infra.security._mfa_events import (
    CodeRefusedError,
    MfaChanged,
    MfaRefused,
    MfaStats,
    NotEnrolledError,
    RecoveryCodeNeededError,
    RecoveryCodeUsed,
)
from mobius_infra.security._names import (
    FileName,
)
from mobius_infra.security._password import (
    PasswordRefusedError,
    Passwords,
    PasswordsStats,
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
from mobius_infra.security._session import (
    Session,
    Sessions,
)
from mobius_infra.security._session_events import (
    SessionEnded,
    SessionEndedError,
    SessionOpened,
    SessionRotated,
    SessionsStats,
    TooManySessionsError,
)
from mobius_infra.security._subjects import (
    SubjectErasedError,
    SubjectKeys,
)
from mobius_infra.security._telegram import (
    TELEGRAM_KEY,
    InitData,
    matches_secret,
    verify_init_data,
    verify_init_data_signature,
)
from mobius_infra.security._telegram_markup import (
    escape_html,
    escape_markdown,
)
from mobius_infra.security._text import (
    Text,
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
    GuardFailed,
    ThreatDecided,
    ThreatRefusedError,
)
from mobius_infra.security._threats import (
    ThreatDetector,
)
from mobius_infra.security._totp import (
    Totp,
)
from mobius_infra.security._unicode import (
    skeleton,
)
from mobius_infra.security._url_guard import (
    Target,
    UrlGuard,
)
from mobius_infra.security._urls import (
    Url,
    WebUrl,
)
from mobius_infra.security._validate import (
    InputRefused,
    InputValidator,
    ValidatorStats,
    validated,
)
from mobius_infra.security._views import (
    View,
    views,
)
from mobius_infra.security._wallets import (
    Wallet,
)

__all__ = [
    "SINKS",
    "TELEGRAM_KEY",
    "TELEGRAM_NETWORKS",
    "Access",
    "AccessDeniedError",
    "AccessFailed",
    "AccessRefused",
    "AccessStats",
    "Activity",
    "Answer",
    "Attempts",
    "AttemptsSlowed",
    "AttemptsStats",
    "AuditError",
    "AuditFailed",
    "AuditLog",
    "AuditRecovered",
    "AuditStats",
    "AuditWriteError",
    "BackendWitness",
    "Baseline",
    "Block",
    "BlockLifted",
    "BlockedByHand",
    "BlocklistLost",
    "BlocklistRestored",
    "BlocksImported",
    "Checkpoint",
    "Cipher",
    "CodeRefusedError",
    "Condition",
    "ConditionError",
    "Considered",
    "Decision",
    "DecryptionError",
    "Detector",
    "DetectorStats",
    "Email",
    "Enrolment",
    "Entry",
    "Evidence",
    "Explanation",
    "FileName",
    "FileWitness",
    "Finding",
    "Found",
    "Grades",
    "GrantDeniedError",
    "GrantsLost",
    "GrantsRestored",
    "GuardFailed",
    "Identifier",
    "InitData",
    "InputRefused",
    "InputValidator",
    "InvalidInputError",
    "JsonText",
    "Key",
    "Mfa",
    "MfaChanged",
    "MfaRefused",
    "MfaStats",
    "Mode",
    "NotEnrolledError",
    "NotesDropped",
    "PasswordRefusedError",
    "Passwords",
    "PasswordsStats",
    "Policy",
    "PolicyFile",
    "PolicyRefused",
    "PolicyReplaced",
    "Problem",
    "RecordError",
    "RecoveryCodeNeededError",
    "RecoveryCodeUsed",
    "RedactingFilter",
    "Redactor",
    "Report",
    "Request",
    "Rewritten",
    "Role",
    "RoleChanged",
    "Rule",
    "Sanitizer",
    "Scenario",
    "ScreenedError",
    "SegmentBegun",
    "SegmentsDropped",
    "Session",
    "SessionEnded",
    "SessionEndedError",
    "SessionOpened",
    "SessionRotated",
    "Sessions",
    "SessionsStats",
    "Sink",
    "Standing",
    "StepUpRequired",
    "StepUpRequiredError",
    "Subject",
    "SubjectErasedError",
    "SubjectKeys",
    "Suspected",
    "Target",
    "Terms",
    "Text",
    "ThreatDecided",
    "ThreatDetector",
    "ThreatRefusedError",
    "ThreatStats",
    "TooManyAttemptsError",
    "TooManySessionsError",
    "Totp",
    "TrailDamaged",
    "TrailError",
    "TrailRepaired",
    "TrailVersionError",
    "Tree",
    "UpkeepFailed",
    "Url",
    "UrlGuard",
    "ValidatorStats",
    "Verdict",
    "View",
    "Wallet",
    "WebUrl",
    "Witness",
    "WitnessFailed",
    "burst_after_silence",
    "compare",
    "enumeration",
    "escape_html",
    "escape_markdown",
    "export_entries",
    "failed_logins",
    "find_personal",
    "flooding",
    "impossible_switching",
    "inspect_text",
    "leaf_hash",
    "load_policy",
    "load_tree",
    "matches_secret",
    "owner",
    "parse_policy",
    "password_spraying",
    "probing",
    "read_trail",
    "repeated_findings",
    "rewrite_values",
    "skeleton",
    "validated",
    "verify_consistency",
    "verify_inclusion",
    "verify_init_data",
    "verify_init_data_signature",
    "verify_trail",
    "views",
]
