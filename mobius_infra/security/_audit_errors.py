"""What goes wrong with an audit trail. Neither keys nor what was to be recorded is in it."""

from mobius_infra.core import MobiusError


class AuditError(MobiusError):
    """Root of what goes wrong with a trail."""


class RecordError(AuditError, ValueError):
    """Something can't be recorded; nothing was written.

    Attributes:
        field: where in the record, such as `details.amount`.
        reason: what is wrong with it; its value is not shown.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} can't be recorded: {reason}")
        self.field = field
        self.reason = reason


class AuditWriteError(AuditError, OSError):
    """A record could not be written, and is not in the trail, as far as the system can tell.

    Attributes:
        name: the audit log's.
        reason: what the system said.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"audit {name!r} could not write: {reason}")
        self.name = name
        self.reason = reason


class TrailError(AuditError):
    """A trail can't be read or continued.

    Attributes:
        path: which one.
        reason: why not.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"audit trail {path}: {reason}")
        self.path = path
        self.reason = reason


class FileDroppedError(TrailError):
    """A file was dropped by retention since the files were listed. Readers list them anew."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "was dropped meanwhile")


class TrailVersionError(TrailError):
    """A trail was written by a newer release.

    Attributes:
        version: of its format.
    """

    def __init__(self, path: str, version: int, known: int) -> None:
        super().__init__(
            path, f"is of version {version}, and this release knows {known}: update mobius_infra"
        )
        self.version = version
