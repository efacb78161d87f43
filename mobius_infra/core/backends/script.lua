-- Around every twin: reads the state, gives it the server's time, stores what comes of it.
-- KEYS[1]: the state. ARGV: the arguments, each with a letter for its type before it.
local function read(word)
    local kind, text = string.sub(word, 1, 1), string.sub(word, 2)
    if kind == 'n' then return tonumber(text) end
    if kind == 'b' then return text == '1' end
    return text
end

-- With a letter too, but for whole numbers: Redis has them, and cuts all others down to them.
local function write(value)
    local kind = type(value)
    if kind == 'number' then
        if value % 1 == 0 and value < 2^53 and value > -2^53 then return value end
        return 'n' .. string.format('%.17g', value)
    end
    if kind == 'boolean' then return value and 'b1' or 'b0' end
    return 's' .. value
end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('GET', KEYS[1])
for index, word in ipairs(ARGV) do ARGV[index] = read(word) end
local state = nil
if held then state = cmsgpack.unpack(held) end
local after, result, ttl = step(state, now, unpack(ARGV))
if after == nil then
    if held then redis.call('DEL', KEYS[1]) end
elseif ttl == nil then
    redis.call('SET', KEYS[1], cmsgpack.pack(after))
else
    redis.call('SET', KEYS[1], cmsgpack.pack(after), 'PX', math.max(1, math.ceil(ttl * 1000)))
end
for index, value in ipairs(result) do result[index] = write(value) end
return result
