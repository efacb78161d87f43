"""Ready-made checks of the process and its machine. They ask nobody."""

import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from mobius_infra.core import Clock, Component, SystemClock, require, samples
from mobius_infra.health._outcome import UnhealthyError
from mobius_infra.health._refuse import require_count, require_seconds, require_share
from mobius_infra.health._states import Degraded, Health

STATES: Mapping[str, Health] = MappingProxyType({
    "closed": Health.UP, "shared": Health.UP, "local": Health.UP, "connected": Health.UP,
    "running": Health.UP, "idle": Health.UP, "up": Health.UP,
    "half_open": Health.DEGRADED, "recovering": Health.DEGRADED, "degraded": Health.DEGRADED,
    "shedding": Health.DEGRADED,
    "open": Health.DOWN, "isolated": Health.DOWN, "failed": Health.DOWN, "down": Health.DOWN,
})  # fmt: skip
"""What the states of the library's components mean."""

AsyncCheck = Callable[[], Awaitable[object]]
SyncCheck = Callable[[], object]


def disk_check(path: str | Path, *, degraded: float = 0.9, down: float = 0.97) -> SyncCheck:
    """Make a check of how full the file system under `path` is. It runs in a thread.

    Args:
        path: somewhere on it.
        degraded: share in use from which it is degraded.
        down: share in use from which it is down.

    Raises:
        ConfigurationError: for shares out of range.
    """
    _require_levels(degraded, down)

    def check() -> Degraded | None:
        usage = shutil.disk_usage(path)
        # As df says it: what only root may still use is not free.
        share = usage.used / max(usage.used + usage.free, 1)
        return _judge(share, degraded, down, f"the disk under {path}")

    return check


def memory_check(
    used: Callable[[], float] | None = None, *, degraded: float = 0.85, down: float = 0.95
) -> AsyncCheck:
    """Make a check of how much memory is in use.

    Args:
        used: gives the share in use, such as of a container's limit; None: the machine's, as Linux
            tells it.
        degraded: share from which it is degraded.
        down: share from which it is down.

    Raises:
        ConfigurationError: for shares out of range.
    """
    _require_levels(degraded, down)
    read = used or machine_memory

    async def check() -> Degraded | None:
        return _judge(read(), degraded, down, "the memory")

    return check


def machine_memory(meminfo: Path = Path("/proc/meminfo")) -> float:
    """Return the share of the machine's memory that is not available, as Linux tells it.

    Raises:
        OSError: where there is no such file: the check is then down, and says so.
    """
    lines = (line.split() for line in meminfo.read_text().splitlines())
    sizes = {words[0]: int(words[1]) for words in lines if len(words) > 1}
    return 1.0 - sizes["MemAvailable:"] / sizes["MemTotal:"]


def loop_check(
    *,
    degraded: float = 0.1,
    down: float = 1.0,
    times: int = 5,
    clock: Clock | None = None,
) -> AsyncCheck:
    """Make a check of how late the event loop is: whether something blocks it.

    Its time-out must be longer than `down`, or the run is cut off first and says nothing.

    Args:
        degraded: seconds late from which it is degraded.
        down: seconds late from which it is down.
        times: measurements in one run, of 10 ms each; the worst counts.
        clock: measures it.

    Raises:
        ConfigurationError: for values out of range.
    """
    require_seconds("degraded", degraded)
    require_seconds("down", down)
    require(degraded <= down, "degraded", degraded, "at most down")
    require_count("times", times)
    time = clock or SystemClock()

    async def check() -> Degraded | None:
        worst, pause = 0.0, 0.01
        for _ in range(times):
            before = time.monotonic()
            await time.sleep(pause)
            worst = max(worst, time.monotonic() - before - pause)
        reason = f"the event loop is {worst:.3g} s late"
        if worst >= down:
            raise UnhealthyError(reason)
        return Degraded(reason) if worst >= degraded else None

    return check


def component_check(
    component: Component, *, states: Mapping[str, Health] = STATES
) -> Callable[[], Awaitable[Health | Degraded]]:
    """Make a check of a component by the states that its `stats()` tell: a breaker, a limiter.

    Args:
        component: any whose numbers have a state.
        states: what each means; one that is not there makes it unknown. Where several states are
            told the worst counts.

    Raises:
        ConfigurationError: if it tells no state.
    """
    wanted = "a component whose stats() tell a state"
    require(bool(_states_of(component)), "component", component, wanted)

    async def check() -> Health | Degraded:
        found = _states_of(component)
        meanings = [states.get(each, Health.UNKNOWN) for each in found]
        said = f"{component.name} is " + ", ".join(found)
        if Health.DOWN in meanings:
            raise UnhealthyError(said)
        if Health.UNKNOWN in meanings:
            return Health.UNKNOWN
        return Degraded(said) if Health.DEGRADED in meanings else Health.UP

    return check


def cache_check(cache: Component, *, load_errors: float = 0.5) -> AsyncCheck:
    """Make a check of a cache by what failed since it last looked; degraded, never down.

    A cache whose tier is away, or whose origin fails, still answers from what it has.

    Args:
        cache: a `Cache`.
        load_errors: share of loads that fail from which it is degraded.

    Raises:
        ConfigurationError: for a share out of range, or a component that counts no loads.
    """
    require_share("load_errors", load_errors)
    before = _counts_of(cache)
    require("load_errors" in before, "cache", cache, "a component that counts loads")

    async def check() -> Degraded | None:
        nonlocal before
        now = _counts_of(cache)
        new = {name: number - before.get(name, 0) for name, number in now.items()}
        before = now
        failing = [name for name in new if name.startswith("tier_errors ") and new[name] > 0]
        if failing:
            tiers = ", ".join(each.removeprefix("tier_errors ") for each in failing)
            return Degraded(f"failures of tier {tiers}")
        loads = new["loads"] + new["load_errors"]
        if new["load_errors"] and new["load_errors"] >= load_errors * loads:
            return Degraded(f"{new['load_errors']:g} of {loads:g} loads failed")
        return None

    return check


def _require_levels(degraded: float, down: float) -> None:
    require_share("degraded", degraded)
    require_share("down", down)
    require(degraded <= down, "degraded", degraded, "at most down")


def _judge(share: float, degraded: float, down: float, what: str) -> Degraded | None:
    reason = f"{what} is {share:.1%} full"
    if share >= down:
        raise UnhealthyError(reason)
    return Degraded(reason) if share >= degraded else None


def _states_of(component: Component) -> list[str]:
    return [str(each.value) for each in samples(component.stats()) if each.kind == "state"]


def _counts_of(component: Component) -> dict[str, float]:
    return {
        " ".join([each.name, *each.labels.values()]): float(each.value)
        for each in samples(component.stats())
        if each.kind == "counter"
    }
