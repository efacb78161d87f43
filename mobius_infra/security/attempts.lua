-- state: {attempts, when the next may be}. See _mfa_attempts.py.
return function(state, now, free, base, longest, memory)
    local attempts, from = 0, 0
    if state ~= nil then attempts, from = state[1], state[2] end
    if now < from then
        local left = math.min(from - now, longest)
        return {attempts, now + left}, {false, left}, left + memory
    end
    attempts = attempts + 1
    local wait = 0
    if attempts >= free then
        wait = math.min(longest, base * 2 ^ math.min(attempts - free, 40))
    end
    return {attempts, now + wait}, {true, wait}, wait + memory
end
