"""Secrets kept, and what may be secret found."""

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
from mobius_infra.security._roles import (
    Role,
    Rule,
)
from mobius_infra.security._subjects import (
    SubjectErasedError,
    SubjectKeys,
)

__all__ = [
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
    "Found",
    "GrantDeniedError",
    "GrantsLost",
    "GrantsRestored",
    "Key",
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
    "Subject",
    "SubjectErasedError",
    "SubjectKeys",
    "compare",
    "find_personal",
    "load_policy",
    "owner",
    "parse_policy",
    "rewrite_values",
]
