"""Run a script's Lua twin on a real server with a state, a time and arguments of one's choice."""

from typing import Any

from mobius_infra.core import Scalar, Script, State
from mobius_infra.core._msgpack import pack, unpack
from tests.servers.redis import RedisServer

# As `script.lua`, but nothing is stored: state and time come in, state and result go out.
_AROUND = """
local step = (function()
{twin}
end)()
local state, now, args = unpack(cmsgpack.unpack(ARGV[1]), 1, 3)
local after, result, ttl = step(state, now, unpack(args))
return {{cmsgpack.pack(after), cmsgpack.pack(result), cmsgpack.pack(ttl)}}
"""


def run_twin(
    server: RedisServer, script: Script[Any, Any], state: State | None, now: float, *args: Scalar
) -> tuple[State | None, tuple[Scalar, ...], Scalar | None]:
    """Return what the twin makes of a state: new state, result, time to live."""
    source = _AROUND.format(twin=script.source())
    reply = server.call("EVAL", source, 0, pack((state, now, args)))
    assert isinstance(reply, list), reply
    after, result, ttl = map(unpack, reply)  # type: ignore[arg-type]  # bytes
    return after, tuple(result), ttl
