"""Serve an ASGI app by uvicorn. The one module that needs the extra `web`."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress

from mobius_infra.core import import_extra
from mobius_infra.health._app import App


@asynccontextmanager
async def serve(app: App, host: str = "127.0.0.1", port: int = 8080) -> AsyncIterator[int]:
    """Serve `app` in this event loop while the context lasts; gives the port.

    Args:
        app: an ASGI application.
        host: where to listen.
        port: where to listen; 0 takes a free one.

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
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
