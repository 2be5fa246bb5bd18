-- take: settle what was just finished, promote what is due, hand out what waits. One round trip is a worker's turn.
-- ARGV[2] worker  ARGV[3] lease in ms  ARGV[4] most jobs  ARGV[5] JSON: task -> how many of it make a full batch
-- ARGV[6] JSON: lists, most urgent first  ARGV[7] JSON: finished jobs, as in `finish`
-- Returns {now, ms until the next due job or -1, 1 if a list holds more, {ids no longer ours}, {job, ...}}; a job is its
-- fields in the order of `fields` below, one a line. Move, lease, attempt, worker and state are one step: until it is
-- settled a job stays in this worker's running list, so a crash loses nothing.
local worker, lease, most, full = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), cjson.decode(ARGV[5])
local lost = finish(worker, cjson.decode(ARGV[7]))
local running = place("list", "running", worker)
local scheduled = place("zset", "scheduled")
local PROMOTE, DROP = 500, 500 -- bounded work a call; what is left is rung for

local due = redis.call("ZRANGEBYSCORE", scheduled, "-inf", now, "LIMIT", 0, PROMOTE)
for _, id in ipairs(due) do
  local job = redis.pcall("HMGET", job_key(id), "state", "queue")
  redis.call("ZREM", scheduled, id)
  if job.err or not (job[1] and job[2]) then
    quarantine(id, "scheduled")
  elseif job[1] == "scheduled" then -- else a stale copy: the hash is the judge
    to_pending(id, job[2], "LPUSH")
  end
end

local fields = { "state", "queue", "attempt", "task", "args", "kwargs", "failures", "crashes", "max_attempts", "enqueued_at", "due_at" }
local jobs, ids, seen, room, waited, dropped = {}, {}, {}, 1, 0, 0

-- What to do with an id at the front of a list: "run", "drop", "bad", or "wait" when the batch is full.
local function judge(id, name, job)
  if job.err or not (job[1] and job[2] and job[4] and job[5]) or #id > MAX_ID or string.find(id, "[^%w_.:%-]") then return "bad" end
  if job[1] ~= "pending" or job[2] ~= name or seen[id] then return "drop" end
  local alone = tonumber(job[8] or 0) ~= 0 -- once crashed: one killer shall not condemn its neighbours
  local share = alone and 1 or 1 / (full[job[4]] or 1)
  if #jobs > 0 and (#jobs >= most or share > room + 1e-9) then return "wait" end
  room = room - share
  return "run"
end

local function hand_out(id, name, job)
  seen[id] = true
  local attempt = counter(job[3]) + 1
  ids[#ids + 1] = id
  jobs[#jobs + 1] = table.concat({ id, attempt, name, job[4], job[5], job[6] or "", job[7] or 0, job[8] or 0, job[9] or "", job[10] or 0, job[11] or "" }, "\n")
  local since = math.max(tonumber(job[10]) or now, tonumber(job[11]) or 0)
  if attempt == 1 then waited = waited + math.min(math.max(now - since, 0), now) end
  return { job_key(id), "state", "running", "attempt", attempt, "started_at", now, "worker", worker }
end

-- One look at the front of a list: judge first, write afterwards. Returns true when there may be more to take.
local function look(list, name)
  local front = redis.call("LRANGE", list, -math.max(most - #jobs, 1), -1)
  local first, bad, drop, writes, looked = #ids, {}, {}, {}, 0
  for i = #front, 1, -1 do
    local id = front[i]
    local job = redis.pcall("HMGET", job_key(id), unpack(fields))
    local verdict = judge(id, name, job)
    if verdict == "wait" then break end
    looked = looked + 1
    if verdict == "run" then writes[#writes + 1] = hand_out(id, name, job)
    elseif verdict == "bad" then bad[#bad + 1] = id
    elseif job[1] == "cancelled" then drop[#drop + 1] = id end
  end
  if looked == 0 then return false end
  redis.call("RPOP", list, looked)
  if #ids > first then redis.call("LPUSH", running, unpack(ids, first + 1)) end
  for _, write in ipairs(writes) do redis.call("HSET", unpack(write)) end
  for _, id in ipairs(bad) do quarantine(id, "pending:" .. name) end
  for _, id in ipairs(drop) do redis.call("PEXPIRE", job_key(id), CANCELLED_TTL) end
  dropped = dropped + looked - #writes
  return looked == #front and #jobs < most and dropped < DROP
end

local paused = place("set", "paused")
local open = {}
for _, name in ipairs(cjson.decode(ARGV[6])) do
  if redis.call("SISMEMBER", paused, name) == 0 then
    open[#open + 1] = name
    place("list", "bell", name) -- else nobody could sleep on it
    local list = place("list", "pending", name)
    if #jobs < most and room > 0 then while look(list, name) do end end
  end
end

local more = 0
for _, name in ipairs(open) do
  if redis.call("LLEN", place("list", "pending", name)) > 0 then
    more = 1
    if #jobs > 0 then ring(name) end
  end
end
local next_due = redis.call("ZRANGE", scheduled, 0, 0, "WITHSCORES")
local wait = -1
if next_due[1] then
  wait = math.ceil(math.min(math.max(tonumber(next_due[2]) - now, 0), 24 * 3600 * 1000))
  if #jobs > 0 and wait <= 1000 then
    local queue = redis.pcall("HGET", job_key(next_due[1]), "queue")
    if type(queue) == "string" then ring(queue) end
  end
end
if #jobs > 0 then redis.call("ZADD", place("zset", "workers"), now + lease, worker); count("waited", waited); count("taken", #jobs) end
return { now, wait, more, lost, jobs }
