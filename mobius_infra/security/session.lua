-- state: a list of sessions. See _session_step.py.
local ID, TOKEN, CREATED, SEEN, VERIFIED, BINDING, LABEL = 1, 2, 3, 4, 5, 6, 7
local OLD, OLD_UNTIL, OLD_VERIFIED = 8, 9, 10

local function shown(each, now, verified)
    return {"ok", each[ID], each[CREATED], each[SEEN], verified, each[LABEL], now}
end

local ops = {}

function ops.open(alive, now, id, token, binding, label, verified, limit, replaces)
    if #alive >= limit and not replaces then return alive, {false, now} end
    local answer = {true, now}
    while #alive >= limit do
        local oldest = 1
        for i = 2, #alive do
            if alive[i][SEEN] < alive[oldest][SEEN] then oldest = i end
        end
        answer[#answer + 1] = table.remove(alive, oldest)[ID]
    end
    alive[#alive + 1] = {id, token, now, now, verified and now or 0, binding, label, "", 0, 0}
    return alive, answer
end

function ops.check(alive, now, token, binding)
    for i, each in ipairs(alive) do
        local current = each[TOKEN] == token
        if current or (each[OLD] == token and now < each[OLD_UNTIL]) then
            if each[BINDING] ~= "" and each[BINDING] ~= binding then
                table.remove(alive, i)
                return alive, {"binding", each[ID]}
            end
            each[SEEN] = math.max(each[SEEN], now)
            return alive, shown(each, now, each[current and VERIFIED or OLD_VERIFIED])
        end
    end
    return alive, {"unknown", ""}
end

function ops.rotate(alive, now, token, binding, new, verified, grace)
    for _, each in ipairs(alive) do
        if each[TOKEN] == token then
            local after, answer = ops.check(alive, now, token, binding)
            if answer[1] ~= "ok" then return after, answer end
            each[OLD], each[OLD_UNTIL], each[OLD_VERIFIED] = token, now + grace, each[VERIFIED]
            each[TOKEN] = new
            if verified then each[VERIFIED] = now end
            return after, shown(each, now, each[VERIFIED])
        end
    end
    return alive, {"unknown", ""}
end

ops["end"] = function(alive, now, id, keep)
    local kept, ended = {}, {}
    for _, each in ipairs(alive) do
        if each[ID] ~= id and (id ~= "" or each[ID] == keep) then
            kept[#kept + 1] = each
        else
            ended[#ended + 1] = each[ID]
        end
    end
    return kept, ended
end

function ops.list(alive, now)
    local told = {now}
    for _, each in ipairs(alive) do
        for _, part in ipairs({ID, CREATED, SEEN, VERIFIED, LABEL}) do
            told[#told + 1] = each[part]
        end
    end
    return alive, told
end

return function(state, now, op, idle, absolute, ...)
    local function expires(each) return math.min(each[SEEN] + idle, each[CREATED] + absolute) end
    local alive = {}
    for _, each in ipairs(state or {}) do
        if now < expires(each) then alive[#alive + 1] = each end
    end
    local after, answer = ops[op](alive, now, ...)
    if #after == 0 then return nil, answer, nil end
    local last = 0
    for _, each in ipairs(after) do last = math.max(last, expires(each)) end
    return after, answer, last - now
end
