"""Every error that the library raises: what happened, to which named thing, what to do.

The fields are attributes for programs; the message is for people.
"""

import copy
from typing import Any, Self


class MobiusError(Exception):
    """Root of all errors raised by the library."""

    def fields(self) -> dict[str, object]:
        """Return the machine-readable fields by name."""
        return dict(vars(self))

    # Any: what pickle's protocol asks for. Exceptions built from keyword fields do not pickle by
    # themselves, because the default calls the class with the message alone.
    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, vars(self))

    @classmethod
    def _restored(cls, args: tuple[object, ...], fields: dict[str, object]) -> Self:
        error = cls.__new__(cls)
        error.args = args
        vars(error).update(fields)
        return error


def _restore(
    cls: type[MobiusError], args: tuple[object, ...], fields: dict[str, object]
) -> MobiusError:
    return cls._restored(args, fields)


class ConfigurationError(MobiusError, ValueError):
    """Something was built, decorated or started with a value that can't work.

    Attributes:
        field: the parameter or setting at fault.
        value: what was given.
        allowed: what would have been right, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {value!r}; it must be {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


class MissingExtraError(MobiusError, ImportError):
    """A feature was asked for whose optional packages are not installed.

    Attributes:
        feature: what was asked for.
        package: the import that failed.
        extra: the extra of `mobius-infra` that brings it.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'mobius-infra[{extra}]'"
        )
        self.feature = feature
        self.package = package
        self.extra = extra


class BackendError(MobiusError):
    """A backend refused or failed an operation.

    Attributes:
        backend: the backend's name, without its password.
        operation: what was asked of it.
        reason: what it or the driver said.
    """

    def __init__(self, backend: str, operation: str, reason: str) -> None:
        super().__init__(f"{operation} failed on backend {backend}: {reason}")
        self.backend = backend
        self.operation = operation
        self.reason = reason


class BackendUnavailableError(BackendError):
    """The backend could not be reached, or was lost before it answered.

    An operation that writes may or may not have been carried out.
    """


class BackendTimeoutError(BackendUnavailableError, TimeoutError):
    """The backend did not answer within its time-out."""


class CodecError(MobiusError):
    """Stored bytes could not be read, or a value could not be written.

    Attributes:
        codec: the codec's name.
        reason: what was wrong.
    """

    def __init__(self, codec: str, reason: str) -> None:
        super().__init__(f"codec {codec}: {reason}")
        self.codec = codec
        self.reason = reason


class Rejected(MobiusError):  # noqa: N818 - the field's word: a rejection is an answer, not a fault
    """A call was turned away before it was made: by a breaker, a limiter, a bulkhead.

    Neutral to whoever watches for failures: nothing was tried, so nothing failed.

    Attributes:
        name: the component that rejected it.
        retry_after: seconds until it is worth trying again; None when that can't be known.
    """

    def __init__(self, message: str, *, name: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.name = name
        self.retry_after = retry_after


def own_instance(error: BaseException) -> BaseException:
    """Return a copy of `error` with a traceback of its own; itself, if it can't be copied.

    For one error that is raised in many tasks: one object would gather all their tracebacks.
    """
    try:
        copied = copy.copy(error)
    except Exception:  # noqa: BLE001 - whatever a foreign exception's copying may raise
        return error
    if type(copied) is not type(error):
        return error
    copied.__traceback__ = None
    copied.__cause__ = error.__cause__
    copied.__suppress_context__ = error.__suppress_context__
    return copied
