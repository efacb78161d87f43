-- state: {owner, expires, fence}; op: "acquire", "renew" or "release". See _lease.py.
return function(state, now, op, owner, ttl)
    local held = state ~= nil and now < state[2]
    if held and state[1] ~= owner then
        return state, {false, state[3], state[2] - now}, state[2] - now
    end
    if op == "release" then
        return nil, {held, held and state[3] or 0, 0}, nil
    end
    if op == "renew" and not held then
        return nil, {false, 0, 0}, nil
    end
    local fence
    if held then
        fence = state[3]
    else
        fence = math.floor(now * 1000000)
        if state ~= nil and state[3] >= fence then fence = state[3] + 1 end
    end
    return {owner, now + ttl, fence}, {true, fence, ttl}, ttl
end
