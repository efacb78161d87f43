"""What the seven subpackages stand on: clocks, backends, scripts, codecs, events, errors."""

from mobius_infra.core._address import (
    read_address,
)
from mobius_infra.core._backend import (
    Backend,
    BackendLost,
    BackendRestored,
    Gap,
    Message,
    Subscription,
)
from mobius_infra.core._cgroup import (
    Cgroup,
)
from mobius_infra.core._clock import (
    Clock,
    SystemClock,
    call_later,
)
from mobius_infra.core._codec import (
    Codec,
)
from mobius_infra.core._config import (
    Config,
    require,
)
from mobius_infra.core._decorate import (
    AsyncDecorator,
    decorate,
    require_async,
)
from mobius_infra.core._durations import (
    Durations,
)
from mobius_infra.core._errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    CodecError,
    ConfigurationError,
    MissingExtraError,
    MobiusError,
    Rejected,
    own_instance,
)
from mobius_infra.core._events import (
    Event,
    Events,
    Listener,
)
from mobius_infra.core._extras import (
    import_extra,
)
from mobius_infra.core._keys import (
    compile_key,
)
from mobius_infra.core._lease import (
    Lease,
)
from mobius_infra.core._readings import (
    Kept,
    Readings,
    Share,
    SystemSource,
    find_source,
    processors,
)
from mobius_infra.core._script import (
    Outcome,
    Scalar,
    Script,
    State,
)
from mobius_infra.core._source import (
    signature_source,
)
from mobius_infra.core._stats import (
    Component,
    Sample,
    Stats,
    counter,
    gauge,
    samples,
    state,
)
from mobius_infra.core.backends import (
    open_backend,
)

__all__ = [
    "AsyncDecorator",
    "Backend",
    "BackendError",
    "BackendLost",
    "BackendRestored",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "Cgroup",
    "Clock",
    "Codec",
    "CodecError",
    "Component",
    "Config",
    "ConfigurationError",
    "Durations",
    "Event",
    "Events",
    "Gap",
    "Kept",
    "Lease",
    "Listener",
    "Message",
    "MissingExtraError",
    "MobiusError",
    "Outcome",
    "Readings",
    "Rejected",
    "Sample",
    "Scalar",
    "Script",
    "Share",
    "State",
    "Stats",
    "Subscription",
    "SystemClock",
    "SystemSource",
    "call_later",
    "compile_key",
    "counter",
    "decorate",
    "find_source",
    "gauge",
    "import_extra",
    "open_backend",
    "own_instance",
    "processors",
    "read_address",
    "require",
    "require_async",
    "samples",
    "signature_source",
    "state",
]
