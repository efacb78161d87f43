-- The twin of `decide` in _step.py, and of the five kinds of limits beside it. All numbers are
-- whole and below 2^53, so that doubles hold them exactly.
local floor, max, min = math.floor, math.max, math.min

-- Of integers, rounded down. Right for all below 2^53: what is short of a whole number is short of it
-- by 1 / b at least, which is more than the rounding of a / b.
local function quotient(a, b) return floor(a / b) end

local function up(a, b) -- of integers, rounded up
    return quotient(a + b - 1, b)
end

-- Each makes one kind's functions: a call pays for those of the kinds that it asks for.
-- {debt, at}
local function bucket(name) return {
    fresh = function(now) return {0, now} end,
    look = function(own, now, cost, count, period, capacity)
        if now > own[2] then
            own[1] = max(own[1] - (now - own[2]) * count, 0)
            own[2] = now
        end
        if name == 'queue' then return up(own[1], count) end
        local over = own[1] + cost * period - capacity
        return over > 0 and up(over, count) or 0
    end,
    spend = function(own, cost, delay, count, period)
        own[1] = max(own[1], delay * count) + cost * period
        return own[1]
    end,
    refund = function(own, cost, mark, at, count, period, capacity)
        local unpaid = mark - max(own[2] - at, 0) * count
        if name == 'queue' and unpaid ~= own[1] then return end
        if unpaid < own[1] then unpaid = unpaid - max(own[1] - capacity, 0) end -- others came after
        own[1] = own[1] - max(min(unpaid, cost * period, own[1]), 0)
    end,
    report = function(own, _, count, period, most)
        if name == 'queue' then most = (most * count) + period end
        return max(quotient(most - own[1], period), 0), up(own[1], count)
    end,
} end

-- {window, used}
local function fixed() return {
    fresh = function() return {0, 0} end,
    look = function(own, now, cost, limit, window)
        local number = quotient(now, window)
        if number > own[1] then own[1], own[2] = number, 0 end
        if own[2] + cost <= limit then return 0 end
        return (own[1] + 1) * window - now
    end,
    spend = function(own, cost)
        own[2] = own[2] + cost
        return own[1]
    end,
    refund = function(own, cost, mark)
        if mark == own[1] then own[2] = max(own[2] - cost, 0) end
    end,
    report = function(own, now, limit, window)
        return limit - own[2], own[2] > 0 and (own[1] + 1) * window - now or 0
    end,
} end

-- {window, used, before}
local function sliding() return {
    fresh = function() return {0, 0, 0} end,
    look = function(own, now, cost, limit, window, tick)
        local ahead = quotient(now, window) - own[1]
        if ahead > 0 then
            own[3] = ahead == 1 and own[2] or 0
            own[1], own[2] = own[1] + ahead, 0
        end
        local used, before = own[2], own[3]
        local into = max(now - own[1] * window, 0)
        local room, ticks = limit - used - cost, window / tick
        if room >= 0 then
            if before * (ticks - quotient(into, tick)) <= room * ticks then return 0 end
            return (ticks - quotient(room * ticks, before)) * tick - into
        end
        return window - into + max(ticks - quotient((limit - cost) * ticks, used), 0) * tick
    end,
    spend = function(own, cost)
        own[2] = own[2] + cost
        return own[1]
    end,
    refund = function(own, cost, mark)
        local place = 2 + own[1] - mark
        if place == 2 or place == 3 then own[place] = max(own[place] - cost, 0) end
    end,
    report = function(own, now, limit, window, tick)
        local used, before = own[2], own[3]
        local into, ticks = max(now - own[1] * window, 0), window / tick
        local fading = before * (ticks - quotient(into, tick))
        local room = quotient((limit - used) * ticks - fading, ticks)
        local left = window - into
        return max(room, 0), used > 0 and left + window or before > 0 and left or 0
    end,
} end

-- {at, used, time, cost, time, cost, ...}
local function log() return {
    fresh = function(now) return {now, 0} end,
    look = function(own, now, cost, limit, window)
        now = max(now, own[1])
        own[1] = now
        local size, past = #own, 3
        while past < size and own[past] <= now - window do
            own[2] = own[2] - own[past + 1]
            past = past + 2
        end
        if past > 3 then
            for place = past, size do own[place - past + 3] = own[place] end
            for place = size - past + 4, size do own[place] = nil end
            size = size - past + 3
        end
        local after, over, place = now, own[2] + cost - limit, 3
        if size > 2 then after = max(now, own[size - 1]) end
        while over > 0 do
            over = over - own[place + 1]
            after = max(after, own[place] + window)
            place = place + 2
        end
        return after - now
    end,
    spend = function(own, cost, delay)
        local after, size = own[1] + delay, #own
        if cost > 0 then
            own[2] = own[2] + cost
            if size > 2 and own[size - 1] == after then
                own[size] = own[size] + cost
            else
                own[size + 1], own[size + 2] = after, cost
            end
        end
        return after
    end,
    refund = function(own, cost, mark)
        for place = 3, #own, 2 do
            if own[place] == mark then
                local less = min(cost, own[place + 1])
                own[2] = own[2] - less
                own[place + 1] = own[place + 1] - less
                if own[place + 1] == 0 then
                    table.remove(own, place)
                    table.remove(own, place)
                end
                return
            end
        end
    end,
    report = function(own, _, limit, window)
        local size = #own
        if size == 2 then return limit, 0 end
        local last = own[size - 1]
        return last > own[1] and 0 or limit - own[2], last + window - own[1]
    end,
} end

local function kind_of(name)
    if name == 'fixed' then return fixed() end
    if name == 'sliding' then return sliding() end
    if name == 'log' then return log() end
    return bucket(name)
end

-- After `at` come each rule's kind, a, b, c and mark.
return function(state, seconds, op, cost, most, patience, at, ...)
    local now = floor(seconds * 1000000 + 0.5)
    local words, kinds = {...}, {}
    local granted, wait, refused = 0, 0, false
    state = state or {}
    for index = 1, #words / 5 do
        local name, a, b, c, mark = unpack(words, 5 * index - 4, 5 * index)
        local kind = kind_of(name)
        local own = state[index] or kind.fresh(now)
        kinds[index], state[index] = kind, own
        if op == 'refund' then
            kind.look(own, now, 0, a, b, c)
            kind.refund(own, cost, mark, at, a, b, c, now)
        else
            local after = kind.look(own, now, cost, a, b, c)
            wait = max(wait, after)
            local most = max(patience, 0)
            if name == 'queue' then most = patience < 0 and c or min(c, patience) end
            refused = refused or after > most
        end
    end
    if op == 'take' then
        granted = refused and -1 or cost
        if not refused and most > cost and wait == 0 then
            local left = most
            for index, kind in ipairs(kinds) do
                local _, a, b, c = unpack(words, 5 * index - 4, 5 * index)
                left = min(left, (kind.report(state[index], now, a, b, c)))
            end
            granted = max(cost, left)
        end
    end
    local reset, told = 0, {granted, wait, now, 0, 0, 0} -- with room for one: most ask for one
    for index, kind in ipairs(kinds) do
        local own, place, mark = state[index], 3 * index, 0
        local _, a, b, c = unpack(words, 5 * index - 4, 5 * index)
        if op == 'take' and not refused then
            mark = kind.spend(own, granted, wait, a, b, c, now)
        end
        local left, after = kind.report(own, now, a, b, c)
        told[place + 1], told[place + 2], told[place + 3] = left, after, mark
        reset = max(reset, after)
    end
    if reset == 0 then return nil, told, nil end
    return state, told, reset / 1000000 + 0.002
end
