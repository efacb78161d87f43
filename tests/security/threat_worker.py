"""A process with a threat detector, told what to do by lines on its standard input.

python -m tests.security.threat_worker URL
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from mobius_infra.core import open_backend
from mobius_infra.security import Activity, ThreatDetector, failed_logins


async def main(url: str) -> None:
    async with AsyncExitStack() as stack:
        backend: Any = await stack.enter_async_context(open_backend(url))  # Any: muted below
        publish = backend.publish

        async def lose(channel: str, data: bytes) -> None:
            return None

        threats = ThreatDetector("fleet", [failed_logins(2, risk=100)], backend=backend)
        await stack.enter_async_context(threats)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            command, *rest = json.loads(line)
            answer: object = None
            match command:
                case "fail":
                    for _ in range(3):
                        threats.report(Activity("login_failed", user=rest[0]))
                case "block":
                    threats.block(rest[0], seconds=600, reason="by hand")
                case "unblock":
                    answer = threats.unblock(rest[0])
                case "refused":
                    answer = threats.check(**rest[0]).refused
                case "mute":
                    backend.publish = lose if rest[0] else publish
                case "state":
                    answer = threats.stats().blocklist
            print(json.dumps(answer), flush=True)


asyncio.run(main(sys.argv[1]))
