"""From a URL to a backend."""

from mobius_infra.core._backend import Backend
from mobius_infra.core._clock import Clock, SystemClock
from mobius_infra.core._extras import import_extra
from mobius_infra.core.backends._memory import MemoryBackend
from mobius_infra.core.backends._url import BackendUrl

_SQL = ("sqlite", "postgresql")


def open_backend(url: str, *, clock: Clock | None = None) -> Backend:
    """Make the backend that `url` names. Nothing is connected before it is first used.

    Args:
        url: `memory://`, `sqlite:///path`, `postgresql://…`, `redis://…`, `rediss://…`,
            `redis+cluster://host,host` or `redis+sentinel://host,host/master`; behind `?` the
            options `namespace` (before every key; `mobius`), `timeout` (seconds for one
            operation; 1) and `connect_timeout` (1).
        clock: measures time-outs and pauses; the system's if None.

    Raises:
        ConfigurationError: for a URL that can't be understood; says what to write instead.
        MissingExtraError: if the packages it needs are not installed; says what to install.
    """
    parsed = BackendUrl.parse(url)
    clock = clock or SystemClock()
    if parsed.scheme == "memory":
        return MemoryBackend(clock=clock)
    kind, extra = ("SQL", "sql") if parsed.scheme in _SQL else ("Redis", "redis")
    module = import_extra(
        f"mobius_infra.core.backends._{kind.lower()}",
        feature=f"the backend {parsed.display}",
        extra=extra,
    )
    backend: Backend = getattr(module, f"{kind}Backend")(parsed, clock=clock)
    return backend
