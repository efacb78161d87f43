"""Secrets kept, what may be secret found, and what comes in checked."""

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
from mobius_infra.security._names import (
    FileName,
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
    "Access",
    "AccessDeniedError",
    "AccessFailed",
    "AccessRefused",
    "AccessStats",
    "Cipher",
    "Condition",
    "ConditionError",
    "Considered",
    "Decision",
    "DecryptionError",
    "Detector",
    "DetectorStats",
    "Email",
    "FileName",
    "Finding",
    "Found",
    "GrantDeniedError",
    "GrantsLost",
    "GrantsRestored",
    "Identifier",
    "InitData",
    "InputRefused",
    "InputValidator",
    "InvalidInputError",
    "JsonText",
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
    "Sanitizer",
    "ScreenedError",
    "Sink",
    "Subject",
    "SubjectErasedError",
    "SubjectKeys",
    "Suspected",
    "Target",
    "Text",
    "Url",
    "UrlGuard",
    "ValidatorStats",
    "Verdict",
    "View",
    "Wallet",
    "WebUrl",
    "compare",
    "escape_html",
    "escape_markdown",
    "find_personal",
    "inspect_text",
    "load_policy",
    "matches_secret",
    "owner",
    "parse_policy",
    "rewrite_values",
    "skeleton",
    "validated",
    "verify_init_data",
    "verify_init_data_signature",
    "views",
]
