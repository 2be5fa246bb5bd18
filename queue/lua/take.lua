-- take: settle what was just finished, promote what is due, hand out what waits. One round trip is a worker's turn.
-- ARGV[2] worker  ARGV[3] lease in ms  ARGV[4] most jobs  ARGV[5] JSON: task -> how many of it make a full batch
-- ARGV[6] JSON: lists, most urgent first  ARGV[7] JSON: finished jobs, as in `finish`
-- Returns {now, us until the next due job or -1, 1 if a list holds more, {ids no longer ours}, jobs}; a job is a line for
-- each field, as `hand_out` puts them together, and SEPARATOR stands between two. Move, lease, attempt, worker and state
-- are one step: until it is settled a job stays in this worker's running list, so a crash loses nothing.
local worker, lease, most, full = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), cjson.decode(ARGV[5])
local lost = finish(worker, cjson.decode(ARGV[7]))
local running = place("list", "running", worker)
local scheduled = place("zset", "scheduled")
local PROMOTE, DROP = 500, 500 -- bounded work a call; what is left is rung for
local SEPARATOR = "\30" -- in no JSON, id or name; one text is read and parsed in a fraction of the time of a list

local due = call("ZRANGEBYSCORE", scheduled, "-inf", now, "LIMIT", 0, PROMOTE)
for _, id in ipairs(due) do
  local job = try("HMGET", job_key(id), "state", "queue")
  call("ZREM", scheduled, id)
  if job.err or not (job[1] and job[2]) then
    quarantine(id, "scheduled")
  elseif job[1] == "scheduled" then -- else a stale copy: the hash is the judge
    to_pending(id, job[2], "LPUSH")
  end
end

local fields = { "state", "queue", "attempt", "task", "args", "kwargs", "failures", "crashes", "max_attempts", "enqueued_at", "due_at" }
local jobs, ids, attempts, seen, room, waited, dropped = {}, {}, {}, {}, 1, 0, 0

-- What to do with an id at the front of a list: "run", "drop", "bad", or "wait" when the batch is full.
local function judge(id, name, job)
  if job.err or not (job[1] and job[2] and job[4] and job[5]) or #id > MAX_ID then return "bad" end
  if string.find(id, "%W") and string.find(id, "[^%w_.:%-]") then return "bad" end -- the first alone is the faster one
  if job[1] ~= "pending" or job[2] ~= name or seen[id] then return "drop" end
  local alone = tonumber(job[8] or 0) ~= 0 -- once crashed: one killer shall not condemn its neighbours
  local share = alone and 1 or 1 / (full[job[4]] or 1)
  if #jobs > 0 and (#jobs >= most or share > room + 1e-9) then return "wait" end
  room = room - share
  return "run"
end

local function hand_out(id, name, job)
  local _, _, taken, task, args, kwargs, failures, crashes, limit, since, due = unpack(job)
  local attempt, n = taken and tostring(counter(taken) + 1) or "1", #ids + 1
  seen[id], ids[n], attempts[n] = true, id, attempt
  local line = id .. "\n" .. attempt .. "\n" .. name .. "\n" .. task .. "\n" .. args .. "\n" .. (kwargs or "") .. "\n"
    .. (failures or "0") .. "\n" .. (crashes or "0") .. "\n" .. (limit or "") .. "\n" .. (since or "0") .. "\n" .. (due or "")
  jobs[n] = string.find(line, SEPARATOR, 1, true) and string.gsub(line, SEPARATOR, " ") or line -- put there by hand
  if not taken then
    local from = due and tonumber(due) or tonumber(since) or now
    if from < now then waited = waited + now - from end
  end
end

-- One look at the front of a list: judge first, write afterwards. Returns true when there may be more to take.
local function look(list, name)
  local front = call("LRANGE", list, -math.max(most - #jobs, 1), -1)
  local first, bad, drop, looked = #ids, {}, {}, 0
  for i = #front, 1, -1 do
    local id = front[i]
    local job = try("HMGET", job_key(id), unpack(fields))
    local verdict = judge(id, name, job)
    if verdict == "wait" then break end
    looked = looked + 1
    if verdict == "run" then hand_out(id, name, job)
    elseif verdict == "bad" then bad[#bad + 1] = id
    elseif job[1] == "cancelled" then drop[#drop + 1] = id end
  end
  if looked == 0 then return false end
  call("RPOP", list, looked)
  if #ids > first then call("LPUSH", running, unpack(ids, first + 1)) end
  for i = first + 1, #ids do
    call("HSET", job_key(ids[i]), "state", "running", "attempt", attempts[i], "started_at", at, "worker", worker)
  end
  for _, id in ipairs(bad) do quarantine(id, "pending:" .. name) end
  for _, id in ipairs(drop) do call("PEXPIRE", job_key(id), CANCELLED_TTL) end
  dropped = dropped + looked - (#ids - first)
  return looked == #front and #jobs < most and dropped < DROP
end

local paused, more = place("set", "paused"), 0
for _, name in ipairs(cjson.decode(ARGV[6])) do
  if call("SISMEMBER", paused, name) == 0 then
    place("list", "bell", name) -- else nobody could sleep on it
    local list = place("list", "pending", name)
    if #jobs < most and room > 0 and dropped < DROP then while look(list, name) do end end
    if call("LLEN", list) > 0 then
      more = 1
      if #jobs > 0 then ring(name) end
    end
  end
end
local next_due = call("ZRANGE", scheduled, 0, 0, "WITHSCORES")
local wait = -1
if next_due[1] then
  wait = math.min(math.max(tonumber(next_due[2]) - now, 0), 24 * 3600 * 1000)
  if #jobs > 0 and wait <= NAP then
    local queue = try("HGET", job_key(next_due[1]), "queue")
    if type(queue) == "string" then ring(queue) end
  end
end
if #jobs > 0 then call("ZADD", place("zset", "workers"), now + lease, worker); count("waited", math.min(waited, now)); count("taken", #jobs) end
if wait > 0 then wait = math.max(math.ceil(wait * 1000) - micros, 0) end
return { now, wait, more, lost, table.concat(jobs, SEPARATOR) }
