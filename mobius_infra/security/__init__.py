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
from mobius_infra.security._roles import (
    Role,
    Rule,
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
from mobius_infra.security._totp import (
    Totp,
)
from mobius_infra.security._views import (
    View,
    views,
)

__all__ = [
    "SINKS",
    "Access",
    "AccessDeniedError",
    "AccessFailed",
    "AccessRefused",
    "AccessStats",
    "Attempts",
    "AttemptsSlowed",
    "AttemptsStats",
    "Cipher",
    "CodeRefusedError",
    "Condition",
    "ConditionError",
    "Considered",
    "Decision",
    "DecryptionError",
    "Detector",
    "DetectorStats",
    "Enrolment",
    "Finding",
    "Found",
    "GrantDeniedError",
    "GrantsLost",
    "GrantsRestored",
    "Key",
    "Mfa",
    "MfaChanged",
    "MfaRefused",
    "MfaStats",
    "Mode",
    "NotEnrolledError",
    "PasswordRefusedError",
    "Passwords",
    "PasswordsStats",
    "Policy",
    "PolicyFile",
    "PolicyRefused",
    "PolicyReplaced",
    "RecoveryCodeNeededError",
    "RecoveryCodeUsed",
    "RedactingFilter",
    "Redactor",
    "Request",
    "Rewritten",
    "Role",
    "RoleChanged",
    "Rule",
    "ScreenedError",
    "Session",
    "SessionEnded",
    "SessionEndedError",
    "SessionOpened",
    "SessionRotated",
    "Sessions",
    "SessionsStats",
    "Sink",
    "StepUpRequired",
    "StepUpRequiredError",
    "Subject",
    "SubjectErasedError",
    "SubjectKeys",
    "Suspected",
    "TooManyAttemptsError",
    "TooManySessionsError",
    "Totp",
    "Verdict",
    "View",
    "compare",
    "find_personal",
    "inspect_text",
    "load_policy",
    "owner",
    "parse_policy",
    "rewrite_values",
    "views",
]
