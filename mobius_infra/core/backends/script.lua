-- Around every twin: reads the state, gives it the server's time, stores what comes of it.
-- KEYS[1]: the state. ARGV[1]: the arguments. These, the state and the result are msgpack.
local time = redis.call('TIME')
local held = redis.call('GET', KEYS[1])
local state = nil
if held then state = cmsgpack.unpack(held) end
local now = time[1] + time[2] / 1000000
local after, result, ttl = step(state, now, unpack(cmsgpack.unpack(ARGV[1])))
if after == nil then
    if held then redis.call('DEL', KEYS[1]) end
elseif ttl == nil then
    redis.call('SET', KEYS[1], cmsgpack.pack(after))
else
    redis.call('SET', KEYS[1], cmsgpack.pack(after), 'PX', math.max(1, math.ceil(ttl * 1000)))
end
return cmsgpack.pack(result)
