-- The twin of `decide` in _step.py where it takes of one bucket, which is what nearly all ask for:
-- as limits.lua does, in three quarters of the server's time.
local floor, max, min = math.floor, math.max, math.min

return function(state, seconds, _, cost, most, patience, _, _, count, period, capacity)
    local now = floor(seconds * 1000000 + 0.5)
    local debt, at = 0, now
    if state then debt, at = unpack(state[1]) end
    if now > at then debt, at = max(debt - (now - at) * count, 0), now end
    local over, wait = debt + cost * period - capacity, 0
    if over > 0 then wait = floor((over + count - 1) / count) end
    local granted, mark = -1, 0
    if wait <= max(patience, 0) then
        granted = max(min(most, floor((capacity - debt) / period)), cost)
        debt = max(debt, wait * count) + granted * period
        mark = debt
    end
    local left, reset = max(floor((capacity - debt) / period), 0), floor((debt + count - 1) / count)
    local told = {granted, wait, now, left, reset, mark}
    if reset == 0 then return nil, told, nil end
    return {{debt, at}}, told, reset / 1000000 + 0.002
end
