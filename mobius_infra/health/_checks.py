"""Ready-made checks."""

from collections.abc import Awaitable, Callable

from mobius_infra.core import Backend


def backend_check(backend: Backend) -> Callable[[], Awaitable[None]]:
    """Make a check that passes while `backend` answers."""

    async def check() -> None:
        await backend.ping()

    return check
