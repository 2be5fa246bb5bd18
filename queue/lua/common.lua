-- common: put before every script. Where things lie, who holds a job, what is bad, and the bells.
-- KEYS[1] the namespace; every key made here starts with it and so lies in its slot.   ARGV[1] now in ms, "" = the server's clock
-- Redis does not roll a script back, so scripts look first and write afterwards; their first write (but for enqueue)
-- is one that a full Redis allows: it lets the others pass, and a full queue drains instead of jamming.
local DEAD_LIMIT, DEAD_TTL = 10000, 30 * 24 * 3600 * 1000 -- jobs, ms
local CANCELLED_TTL, STATS_TTL = 3600 * 1000, 25 * 3600 * 1000
local MAX_ID = 128
local NAP = 1000 -- ms: the longest that a worker sleeps without a look
local STOP = "stop requested" -- in the reason of a running job

local call, try = redis.call, redis.pcall
local ns = KEYS[1]
local now, micros = tonumber(ARGV[1]), 0 -- how far its millisecond is gone
if not now then
  local clock = call("TIME")
  now, micros = clock[1] * 1000 + math.floor(clock[2] / 1000), clock[2] % 1000
end
local at = string.format("%.0f", now) -- to be written: a number would be made text again by each call

local function counter(value) -- of a field that somebody may have written by hand
  local number = math.floor(tonumber(value) or 0)
  return number >= 0 and number < 1e9 and number or 0 -- and 0 for what is no number at all
end

local function job_key(id) return ns .. ":job:" .. id end

local function aside(key)
  local away = ns .. ":bad:" .. at .. ":" .. string.sub(key, #ns + 2)
  call("RENAME", key, away)
  call("PEXPIRE", away, DEAD_TTL)
end

-- The key of a place. Something of another type, put there by hand, is moved aside under bad:, so that the queue goes on.
local looked_at = {}
local function place(kind, what, name)
  local key = ns .. ":" .. what
  if name then key = key .. ":" .. name end
  if not looked_at[key] then
    local found = call("TYPE", key).ok
    if found ~= kind and found ~= "none" then aside(key) end
    looked_at[key] = true
  end
  return key
end

local rung = {}
local function ring(name) -- at most one token: who leaves work behind rings for the next
  if rung[name] then return end
  local bell = ns .. ":bell:" .. name
  local found = call("TYPE", bell).ok -- a list that is there has its token
  if found ~= "list" then
    if found ~= "none" then aside(bell) end
    call("LPUSH", bell, 1)
  end
  rung[name] = true
end

local function count(field, by) -- never fails: a figure is no reason to lose a job
  local stats = place("hash", "stats", string.format("%.0f", math.floor(now / 60000)))
  if try("HINCRBY", stats, field, string.format("%.0f", by)) == by then call("PEXPIRE", stats, STATS_TTL) end
end

-- The state of a job whose last token is this one, else nil. A settling script goes on only from "running"; the state
-- that it leads to means that this very call came before and its reply was lost.
local function held(id, worker, attempt, started)
  local job = try("HMGET", job_key(id), "state", "worker", "attempt", "started_at", "reason")
  if not job.err and job[2] == worker and job[3] == attempt and job[4] == started then return job[1], job[5] == STOP end
end

local function to_dead(id, reason, message)
  local dead = place("list", "dead")
  call("LPUSH", dead, id)
  call("HSET", job_key(id), "state", "dead", "reason", reason, "error", message, "finished_at", at)
  call("PEXPIRE", job_key(id), DEAD_TTL)
  count("dead", 1)
  for _ = 1, 100 do -- from the old end, by count and by age, with the hashes; bounded, the rest goes with the next
    local oldest = call("LINDEX", dead, -1)
    local job = try("HMGET", job_key(oldest), "state", "finished_at")
    local gone = job.err or job[1] ~= "dead"
    local old = not gone and (tonumber(job[2]) or 0) <= now - DEAD_TTL
    if not (gone or old or call("LLEN", dead) > DEAD_LIMIT) then break end
    call("RPOP", dead)
    if not gone then call("DEL", job_key(oldest)) end
  end
end

local function to_cancelled(id)
  call("HSET", job_key(id), "state", "cancelled", "finished_at", at)
  call("HDEL", job_key(id), "reason")
  call("PEXPIRE", job_key(id), CANCELLED_TTL)
end

-- An id without a readable hash goes to the dead with its reason. Call it after the id was taken from its place.
local function quarantine(id, where)
  if #id > MAX_ID then id = "bad:" .. string.sub(id, 1, MAX_ID) end -- longer than any real id, so it cannot be one
  local kind = call("TYPE", job_key(id)).ok
  if kind ~= "hash" and kind ~= "none" then aside(job_key(id)) end
  if call("HGET", job_key(id), "state") == "dead" then return end -- it lay there twice
  to_dead(id, "bad entry", "found in " .. where .. " without a readable job")
end

local function push(command, queue, ...) -- LPUSH: behind the others. RPUSH: to the front.
  call(command, place("list", "pending", queue), ...)
  ring(queue)
end

local function to_pending(id, queue, command)
  if not queue then return quarantine(id, "no list") end
  push(command, queue, id)
  call("HSET", job_key(id), "state", "pending")
end

local function to_scheduled(id, queue, due)
  if not queue then return quarantine(id, "no list") end
  local scheduled = place("zset", "scheduled")
  call("ZADD", scheduled, due, id)
  call("HSET", job_key(id), "state", "scheduled", "due_at", due)
  if due <= now + NAP or call("ZRANGE", scheduled, 0, 0)[1] == id then ring(queue) end
end

local function add_failure(id)
  call("HSET", job_key(id), "failures", counter(call("HGET", job_key(id), "failures")) + 1)
end

local function drop_all(running, jobs) -- these are the oldest, as a rule: then one call does for all
  local oldest, n, same = call("LRANGE", running, -#jobs, -1), #jobs, true
  for i = 1, n do same = same and oldest[n + 1 - i] == jobs[i][1] end
  if same then return call("RPOP", running, n) end
  for _, job in ipairs(jobs) do call("LREM", running, -1, job[1]) end
end

local function finish(worker, jobs) -- returns the ids that this worker no longer holds
  local running, lost, done = place("list", "running", worker), {}, {}
  for _, job in ipairs(jobs) do
    local state, stop = held(job[1], worker, job[2], job[3])
    job.stop = stop
    if state == "running" then
      done[#done + 1] = job
    elseif state ~= "done" then
      lost[#lost + 1] = job[1]
    end
  end
  if #done == 0 then return lost end
  drop_all(running, done)
  for _, job in ipairs(done) do
    local key, ttl, result = job_key(job[1]), job[4], job[5]
    call("HSET", key, "state", "done", "finished_at", at)
    if result ~= "" then call("HSET", key, "result", result) end
    if job.stop then call("HDEL", key, "reason") end
    call("PEXPIRE", key, ttl)
  end
  count("done", #done)
  return lost
end
