-- state: one user's second factor. See _mfa_step.py.
local SECRET, OFFERED, LAST, FAILURES, COUNTED, CODES, KNOWN = 1, 2, 3, 4, 5, 6, 7
local KNOWN_SOURCES = 16

local function place(list, wanted)
    for i, each in ipairs(list) do
        if each == wanted then return i end
    end
    return nil
end

local function right(held, source)
    local at = place(held[KNOWN], source)
    if at then
        table.remove(held[KNOWN], at)
    else
        held[FAILURES] = math.max(0, held[FAILURES] - 1)
    end
    table.insert(held[KNOWN], source)
    if #held[KNOWN] > KNOWN_SOURCES then table.remove(held[KNOWN], 1) end
end

local ops = {}

function ops.offer(held, now, offered)
    held[OFFERED] = offered
    return {true}
end

function ops.confirm(held, now, offered, period, ...)
    if held[OFFERED] ~= offered or offered == "" then return {false} end
    held[SECRET], held[OFFERED], held[LAST], held[CODES] = offered, "", period, {...}
    return {true}
end

function ops.begin(held, now, source, limit, window)
    local known = place(held[KNOWN], source) ~= nil
    local leaked = math.max(0, now - held[COUNTED]) * limit / window
    local failures = math.max(0, held[FAILURES] - leaked)
    local free = known or failures + 1 <= limit
    if free and not known and held[SECRET] ~= "" then failures = failures + 1 end
    held[FAILURES], held[COUNTED] = failures, now
    return {held[SECRET], now, free}
end

function ops.take(held, now, secret, period, source, rewritten)
    if secret == "" or held[SECRET] ~= secret or period <= held[LAST] then return {false} end
    held[SECRET], held[LAST] = rewritten, period
    right(held, source)
    return {true}
end

function ops.spend(held, now, code, source)
    local at = place(held[CODES], code)
    if not at then return {false, #held[CODES]} end
    table.remove(held[CODES], at)
    right(held, source)
    return {true, #held[CODES]}
end

function ops.codes(held, now, ...)
    if held[SECRET] == "" then return {false} end
    held[CODES] = {...}
    return {true}
end

function ops.read(held, now)
    return {held[SECRET], held[OFFERED], now, #held[CODES]}
end

return function(state, now, op, ...)
    local held = state or {"", "", 0, 0, 0, {}, {}}
    local answer = ops[op](held, now, ...)
    if held[SECRET] == "" and held[OFFERED] == "" then return nil, answer, nil end
    return held, answer, nil
end
