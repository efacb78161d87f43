"""Run a script's Lua twin on a real server with a state, a time and arguments of one's choice."""

import json
from typing import Any

from mobius_infra.core import Scalar, Script, State
from mobius_infra.core.backends._redis import _read, _write
from tests.servers.redis import RedisServer

# As `script.lua`, but nothing is stored: state and time come in, state and result go out.
_AROUND = """
local step = (function()
{twin}
end)()
{read}
local args = {{}}
for index = 3, #ARGV do args[index - 2] = read(ARGV[index]) end
local state = nil
if ARGV[1] ~= '' then
    state = {{}}
    for index, word in ipairs(cjson.decode(ARGV[1])) do state[index] = read(word) end
end
local after, result, ttl = step(state, read(ARGV[2]), unpack(args))
for index, value in ipairs(result) do result[index] = write(value) end
local kept = false
if after ~= nil then
    kept = {{}}
    for index, value in ipairs(after) do kept[index] = write(value) end
end
return {{kept, result, ttl and write(ttl) or false}}
"""


def run_twin(
    server: RedisServer, script: Script[Any, Any], state: State | None, now: float, *args: Scalar
) -> tuple[State | None, tuple[Scalar, ...], Scalar | None]:
    """Return what the twin makes of a flat state: new state, result, time to live."""
    prelude = (script_prelude()).partition("local time =")[0]
    source = _AROUND.format(twin=script.source(), read=prelude)
    packed = "" if state is None else json.dumps([_write(each) for each in state])
    words = [_write(float(now)), *(_write(arg) for arg in args)]
    reply = server.call("EVAL", source, 0, packed, *words)
    assert isinstance(reply, list), reply
    after, result, ttl = reply
    assert isinstance(result, list)
    kept = [_read(word) for word in after] if isinstance(after, list) else None  # type: ignore[arg-type]  # bytes
    left = _read(ttl) if isinstance(ttl, bytes) else None
    return kept, tuple(_read(word) for word in result), left  # type: ignore[arg-type]  # bytes


def script_prelude() -> str:
    """Return the source that stands around every twin in production."""
    from importlib.resources import files  # noqa: PLC0415 - needed here alone

    return files("mobius_infra.core.backends").joinpath("script.lua").read_text(encoding="utf-8")
