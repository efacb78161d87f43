"""Serve an ASGI app by uvicorn. The one module that needs the extra `web`."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress

from mobius_infra.core import import_extra
from mobius_infra.health._app import App, StatusApp


@asynccontextmanager
async def serve(
    app: App, host: str = "127.0.0.1", port: int = 8080, *, drain: float = 0.0
) -> AsyncIterator[int]:
    """Serve `app` in this event loop while the context lasts; gives the port.

    When the context is left, what `status_app` made is drained first: it is not ready any more.

    Args:
        app: an ASGI application, such as `status_app` makes.
        host: where to listen.
        port: where to listen; 0 takes a free one.
        drain: seconds that it then goes on, so that whoever sends work here sees that.

    Raises:
        MissingExtraError: if uvicorn is not installed.
        OSError: if the port is taken.
    """
    uvicorn = import_extra("uvicorn", feature="serving pages", extra="web")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # now: who asks before the server has begun waits, and is not refused
    except OSError:
        listener.close()
        raise
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # signals are the application's business, not the page's
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        if isinstance(app, StatusApp):
            app.drain()
            await asyncio.sleep(drain)
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
