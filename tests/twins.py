"""Run a script's Lua twin on a real server with a state, a time and arguments of one's choice."""

import json
from collections.abc import Callable
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
local function map(change, value)
    if type(value) ~= 'table' then return change(value) end
    local made = {{}}
    for index, each in ipairs(value) do made[index] = map(change, each) end
    return made
end
local args = {{}}
for index = 3, #ARGV do args[index - 2] = read(ARGV[index]) end
local state = nil
if ARGV[1] ~= '' then
    state = map(read, cjson.decode(ARGV[1]))
end
local after, result, ttl = step(state, read(ARGV[2]), unpack(args))
local kept = after ~= nil and map(write, after)
result = map(write, result)
return {{kept, result, ttl and write(ttl) or false}}
"""


def run_twin(
    server: RedisServer, script: Script[Any, Any], state: State | None, now: float, *args: Scalar
) -> tuple[State | None, tuple[Scalar, ...], Scalar | None]:
    """Return what the twin makes of a state: new state, result, time to live."""
    prelude = (script_prelude()).partition("local time =")[0]
    source = _AROUND.format(twin=script.source(), read=prelude)
    packed = "" if state is None else json.dumps(_each(_write, state))
    words = [_write(float(now)), *(_write(arg) for arg in args)]
    reply = server.call("EVAL", source, 0, packed, *words)
    assert isinstance(reply, list), reply
    after, result, ttl = reply
    assert isinstance(result, list)
    kept = _each(_read, after) if isinstance(after, list) else None
    left = _read(ttl) if isinstance(ttl, bytes | int) else None
    return kept, tuple(_read(word) for word in result), left  # type: ignore[arg-type]  # bytes


# Any: lists of lists of scalars, as deep as a state is.
def _each(change: Callable[[Any], Any], value: Any) -> Any:
    return [_each(change, each) for each in value] if isinstance(value, list) else change(value)


def script_prelude() -> str:
    """Return the source that stands around every twin in production."""
    from importlib.resources import files  # noqa: PLC0415 - needed here alone

    return files("mobius_infra.core.backends").joinpath("script.lua").read_text(encoding="utf-8")
