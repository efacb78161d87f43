-- state: {tokens, updated}. See _bucket.py, whose `take` this equals.
return function(state, now, rate, burst, cost)
    local tokens, updated = burst, now
    if state ~= nil then
        tokens, updated = state[1], state[2]
        if now > updated then
            tokens = math.min(burst, tokens + (now - updated) * rate)
            updated = now
        end
    end
    local allowed = tokens + 1e-9 >= cost
    local wait = 0
    if allowed then
        tokens = tokens - cost
    else
        wait = (cost - tokens) / rate
    end
    local reset = (burst - tokens) / rate
    return {tokens, updated}, {allowed, tokens, wait, reset}, math.max(reset, 0.001)
end
