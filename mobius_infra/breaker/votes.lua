-- state: {phase, generation, openings, until, reason, probe, lease, lost, successes,
-- then node, expires, number, pause of each vote}. See _votes.py, whose `step` this equals.
local KEPT = 3600

local function read(state, now, known)
    local c = {votes = {}}
    c.phase, c.generation, c.openings, c.ends, c.reason = unpack(state, 1, 5)
    c.probe, c.lease, c.lost, c.successes = unpack(state, 6, 9)
    for at = 10, #state, 4 do
        c.votes[#c.votes + 1] = {
            node = state[at], expires = state[at + 1], number = state[at + 2], pause = state[at + 3],
        }
    end
    c.newer = math.max(math.floor(now * 1000000), c.generation + 1, known + 1)
    return c
end

local function written(c)
    local state = {
        c.phase, c.generation, c.openings, c.ends, c.reason, c.probe, c.lease, c.lost, c.successes,
    }
    for _, vote in ipairs(c.votes) do
        for _, value in ipairs({vote.node, vote.expires, vote.number, vote.pause}) do
            state[#state + 1] = value
        end
    end
    return state
end

local function keep_votes(c, wanted)
    local left = {}
    for _, vote in ipairs(c.votes) do
        if wanted(vote) then left[#left + 1] = vote end
    end
    c.votes = left
end

local function free(c)
    c.probe, c.lease, c.lost = '', 0, 0
end

local function enter(c, phase, openings, ends, reason)
    c.phase, c.openings, c.ends, c.reason = phase, openings or 0, ends or 0, reason or ''
    c.generation = c.newer
    c.newer = c.newer + 1
    c.successes = 0
    free(c)
    if phase ~= 'open' then c.votes = {} end
end

local function catch_up(c, now)
    if c.probe ~= '' and now >= c.lease then
        enter(c, 'open', c.openings + 1, c.lease + c.lost, 'a probe was lost')
    elseif c.phase == 'isolated' and now >= c.ends then
        enter(c, 'closed')
    elseif c.phase == 'closed' then
        keep_votes(c, function(vote) return now < vote.expires end)
    end
end

local ops = {}

function ops.withdraw(c, now, ask)
    if c.phase ~= 'closed' then return false end
    local before = #c.votes
    keep_votes(c, function(vote) return vote.node ~= ask.who end)
    return #c.votes < before
end

function ops.vote(c, now, ask)
    if c.phase ~= 'closed' or ask.generation < c.generation then return false end
    ops.withdraw(c, now, ask)
    c.votes[#c.votes + 1] = {
        node = ask.who, expires = now + ask.seconds, number = ask.number, pause = ask.pause,
    }
    if #c.votes >= ask.needed then
        local number, pause = ask.number, ask.pause
        for _, vote in ipairs(c.votes) do
            number, pause = math.min(number, vote.number), math.min(pause, vote.pause)
        end
        enter(c, 'open', number, now + pause, ask.reason)
    end
    return true
end

function ops.claim(c, now, ask)
    if c.phase ~= 'open' or c.generation ~= ask.generation then return false end
    if c.probe ~= '' or now < c.ends then return false end
    c.probe, c.lease, c.lost = ask.who, now + ask.seconds, ask.pause
    return true
end

local function settles(c, ask)
    return c.probe ~= '' and c.probe == ask.who and c.generation == ask.generation
end

function ops.succeed(c, now, ask)
    if not settles(c, ask) then return false end
    free(c)
    c.successes = c.successes + 1
    if c.successes >= ask.needed then enter(c, 'closed') end
    return true
end

function ops.fail(c, now, ask)
    if not settles(c, ask) then return false end
    enter(c, 'open', c.openings + 1, now + ask.pause, ask.reason)
    return true
end

function ops.release(c, now, ask)
    if not settles(c, ask) then return false end
    free(c)
    return true
end

function ops.isolate(c, now, ask)
    enter(c, 'isolated', 0, now + ask.seconds, ask.reason)
    return true
end

function ops.reset(c, now, ask)
    enter(c, 'closed')
    return true
end

return function(state, now, op, who, generation, needed, number, seconds, pause, reason)
    local c = read(state or {'closed', 0, 0, 0, '', '', 0, 0, 0}, now, generation)
    local before, probe = c.generation, c.probe
    catch_up(c, now)
    local ask = {
        who = who, generation = generation, needed = needed, number = number,
        seconds = seconds, pause = pause, reason = reason,
    }
    local done = ops[op] ~= nil and ops[op](c, now, ask)
    local moved = c.generation ~= before or (probe ~= '' and c.probe == '')
    local view = {
        done, moved, c.phase, c.generation, c.openings,
        math.max(c.ends - now, 0), math.max(c.lease - now, 0), #c.votes, c.reason,
    }
    if c.generation == 0 and #c.votes == 0 then return nil, view, nil end
    local last = math.max(c.ends, c.lease)
    for _, vote in ipairs(c.votes) do last = math.max(last, vote.expires) end
    return written(c), view, KEPT + math.max(last - now, 0)
end
